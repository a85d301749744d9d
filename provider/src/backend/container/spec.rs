//! From a lease's specification to container definitions: pure, so that what a tenant can ask for is seen in one place.
//!
//! Everything that a definition says is decided here. A tenant's words become the image, the command, the arguments, the
//! variables and the limits, and nothing else.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, HostConfigLogConfig,
    NetworkCreateRequest, NetworkingConfig, ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use crate::backend::{Instance, LeaseKey, LeaseSpec, ServiceSpec};
use welkin_runtime::types::Hash;

/// Capabilities that root inside a sandbox keeps, so that ordinary images work (design, section 6).
const SANDBOX_CAPABILITIES: [&str; 8] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "NET_BIND_SERVICE",
];

/// Processes and threads in one container.
const MAX_PROCESSES: i64 = 512;
/// Open files of one process.
const MAX_OPEN_FILES: i64 = 1024;
/// Processes of one user. The kernel counts them over all containers and the host itself, so this is no limit of a lease:
/// it is out of the reach of a few, and lower than what Podman asks for by itself, which not every machine grants.
const MAX_USER_PROCESSES: i64 = 30_000;
/// Shared memory in a container, in bytes. It counts against its memory.
const SHARED_MEMORY_BYTES: i64 = 64 * 1024 * 1024;
/// One log file of a container.
const LOG_FILE_BYTES: &str = "10485760";
/// How long a process has to end after SIGTERM, in seconds.
pub(super) const STOP_TIMEOUT_SECONDS: i64 = 10;

/// Label keys. Changing one orphans what runs.
pub(super) mod label {
    pub const INSTANCE: &str = "welkin.instance";
    pub const GENESIS: &str = "welkin.genesis";
    pub const PROVIDER: &str = "welkin.provider";
    pub const LEASE: &str = "welkin.lease";
    pub const HEIGHT: &str = "welkin.creation-height";
    pub const SERVICE: &str = "welkin.service";
    pub const REPLICA: &str = "welkin.replica";
    pub const VERSION: &str = "welkin.version";
    pub const SPEC: &str = "welkin.spec";
}

/// The engine's dialect: what differs between those that speak Docker's API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Docker,
    Podman,
}

/// How a container's user is chosen, from the image's own and the isolation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum User {
    /// This number, not root.
    Number(u32),
    /// Whatever the image says, root included: the engine maps users, or the operator allows it.
    FromImage,
}

/// The container of one replica, to the last field.
#[derive(Clone, Debug)]
pub(super) struct Definition {
    pub name: String,
    pub body: ContainerCreateBody,
}

/// Name of the lease's network.
pub(super) fn network_name(instance: &Instance, key: LeaseKey) -> String {
    format!(
        "welkin-{}-{}",
        instance.short(),
        key.lease.to_string().replace('/', "-")
    )
}

/// The lease's network.
pub(super) fn network(
    instance: &Instance,
    key: LeaseKey,
    dialect: Dialect,
) -> NetworkCreateRequest {
    let mut options = HashMap::from([(
        "com.docker.network.bridge.name".to_owned(),
        bridge_name(instance, key),
    )]);
    if dialect == Dialect::Podman {
        // Podman's networks reach each other unless told otherwise; Docker's do not.
        options.insert("isolate".to_owned(), "true".to_owned());
    }
    NetworkCreateRequest {
        name: network_name(instance, key),
        driver: Some("bridge".to_owned()),
        options: Some(options),
        labels: Some(labels(instance, key)),
        ..Default::default()
    }
}

/// Name of the network's interface on the host: at most 15 bytes, and chosen here, because engines that run side by
/// side choose the same.
pub(super) fn bridge_name(instance: &Instance, key: LeaseKey) -> String {
    let hash = blake3::hash(network_name(instance, key).as_bytes());
    format!("wk{}", &hash.to_hex()[..12])
}

/// Labels by which everything of a lease is recognised.
pub(super) fn labels(instance: &Instance, key: LeaseKey) -> HashMap<String, String> {
    HashMap::from([
        (label::INSTANCE.to_owned(), instance.short()),
        (label::GENESIS.to_owned(), instance.genesis.to_string()),
        (label::PROVIDER.to_owned(), instance.provider.to_string()),
        (label::LEASE.to_owned(), key.lease.to_string()),
        (label::HEIGHT.to_owned(), key.creation_height.to_string()),
    ])
}

/// The definition of one replica.
pub(super) fn definition(
    instance: &Instance,
    lease: &LeaseSpec,
    service: &ServiceSpec,
    replica: u32,
    user: &User,
    address: std::net::Ipv4Addr,
    dialect: Dialect,
) -> Definition {
    let hash = service.fingerprint();
    let network = network_name(instance, lease.key);
    let name = format!("{network}-{}-{replica}-{}", service.name, &hash[..8]);
    let endpoint = EndpointSettings {
        aliases: Some(vec![
            service.name.clone(),
            format!("{}-{replica}", service.name),
        ]),
        // A fixed address, so that routes stay true when the engine starts the container again.
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: Some(address.to_string()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let body = ContainerCreateBody {
        image: Some(service.image.clone()),
        hostname: Some(format!("{}-{replica}", service.name)),
        user: match user {
            User::Number(number) => Some(number.to_string()),
            User::FromImage => None,
        },
        entrypoint: (!service.command.is_empty()).then(|| service.command.clone()),
        // A command of the tenant's own drops the image's arguments too, as in Kubernetes.
        cmd: (!service.args.is_empty() || !service.command.is_empty())
            .then(|| service.args.clone()),
        env: Some(
            service
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        labels: Some(replica_labels(
            instance,
            lease.key,
            lease.version,
            service,
            replica,
            hash,
        )),
        stop_timeout: Some(STOP_TIMEOUT_SECONDS),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(network.clone(), endpoint)])),
        }),
        host_config: Some(host_config(service, user, network, dialect)),
        ..Default::default()
    };
    Definition { name, body }
}

fn replica_labels(
    instance: &Instance,
    key: LeaseKey,
    version: Hash,
    service: &ServiceSpec,
    replica: u32,
    hash: String,
) -> HashMap<String, String> {
    let mut labels = labels(instance, key);
    labels.insert(label::SERVICE.to_owned(), service.name.clone());
    labels.insert(label::REPLICA.to_owned(), replica.to_string());
    labels.insert(label::VERSION.to_owned(), version.to_string());
    labels.insert(label::SPEC.to_owned(), hash);
    labels
}

fn host_config(
    service: &ServiceSpec,
    user: &User,
    network: String,
    dialect: Dialect,
) -> HostConfig {
    let memory = i64::try_from(service.memory_bytes).unwrap_or(i64::MAX);
    let added = match user {
        User::Number(_) => Vec::new(),
        User::FromImage => SANDBOX_CAPABILITIES.map(str::to_owned).to_vec(),
    };
    let log = match dialect {
        Dialect::Docker => (
            "json-file",
            vec![("max-size", LOG_FILE_BYTES), ("max-file", "2")],
        ),
        Dialect::Podman => ("k8s-file", vec![("max-size", LOG_FILE_BYTES)]),
    };
    HostConfig {
        network_mode: Some(network),
        nano_cpus: Some(
            i64::try_from(service.cpu_millis.saturating_mul(1_000_000)).unwrap_or(i64::MAX),
        ),
        memory: Some(memory),
        // Memory and swap together: equal to memory means no swap.
        memory_swap: Some(memory),
        pids_limit: Some(MAX_PROCESSES),
        shm_size: Some(SHARED_MEMORY_BYTES.min(memory)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(added),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        publish_all_ports: Some(false),
        ulimits: Some(vec![
            ulimit("nofile", MAX_OPEN_FILES),
            ulimit("nproc", MAX_USER_PROCESSES),
            ulimit("core", 0),
        ]),
        // The daemon starts again what ends, with growing pauses; an engine would do it 40 times in a row.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        log_config: Some(HostConfigLogConfig {
            typ: Some(log.0.to_owned()),
            config: Some(
                log.1
                    .into_iter()
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .collect(),
            ),
        }),
        ..Default::default()
    }
}

fn ulimit(name: &str, limit: i64) -> ResourcesUlimits {
    ResourcesUlimits {
        name: Some(name.to_owned()),
        soft: Some(limit),
        hard: Some(limit),
    }
}

#[cfg(test)]
mod tests;
