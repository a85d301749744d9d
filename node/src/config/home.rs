//! Where things lie in a node's home.

use std::path::{Path, PathBuf};

/// A node's home folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

impl Home {
    /// The folder.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Home(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `config/`.
    pub fn config_dir(&self) -> PathBuf {
        self.0.join("config")
    }

    /// `data/`.
    pub fn data_dir(&self) -> PathBuf {
        self.0.join("data")
    }

    /// `config/genesis.json`.
    pub fn genesis(&self) -> PathBuf {
        self.config_dir().join("genesis.json")
    }

    /// `config/node.toml`.
    pub fn node_toml(&self) -> PathBuf {
        self.config_dir().join("node.toml")
    }

    /// `config/node_key.json`.
    pub fn node_key(&self) -> PathBuf {
        self.config_dir().join("node_key.json")
    }

    /// `config/priv_validator_key.json`.
    pub fn validator_key(&self) -> PathBuf {
        self.config_dir().join("priv_validator_key.json")
    }

    /// `data/priv_validator_state.json`.
    pub fn sign_state(&self) -> PathBuf {
        self.data_dir().join("priv_validator_state.json")
    }

    /// `data/blocks/`.
    pub fn blocks(&self) -> PathBuf {
        self.data_dir().join("blocks")
    }

    /// `data/wal/`.
    pub fn wal(&self) -> PathBuf {
        self.data_dir().join("wal")
    }

    /// `data/state/`.
    pub fn state(&self) -> PathBuf {
        self.data_dir().join("state")
    }

    /// `data/snapshots/`.
    pub fn snapshots(&self) -> PathBuf {
        self.data_dir().join("snapshots")
    }
}
