//! What a lease's objects are called, and the labels by which they are known again.
//!
//! Changing a name or a key orphans what runs.

use std::collections::BTreeMap;

use welkin_runtime::types::Hash;

use crate::backend::{Instance, LeaseKey};

/// Who owns the fields that are applied.
pub const FIELD_MANAGER: &str = "welkin-provider";

/// Label keys.
pub mod label {
    /// [`crate::backend::Instance::short`]: what lists and watches select by.
    pub const INSTANCE: &str = "welkin/instance";
    /// The first half of the genesis hash; a label's value is shorter than the whole.
    pub const GENESIS: &str = "welkin/genesis";
    /// The provider's account.
    pub const PROVIDER: &str = "welkin/provider";
    /// The lease, `12-1-1`.
    pub const LEASE: &str = "welkin/lease";
    /// The height at which the lease was made.
    pub const HEIGHT: &str = "welkin/creation-height";
    /// The service.
    pub const SERVICE: &str = "welkin/service";
    /// [`crate::backend::ServiceSpec::fingerprint`].
    pub const SPEC: &str = "welkin/spec";
}

/// Annotation keys.
pub mod annotation {
    /// The whole genesis hash.
    pub const GENESIS: &str = "welkin/genesis-hash";
    /// The manifest's version for which a pod was made.
    pub const VERSION: &str = "welkin/version";
}

/// Labels of everything of a lease.
pub fn labels(instance: &Instance, key: LeaseKey) -> BTreeMap<String, String> {
    let values = [
        (label::INSTANCE, instance.short()),
        (
            label::GENESIS,
            instance.genesis.to_string()[..32].to_owned(),
        ),
        (label::PROVIDER, instance.provider.to_string()),
        (label::LEASE, lease_value(key)),
        (label::HEIGHT, key.creation_height.to_string()),
    ];
    values.map(|(key, value)| (key.to_owned(), value)).into()
}

/// Labels of everything of one service of a lease.
pub fn service_labels(
    instance: &Instance,
    key: LeaseKey,
    service: &str,
) -> BTreeMap<String, String> {
    let mut labels = labels(instance, key);
    labels.insert(label::SERVICE.to_owned(), service.to_owned());
    labels
}

/// What selects the pods of one service within its lease's namespace.
pub fn selector(service: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(label::SERVICE.to_owned(), service.to_owned())])
}

/// Annotations of everything of a lease.
pub fn annotations(instance: &Instance) -> BTreeMap<String, String> {
    BTreeMap::from([(annotation::GENESIS.to_owned(), instance.genesis.to_string())])
}

/// Which lease an object is of, by its labels and annotations; none where it is not this instance's.
pub fn lease_of(
    instance: &Instance,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Option<LeaseKey> {
    let key = LeaseKey {
        lease: labels.get(label::LEASE)?.replace('-', "/").parse().ok()?,
        creation_height: labels.get(label::HEIGHT)?.parse().ok()?,
    };
    let is_whole = self::labels(instance, key)
        .iter()
        .all(|(name, value)| labels.get(name) == Some(value))
        && self::annotations(instance)
            .iter()
            .all(|(name, value)| annotations.get(name) == Some(value));
    is_whole.then_some(key)
}

/// The lease's namespace: at most 62 characters, and another provider on the same cluster has another.
pub fn namespace(instance: &Instance, key: LeaseKey) -> String {
    format!("welkin-{}-{}", instance.short(), lease_value(key))
}

/// The secret that holds the variables of one version of a service. Another version has another, so that what runs is not
/// started again with what is meant for its successor.
pub fn variables(fingerprint: &str) -> String {
    format!("env-{fingerprint}")
}

/// The secret that holds the registry's password for one version of a service.
pub fn pull_secret(fingerprint: &str) -> String {
    format!("pull-{fingerprint}")
}

/// The Service of the ports that the world reaches. A service of the tenant's may have any name, so this is none that it
/// could have chosen: names of tenants hold no dot, and Services' names neither, but a hash nobody can aim at.
pub fn public_ports(service: &str) -> String {
    let hash = blake3::hash(format!("welkin ports 1\n{service}").as_bytes());
    format!("ports-{}", &hash.to_hex()[..32])
}

fn lease_value(key: LeaseKey) -> String {
    key.lease.to_string().replace('/', "-")
}

/// The hash that a text holds, as annotations carry it.
pub fn hash(text: &str) -> Option<Hash> {
    text.parse().ok()
}
