//! What the back end knows of its cluster and its operator when it makes objects.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::backend::{Instance, Isolation};
use crate::firewall::Subnet;

/// Everything that decides about objects, beside the lease itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whose objects these are.
    pub instance: Instance,
    /// How tenants' processes are kept in.
    pub isolation: Isolation,
    /// The runtime class of sandboxed pods.
    pub sandbox_class: String,
    /// Images that lie on the nodes and are never pulled.
    pub local_images: BTreeSet<String>,
    /// The image of the probe: one with `sh` and busybox's `nc`.
    pub probe_image: String,
    /// The domain of generated host names.
    pub domain: String,
    /// The ingress controller.
    pub ingress: IngressSettings,
    /// Ranges that no lease reaches, beside those that are private everywhere: nodes, API server, pods and services.
    pub forbidden: Vec<Subnet>,
    /// From classes of the SDL to the cluster's storage classes.
    pub storage_classes: BTreeMap<String, String>,
}

/// How HTTP comes into leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngressSettings {
    /// The class that Ingress objects name.
    pub class: String,
    /// Where the controller's requests come from.
    pub from: IngressSource,
}

/// Who may reach the HTTP ports of leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum IngressSource {
    /// Pods with these labels in this namespace.
    Pods {
        /// The namespace's name.
        namespace: String,
        /// The pods' labels.
        labels: BTreeMap<String, String>,
    },
    /// These addresses: a controller outside the pods' network. A node reaches the pods on it in any case.
    Addresses(Vec<IpAddr>),
}
