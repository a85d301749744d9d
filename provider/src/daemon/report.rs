//! The state of a lease, for its tenant: from the book and the kept manifest.

use welkin_provider_api::channel::{
    ForwardedPort, LeaseStatus, Phase, ServiceStatus, UnprovenHost,
};
use welkin_provider_api::manifest::{GroupManifest, Service};
use welkin_runtime::Address;

use super::book::{Book, Live};
use crate::backend::{LeaseSpec, ReplicaState, SeenLease};
use crate::manifests::{Manifests, ManifestsError, Versions};
use crate::planner::is_as_wanted;
use crate::workload::{Entrance, Opened, lease_spec};

/// How the world reaches this provider.
#[derive(Clone, Debug)]
pub struct Reach {
    /// The port of URLs.
    pub http_port: u16,
    /// The host for other ports.
    pub ports_host: String,
}

impl Reach {
    fn url(&self, host: &str) -> String {
        match self.http_port {
            80 => format!("http://{host}/"),
            port => format!("http://{host}:{port}/"),
        }
    }
}

/// The state of a lease.
///
/// # Errors
/// [`ManifestsError`] when the provider's own copy cannot be read.
pub fn status(
    live: &Live,
    provider: Address,
    book: &Book,
    manifests: &Manifests,
    reach: &Reach,
) -> Result<LeaseStatus, ManifestsError> {
    let versions = manifests.versions(live.key)?;
    let running = versions.wanted();
    let manifest = match running {
        Some(version) => manifests.get(live.key, version)?,
        None => None,
    };
    let manifest = manifest.and_then(|kept| GroupManifest::decode(&kept.manifest).ok());
    let seen = book.seen(live.key);
    let opened = book.opened(live.key);
    let spec = running
        .zip(manifest.as_ref())
        .and_then(|(version, manifest)| lease_spec(live.key, version, manifest).ok());
    let services = manifest
        .iter()
        .flat_map(|manifest| &manifest.services)
        .map(|service| {
            let restarts = book.restarts(live.key, &service.name, service.count);
            service_status(service, live, seen.as_ref(), &opened, reach, restarts)
        })
        .collect();
    Ok(LeaseStatus {
        lease: live.key.lease,
        provider,
        phase: phase(&versions, spec.as_ref(), seen.as_ref()),
        running_manifest: running,
        accepted_manifest: versions.accepted,
        failure: versions
            .failed
            .filter(|failed| versions.accepted == Some(failed.version))
            .map(|failed| failed.cause)
            .or_else(|| book.trouble(live.key)),
        services,
    })
}

fn phase(versions: &Versions, spec: Option<&LeaseSpec>, seen: Option<&SeenLease>) -> Phase {
    let Some(accepted) = versions.accepted else {
        return Phase::WaitingForManifest;
    };
    let is_failed = versions
        .failed
        .as_ref()
        .is_some_and(|failed| failed.version == accepted);
    let is_right = spec
        .zip(seen)
        .is_some_and(|(spec, seen)| is_as_wanted(spec, seen));
    match (is_failed, versions.last_good) {
        (true, None) => Phase::Failed,
        (true, Some(_)) => Phase::UpdateFailed,
        (false, _) if is_right => Phase::Ready,
        (false, Some(good)) if good == accepted => Phase::Degraded,
        (false, _) => Phase::Starting,
    }
}

fn service_status(
    service: &Service,
    live: &Live,
    seen: Option<&SeenLease>,
    opened: &[Opened],
    reach: &Reach,
    restarts: u32,
) -> ServiceStatus {
    let name = service.name.as_str();
    let replicas: Vec<_> = seen
        .iter()
        .flat_map(|seen| &seen.replicas)
        .filter(|replica| replica.service == name)
        .collect();
    let ready = replicas
        .iter()
        .filter(|replica| replica.state == ReplicaState::Running)
        .count();
    let message = replicas.iter().find_map(|replica| match replica.state {
        ReplicaState::Exited {
            out_of_memory: true,
            ..
        } => Some(format!(
            "replica {} used more memory than it has and was ended",
            replica.replica
        )),
        ReplicaState::Exited { code, .. } => Some(format!(
            "replica {} ended with code {code}",
            replica.replica
        )),
        _ => None,
    });
    let mine = || opened.iter().filter(|opened| opened.service == name);
    let urls = mine().filter_map(|opened| match &opened.entrance {
        Entrance::Http { host } => Some(reach.url(host)),
        Entrance::Port { .. } => None,
    });
    let ports = mine().filter_map(|opened| match opened.entrance {
        Entrance::Http { .. } => None,
        Entrance::Port { external, protocol } => Some(ForwardedPort {
            host: reach.ports_host.clone(),
            external_port: external,
            port: opened.port,
            protocol,
        }),
    });
    let hosts = service.expose.iter().flat_map(|expose| &expose.hosts);
    let unproven = hosts.map(|host| UnprovenHost {
        host: host.clone(),
        txt_name: format!("_welkin.{host}"),
        txt_value: live.owner.to_string(),
    });
    ServiceStatus {
        name: name.to_owned(),
        wanted: service.count,
        ready: u32::try_from(ready).unwrap_or(u32::MAX),
        restarts,
        message,
        urls: urls.collect(),
        ports: ports.collect(),
        unproven_hosts: unproven.collect(),
    }
}
