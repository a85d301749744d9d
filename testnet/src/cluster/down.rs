//! `down`: ends a cluster; `--purge` leaves nothing of it.

use super::record::Cluster;
use super::{claim, folder_of, groups, host, require_root};
use crate::network::lock::FolderLock;
use crate::network::process::{Process, kill_all, stop_all, strays};
use crate::network::{Place, claims, say};
use anyhow::Context;
use std::path::{Path, PathBuf};
use structopt::StructOpt;

/// Ends a cluster; its folder stays, and `up` goes on with it
#[derive(Debug, StructOpt)]
pub struct Down {
    #[structopt(flatten)]
    place: Place,
    /// Removes everything: processes, namespaces, mounts, control groups, files
    #[structopt(long)]
    purge: bool,
}

impl Down {
    /// Takes the cluster down.
    ///
    /// # Errors
    /// What does not go.
    pub fn run(&self) -> anyhow::Result<()> {
        require_root()?;
        let folder = folder_of(&self.place)?;
        if !folder.exists() {
            claims::release(&claim::folder(), &folder)?;
            say(format!("there is no cluster {}", self.place.name()));
            return Ok(());
        }
        if self.purge {
            purge(&folder)?;
            // The network's folder, if nothing else was in it.
            let _ = folder.parent().map(std::fs::remove_dir);
            say(format!("the cluster {} is gone", self.place.name()));
            return Ok(());
        }
        let _lock = FolderLock::acquire(&folder)?;
        if let Some(cluster) = Cluster::read(&folder)? {
            stop(&cluster)?;
        }
        say(format!(
            "the cluster {} is down; testnet/kubernetes/cluster.sh up{} goes on with it",
            self.place.name(),
            self.place.flags()
        ));
        Ok(())
    }
}

/// Ends a cluster: nothing of it runs or is on the host any more, and its files stay.
///
/// # Errors
/// What does not go.
pub fn stop(cluster: &Cluster) -> anyhow::Result<()> {
    // First those who would start pods again, then the pods while somebody is there who clears up behind them.
    stop_all(
        "the kubelets to end",
        &named(cluster, |name| name.ends_with("-kubelet")),
    )?;
    kill_all("the pods to end", &pods(cluster))?;
    let others = named(cluster, |name| !name.ends_with("-etcd"));
    stop_all("the cluster's programs to end", &others)?;
    stop_all("etcd to end", &named(cluster, |_| true))?;
    host::remove(cluster)
}

fn named(cluster: &Cluster, is_one: impl Fn(&str) -> bool) -> Vec<Process> {
    let all = cluster.processes.iter();
    all.filter(|(name, _)| is_one(name))
        .map(|(_, process)| *process)
        .collect()
}

/// The processes of all pods.
fn pods(cluster: &Cluster) -> Vec<Process> {
    let layout = cluster.layout();
    let own = groups::processes(&host::group_of_programs(layout));
    let mut all = groups::processes(&PathBuf::from(layout.name()));
    all.retain(|process| !own.contains(process));
    all
}

/// Ends programs of the cluster that its record does not name, but for what containerd left running for pods.
///
/// # Errors
/// One stays.
pub fn end_strays(cluster: &Cluster) -> anyhow::Result<()> {
    let known: Vec<Process> = cluster.processes.values().copied().collect();
    let programs = groups::processes(&host::group_of_programs(cluster.layout()));
    let is_stray = |process: &&Process| {
        // A program that one of the others started, such as Calico's plugin, is none.
        let is_child = parent(process.pid)
            .is_some_and(|parent| programs.iter().any(|other| other.pid == parent));
        is_program(process.pid) && !is_child
    };
    let mut left: Vec<Process> = programs.iter().filter(is_stray).copied().collect();
    left.extend(strays(&cluster.folder));
    left.retain(|process| !known.contains(process));
    kill_all("programs that nobody wrote down to end", &left)
}

/// Whether it is one of those that `up` starts, not a shim that holds a pod.
fn is_program(pid: i32) -> bool {
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let name = program.file_name().unwrap_or_default();
    ["control-plane", "containerd", "calico", "contour", "envoy"]
        .iter()
        .any(|known| name == *known)
}

fn parent(pid: i32) -> Option<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// Removes a cluster with everything that it has, also one that was built or run only in part.
///
/// # Errors
/// What does not go.
pub fn purge(folder: &Path) -> anyhow::Result<()> {
    let _lock = FolderLock::acquire(folder)?;
    // A record that cannot be read is no reason to leave the rest: the claim says the number.
    let cluster = match Cluster::read(folder) {
        Ok(Some(cluster)) => Some(cluster),
        _ => claim::number_of(&claim::folder(), folder).map(|number| Cluster {
            name: String::new(),
            folder: folder.to_owned(),
            number,
            nodes: 0,
            programs: PathBuf::new(),
            processes: Default::default(),
        }),
    };
    if let Some(cluster) = cluster.filter(|cluster| cluster.folder == folder) {
        let kubelets = named(&cluster, |name| name.ends_with("-kubelet"));
        kill_all("the kubelets to end", &kubelets)?;
        // Their files go as well, so nobody needs time to put them in order.
        let mut others = named(&cluster, |_| true);
        others.extend(strays(folder));
        kill_all("the cluster's programs to end", &others)?;
        host::remove(&cluster)?;
    }
    std::fs::remove_dir_all(folder)
        .with_context(|| format!("cannot remove {}", folder.display()))?;
    claims::release(&claim::folder(), folder)
}
