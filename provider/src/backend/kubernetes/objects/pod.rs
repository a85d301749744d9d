//! The pod of one replica, to the last field.
//!
//! Everything that a pod says is decided here. A tenant's words become the image, the command, the arguments, the
//! variables and the limits, and nothing else.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    LocalObjectReference, PodSecurityContext, PodSpec, PodTemplateSpec, Probe,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext, TCPSocketAction,
    Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use welkin_provider_api::manifest::Protocol;
use welkin_runtime::types::Hash;

use super::super::names::{self, annotation, label};
use super::super::settings::Settings;
use crate::backend::{Isolation, LeaseKey, ServiceSpec, VolumeKind, VolumeSpec};

/// Capabilities that root inside a sandbox keeps, so that ordinary images work (design, section 6).
pub const SANDBOX_CAPABILITIES: [&str; 8] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "NET_BIND_SERVICE",
];

/// How long a process has to end after SIGTERM, in seconds.
const GRACE_SECONDS: i64 = 10;
/// Whoever opens no port is ready once it ran for so long, in seconds.
pub const SETTLE_SECONDS: i32 = 1;
/// How long a pod stays on a node that is lost, in seconds.
const LOST_NODE_SECONDS: i64 = 10;

/// The template from which a service's pods are made. `version` is the manifest's for which it was made first: a later
/// one that did not change the service leaves its pods alone.
pub fn template(
    settings: &Settings,
    key: LeaseKey,
    service: &ServiceSpec,
    version: Hash,
) -> PodTemplateSpec {
    let mut labels = names::service_labels(&settings.instance, key, &service.name);
    labels.insert(label::SPEC.to_owned(), service.fingerprint());
    let mut annotations = names::annotations(&settings.instance);
    annotations.insert(annotation::VERSION.to_owned(), version.to_string());
    PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..Default::default()
        }),
        spec: Some(pod(settings, service)),
    }
}

fn pod(settings: &Settings, service: &ServiceSpec) -> PodSpec {
    let fingerprint = service.fingerprint();
    let pull = service.credentials.as_ref().map(|_| LocalObjectReference {
        name: names::pull_secret(&fingerprint),
    });
    let isolation = settings.isolation;
    PodSpec {
        containers: vec![container(settings, service, &fingerprint)],
        volumes: volumes(service),
        image_pull_secrets: pull.map(|pull| vec![pull]),
        restart_policy: Some("Always".to_owned()),
        termination_grace_period_seconds: Some(GRACE_SECONDS),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        host_users: (isolation == Isolation::Userns).then_some(false),
        runtime_class_name: (isolation == Isolation::Gvisor)
            .then(|| settings.sandbox_class.clone()),
        security_context: Some(PodSecurityContext {
            run_as_non_root: (isolation == Isolation::Restricted).then_some(true),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..Default::default()
        }),
        tolerations: Some(["not-ready", "unreachable"].map(leaves_after).into()),
        ..Default::default()
    }
}

/// A pod leaves a node that is lost sooner than by default, which is five minutes.
fn leaves_after(condition: &str) -> k8s_openapi::api::core::v1::Toleration {
    k8s_openapi::api::core::v1::Toleration {
        key: Some(format!("node.kubernetes.io/{condition}")),
        operator: Some("Exists".to_owned()),
        effect: Some("NoExecute".to_owned()),
        toleration_seconds: Some(LOST_NODE_SECONDS),
        ..Default::default()
    }
}

fn container(settings: &Settings, service: &ServiceSpec, fingerprint: &str) -> Container {
    let is_local = settings.local_images.contains(&service.image);
    let words = |words: &[String]| {
        (!words.is_empty()).then(|| words.iter().map(|word| literal(word)).collect())
    };
    Container {
        name: service.name.clone(),
        image: Some(service.image.clone()),
        image_pull_policy: Some(if is_local { "Never" } else { "Always" }.to_owned()),
        command: words(&service.command),
        args: words(&service.args),
        env: variables(service, fingerprint),
        ports: ports(service),
        resources: Some(resources(service)),
        readiness_probe: readiness(service),
        volume_mounts: mounts(service),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            privileged: Some(false),
            capabilities: Some(Capabilities {
                drop: Some(vec!["ALL".to_owned()]),
                add: keeps_capabilities(settings.isolation)
                    .then(|| SANDBOX_CAPABILITIES.map(str::to_owned).into()),
            }),
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Whether root inside is allowed, and what makes it of use with it.
fn keeps_capabilities(isolation: Isolation) -> bool {
    isolation != Isolation::Restricted
}

/// The word as it is: the cluster would put variables for `$(NAME)`, and takes two dollars for one.
fn literal(word: &str) -> String {
    word.replace('$', "$$")
}

fn variables(service: &ServiceSpec, fingerprint: &str) -> Option<Vec<EnvVar>> {
    // Of two with one name the later counts, and a secret holds one of each.
    let last: BTreeMap<&str, usize> = service
        .env
        .iter()
        .enumerate()
        .map(|(at, (name, _))| (name.as_str(), at))
        .collect();
    let variables = service
        .env
        .iter()
        .enumerate()
        .filter(|(at, (name, _))| last.get(name.as_str()) == Some(at));
    let variables: Vec<EnvVar> = variables
        .map(|(_, (name, _))| EnvVar {
            name: name.clone(),
            value: None,
            value_from: Some(EnvVarSource {
                secret_key_ref: Some(SecretKeySelector {
                    name: names::variables(fingerprint),
                    key: name.clone(),
                    optional: None,
                }),
                ..Default::default()
            }),
        })
        .collect();
    (!variables.is_empty()).then_some(variables)
}

fn ports(service: &ServiceSpec) -> Option<Vec<ContainerPort>> {
    let ports: std::collections::BTreeSet<(u16, Protocol)> = service
        .ports
        .iter()
        .map(|port| (port.port, port.protocol))
        .collect();
    let ports: Vec<ContainerPort> = ports
        .into_iter()
        .map(|(port, protocol)| ContainerPort {
            container_port: i32::from(port),
            protocol: Some(super::protocol(protocol).to_owned()),
            ..Default::default()
        })
        .collect();
    (!ports.is_empty()).then_some(ports)
}

/// Requests are the limits: what is leased is there when it is used.
fn resources(service: &ServiceSpec) -> ResourceRequirements {
    let limits = BTreeMap::from([
        (
            "cpu".to_owned(),
            Quantity(format!("{}m", service.cpu_millis)),
        ),
        (
            "memory".to_owned(),
            Quantity(service.memory_bytes.to_string()),
        ),
        (
            "ephemeral-storage".to_owned(),
            Quantity(service.disk_bytes.to_string()),
        ),
    ]);
    ResourceRequirements {
        requests: Some(limits.clone()),
        limits: Some(limits),
        claims: None,
    }
}

/// A replica is ready when somebody listens on the lowest of its TCP ports.
fn readiness(service: &ServiceSpec) -> Option<Probe> {
    let tcp = service
        .ports
        .iter()
        .filter(|port| port.protocol == Protocol::Tcp);
    let lowest = tcp.map(|port| port.port).min()?;
    Some(Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::Int(i32::from(lowest)),
            host: None,
        }),
        period_seconds: Some(1),
        timeout_seconds: Some(1),
        failure_threshold: Some(3),
        ..Default::default()
    })
}

fn volumes(service: &ServiceSpec) -> Option<Vec<Volume>> {
    let volumes: Vec<Volume> = service.volumes.iter().filter_map(volume).collect();
    (!volumes.is_empty()).then_some(volumes)
}

/// The volume as the pod has it; persistent ones are claimed for it.
fn volume(volume: &VolumeSpec) -> Option<Volume> {
    let medium = match volume.kind {
        VolumeKind::Persistent { .. } => return None,
        VolumeKind::Memory => Some("Memory".to_owned()),
        VolumeKind::Ephemeral => None,
    };
    Some(Volume {
        name: super::volumes::name(&volume.name),
        empty_dir: Some(EmptyDirVolumeSource {
            medium,
            size_limit: Some(Quantity(volume.bytes.to_string())),
        }),
        ..Default::default()
    })
}

fn mounts(service: &ServiceSpec) -> Option<Vec<VolumeMount>> {
    let mounts: Vec<VolumeMount> = service
        .volumes
        .iter()
        .map(|volume| VolumeMount {
            name: super::volumes::name(&volume.name),
            mount_path: volume.path.clone(),
            read_only: volume.is_read_only.then_some(true),
            ..Default::default()
        })
        .collect();
    (!mounts.is_empty()).then_some(mounts)
}
