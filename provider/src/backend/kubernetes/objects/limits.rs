//! The lease's namespace, and what all of it together may use.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::inventory::thousandths;
use super::super::names;
use super::super::settings::Settings;
use super::workload::is_stateful;
use crate::backend::{Isolation, LeaseSpec, ServiceSpec, VolumeKind};

/// The version of the Pod Security rules that is enforced: what a later one forbids is no surprise to what runs.
const POD_SECURITY_VERSION: &str = "v1.33";
/// Old and new secrets of a service: variables and the registry's password, of two versions and a failed one.
const SECRETS_OF_A_SERVICE: u64 = 6;
/// What the cluster itself puts into a namespace: its certificate authority.
const CONFIG_MAPS: u64 = 1;

/// The lease's namespace.
pub fn namespace(settings: &Settings, lease: &LeaseSpec) -> Namespace {
    let mut labels = names::labels(&settings.instance, lease.key);
    // Root inside a sandbox is allowed; our own check of pods forbids what this level leaves open.
    let level = match settings.isolation {
        Isolation::Restricted => "restricted",
        Isolation::Gvisor | Isolation::Userns | Isolation::None => "baseline",
    };
    for mode in ["enforce", "audit", "warn"] {
        let key = format!("pod-security.kubernetes.io/{mode}");
        labels.insert(format!("{key}-version"), POD_SECURITY_VERSION.to_owned());
        labels.insert(key, level.to_owned());
    }
    Namespace {
        metadata: ObjectMeta {
            name: Some(names::namespace(&settings.instance, lease.key)),
            labels: Some(labels),
            annotations: Some(names::annotations(&settings.instance)),
            ..Default::default()
        },
        ..Default::default()
    }
}

fn metadata(settings: &Settings, lease: &LeaseSpec) -> ObjectMeta {
    ObjectMeta {
        name: Some("lease".to_owned()),
        namespace: Some(names::namespace(&settings.instance, lease.key)),
        labels: Some(names::labels(&settings.instance, lease.key)),
        annotations: Some(names::annotations(&settings.instance)),
        ..Default::default()
    }
}

/// What the lease may have in all. It is what its services need, and while an update runs one replica more of each: the
/// provider makes nothing else, so this holds only where the provider errs.
pub fn quota(settings: &Settings, lease: &LeaseSpec) -> ResourceQuota {
    let replicas =
        |service: &ServiceSpec| u64::from(service.replicas) + u64::from(!is_stateful(service));
    let sum = |of: &dyn Fn(&ServiceSpec) -> u64| {
        let each = lease
            .services
            .iter()
            .map(|service| replicas(service).saturating_mul(of(service)));
        each.fold(0, u64::saturating_add)
    };
    let count = |of: &dyn Fn(&ServiceSpec) -> u64| {
        lease.services.iter().map(of).fold(0, u64::saturating_add)
    };
    let claims = |service: &ServiceSpec| {
        let persistent = service
            .volumes
            .iter()
            .filter(|one| matches!(one.kind, VolumeKind::Persistent { .. }));
        persistent.map(|volume| volume.bytes).collect::<Vec<u64>>()
    };
    let services = lease.services.len() as u64;
    let public = count(&|service| {
        let ports = service
            .ports
            .iter()
            .filter(|port| port.entry == Some(crate::backend::Entry::Port));
        let ports: std::collections::BTreeSet<_> =
            ports.map(|port| (port.port, port.protocol)).collect();
        ports.len() as u64
    });
    let cpu = Quantity(format!("{}m", sum(&|service| service.cpu_millis)));
    let memory = number(sum(&|service| service.memory_bytes));
    let disk = number(sum(&|service| service.disk_bytes));
    let hard = [
        ("pods", number(sum(&|_| 1))),
        ("requests.cpu", cpu.clone()),
        ("limits.cpu", cpu),
        ("requests.memory", memory.clone()),
        ("limits.memory", memory),
        ("requests.ephemeral-storage", disk.clone()),
        ("limits.ephemeral-storage", disk),
        (
            "persistentvolumeclaims",
            number(count(&|service| {
                claims(service).len() as u64 * u64::from(service.replicas)
            })),
        ),
        (
            "requests.storage",
            number(count(&|service| {
                let bytes = claims(service).into_iter().fold(0, u64::saturating_add);
                bytes.saturating_mul(u64::from(service.replicas))
            })),
        ),
        ("services", number(services.saturating_mul(2))),
        ("services.nodeports", number(public)),
        ("services.loadbalancers", number(0)),
        (
            "secrets",
            number(services.saturating_mul(SECRETS_OF_A_SERVICE)),
        ),
        ("configmaps", number(CONFIG_MAPS)),
    ];
    ResourceQuota {
        metadata: metadata(settings, lease),
        spec: Some(ResourceQuotaSpec {
            hard: Some(hard.map(|(name, value)| (name.to_owned(), value)).into()),
            ..Default::default()
        }),
        status: None,
    }
}

/// The quota with room for what an earlier one allowed: while an update runs the pods of both versions are there.
pub fn covering(mut quota: ResourceQuota, earlier: &ResourceQuota) -> ResourceQuota {
    let earlier = earlier.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let wanted = quota.spec.as_mut().and_then(|spec| spec.hard.as_mut());
    let (Some(earlier), Some(wanted)) = (earlier, wanted) else {
        return quota;
    };
    for (name, allowed) in earlier {
        if let Some(quantity) = wanted.get_mut(name)
            && thousandths(allowed) > thousandths(quantity)
        {
            *quantity = allowed.clone();
        }
    }
    quota
}

/// What one container may have at most, and has where nothing is said.
pub fn limit_range(settings: &Settings, lease: &LeaseSpec) -> LimitRange {
    let most = |of: &dyn Fn(&ServiceSpec) -> u64| lease.services.iter().map(of).max().unwrap_or(0);
    let max = BTreeMap::from([
        (
            "cpu".to_owned(),
            Quantity(format!("{}m", most(&|service| service.cpu_millis))),
        ),
        (
            "memory".to_owned(),
            number(most(&|service| service.memory_bytes)),
        ),
        (
            "ephemeral-storage".to_owned(),
            number(most(&|service| service.disk_bytes)),
        ),
    ]);
    LimitRange {
        metadata: metadata(settings, lease),
        spec: Some(LimitRangeSpec {
            limits: vec![LimitRangeItem {
                type_: "Container".to_owned(),
                default: Some(max.clone()),
                max: Some(max),
                ..Default::default()
            }],
        }),
    }
}

fn number(value: u64) -> Quantity {
    Quantity(value.to_string())
}
