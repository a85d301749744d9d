//! Containers of ours, read back from their labels.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

use bollard::models::{
    ContainerState, ContainerSummary, ContainerSummaryStateEnum, EndpointSettings,
};

use super::engine::Engine;
use super::lookup;
use super::spec::label;
use crate::backend::{BackendError, Instance, LOG, LeaseKey, ReplicaState, Run, SeenReplica};

/// How engines begin the moment of a start that never was.
const NEVER: &str = "0001-01-01";

/// One container of ours.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub id: String,
    pub key: LeaseKey,
    pub service: String,
    pub replica: u32,
    pub fingerprint: String,
    pub version: welkin_runtime::types::Hash,
    pub state: ReplicaState,
    pub address: Option<IpAddr>,
    pub run: Run,
    /// The engine's names of the commands that were started in it and may run still.
    pub commands: Vec<String>,
    /// Seconds since the Unix epoch.
    pub created: i64,
}

impl Object {
    pub(super) fn is_running(&self) -> bool {
        self.state == ReplicaState::Running
    }

    pub(super) fn ipv4(&self) -> Option<Ipv4Addr> {
        match self.address {
            Some(IpAddr::V4(address)) => Some(address),
            _ => None,
        }
    }

    pub(super) fn into_seen(self) -> SeenReplica {
        SeenReplica {
            service: self.service,
            replica: self.replica,
            fingerprint: self.fingerprint,
            version: self.version,
            state: self.state,
            address: self.address,
            is_ready: None,
            run: self.run,
        }
    }
}

/// The lease that labels name; `None` for labels that are not ours.
pub(super) fn key_of(labels: &HashMap<String, String>) -> Option<LeaseKey> {
    Some(LeaseKey {
        lease: labels.get(label::LEASE)?.parse().ok()?,
        creation_height: labels.get(label::HEIGHT)?.parse().ok()?,
    })
}

/// All containers of this instance, running or not.
pub(super) async fn of_instance(
    engine: &Engine,
    instance: &Instance,
) -> Result<Vec<Object>, BackendError> {
    list(
        engine,
        instance,
        vec![format!("{}={}", label::INSTANCE, instance.short())],
    )
    .await
}

/// All containers of one lease, running or not.
pub(super) async fn of_lease(
    engine: &Engine,
    instance: &Instance,
    key: LeaseKey,
) -> Result<Vec<Object>, BackendError> {
    let filters = vec![
        format!("{}={}", label::INSTANCE, instance.short()),
        format!("{}={}", label::LEASE, key.lease),
        format!("{}={}", label::HEIGHT, key.creation_height),
    ];
    let mut objects = list(engine, instance, filters).await?;
    objects.retain(|object| object.key == key);
    Ok(objects)
}

async fn list(
    engine: &Engine,
    instance: &Instance,
    labels: Vec<String>,
) -> Result<Vec<Object>, BackendError> {
    let summaries = lookup::list(engine, &labels).await?;
    let mut objects = Vec::with_capacity(summaries.len());
    for summary in summaries {
        let labels = summary.labels.clone().unwrap_or_default();
        // The filter is the engine's; whether a container is ours is decided here.
        let ours = labels.get(label::GENESIS) == Some(&instance.genesis.to_string())
            && labels.get(label::PROVIDER) == Some(&instance.provider.to_string());
        if !ours {
            continue;
        }
        match inspect(engine, summary, &labels).await {
            Ok(object) => objects.extend(object),
            // It went between the list and the look: it is not there.
            Err(BackendError::Missing(_)) => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(objects)
}

async fn inspect(
    engine: &Engine,
    summary: ContainerSummary,
    labels: &HashMap<String, String>,
) -> Result<Option<Object>, BackendError> {
    let Some(id) = summary.id else {
        return Ok(None);
    };
    let parsed = (|| {
        Some((
            key_of(labels)?,
            labels.get(label::SERVICE)?.clone(),
            labels.get(label::REPLICA)?.parse().ok()?,
            labels.get(label::SPEC)?.clone(),
            labels.get(label::VERSION)?.parse().ok()?,
        ))
    })();
    let Some((key, service, replica, fingerprint, version)) = parsed else {
        tracing::warn!(target: LOG, id, "a container carries our labels, but not all of them; it is left alone");
        return Ok(None);
    };
    let seen = lookup::inspect(engine, &id).await?;
    let inner = seen.state.unwrap_or_default();
    let networks = seen.network_settings.and_then(|settings| settings.networks);
    Ok(Some(Object {
        key,
        service,
        replica,
        fingerprint,
        version,
        state: state(summary.state, &inner),
        address: networks.unwrap_or_default().values().find_map(address),
        run: Run {
            id: id.clone(),
            started: inner
                .started_at
                .filter(|moment| !moment.is_empty() && !moment.starts_with(NEVER)),
            restarts: u32::try_from(seen.restart_count.unwrap_or_default()).unwrap_or_default(),
        },
        commands: seen.exec_ids.unwrap_or_default(),
        id,
        created: summary.created.unwrap_or_default(),
    }))
}

/// The state as the look at the container has it, which is newer than the list.
fn state(listed: Option<ContainerSummaryStateEnum>, seen: &ContainerState) -> ReplicaState {
    use ContainerSummaryStateEnum as Listed;
    let exited = ReplicaState::Exited {
        code: seen.exit_code.unwrap_or_default(),
        out_of_memory: seen.oom_killed.unwrap_or_default(),
    };
    let never_started = seen
        .started_at
        .as_deref()
        .is_some_and(|moment| moment.starts_with(NEVER));
    match (seen.running, listed) {
        // Its exit code would be that of nothing.
        (Some(false), _) if never_started => ReplicaState::Waiting,
        (Some(true), _) | (None, Some(Listed::RUNNING | Listed::PAUSED)) => ReplicaState::Running,
        (_, Some(Listed::EXITED | Listed::DEAD)) => exited,
        (Some(false), Some(Listed::RUNNING | Listed::PAUSED)) => exited,
        _ => ReplicaState::Waiting,
    }
}

/// Where the container is reached in a network: the address that it has, or will have when it runs.
fn address(endpoint: &EndpointSettings) -> Option<IpAddr> {
    let given = endpoint
        .ipam_config
        .as_ref()
        .and_then(|config| config.ipv4_address.as_deref());
    let actual = endpoint.ip_address.as_deref();
    actual
        .filter(|text| !text.is_empty())
        .or(given)?
        .parse()
        .ok()
}

/// Bytes that each container of the lease has written to its own file system.
pub(super) async fn disk_use(
    engine: &Engine,
    instance: &Instance,
    key: LeaseKey,
) -> Result<Vec<(String, u32, u64)>, BackendError> {
    let mut uses = Vec::new();
    for object in of_lease(engine, instance, key).await? {
        let seen = lookup::inspect_with_size(engine, &object.id).await?;
        let bytes = u64::try_from(seen.size_rw.unwrap_or_default()).unwrap_or_default();
        uses.push((object.service, object.replica, bytes));
    }
    Ok(uses)
}
