//! `load`: images that come from an archive, since a test cluster pulls none.

use super::layout::Member;
use super::record::Cluster;
use super::{known, require_root};
use crate::network::Place;
use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use structopt::StructOpt;
use tokio::process::Command;

/// Loads an image from an archive into every node
#[derive(Debug, StructOpt)]
pub struct Load {
    #[structopt(flatten)]
    place: Place,
    /// The archive, as `docker save` and testnet/apps/build-image.sh make it
    #[structopt(parse(from_os_str), value_name = "FILE")]
    archive: PathBuf,
}

impl Load {
    /// Loads it.
    ///
    /// # Errors
    /// The cluster does not run, or the archive is none.
    pub fn run(&self) -> anyhow::Result<()> {
        require_root()?;
        let cluster = known(&self.place)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(load(&cluster, &self.archive))
    }
}

/// Loads an archive's images into every node.
///
/// # Errors
/// A node's containerd does not run, or refuses the archive: what it said.
pub async fn load(cluster: &Cluster, archive: &Path) -> anyhow::Result<()> {
    for member in cluster.members() {
        if member == Member::Control {
            continue;
        }
        let own = cluster.layout().mounted().join(member.name());
        let output = Command::new(cluster.program("ctr"))
            .arg("--address")
            .arg(own.join("containerd.sock"))
            .args(["--namespace", "k8s.io", "images", "import", "--local"])
            .arg(archive)
            .stdin(Stdio::null())
            .output()
            .await
            .context("ctr cannot be run")?;
        ensure!(
            output.status.success(),
            "{} does not take {}: {}",
            member.name(),
            archive.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}
