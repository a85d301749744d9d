//! The ways from the world to what runs: which entrances leases have, and the ingress's route file.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use welkin_client::files::replace_durably;
use welkin_modules::ids::LeaseId;

use super::book::Live;
use super::records::Known;
use crate::backend::{LeaseKey, SeenLease, Traffic};
use crate::ingress::{self, routes::Routes, routes::RoutesError};
use crate::workload::{self, Opened, PortLeases};

/// Which ports which leases have, so that a tenant's address stays after a restart.
const PORTS_FILE: &str = "ports.json";

/// Why the ways could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RoutingError {
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file of ports is not what was written there.
    #[error(
        "{} is damaged: {reason}; restore it, or remove it, and tenants get new ports",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The route file could not be written.
    #[error(transparent)]
    Routes(#[from] RoutesError),
}

/// Keeps the route file in step.
pub struct Routing {
    home: PathBuf,
    domain: String,
    range: RangeInclusive<u16>,
    traffic: Traffic,
    ports: PortLeases,
    /// The ports as they are on the disk.
    kept: PortLeases,
    written: Option<Routes>,
}

impl Routing {
    /// The ways of the provider in this folder, with the ports that its leases have.
    ///
    /// # Errors
    /// [`RoutingError`] when they cannot be read.
    pub fn open(
        home: &Path,
        domain: String,
        range: RangeInclusive<u16>,
        traffic: Traffic,
    ) -> Result<Routing, RoutingError> {
        let path = home.join(PORTS_FILE);
        let kept = match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| RoutingError::Damaged {
                path,
                reason: error.to_string(),
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => PortLeases::new(),
            Err(source) => return Err(RoutingError::Io { path, source }),
        };
        Ok(Routing {
            home: home.to_owned(),
            domain,
            range,
            traffic,
            ports: kept.clone(),
            kept,
            written: None,
        })
    }

    /// Makes the route file lead to what runs; the entrances that each lease has now.
    ///
    /// # Errors
    /// [`RoutingError`]; the old files are then still whole.
    pub fn update(
        &mut self,
        live: &BTreeMap<LeaseId, Live>,
        known: &BTreeMap<LeaseId, Known>,
        seen: &[SeenLease],
    ) -> Result<BTreeMap<LeaseKey, Vec<Opened>>, RoutingError> {
        let there: BTreeSet<(String, u64)> = seen
            .iter()
            .map(|lease| lease.key)
            .chain(live.values().map(|live| live.key))
            .map(|key| (key.lease.to_string(), key.creation_height))
            .collect();
        workload::release_ports(&mut self.ports, &there);
        let mut routes = Routes::new();
        let mut opened_of = BTreeMap::new();
        for live in live.values() {
            let Some(known) = known.get(&live.key.lease) else {
                continue;
            };
            let running = known.versions.wanted().and_then(|one| known.version(one));
            let Some(running) = running else { continue };
            let lease = seen.iter().find(|lease| lease.key == live.key);
            if self.traffic == Traffic::Cluster {
                let opened = lease.and_then(|lease| {
                    workload::cluster_entrances(lease, &running.manifest, &self.domain)
                });
                opened_of.extend(opened.map(|opened| (live.key, opened)));
                continue;
            }
            let opened = workload::entrances(
                live.key,
                &running.manifest,
                &self.domain,
                self.range.clone(),
                &mut self.ports,
            );
            let nothing = SeenLease {
                key: live.key,
                replicas: Vec::new(),
                interface: None,
                public_ports: BTreeMap::new(),
            };
            workload::add_routes(
                &mut routes,
                &running.manifest,
                &opened,
                lease.unwrap_or(&nothing),
            );
            opened_of.insert(live.key, opened);
        }
        if self.ports != self.kept {
            self.keep_ports()?;
        }
        if self.traffic == Traffic::Ingress && self.written.as_ref() != Some(&routes) {
            routes.write(&self.home.join(ingress::ROUTES_FILE))?;
            self.written = Some(routes);
        }
        Ok(opened_of)
    }

    fn keep_ports(&mut self) -> Result<(), RoutingError> {
        let path = self.home.join(PORTS_FILE);
        let bytes = serde_json::to_vec_pretty(&self.ports).expect("ports are always JSON");
        replace_durably(&path, &bytes).map_err(|source| RoutingError::Io { path, source })?;
        self.kept = self.ports.clone();
        Ok(())
    }
}
