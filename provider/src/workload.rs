//! From a tenant's manifest to what a back end runs, and to where the world reaches it. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use welkin_provider_api::manifest::{Expose, GroupManifest, Mount, Protocol, Service};
use welkin_runtime::Hash;

use crate::backend::{
    Entry, LeaseKey, LeaseSpec, Offers, PortSpec, RegistryCredentials, ReplicaState, SeenLease,
    ServiceSpec, VolumeKind, VolumeSpec,
};
use crate::ingress::dial::Replica;
use crate::ingress::routes::{HttpRoute, Routes};

/// What this provider cannot run of a manifest that is otherwise right, for the tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the service {service:?} asks for {what}, which this provider does not have; `welkin plan` shows who has"
)]
pub struct Unsupported {
    /// The service.
    pub service: String,
    /// What it asks for.
    pub what: &'static str,
}

/// What no back end has: the bid engine passes for it, and the gateway refuses it.
pub const GPUS: &str = "graphics processors";
/// See [`GPUS`].
pub const LEASED_IP: &str = "an address of its own";

/// The class of a volume that asks for none: what the cluster's operator chose as default.
pub const DEFAULT_CLASS: &str = "default";

/// What a volume with these attributes is made of.
pub fn volume_kind(attributes: &BTreeMap<String, String>) -> VolumeKind {
    let is = |key: &str, value: &str| attributes.get(key).is_some_and(|v| v == value);
    if is("persistent", "true") {
        let class = attributes
            .get("class")
            .map_or(DEFAULT_CLASS, String::as_str);
        return VolumeKind::Persistent {
            class: class.to_owned(),
        };
    }
    match is("class", "ram") {
        true => VolumeKind::Memory,
        false => VolumeKind::Ephemeral,
    }
}

/// What a volume with these attributes needs that is not offered.
pub fn lacking_storage(
    attributes: &BTreeMap<String, String>,
    offers: Offers,
) -> Option<&'static str> {
    match volume_kind(attributes) {
        VolumeKind::Persistent { .. } if !offers.persistent_volumes => Some("persistent storage"),
        VolumeKind::Memory if !offers.memory_volumes => Some("storage in memory"),
        _ => None,
    }
}

/// Whether this provider can run a manifest that is otherwise right.
///
/// # Errors
/// [`Unsupported`] for the first thing that it cannot give.
pub fn check_offered(manifest: &GroupManifest, offers: Offers) -> Result<(), Unsupported> {
    manifest.services.iter().try_for_each(|service| {
        lacking(service, offers).map_or(Ok(()), |what| {
            Err(Unsupported {
                service: service.name.clone(),
                what,
            })
        })
    })
}

fn lacking(service: &Service, offers: Offers) -> Option<&'static str> {
    if service.resources.gpu.count > 0 {
        return Some(GPUS);
    }
    if service.tee.is_some() {
        return Some("trusted execution");
    }
    if !service.permissions.is_empty() {
        return Some("permissions to read its own lease");
    }
    if service.expose.iter().any(|expose| expose.ip.is_some()) {
        return Some(LEASED_IP);
    }
    let mut volumes = service.resources.storage.iter();
    volumes.find_map(|volume| lacking_storage(&volume.attributes, offers))
}

/// What shall run for a lease whose manifest was accepted.
pub fn lease_spec(key: LeaseKey, version: Hash, manifest: &GroupManifest) -> LeaseSpec {
    LeaseSpec {
        key,
        version,
        services: manifest.services.iter().map(service_spec).collect(),
    }
}

/// The ports on which each service takes TCP connections when it is ready.
pub fn tcp_ports(manifest: &GroupManifest) -> BTreeMap<String, BTreeSet<u16>> {
    let of_service = |service: &Service| {
        let exposes = service.expose.iter();
        let tcp = exposes.filter(|expose| expose.protocol == Protocol::Tcp);
        (
            service.name.clone(),
            tcp.map(|expose| expose.port).collect(),
        )
    };
    manifest.services.iter().map(of_service).collect()
}

fn service_spec(service: &Service) -> ServiceSpec {
    let credentials = service
        .credentials
        .as_ref()
        .map(|given| RegistryCredentials {
            host: given.host.clone(),
            username: given.username.clone(),
            password: given.password.clone(),
        });
    let volumes = service.resources.storage.iter();
    let on_disk = volumes.filter(|volume| volume_kind(&volume.attributes) == VolumeKind::Ephemeral);
    let disk = on_disk.fold(0u64, |sum, volume| sum.saturating_add(volume.bytes));
    ServiceSpec {
        name: service.name.clone(),
        image: service.image.clone(),
        credentials,
        command: service.command.clone(),
        args: service.args.clone(),
        env: service
            .env
            .iter()
            .map(|variable| {
                (
                    variable.name.clone(),
                    variable.value.clone().unwrap_or_default(),
                )
            })
            .collect(),
        cpu_millis: service.resources.cpu_millis,
        memory_bytes: service.resources.memory_bytes,
        disk_bytes: disk,
        replicas: service.count,
        volumes: service
            .mounts
            .iter()
            .filter_map(|mount| mounted(service, mount))
            .collect(),
        ports: service.expose.iter().map(port_spec).collect(),
    }
}

fn mounted(service: &Service, mount: &Mount) -> Option<VolumeSpec> {
    let mut volumes = service.resources.storage.iter();
    let volume = volumes.find(|volume| volume.name == mount.volume)?;
    Some(VolumeSpec {
        name: volume.name.clone(),
        bytes: volume.bytes,
        kind: volume_kind(&volume.attributes),
        path: mount.path.clone(),
        is_read_only: mount.read_only,
    })
}

fn port_spec(expose: &Expose) -> PortSpec {
    let entry = match (expose.is_http(), expose.global) {
        (true, _) => Some(Entry::Http(expose.http.clone())),
        (false, true) => Some(Entry::Port),
        (false, false) => None,
    };
    PortSpec {
        port: expose.port,
        external_port: expose.external_port,
        protocol: expose.protocol,
        entry,
    }
}

/// One way from outside to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// By this host name, over the ingress's HTTP port.
    Http {
        /// The generated name.
        host: String,
    },
    /// By this port of the provider's.
    Port {
        /// The public port.
        external: u16,
        /// Its transport.
        protocol: Protocol,
    },
}

/// An entrance, and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The service.
    pub service: String,
    /// Its port in the container.
    pub port: u16,
    /// How the world gets there.
    pub entrance: Entrance,
}

/// The ports that were given to leases, kept so that a tenant's address stays.
pub type PortLeases = BTreeMap<u16, PortOwner>;

/// Who has a public port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(serde::Serialize, serde::Deserialize)]
pub struct PortOwner {
    /// The lease, in its text form.
    pub lease: String,
    /// The height at which the lease was made.
    pub creation_height: u64,
    /// The service.
    pub service: String,
    /// Its port in the container.
    pub port: u16,
    /// Whether it is UDP; TCP otherwise.
    pub is_udp: bool,
}

/// The entrances of a lease. Ports that it has stay; new ones are the lowest of `range` that are free, TCP and UDP counted
/// together so that a port means one thing.
pub fn entrances(
    key: LeaseKey,
    manifest: &GroupManifest,
    domain: &str,
    range: std::ops::RangeInclusive<u16>,
    ports: &mut PortLeases,
) -> Vec<Opened> {
    let mut opened = Vec::new();
    for service in &manifest.services {
        for expose in service.expose.iter().filter(|expose| expose.global) {
            let entrance = if expose.is_http() {
                Some(Entrance::Http {
                    host: host_name(key, &service.name, domain),
                })
            } else {
                port_of(key, service, expose, range.clone(), ports)
            };
            let Some(entrance) = entrance else { continue };
            opened.push(Opened {
                service: service.name.clone(),
                port: expose.port,
                entrance,
            });
        }
    }
    opened
}

/// The entrances of a lease that the cluster serves; none while it has not opened all of them.
pub fn cluster_entrances(
    lease: &SeenLease,
    manifest: &GroupManifest,
    domain: &str,
) -> Option<Vec<Opened>> {
    let mut opened = Vec::new();
    for service in &manifest.services {
        for expose in service.expose.iter().filter(|expose| expose.global) {
            let entrance = if expose.is_http() {
                Entrance::Http {
                    host: host_name(lease.key, &service.name, domain),
                }
            } else {
                let name = (service.name.clone(), expose.port, expose.protocol);
                Entrance::Port {
                    external: *lease.public_ports.get(&name)?,
                    protocol: expose.protocol,
                }
            };
            opened.push(Opened {
                service: service.name.clone(),
                port: expose.port,
                entrance,
            });
        }
    }
    Some(opened)
}

/// The generated host name of a service: it says nothing of the tenant, and no other lease ever gets it.
pub fn host_name(key: LeaseKey, service: &str, domain: &str) -> String {
    let text = format!(
        "welkin host 1\n{}\n{}\n{service}\n",
        key.lease, key.creation_height
    );
    let hash = blake3::hash(text.as_bytes());
    format!("{}.{domain}", &hash.to_hex()[..16])
}

fn port_of(
    key: LeaseKey,
    service: &Service,
    expose: &Expose,
    mut range: std::ops::RangeInclusive<u16>,
    ports: &mut PortLeases,
) -> Option<Entrance> {
    let owner = PortOwner {
        lease: key.lease.to_string(),
        creation_height: key.creation_height,
        service: service.name.clone(),
        port: expose.port,
        is_udp: expose.protocol == Protocol::Udp,
    };
    let known = ports
        .iter()
        .find(|(_, has)| **has == owner)
        .map(|(port, _)| *port);
    let external = match known {
        Some(port) => port,
        None => {
            let free = range.find(|port| !ports.contains_key(port))?;
            ports.insert(free, owner);
            free
        }
    };
    Some(Entrance::Port {
        external,
        protocol: expose.protocol,
    })
}

/// Frees the ports of leases that are not among `live`.
pub fn release_ports(ports: &mut PortLeases, live: &BTreeSet<(String, u64)>) {
    ports.retain(|_, owner| live.contains(&(owner.lease.clone(), owner.creation_height)));
}

/// Adds a lease's routes: each entrance to the replicas that run.
pub fn add_routes(
    routes: &mut Routes,
    manifest: &GroupManifest,
    opened: &[Opened],
    seen: &SeenLease,
) {
    for one in opened {
        let backends = running(seen, &one.service)
            .map(|address| Replica {
                address: SocketAddr::new(address, one.port),
                interface: seen.interface.clone(),
            })
            .collect::<Vec<_>>();
        match &one.entrance {
            Entrance::Http { host } => {
                let options = http_options(manifest, one);
                routes.http.insert(
                    host.clone(),
                    HttpRoute {
                        backends,
                        ..options
                    },
                );
            }
            Entrance::Port {
                external,
                protocol: Protocol::Tcp,
            } => {
                routes.tcp.insert(*external, backends);
            }
            Entrance::Port {
                external,
                protocol: Protocol::Udp,
            } => {
                routes.udp.insert(*external, backends);
            }
        }
    }
}

fn running<'a>(seen: &'a SeenLease, service: &'a str) -> impl Iterator<Item = IpAddr> + 'a {
    // Replicas that do not run just now keep their address and may be back at once: the ingress tries the next one.
    let mine = seen
        .replicas
        .iter()
        .filter(move |replica| replica.service == service);
    mine.filter(|replica| !matches!(replica.state, ReplicaState::Waiting))
        .filter_map(|replica| replica.address)
}

fn http_options(manifest: &GroupManifest, opened: &Opened) -> HttpRoute {
    let service = manifest
        .services
        .iter()
        .find(|service| service.name == opened.service);
    let expose = service.and_then(|service| {
        service
            .expose
            .iter()
            .find(|expose| expose.port == opened.port && expose.is_http())
    });
    let options = expose.map(|expose| &expose.http);
    HttpRoute {
        backends: Vec::new(),
        max_body_bytes: options.map_or(1 << 20, |http| u64::from(http.max_body_bytes)),
        read_timeout_ms: options.map_or(60_000, |http| u64::from(http.read_timeout_ms)),
        tries: options.map_or(3, |http| http.next_tries),
    }
}
