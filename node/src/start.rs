//! From a home folder to a running node.

use crate::config::{ConfigError, Home, NodeConfig};
use crate::disk::{Context as _, Disk, RealDisk, StorageError, read_private, read_small};
use crate::ledger::{Backing, Ledger, LedgerError, OpenLedger, SnapshotPlan};
use crate::lock::FolderLock;
use crate::node::{Build, NodeError, Running};
use crate::sign_state::Signer;
use crate::snapshot::Snapshots;
use crate::stop::Stop;
use crate::store::StoreConfig;
use crate::{metrics, rpc};
use std::path::Path;
use std::sync::Arc;
use welkin_consensus::files::{NodeKey, PrivValidatorKey};
use welkin_consensus::types::Genesis;
use welkin_modules::RUNTIME;
use welkin_p2p::chain::Network;
use welkin_p2p::identity::keypair_from_secret;
use welkin_runtime::tree::TreeConfig;

/// Largest genesis file that is read.
const MAX_GENESIS_BYTES: usize = 64 << 20;
/// Snapshots that are kept: one may be damaged.
const SNAPSHOTS_KEPT: usize = 2;
/// Largest configuration file that is read.
const MAX_CONFIG_BYTES: usize = 1 << 20;

/// Reads `config/node.toml`.
pub fn read_config(home: &Home) -> Result<NodeConfig, NodeError> {
    let path = home.node_toml();
    let text = read_text(&path, MAX_CONFIG_BYTES)?;
    Ok(NodeConfig::from_toml(&text, &path)?)
}

/// Reads `config/genesis.json`.
pub fn read_genesis(home: &Home) -> Result<Genesis, NodeError> {
    let path = home.genesis();
    let text = read_text(&path, MAX_GENESIS_BYTES)?;
    let genesis = Genesis::from_json(&text);
    Ok(genesis.map_err(|why| StorageError::Content {
        path,
        what: why.to_string(),
    })?)
}

/// Takes the data folder for this process.
pub fn lock(home: &Home) -> Result<Arc<FolderLock>, NodeError> {
    Ok(Arc::new(FolderLock::acquire(&RealDisk, &home.data_dir())?))
}

/// Opens the chain of a home whose data folder is locked. Blocks on the disk; may take long when
/// state has to be made again.
pub fn open_ledger(
    home: &Home,
    config: &NodeConfig,
    genesis: Genesis,
    stop: Stop,
) -> Result<Ledger, NodeError> {
    let storage = &config.storage;
    let store = StoreConfig {
        cache_bytes: storage.store_cache_bytes,
        ..StoreConfig::default()
    };
    let tree = TreeConfig {
        keep_versions: storage.keep_state_versions,
        leaf_cache_bytes: storage.tree_cache_bytes,
        ..TreeConfig::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let interval_blocks = storage.snapshot_interval_blocks;
    let snapshots = if interval_blocks == 0 {
        None
    } else {
        let snapshots = Snapshots::open(disk.clone(), home.snapshots(), SNAPSHOTS_KEPT);
        let snapshots = snapshots.map_err(|why| LedgerError::Inconsistent(why.to_string()))?;
        Some(SnapshotPlan {
            snapshots,
            interval_blocks,
        })
    };
    let open = OpenLedger {
        disk,
        blocks: home.blocks(),
        backing: Backing::Folder {
            path: home.state(),
            config: store,
        },
        tree,
        snapshots,
        runtime: RUNTIME,
        genesis: Arc::new(genesis),
        salt: rand::random(),
        stop,
    };
    Ok(Ledger::open(open)?)
}

/// Starts the node of a home, with its RPC and its metrics.
pub async fn start(home: &Home, config: NodeConfig, stop: Stop) -> Result<Running, NodeError> {
    // Before anything is opened or written, for the most common mistake.
    for (what, address) in [
        ("rpc.listen", config.rpc.listen),
        ("metrics.listen", config.metrics.listen),
    ] {
        let port = std::net::TcpListener::bind(address);
        port.map_err(|why| NodeError::Listen {
            what,
            address,
            why: why.to_string(),
        })?;
    }
    let rpc = rpc::Config {
        listen: config.rpc.listen,
        cors_allowed_origins: config.rpc.cors_allowed_origins.clone(),
    };
    let metrics = metrics::Config {
        listen: config.metrics.listen,
    };
    let mut running = start_without_servers(home, config, stop).await?;
    match serve(&mut running, rpc, metrics).await {
        Ok(()) => Ok(running),
        Err(why) => {
            running.stop().await;
            Err(why)
        }
    }
}

async fn serve(
    running: &mut Running,
    rpc: rpc::Config,
    metrics: metrics::Config,
) -> Result<(), NodeError> {
    let metrics = metrics
        .build(running.handle.clone())
        .await
        .map_err(NodeError::Server)?;
    let rpc = rpc
        .build(running.handle.clone())
        .await
        .map_err(NodeError::Server)?;
    running.serve(rpc, metrics)
}

async fn start_without_servers(
    home: &Home,
    config: NodeConfig,
    stop: Stop,
) -> Result<Running, NodeError> {
    let node_key = parse(&home.node_key(), NodeKey::from_json)?;
    let genesis = read_genesis(home)?;
    let lock = lock(home)?;
    let signer = open_signer(home, lock.clone())?;
    let hash = genesis.hash().map_err(|why| StorageError::Content {
        path: home.genesis(),
        what: why.to_string(),
    })?;
    let network = config.p2p.network(hash.0)?;
    let (home_there, config_there, stop_there) = (home.clone(), config.clone(), stop.clone());
    let opened = tokio::task::spawn_blocking(move || {
        open_ledger(&home_there, &config_there, genesis, stop_there)
    });
    let ledger = Arc::new(
        opened
            .await
            .map_err(|why| ConfigError::Value(why.to_string()))??,
    );
    let keypair = keypair_from_secret(*node_key.0.seed());
    let (network, events) = Network::start(network, keypair).await?;
    let build = Build {
        config,
        disk: Arc::new(RealDisk),
        wal: home.wal(),
        ledger,
        signer,
        network,
        events,
        salt: rand::random(),
        lock,
        stop,
    };
    build.start()
}

/// The validator's key and its state; none of a node that has no such key.
fn open_signer(home: &Home, lock: Arc<FolderLock>) -> Result<Option<Signer>, NodeError> {
    let path = home.validator_key();
    if !path.try_exists().on("look for", &path)? {
        tracing::info!(
            target: "welkin::node",
            path = %path.display(),
            "no validator's key: this node only follows"
        );
        return Ok(None);
    }
    let key = parse(&path, PrivValidatorKey::from_json)?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    Ok(Some(Signer::open(disk, &home.sign_state(), key, lock)?))
}

fn parse<T>(
    path: &Path,
    parse: fn(&str) -> Result<T, welkin_consensus::error::Invalid>,
) -> Result<T, StorageError> {
    let text = read_private(path)?;
    parse(&text).map_err(|why| StorageError::Content {
        path: path.to_owned(),
        what: format!("not a key file: {why}"),
    })
}

fn read_text(path: &Path, limit: usize) -> Result<String, StorageError> {
    let bytes = read_small(&RealDisk, path, limit)?;
    let text = String::from_utf8(bytes);
    text.map_err(|why| std::io::Error::new(std::io::ErrorKind::InvalidData, why))
        .on("read", path)
}
