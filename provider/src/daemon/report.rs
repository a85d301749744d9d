//! The state of a lease, for its tenant: from the book and the kept manifest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use welkin_provider_api::channel::{
    ForwardedPort, LeaseStatus, Phase, ServiceStatus, UnprovenHost,
};
use welkin_provider_api::manifest::{Expose, GroupManifest, Service};
use welkin_runtime::Address;

use super::book::{Book, Live};
use crate::backend::{LeaseKey, LeaseSpec, SeenLease};
use crate::manifests::{Manifests, ManifestsError, Versions};
use crate::planner::is_as_wanted;
use crate::workload::{Entrance, Opened, lease_spec, tcp_ports};

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
        .map(|(version, manifest)| lease_spec(live.key, version, manifest));
    let ports = manifest.as_ref().map(tcp_ports).unwrap_or_default();
    let mut hold_ups = hold_ups(book, live.key, &ports);
    if let (Some(manifest), Some(opened)) = (&manifest, &opened) {
        hold_ups.closed = without_entrance(manifest, opened);
    }
    let opened = opened.unwrap_or_default();
    let services = manifest
        .iter()
        .flat_map(|manifest| &manifest.services)
        .map(|service| ServiceStatus {
            restarts: book.restarts(live.key, &service.name, service.count),
            ..service_status(service, live, &hold_ups, &opened, reach)
        })
        .collect();
    Ok(LeaseStatus {
        lease: live.key.lease,
        provider,
        phase: phase(&versions, spec.as_ref(), seen.as_ref(), &hold_ups),
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

/// Why the replicas that are there are not ready, by service; a remark on the services, too.
#[derive(Default)]
struct HoldUps {
    /// Of each replica; none for one that is ready.
    replicas: BTreeMap<String, Vec<Option<String>>>,
    remarks: BTreeMap<String, String>,
    /// Of services that the world cannot reach.
    closed: BTreeMap<String, String>,
}

/// The services with a port for the world that no public port leads to.
fn without_entrance(manifest: &GroupManifest, opened: &[Opened]) -> BTreeMap<String, String> {
    let mut closed = BTreeMap::new();
    for service in &manifest.services {
        let is_way_to = |one: &&Opened, expose: &Expose| {
            let is_right = match one.entrance {
                Entrance::Http { .. } => expose.is_http(),
                Entrance::Port { protocol, .. } => protocol == expose.protocol,
            };
            one.service == service.name && one.port == expose.port && is_right
        };
        let global = service.expose.iter().filter(|expose| expose.global);
        let without: Vec<String> = global
            .filter(|expose| !opened.iter().any(|one| is_way_to(&one, expose)))
            .map(|expose| expose.port.to_string())
            .collect();
        if !without.is_empty() {
            let text = format!(
                "the provider has no public port left for port {}",
                without.join(", ")
            );
            closed.insert(service.name.clone(), text);
        }
    }
    closed
}

fn hold_ups(book: &Book, key: LeaseKey, ports: &BTreeMap<String, BTreeSet<u16>>) -> HoldUps {
    let now = Instant::now();
    let found = book.with_health(key, |health, seen| {
        let mut found = HoldUps::default();
        for replica in seen {
            let of_service = found.replicas.entry(replica.service.clone()).or_default();
            of_service.push(health.hold_up(replica, ports.get(&replica.service), now));
        }
        let remark = |service: &String| Some((service.clone(), health.remark(service)?));
        found.remarks = ports.keys().filter_map(remark).collect();
        found
    });
    found.unwrap_or_default()
}

/// Whether exactly the wanted replicas of a lease are there, and ready.
pub fn is_ready(
    book: &Book,
    wanted: &LeaseSpec,
    seen: &SeenLease,
    ports: &BTreeMap<String, BTreeSet<u16>>,
) -> bool {
    is_as_wanted(wanted, seen) && hold_ups(book, seen.key, ports).all_ready()
}

impl HoldUps {
    /// Whether there are replicas, all that are there are ready, and the world reaches what it shall.
    fn all_ready(&self) -> bool {
        let mut all = self.replicas.values().flatten();
        !self.replicas.is_empty() && all.all(Option::is_none) && self.closed.is_empty()
    }
}

fn phase(
    versions: &Versions,
    spec: Option<&LeaseSpec>,
    seen: Option<&SeenLease>,
    hold_ups: &HoldUps,
) -> Phase {
    let Some(accepted) = versions.accepted else {
        return Phase::WaitingForManifest;
    };
    let is_failed = versions
        .failed
        .as_ref()
        .is_some_and(|failed| failed.version == accepted);
    let is_right = spec
        .zip(seen)
        .is_some_and(|(spec, seen)| is_as_wanted(spec, seen) && hold_ups.all_ready());
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
    hold_ups: &HoldUps,
    opened: &[Opened],
    reach: &Reach,
) -> ServiceStatus {
    let name = service.name.as_str();
    let replicas = hold_ups.replicas.get(name).map_or(&[][..], |all| &all[..]);
    let ready = replicas.iter().filter(|one| one.is_none()).count();
    let closed = hold_ups.closed.get(name);
    let message = replicas.iter().flatten().next().or(closed);
    let message = message.or_else(|| hold_ups.remarks.get(name)).cloned();
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
        restarts: 0,
        message,
        urls: urls.collect(),
        ports: ports.collect(),
        unproven_hosts: unproven.collect(),
    }
}

#[cfg(test)]
mod tests {
    use welkin_modules::ids::{DeploymentId, LeaseId};
    use welkin_provider_api::manifest::{HttpOptions, Protocol, Resources};

    use super::*;
    use crate::workload::{PortLeases, entrances};

    fn expose(port: u16) -> Expose {
        Expose {
            port,
            external_port: port,
            protocol: Protocol::Tcp,
            global: true,
            service: None,
            hosts: Vec::new(),
            http: HttpOptions {
                max_body_bytes: 1,
                read_timeout_ms: 1,
                send_timeout_ms: 1,
                next_tries: 1,
                next_timeout_ms: 0,
                next_cases: Vec::new(),
                proxy_buffer_bytes: 0,
            },
            ip: None,
            ip_sequence: 0,
        }
    }

    fn manifest(expose: Vec<Expose>) -> GroupManifest {
        let service = Service {
            name: "db".into(),
            image: "db:1".into(),
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            unit: 1,
            resources: Resources::default(),
            count: 1,
            expose,
            mounts: Vec::new(),
            permissions: Vec::new(),
            tee: None,
            credentials: None,
        };
        GroupManifest {
            group: "anywhere".into(),
            services: vec![service],
        }
    }

    #[test]
    fn a_port_that_no_public_port_is_left_for_is_named_and_keeps_the_lease_from_being_ready() {
        let key = LeaseKey {
            lease: LeaseId {
                deployment: DeploymentId(1),
                group: 1,
                order: 1,
            },
            creation_height: 5,
        };
        let manifest = manifest(vec![expose(80), expose(5432), expose(6379)]);
        let closed = |range| {
            let mut ports = PortLeases::new();
            let opened = entrances(key, &manifest, "example", range, &mut ports);
            HoldUps {
                replicas: BTreeMap::from([("db".to_owned(), vec![None])]),
                closed: without_entrance(&manifest, &opened),
                ..HoldUps::default()
            }
        };
        let short = closed(30_000..=30_000);
        let text = &short.closed["db"];
        assert!(text.contains("6379") && !text.contains("5432"), "{text}");
        assert!(!short.all_ready());
        assert!(closed(30_000..=30_001).all_ready());
    }
}
