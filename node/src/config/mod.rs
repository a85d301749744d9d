//! What an operator sets: `config/node.toml`, and where things lie in a node's home.
//!
//! Every name carries its unit. A key that is not known is an error, so that a misspelt one does
//! not silently leave a default in force.

mod home;

pub use home::Home;

use crate::mempool::Limits;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::Path;
use welkin_consensus::machine;
use welkin_p2p::identity::{self, Multiaddr, PeerId};

/// `config/node.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// A name for people.
    pub moniker: String,
    /// Peers.
    pub p2p: P2pConfig,
    /// The JSON-RPC.
    pub rpc: RpcConfig,
    /// Prometheus.
    pub metrics: MetricsConfig,
    /// Timeouts.
    pub consensus: ConsensusConfig,
    /// What waits for a block.
    pub mempool: MempoolConfig,
    /// Disk.
    pub storage: StorageConfig,
    /// Logs.
    pub log: LogConfig,
}

/// `[p2p]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct P2pConfig {
    /// Where to listen, as multiaddresses.
    pub listen: Vec<String>,
    /// Peers to stay connected to, as multiaddresses that end in `/p2p/PEER_ID`.
    pub persistent_peers: Vec<String>,
    /// Peer ids that get every message directly: the other validators, up to 16. Both sides must
    /// list each other.
    pub explicit_peers: Vec<String>,
    /// How long a request to a peer may take.
    pub request_timeout_ms: u64,
}

/// `[rpc]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RpcConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Origins of web pages that may ask (CORS); none by default.
    pub cors_allowed_origins: Vec<String>,
}

/// `[metrics]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetricsConfig {
    /// Where to listen.
    pub listen: SocketAddr,
}

/// `[consensus]`. Validators should agree on these roughly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsensusConfig {
    /// How long to wait for a proposal, and how much longer in each further round.
    pub propose_timeout_ms: u64,
    /// See `propose_timeout_ms`.
    pub propose_timeout_delta_ms: u64,
    /// How long to wait for more prevotes, and how much longer in each further round.
    pub prevote_timeout_ms: u64,
    /// See `prevote_timeout_ms`.
    pub prevote_timeout_delta_ms: u64,
    /// How long to wait for more precommits, and how much longer in each further round.
    pub precommit_timeout_ms: u64,
    /// See `precommit_timeout_ms`.
    pub precommit_timeout_delta_ms: u64,
    /// How long a height waits for the precommits of the last one that are missing.
    pub commit_wait_ms: u64,
    /// Transactions are taken into a block no sooner than this after the last block with any.
    pub min_block_interval_ms: u64,
    /// How long an idle chain waits before an empty block.
    pub empty_block_interval_ms: u64,
    /// How often a peer is asked for votes and parts that are missing.
    pub pull_interval_ms: u64,
}

/// `[mempool]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MempoolConfig {
    /// Transactions that may wait.
    pub max_transactions: usize,
    /// Their bytes.
    pub max_bytes: usize,
    /// Transactions of an account that may wait behind a missing one.
    pub max_parked_per_account: usize,
}

/// `[storage]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StorageConfig {
    /// Versions of the state that stay readable.
    pub keep_state_versions: usize,
    /// A snapshot of the state is written every so many blocks; 0 for never.
    pub snapshot_interval_blocks: u64,
    /// Memory for sled's pages.
    pub store_cache_bytes: u64,
    /// Memory for hashes of the state tree's leaves.
    pub tree_cache_bytes: usize,
}

/// `[log]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged, as `tracing` filters say it: `info`, `welkin::consensus=debug,warn`.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for P2pConfig {
    fn default() -> Self {
        P2pConfig {
            listen: vec!["/ip4/127.0.0.1/tcp/26656".to_owned()],
            persistent_peers: Vec::new(),
            explicit_peers: Vec::new(),
            request_timeout_ms: 5_000,
        }
    }
}

impl Default for RpcConfig {
    fn default() -> Self {
        RpcConfig {
            listen: ([127, 0, 0, 1], 26657).into(),
            cors_allowed_origins: Vec::new(),
        }
    }
}

impl Default for MetricsConfig {
    fn default() -> Self {
        MetricsConfig {
            listen: ([127, 0, 0, 1], 26660).into(),
        }
    }
}

impl Default for ConsensusConfig {
    fn default() -> Self {
        let machine = machine::Config::new("");
        ConsensusConfig {
            propose_timeout_ms: machine.propose_timeout_ms,
            propose_timeout_delta_ms: machine.propose_timeout_delta_ms,
            prevote_timeout_ms: machine.prevote_timeout_ms,
            prevote_timeout_delta_ms: machine.prevote_timeout_delta_ms,
            precommit_timeout_ms: machine.precommit_timeout_ms,
            precommit_timeout_delta_ms: machine.precommit_timeout_delta_ms,
            commit_wait_ms: machine.commit_wait_ms,
            min_block_interval_ms: machine.min_block_interval_ms,
            empty_block_interval_ms: machine.empty_block_interval_ms,
            pull_interval_ms: 100,
        }
    }
}

impl Default for MempoolConfig {
    fn default() -> Self {
        let Limits {
            transactions,
            bytes,
            parked_per_account,
        } = Limits::default();
        MempoolConfig {
            max_transactions: transactions,
            max_bytes: bytes,
            max_parked_per_account: parked_per_account,
        }
    }
}

impl Default for StorageConfig {
    fn default() -> Self {
        StorageConfig {
            keep_state_versions: 100,
            snapshot_interval_blocks: 1_000,
            store_cache_bytes: 16 << 20,
            tree_cache_bytes: 8 << 20,
        }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            filter: "info,libp2p=warn".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not readable as what it should be.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// Line, column and reason.
        why: String,
    },
    /// A peer or an address.
    #[error("node.toml, [p2p]: {0}")]
    Peer(#[from] identity::IdentityError),
    /// A value that makes no sense.
    #[error("node.toml: {0}")]
    Value(String),
}

impl NodeConfig {
    /// Reads and checks a file's text; `path` is for the error.
    pub fn from_toml(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let file = |why: toml::de::Error| ConfigError::File {
            path: path.display().to_string(),
            why: why.to_string().trim_end().to_owned(),
        };
        let config: NodeConfig = toml::from_str(text).map_err(file)?;
        config.validate()?;
        Ok(config)
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration has only plain tables")
    }

    /// The rules that the types do not say.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let value = |what: &str| Err(ConfigError::Value(what.to_owned()));
        let consensus = &self.consensus;
        if consensus.propose_timeout_ms == 0 || consensus.empty_block_interval_ms == 0 {
            return value(
                "consensus.propose_timeout_ms and empty_block_interval_ms must be above 0",
            );
        }
        if consensus.pull_interval_ms == 0 {
            return value("consensus.pull_interval_ms must be above 0");
        }
        if self.p2p.explicit_peers.len() > 16 {
            return value("p2p.explicit_peers has more than 16 entries");
        }
        if self.storage.keep_state_versions < 2 {
            return value("storage.keep_state_versions must be at least 2");
        }
        self.p2p.addresses(&self.p2p.listen)?;
        self.p2p.addresses(&self.p2p.persistent_peers)?;
        self.p2p.explicit()?;
        Ok(())
    }

    /// The machine's settings for a chain.
    pub fn machine(&self, chain_id: &str) -> machine::Config {
        let own = &self.consensus;
        machine::Config {
            chain_id: chain_id.to_owned(),
            propose_timeout_ms: own.propose_timeout_ms,
            propose_timeout_delta_ms: own.propose_timeout_delta_ms,
            prevote_timeout_ms: own.prevote_timeout_ms,
            prevote_timeout_delta_ms: own.prevote_timeout_delta_ms,
            precommit_timeout_ms: own.precommit_timeout_ms,
            precommit_timeout_delta_ms: own.precommit_timeout_delta_ms,
            commit_wait_ms: own.commit_wait_ms,
            min_block_interval_ms: own.min_block_interval_ms,
            empty_block_interval_ms: own.empty_block_interval_ms,
        }
    }

    /// How much may wait for a block.
    pub fn mempool_limits(&self) -> Limits {
        Limits {
            transactions: self.mempool.max_transactions,
            bytes: self.mempool.max_bytes,
            parked_per_account: self.mempool.max_parked_per_account,
        }
    }
}

impl P2pConfig {
    /// The network's settings.
    pub fn network(
        &self,
        genesis_hash: [u8; 32],
    ) -> Result<welkin_p2p::chain::Config, ConfigError> {
        Ok(welkin_p2p::chain::Config {
            listen: self.addresses(&self.listen)?,
            persistent_peers: self.addresses(&self.persistent_peers)?,
            explicit_peers: self.explicit()?,
            request_timeout: std::time::Duration::from_millis(self.request_timeout_ms),
            ..welkin_p2p::chain::Config::new(genesis_hash)
        })
    }

    fn addresses(&self, texts: &[String]) -> Result<Vec<Multiaddr>, ConfigError> {
        let parsed = texts.iter().map(|text| identity::parse_address(text));
        Ok(parsed.collect::<Result<_, _>>()?)
    }

    fn explicit(&self) -> Result<Vec<PeerId>, ConfigError> {
        let parsed = self
            .explicit_peers
            .iter()
            .map(|text| identity::parse_peer_id(text));
        Ok(parsed.collect::<Result<_, _>>()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_those_of_the_design_and_survive_their_file() {
        let config = NodeConfig {
            moniker: "a".to_owned(),
            ..NodeConfig::default()
        };
        assert_eq!(config.consensus.propose_timeout_ms, 500);
        assert_eq!(config.consensus.min_block_interval_ms, 100);
        assert_eq!(config.consensus.commit_wait_ms, 20);
        assert_eq!(config.consensus.empty_block_interval_ms, 1_000);
        assert_eq!(config.storage.keep_state_versions, 100);
        let read = NodeConfig::from_toml(&config.to_toml(), Path::new("node.toml")).unwrap();
        assert_eq!(read, config);
    }

    #[test]
    fn a_misspelt_key_is_named_with_its_line() {
        let text = "moniker = 'a'\n[consensus]\npropose_timeout = 5\n";
        let why = NodeConfig::from_toml(text, Path::new("/n/node.toml"))
            .unwrap_err()
            .to_string();
        assert!(
            why.starts_with("/n/node.toml: ") && why.contains("line 3"),
            "{why}"
        );
        assert!(why.contains("propose_timeout"), "{why}");
    }

    #[test]
    fn addresses_and_peers_are_checked_when_the_file_is_read() {
        for text in [
            "[p2p]\nlisten = ['localhost:1']",
            "[p2p]\nexplicit_peers = ['me']",
            "[rpc]\nlisten = '1'",
            "[consensus]\npropose_timeout_ms = 0",
        ] {
            assert!(
                NodeConfig::from_toml(text, Path::new("node.toml")).is_err(),
                "{text}"
            );
        }
    }
}
