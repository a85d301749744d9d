//! From a lease's specification to the cluster's objects: pure, so that what a tenant can ask for is seen in one place.
//!
//! ```text
//!   namespace ── quota, limit range, policies
//!       └── for each service: secrets ─> Deployment or StatefulSet ─> Service ─> Ingress, or a Service with node ports
//! ```
//!
//! Everything that an object says is decided here and below; nothing of a tenant's reaches a field that steers the
//! cluster.

pub mod limits;
pub mod network;
pub mod pod;
pub mod secrets;
pub mod volumes;
pub mod workload;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{
    LimitRange, Namespace, PodTemplateSpec, ResourceQuota, Secret, Service,
};
use k8s_openapi::api::networking::v1::{Ingress, NetworkPolicy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use welkin_provider_api::manifest::Protocol;
use welkin_runtime::types::Hash;

use super::names;
use super::settings::Settings;
use crate::backend::{LeaseKey, LeaseSpec, ServiceSpec};

/// Everything that a lease is in the cluster, each kind in the order in which it is made.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Objects {
    /// Holds all others; what it goes with goes.
    pub namespace: Namespace,
    /// What the lease may use in all.
    pub quota: ResourceQuota,
    /// What one container may use.
    pub limit_range: LimitRange,
    /// Who reaches whom. In place before the first pod.
    pub policies: Vec<NetworkPolicy>,
    /// Variables and passwords.
    pub secrets: Vec<Secret>,
    /// Services without volumes that stay.
    pub deployments: Vec<Deployment>,
    /// Services with them.
    pub stateful_sets: Vec<StatefulSet>,
    /// Names and ports.
    pub services: Vec<Service>,
    /// Ways in by host name.
    pub ingresses: Vec<Ingress>,
}

impl Objects {
    /// What pods are made from.
    pub fn templates(&self) -> impl Iterator<Item = &PodTemplateSpec> {
        let deployments = self.deployments.iter().filter_map(|one| one.spec.as_ref());
        let sets = self
            .stateful_sets
            .iter()
            .filter_map(|one| one.spec.as_ref());
        let deployments = deployments.map(|spec| &spec.template);
        deployments.chain(sets.map(|spec| &spec.template))
    }
}

/// The objects of a lease. `made_for` says for which version the pods of each service were made that are right as they are.
pub fn objects(
    settings: &Settings,
    lease: &LeaseSpec,
    made_for: &BTreeMap<String, Hash>,
) -> Objects {
    let key = lease.key;
    let mut objects = Objects {
        namespace: limits::namespace(settings, lease),
        quota: limits::quota(settings, lease),
        limit_range: limits::limit_range(settings, lease),
        policies: network::policies(settings, lease),
        secrets: Vec::new(),
        deployments: Vec::new(),
        stateful_sets: Vec::new(),
        services: Vec::new(),
        ingresses: Vec::new(),
    };
    for service in &lease.services {
        let version = made_for
            .get(&service.name)
            .copied()
            .unwrap_or(lease.version);
        objects
            .secrets
            .extend(secrets::secrets(settings, key, service));
        if workload::is_stateful(service) {
            objects
                .stateful_sets
                .push(workload::stateful_set(settings, key, service, version));
        } else {
            objects
                .deployments
                .push(workload::deployment(settings, key, service, version));
        }
        objects
            .services
            .push(network::cluster_service(settings, key, service));
        objects
            .services
            .extend(network::public_service(settings, key, service));
        objects
            .ingresses
            .extend(network::ingress(settings, key, service));
    }
    objects
}

/// What everything of a service carries.
fn metadata(settings: &Settings, key: LeaseKey, service: &ServiceSpec, name: String) -> ObjectMeta {
    let instance = &settings.instance;
    ObjectMeta {
        name: Some(name),
        namespace: Some(names::namespace(instance, key)),
        labels: Some(names::service_labels(instance, key, &service.name)),
        annotations: Some(names::annotations(instance)),
        ..Default::default()
    }
}

/// The cluster's word for it.
fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    }
}

#[cfg(test)]
pub mod tests;
