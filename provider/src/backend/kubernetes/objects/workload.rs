//! What keeps a service's pods running.

use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment, StatefulSet,
    StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use welkin_runtime::types::Hash;

use super::super::names;
use super::super::settings::Settings;
use super::{metadata, pod, volumes};
use crate::backend::{LeaseKey, ServiceSpec, VolumeKind};

/// Versions that the cluster keeps for its own undoing. What ran well is kept by the provider.
const KEPT_REVISIONS: i32 = 1;

/// Whether the replicas keep something and so cannot stand in for each other.
pub fn is_stateful(service: &ServiceSpec) -> bool {
    let is_persistent = |kind: &VolumeKind| matches!(kind, VolumeKind::Persistent { .. });
    service
        .volumes
        .iter()
        .any(|volume| is_persistent(&volume.kind))
}

/// Replicas that keep nothing: new ones are ready before old ones go.
pub fn deployment(
    settings: &Settings,
    key: LeaseKey,
    service: &ServiceSpec,
    version: Hash,
) -> Deployment {
    let template = pod::template(settings, key, service, version);
    Deployment {
        metadata: metadata(settings, key, service, service.name.clone()),
        spec: Some(DeploymentSpec {
            replicas: Some(replicas(service)),
            selector: selector(service),
            strategy: Some(DeploymentStrategy {
                type_: Some("RollingUpdate".to_owned()),
                rolling_update: Some(RollingUpdateDeployment {
                    max_surge: Some(IntOrString::Int(1)),
                    max_unavailable: Some(IntOrString::Int(0)),
                }),
            }),
            min_ready_seconds: settles(service),
            revision_history_limit: Some(KEPT_REVISIONS),
            template,
            ..Default::default()
        }),
        status: None,
    }
}

/// Replicas with volumes of their own: each keeps its number, and takes its volumes along.
pub fn stateful_set(
    settings: &Settings,
    key: LeaseKey,
    service: &ServiceSpec,
    version: Hash,
) -> StatefulSet {
    let template = pod::template(settings, key, service, version);
    StatefulSet {
        metadata: metadata(settings, key, service, service.name.clone()),
        spec: Some(StatefulSetSpec {
            replicas: Some(replicas(service)),
            selector: selector(service),
            service_name: Some(service.name.clone()),
            pod_management_policy: Some("Parallel".to_owned()),
            // The namespace takes them along when the lease is over.
            persistent_volume_claim_retention_policy: Some(
                StatefulSetPersistentVolumeClaimRetentionPolicy {
                    when_deleted: Some("Retain".to_owned()),
                    when_scaled: Some("Retain".to_owned()),
                },
            ),
            volume_claim_templates: Some(volumes::claims(settings, key, service)),
            min_ready_seconds: settles(service),
            revision_history_limit: Some(KEPT_REVISIONS),
            template,
            ..Default::default()
        }),
        status: None,
    }
}

fn replicas(service: &ServiceSpec) -> i32 {
    i32::try_from(service.replicas).unwrap_or(i32::MAX)
}

fn selector(service: &ServiceSpec) -> LabelSelector {
    LabelSelector {
        match_labels: Some(names::selector(&service.name)),
        match_expressions: None,
    }
}

/// Without a port to ask, only time tells that a replica stays.
fn settles(service: &ServiceSpec) -> Option<i32> {
    let has_tcp = service
        .ports
        .iter()
        .any(|port| port.protocol == welkin_provider_api::manifest::Protocol::Tcp);
    (!has_tcp).then_some(pod::SETTLE_SECONDS)
}
