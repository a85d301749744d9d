//! The node, put together: which part knows which.

use crate::api::{
    Answer, ApiError, BlockResults, CheckResult, CommitOf, Committed, CommittedTx, MempoolSize,
    NetInfo, Node, PeerView, Query, StateHeights, Status, StoredBlock, ValidatorView,
};
use crate::config::{ConfigError, NodeConfig};
use crate::disk::{Disk, StorageError};
use crate::evidence::EvidencePool;
use crate::ledger::{Ledger, LedgerError};
use crate::lock::FolderLock;
use crate::mempool::Mempool;
use crate::metrics::MetricsServer;
use crate::net::{self, Pump};
use crate::rpc::RpcServer;
use crate::shell::{self, DiskThread, Executor};
use crate::sign_state::Signer;
use crate::stop::Stop;
use crate::sync::{Progress, Sync};
use crate::wal::{Wal, WalConfig};
use bytes::Bytes;
use futures::future::BoxFuture;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio::task::JoinHandle;
use welkin_consensus::machine::{Machine, Record};
use welkin_consensus::types::{ConsensusParams, Genesis, PublicKey, ValidatorSet};
use welkin_p2p::chain::{Direction, Events, Handle};
use welkin_p2p::identity::{Multiaddr, key_of_peer_id};
use welkin_runtime::Hash;

/// Messages that wait for the machine. Full: they are dropped, and pulled later.
const HEARD: usize = 2_048;
/// Questions that wait for the machine. Full: they are refused.
const ASKED: usize = 64;

/// What a node is built from.
pub struct Build {
    /// The configuration.
    pub config: NodeConfig,
    /// The file system.
    pub disk: Arc<dyn Disk>,
    /// Folder of the WAL.
    pub wal: PathBuf,
    /// The chain as it was recovered.
    pub ledger: Arc<Ledger>,
    /// The validator's key with its state, if this node has one.
    pub signer: Option<Signer>,
    /// The network.
    pub network: Handle,
    /// Its events.
    pub events: Events,
    /// A fresh random number for new files of the WAL.
    pub salt: u64,
    /// The data folder, which is this node's alone.
    pub lock: Arc<FolderLock>,
    /// Ends the node.
    pub stop: Stop,
}

/// Why a node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The chain.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The network.
    #[error("{0}")]
    Network(#[from] welkin_p2p::chain::StartError),
    /// An address is in use, or is not this machine's.
    #[error(
        "cannot listen on {address} ({what} in node.toml): {why}; stop what uses it, or choose another"
    )]
    Listen {
        /// The name in `node.toml`.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        why: String,
    },
    /// The RPC or the metrics.
    #[error("{0}")]
    Server(String),
    /// The operating system refuses a thread or a socket.
    #[error("the operating system refuses: {0}")]
    System(#[from] std::io::Error),
}

/// A running node.
pub struct Running {
    /// What others may ask of it.
    pub handle: Arc<NodeHandle>,
    /// Where its RPC listens, once it does.
    pub rpc_address: Option<SocketAddr>,
    stop: Stop,
    ledger: Arc<Ledger>,
    network: Handle,
    shell: JoinHandle<()>,
    helpers: Vec<JoinHandle<()>>,
    _lock: Arc<FolderLock>,
}

/// What others may ask of a running node.
pub struct NodeHandle {
    config: NodeConfig,
    ledger: Arc<Ledger>,
    mempool: Arc<Mempool>,
    network: Handle,
    progress: Arc<Progress>,
    own: Option<PublicKey>,
}

impl Build {
    /// Starts all parts. Consensus begins when the node has caught up with its peers.
    #[expect(
        clippy::too_many_lines,
        reason = "the wiring: each part once, in the order in which one needs another"
    )]
    pub fn start(self) -> Result<Running, NodeError> {
        let Build {
            config,
            disk,
            wal,
            ledger,
            signer,
            network,
            events,
            salt,
            lock,
            stop,
        } = self;
        let chain_id = ledger.info().chain_id.clone();
        let own = signer.as_ref().map(Signer::public_key);
        let wal = Wal::open(
            disk,
            &wal,
            &WalConfig::new(ledger.info().genesis_hash.0, salt),
        )?;
        let rules = shell::Rules {
            config: config.machine(&chain_id),
            own: own.map(|key| key.address()),
        };
        let machine = replayed(rules.machine(&ledger, false), &wal)?;

        let (mempool, ends) =
            Mempool::start(ledger.clone(), config.mempool_limits(), stop.clone())?;
        let evidence = Arc::new(EvidencePool::default());
        let progress = Arc::new(Progress::default());
        let (answer, answers) = mpsc::unbounded_channel();
        let (heard_sender, heard) = mpsc::channel(HEARD);
        let (asked_sender, asked) = mpsc::channel(ASKED);
        let disk = DiskThread::start(wal, signer, chain_id, answer.clone(), stop.clone())?;
        let executor = Executor::start(
            ledger.clone(),
            mempool.clone(),
            evidence.clone(),
            answer,
            stop.clone(),
        )?;

        let sync = Sync {
            network: network.clone(),
            ledger: ledger.clone(),
            take_over: executor.take_over(),
            progress: progress.clone(),
            has_peers: !config.p2p.persistent_peers.is_empty(),
        };
        let pump = Pump {
            network: network.clone(),
            heard: heard_sender.clone(),
            asked: asked_sender,
            mempool: mempool.clone(),
            evidence: evidence.clone(),
            ledger: ledger.clone(),
            checking: Arc::new(Semaphore::new(1)),
        };
        let helpers = vec![
            stop.spawn("network", pump.run(events)),
            stop.spawn("sync", sync.run()),
            stop.spawn(
                "tell transactions",
                net::tell_transactions(network.clone(), ends.outgoing),
            ),
            stop.spawn(
                "pull transactions",
                net::pull_transactions(network.clone(), mempool.clone()),
            ),
        ];
        let shell = stop.spawn(
            "shell",
            shell::run(shell::Parts {
                rules,
                machine,
                disk,
                executor,
                answers,
                heard,
                heard_sender,
                asked,
                network: network.clone(),
                mempool: mempool.clone(),
                evidence,
                ledger: ledger.clone(),
                progress: progress.clone(),
                pull_interval: Duration::from_millis(config.consensus.pull_interval_ms),
                stop: stop.clone(),
            }),
        );
        let handle = NodeHandle {
            config,
            ledger: ledger.clone(),
            mempool,
            network: network.clone(),
            progress,
            own,
        };
        Ok(Running {
            handle: Arc::new(handle),
            rpc_address: None,
            stop,
            ledger,
            network,
            shell,
            helpers,
            _lock: lock,
        })
    }
}

/// The machine where the WAL's records left it.
fn replayed(mut machine: Machine, wal: &Wal) -> Result<Machine, NodeError> {
    let mut used = 0u64;
    for record in wal.replay() {
        let record = Record::decode(&record?.bytes).map_err(|why| {
            LedgerError::Inconsistent(format!("the WAL holds records of another version: {why}"))
        })?;
        used += u64::from(machine.replay(record));
    }
    if used > 0 {
        let (height, round) = (machine.height(), machine.round());
        tracing::info!(
            target: "welkin::consensus",
            height,
            round,
            records = used,
            "the WAL was replayed"
        );
    }
    Ok(machine)
}

impl Running {
    /// Answers people and shows metrics from now on.
    pub fn serve(&mut self, rpc: RpcServer, metrics: MetricsServer) -> Result<(), NodeError> {
        self.rpc_address = Some(rpc.local_addr()?);
        let rpc = async move { match rpc.run().await {} };
        self.helpers.push(self.stop.spawn("rpc", rpc));
        self.helpers.push(self.stop.spawn("metrics", metrics.run()));
        Ok(())
    }

    /// Ends the node: nothing new begins, what is under way is finished, files are closed.
    pub async fn stop(self) {
        self.stop.ask();
        // A task that panicked has told so itself.
        let _ = self.shell.await;
        self.network.stop().await;
        for helper in &self.helpers {
            helper.abort();
        }
        for helper in self.helpers {
            // Aborted.
            let _ = helper.await;
        }
        let ledger = self.ledger;
        let closed = tokio::task::spawn_blocking(move || ledger.close()).await;
        if closed.is_err() {
            tracing::error!(
                target: "welkin::node",
                "closing the store panicked; it will be checked"
            );
        }
    }
}

impl Node for NodeHandle {
    fn status(&self) -> Status {
        let tip = self.ledger.tip();
        let validator = self.own.map(|key| {
            let member = tip.chain.validators.by_address(&key.address());
            let power = member.map_or(0, |(_, validator)| validator.voting_power);
            ValidatorView {
                address: key.address(),
                public_key: key.0,
                power,
            }
        });
        let peer = self.network.local_peer();
        Status {
            node_id: node_id(&peer),
            peer_id: peer.to_string(),
            moniker: self.config.moniker.clone(),
            chain_id: self.ledger.info().chain_id.clone(),
            listen_address: self.config.p2p.listen.first().cloned().unwrap_or_default(),
            rpc_address: self.config.rpc.listen.to_string(),
            latest: self
                .ledger
                .summary(tip.height())
                .filter(|_| tip.height() > 0),
            earliest: self
                .ledger
                .summary(self.ledger.oldest_height())
                .filter(|_| tip.height() > 0),
            catching_up: self.progress.is_catching_up(),
            validator,
        }
    }

    fn net_info(&self) -> NetInfo {
        let peers = self.network.peers().into_iter().map(|info| PeerView {
            node_id: node_id(&info.peer),
            peer_id: info.peer.to_string(),
            address: info.address.to_string(),
            remote_ip: ip_of(&info.address),
            is_outbound: info.direction == Direction::Outbound,
        });
        NetInfo {
            peers: peers.collect(),
            listeners: self
                .network
                .listening()
                .iter()
                .map(ToString::to_string)
                .collect(),
        }
    }

    fn genesis(&self) -> Arc<Genesis> {
        self.ledger.genesis().clone()
    }

    fn genesis_hash(&self) -> Hash {
        self.ledger.info().genesis_hash
    }

    fn block(&self, height: u64) -> Result<Arc<StoredBlock>, ApiError> {
        self.ledger.block(height)
    }

    fn commit(&self, height: u64) -> Result<CommitOf, ApiError> {
        self.ledger.commit_of(height)
    }

    fn validators(&self, height: u64) -> Result<Arc<ValidatorSet>, ApiError> {
        self.ledger.validators(height)
    }

    fn consensus_params(&self, height: u64) -> Result<ConsensusParams, ApiError> {
        // No module changes them yet, so they are the genesis' at every height.
        let next = self.ledger.tip().chain.next_height();
        if height > next {
            return Err(ApiError::Future {
                asked: height,
                newest: next,
            });
        }
        Ok(self.ledger.tip().chain.consensus_params.clone())
    }

    fn results(&self, height: u64) -> Result<Arc<BlockResults>, ApiError> {
        self.ledger.results(height)
    }

    fn transaction(&self, id: &Hash) -> Result<Option<CommittedTx>, ApiError> {
        self.ledger.transaction(id)
    }

    fn query(&self, query: &Query) -> Result<Answer, ApiError> {
        self.ledger.query(query)
    }

    fn state_heights(&self) -> StateHeights {
        self.ledger.state_heights()
    }

    fn mempool_size(&self) -> MempoolSize {
        self.mempool.size()
    }

    fn submit_tx(&self, raw: Vec<u8>) -> BoxFuture<'static, Result<CheckResult, ApiError>> {
        let (mempool, progress) = (self.mempool.clone(), self.progress.clone());
        Box::pin(async move {
            if progress.is_catching_up() {
                return Err(ApiError::CatchingUp);
            }
            mempool.submit(Bytes::from(raw)).await
        })
    }

    fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.ledger.subscribe()
    }
}

/// CometBFT's form of a peer's key: its address in lower hex.
fn node_id(peer: &welkin_p2p::PeerId) -> String {
    key_of_peer_id(peer)
        .map(|key| hex::encode(PublicKey(key).address().0))
        .unwrap_or_default()
}

fn ip_of(address: &Multiaddr) -> String {
    let text = address.to_string();
    let mut parts = text.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("ip4" | "ip6"), Some(ip)) => ip.to_owned(),
        _ => String::new(),
    }
}
