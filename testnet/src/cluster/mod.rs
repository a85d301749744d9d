//! Whole Kubernetes clusters on this machine.
//!
//! ```text
//!   up ──> build.sh: programs ──> claim: a number ──> settings: certificates, files ──> record (cluster.json)
//!                                   │ layout                                               │
//!            host: bridge, namespaces, groups <──────────────────────────────────────────── ┘
//!              │
//!              ├─> programs: etcd ─> API server ─> objects ─> the rest ─> ready: every node is
//!              └─> forward: ports of 127.0.0.1 ─> ingress, node ports
//!
//!   down ──> kubelets, pods, programs ──> host: what they left ──> with --purge the folder
//! ```
//!
//! A cluster lies in one folder, `cluster-0` in its network's, and is described by its record. Everything that it has
//! outside is named by its number: network namespaces, a bridge, control groups, and a mount of the folder under a short
//! name.
//!
//! Invariants: a process of a cluster is in the cluster's control group before it is in its network namespace, so that
//! all of them are found when the record does not name them; two clusters share no number; what the cluster wrote outside
//! its folder is gone when `down` returns.
//!
//! Not here: tenants, providers. A cluster is Kubernetes as others have it, with our pins.

pub mod certificates;
pub mod claim;
pub mod down;
pub mod forward;
pub mod groups;
pub mod host;
pub mod kubectl;
pub mod layout;
pub mod load;
pub mod programs;
pub mod ready;
pub mod record;
pub mod settings;
pub mod status;
pub mod up;

use crate::network::Place;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use structopt::StructOpt;

pub use forward::Forward;
pub use record::Cluster;

/// Kubernetes clusters of this machine
#[derive(Debug, StructOpt)]
pub enum ClusterCommand {
    /// Builds a cluster if there is none, starts what does not run, and waits until its nodes are ready
    Up(up::Up),
    /// Ends a cluster; its folder stays, and `up` goes on with it
    Down(down::Down),
    /// Says what runs and what it needs
    Status(status::Show),
    /// Loads an image from an archive into every node
    Load(load::Load),
}

impl ClusterCommand {
    /// Does it.
    ///
    /// # Errors
    /// What failed, and what to do.
    pub fn run(&self) -> anyhow::Result<()> {
        match self {
            ClusterCommand::Up(up) => up.run(),
            ClusterCommand::Down(down) => down.run(),
            ClusterCommand::Status(show) => show.run(),
            ClusterCommand::Load(load) => load.run(),
        }
    }
}

/// The folder of cluster `index` of a network.
pub fn folder(network: &Path, index: u16) -> PathBuf {
    network.join(format!("cluster-{index}"))
}

/// The cluster that the command line means.
fn folder_of(place: &Place) -> anyhow::Result<PathBuf> {
    Ok(folder(&place.folder()?, 0))
}

/// The cluster that is meant, which must be there.
fn known(place: &Place) -> anyhow::Result<Cluster> {
    let folder = folder_of(place)?;
    Cluster::read(&folder)?.with_context(|| {
        format!(
            "there is no cluster {}; testnet/kubernetes/cluster.sh up{} builds it",
            place.name(),
            place.flags()
        )
    })
}

/// Clusters need namespaces and control groups.
///
/// # Errors
/// This is not root.
pub fn require_root() -> anyhow::Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a cluster needs namespaces, control groups and mounts: run this as root"
    );
    Ok(())
}
