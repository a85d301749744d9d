//! Volumes that outlive their pod.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::super::names;
use super::super::settings::Settings;
use crate::backend::{LeaseKey, ServiceSpec, VolumeKind, VolumeSpec};
use crate::workload::DEFAULT_CLASS;

/// What a volume is called within its pod. The cluster takes DNS labels only, and a tenant's name may hold `_`, `.` and
/// capitals.
pub fn name(volume: &str) -> String {
    let is_label = volume.len() <= 40
        && volume
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !volume.starts_with('-')
        && !volume.ends_with('-');
    if is_label {
        // No hash below looks like this.
        return format!("v-{volume}");
    }
    let hash = blake3::hash(format!("welkin volume 1\n{volume}").as_bytes());
    format!("h-{}", &hash.to_hex()[..32])
}

/// The claims that each replica of the service gets.
pub fn claims(
    settings: &Settings,
    key: LeaseKey,
    service: &ServiceSpec,
) -> Vec<PersistentVolumeClaim> {
    let persistent = service
        .volumes
        .iter()
        .filter_map(|volume| match &volume.kind {
            VolumeKind::Persistent { class } => Some((volume, class.as_str())),
            VolumeKind::Ephemeral | VolumeKind::Memory => None,
        });
    persistent
        .map(|(volume, class)| claim(settings, key, service, volume, class))
        .collect()
}

fn claim(
    settings: &Settings,
    key: LeaseKey,
    service: &ServiceSpec,
    volume: &VolumeSpec,
    class: &str,
) -> PersistentVolumeClaim {
    let request = BTreeMap::from([("storage".to_owned(), Quantity(volume.bytes.to_string()))]);
    let chosen = settings.storage_classes.get(class).cloned();
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(name(&volume.name)),
            labels: Some(names::service_labels(
                &settings.instance,
                key,
                &service.name,
            )),
            ..Default::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            // No name means the cluster's default; an SDL's class that nobody mapped is a storage class of that name.
            storage_class_name: chosen
                .or_else(|| (class != DEFAULT_CLASS).then(|| class.to_owned())),
            resources: Some(VolumeResourceRequirements {
                requests: Some(request),
                limits: None,
            }),
            volume_mode: Some("Filesystem".to_owned()),
            ..Default::default()
        }),
        ..Default::default()
    }
}
