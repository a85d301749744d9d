//! `cluster.json`: what a cluster consists of and where it is reached.

use super::layout::{Layout, Member};
use crate::network::process::Process;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A cluster. The keys of its JSON are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The name of the network that it is of.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// What its addresses and names come from; see [`Layout`].
    pub number: u8,
    /// How many nodes it has.
    pub nodes: u8,
    /// What it was built with: `bin` and `share`.
    pub programs: PathBuf,
    /// What was started, by name.
    pub processes: BTreeMap<String, Process>,
}

impl Cluster {
    /// Where the record of a cluster lies.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("cluster.json")
    }

    /// Reads a folder's record; `None` where there is none.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(folder: &Path) -> anyhow::Result<Option<Cluster>> {
        let path = Cluster::file(folder);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                format!(
                    "{} is damaged or of another version; `cluster.sh down --purge` removes the cluster",
                    path.display()
                )
            }),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Writes the record; a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self) -> anyhow::Result<()> {
        let path = Cluster::file(&self.folder);
        let text = serde_json::to_string_pretty(self)? + "\n";
        welkin_client::files::replace_durably(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Its place on the machine.
    pub fn layout(&self) -> Layout {
        Layout {
            number: self.number,
        }
    }

    /// Its control plane and nodes.
    pub fn members(&self) -> Vec<Member> {
        Member::all(self.nodes)
    }

    /// The log of a process.
    pub fn log(&self, process: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{process}.log"))
    }

    /// Whether a process runs.
    pub fn is_alive(&self, process: &str) -> bool {
        self.processes
            .get(process)
            .is_some_and(|known| known.is_alive())
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// A program that was built.
    pub fn program(&self, name: &str) -> PathBuf {
        self.programs.join("bin").join(name)
    }
}

/// The forwarder's name among the processes.
pub const FORWARDER: &str = "forwarder";
