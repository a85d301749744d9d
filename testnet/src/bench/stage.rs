//! The network that is measured: one of its own, removed afterwards.

use super::STAGE;
use crate::network::build::{self, Plan};
use crate::network::{Network, down, ready};
use anyhow::Context;
use std::path::{Path, PathBuf};
use welkin_node::config::{Home, NodeConfig};

/// How soon a block with transactions may follow another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Floor {
    /// As the default configuration says.
    Default,
    /// At once, as the peer does it.
    None,
}

/// A running network of four validators and nothing else.
pub struct Stage {
    /// What it consists of.
    pub network: Network,
}

impl Stage {
    /// Builds and starts one in `dir`, on the disk that the figures are about.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn set(dir: &Path, floor: Floor) -> anyhow::Result<Stage> {
        let folder = folder(dir)?;
        down::purge(&folder).await?;
        std::fs::create_dir_all(&folder)?;
        let plan = Plan {
            validators: 4,
            providers: 0,
            kubernetes: false,
            rules: None,
        };
        let mut network = build::build(&folder, STAGE, plan)?;
        for validator in network.validators.clone() {
            if floor == Floor::None {
                remove_floor(&Home::new(&validator.home))?;
            }
            let process = network.start_validator(&validator)?.start()?;
            network.processes.insert(validator.name, process);
            network.write()?;
        }
        ready::until_validators_commit(&network).await?;
        Ok(Stage { network })
    }

    /// The validators' processes.
    pub fn pids(&self) -> Vec<i32> {
        let known = self.network.processes.values();
        known.map(|process| process.pid).collect()
    }

    /// Ends and removes it.
    ///
    /// # Errors
    /// Something stays.
    pub async fn strike(self) -> anyhow::Result<()> {
        down::purge(&self.network.folder).await
    }
}

/// The folder of the network that is measured.
///
/// # Errors
/// The folder of all networks has no absolute path.
pub fn folder(dir: &Path) -> anyhow::Result<PathBuf> {
    Ok(std::path::absolute(dir)?.join(STAGE))
}

fn remove_floor(home: &Home) -> anyhow::Result<()> {
    let path = home.node_toml();
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let mut config = NodeConfig::from_toml(&text, &path)?;
    config.consensus.min_block_interval_ms = 0;
    Ok(std::fs::write(&path, config.to_toml())?)
}
