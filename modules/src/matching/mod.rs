//! Who can run what: pure rules that the chain, the provider's bid engine and `welkin plan` share.
//!
//! ```text
//!   group spec + provider's attributes + auditors' attestations --provider_mismatches--> reasons
//!   group spec + free resources                                 --capacity_mismatches--> reasons
//!   group spec + what a bid offers                              --offer_mismatches-----> reasons
//! ```
//!
//! No reason means that it fits. The rules:
//!
//! - A required attribute must be the provider's own word, with that value. Keys may be globs.
//! - With `all_of`, each of those auditors must have signed all required attributes; with `any_of`,
//!   one of them.
//! - A GPU needs one of the models asked for under `capabilities/gpu/`; without a model, any there.
//! - A volume that is persistent, or of a class other than `ephemeral` and `ram`, needs one storage
//!   that has all its attributes: `capabilities/storage/N/persistent`, `.../N/class`.
//! - A leased address needs `capabilities/endpoint/leased-ip: true`.
//!
//! Capabilities are always the provider's own word.

pub mod attributes;
pub mod limits;
mod mismatch;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use welkin_runtime::Address;

use crate::spec::{
    Attributes, EndpointKind, Gpu, GroupSpec, ResourceUnit, SignedBy, UnitOffer, Volume,
};

pub use mismatch::{Mismatch, Resource};

/// What keys of GPU models begin with.
pub const GPU_CAPABILITIES: &str = "capabilities/gpu/";

/// What keys of storage begin with; a number and the attribute follow.
pub const STORAGE_CAPABILITIES: &str = "capabilities/storage/";

/// The key of who can lease addresses, with the value `true`.
pub const LEASED_IP_CAPABILITY: &str = "capabilities/endpoint/leased-ip";

/// Amounts of resources: what is free, or what is needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Processor time in thousandths of a core.
    pub cpu_millis: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Graphics processors.
    pub gpus: u64,
    /// Disks in bytes.
    pub storage_bytes: u64,
}

impl Resources {
    /// What all copies of all units need together; what overflows is counted as the largest number.
    pub fn needed(spec: &GroupSpec) -> Resources {
        let mut sum = Resources::default();
        for unit in &spec.resources {
            let count = u64::from(unit.count);
            let storage = unit
                .storage
                .iter()
                .fold(0u64, |sum, v| sum.saturating_add(v.bytes));
            sum = sum.plus(&Resources {
                cpu_millis: unit.cpu_millis.saturating_mul(count),
                memory_bytes: unit.memory_bytes.saturating_mul(count),
                gpus: u64::from(unit.gpu.count).saturating_mul(count),
                storage_bytes: storage.saturating_mul(count),
            });
        }
        sum
    }

    /// The sum, at most the largest numbers.
    #[must_use]
    pub fn plus(&self, other: &Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis.saturating_add(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            gpus: self.gpus.saturating_add(other.gpus),
            storage_bytes: self.storage_bytes.saturating_add(other.storage_bytes),
        }
    }

    /// What is left without `other`, at least nothing.
    #[must_use]
    pub fn minus(&self, other: &Resources) -> Resources {
        Resources {
            cpu_millis: self.cpu_millis.saturating_sub(other.cpu_millis),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            gpus: self.gpus.saturating_sub(other.gpus),
            storage_bytes: self.storage_bytes.saturating_sub(other.storage_bytes),
        }
    }
}

/// Why a provider with these attributes, signed by these auditors, is not what `spec` requires.
pub fn provider_mismatches(
    spec: &GroupSpec,
    declared: &Attributes,
    signed: &BTreeMap<Address, Attributes>,
) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let required = &spec.requirements.attributes;
    for (key, value) in required {
        if !attributes::offers(declared, key, value) {
            let offered = declared.get(key).cloned();
            found.push(Mismatch::Attribute {
                key: key.clone(),
                wanted: value.clone(),
                offered,
            });
        }
    }
    signature_mismatches(&spec.requirements.signed_by, required, signed, &mut found);
    for unit in &spec.resources {
        capability_mismatches(unit, declared, &mut found);
    }
    found
}

fn signature_mismatches(
    signed_by: &SignedBy,
    required: &Attributes,
    signed: &BTreeMap<Address, Attributes>,
    found: &mut Vec<Mismatch>,
) {
    let has_signed = |auditor: &&Address| {
        signed
            .get(*auditor)
            .is_some_and(|signed| attributes::offers_all(signed, required))
    };
    for auditor in signed_by
        .all_of
        .iter()
        .filter(|auditor| !has_signed(auditor))
    {
        found.push(Mismatch::NotSignedBy { auditor: *auditor });
    }
    if !signed_by.any_of.is_empty() && !signed_by.any_of.iter().any(|auditor| has_signed(&auditor))
    {
        found.push(Mismatch::NotSignedByAny {
            auditors: signed_by.any_of.clone(),
        });
    }
}

fn capability_mismatches(unit: &ResourceUnit, declared: &Attributes, found: &mut Vec<Mismatch>) {
    if unit.gpu.count > 0 && !gpu_fits(&unit.gpu, declared) {
        let models = unit.gpu.attributes.keys().cloned().collect();
        found.push(Mismatch::Gpu {
            unit: unit.id,
            models,
        });
    }
    for volume in &unit.storage {
        let needed = storage_needed(volume);
        if !needed.is_empty() && !storage_fits(&needed, declared) {
            found.push(Mismatch::Storage {
                unit: unit.id,
                volume: volume.name.clone(),
                attributes: needed,
            });
        }
    }
    let leased_ip = unit
        .endpoints
        .iter()
        .any(|endpoint| endpoint.kind == EndpointKind::LeasedIp);
    if leased_ip && !attributes::offers(declared, LEASED_IP_CAPABILITY, "true") {
        found.push(Mismatch::LeasedIp { unit: unit.id });
    }
}

fn gpu_fits(gpu: &Gpu, declared: &Attributes) -> bool {
    let any = Attributes::from([(String::new(), "true".to_owned())]);
    let models = if gpu.attributes.is_empty() {
        &any
    } else {
        &gpu.attributes
    };
    models.iter().any(|(model, value)| {
        declared.iter().any(|(key, offered)| {
            let Some(offered_model) = key.strip_prefix(GPU_CAPABILITIES) else {
                return false;
            };
            offered == value && (model.is_empty() || attributes::glob(model, offered_model))
        })
    })
}

/// The attributes of a volume that a provider must have a capability for.
pub fn storage_needed(volume: &Volume) -> Attributes {
    let ordinary = |key: &str, value: &str| match key {
        "persistent" => value == "false",
        "class" => value == "ephemeral" || value == "ram",
        _ => false,
    };
    let needed = volume
        .attributes
        .iter()
        .filter(|(key, value)| !ordinary(key, value));
    needed
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn storage_fits(needed: &Attributes, declared: &Attributes) -> bool {
    let mut storages: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (key, value) in declared {
        let parts = key
            .strip_prefix(STORAGE_CAPABILITIES)
            .and_then(|rest| rest.split_once('/'));
        if let Some((number, attribute)) = parts {
            storages.entry(number).or_default().push((attribute, value));
        }
    }
    storages.values().any(|storage| {
        needed
            .iter()
            .all(|(key, value)| storage.contains(&(key.as_str(), value.as_str())))
    })
}

/// Of which resources there is not enough free for all copies.
pub fn capacity_mismatches(spec: &GroupSpec, free: &Resources) -> Vec<Mismatch> {
    let needed = Resources::needed(spec);
    let pairs = [
        (Resource::CpuMillis, needed.cpu_millis, free.cpu_millis),
        (
            Resource::MemoryBytes,
            needed.memory_bytes,
            free.memory_bytes,
        ),
        (Resource::Gpus, needed.gpus, free.gpus),
        (
            Resource::StorageBytes,
            needed.storage_bytes,
            free.storage_bytes,
        ),
    ];
    let lacking = pairs.into_iter().filter(|(_, needed, free)| needed > free);
    lacking
        .map(|(resource, needed, free)| Mismatch::Lacking {
            resource,
            needed,
            free,
        })
        .collect()
}

/// Where what a bid offers is less than what was asked. An empty offer is what was asked.
pub fn offer_mismatches(spec: &GroupSpec, offer: &[UnitOffer]) -> Vec<Mismatch> {
    let mut found = Vec::new();
    let mut last = 0;
    for given in offer {
        let asked = spec.resources.iter().find(|unit| unit.id == given.id);
        match asked {
            // Ascending ids: none twice.
            Some(asked) if given.id > last => unit_mismatches(asked, given, &mut found),
            _ => found.push(Mismatch::UnknownUnit { unit: given.id }),
        }
        last = given.id;
    }
    found
}

fn unit_mismatches(asked: &ResourceUnit, given: &UnitOffer, found: &mut Vec<Mismatch>) {
    let unit = asked.id;
    let mut compare = |resource, asked: u64, given: u64| {
        if given < asked {
            found.push(Mismatch::OfferTooSmall {
                unit,
                resource,
                asked,
                given,
            });
        }
    };
    compare(Resource::CpuMillis, asked.cpu_millis, given.cpu_millis);
    compare(
        Resource::MemoryBytes,
        asked.memory_bytes,
        given.memory_bytes,
    );
    compare(
        Resource::Gpus,
        u64::from(asked.gpu.count),
        u64::from(given.gpu.count),
    );
    if given.count != asked.count {
        found.push(Mismatch::OtherCount {
            unit,
            asked: asked.count,
            given: given.count,
        });
    }
    let models = &asked.gpu.attributes;
    let model_fits = models
        .iter()
        .any(|(model, value)| attributes::offers(&given.gpu.attributes, model, value));
    if !models.is_empty() && !model_fits {
        found.push(Mismatch::Gpu {
            unit,
            models: models.keys().cloned().collect(),
        });
    }
    for volume in &asked.storage {
        let fits = |given: &&Volume| {
            given.name == volume.name
                && given.bytes >= volume.bytes
                && attributes::offers_all(&given.attributes, &volume.attributes)
        };
        if !given.storage.iter().any(|given| fits(&given)) {
            found.push(Mismatch::Storage {
                unit,
                volume: volume.name.clone(),
                attributes: volume.attributes.clone(),
            });
        }
    }
}
