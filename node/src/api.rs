//! What the rest of the node may ask of the running chain: the one interface between the shell
//! (which owns consensus, disk and peers) and whoever answers people (RPC, metrics).
//!
//! ```text
//!   RPC ──► dyn Node ──► committed blocks, results, state with proofs   (reads; short, blocking)
//!                   ──► submit_tx                                        (queued, answered by the mempool)
//!                   ◄── subscribe: one Committed for each block
//! ```
//!
//! Invariants:
//! - A height is visible here, in reads and in events alike, only after this node's block log was
//!   synced and the state and the index of that height can be read.
//! - Heights appear in order, without a gap.

use futures::future::BoxFuture;
use std::sync::Arc;
use tokio::sync::broadcast;
use welkin_consensus::types::{
    AppHash, Block, BlockId, Commit, ConsensusParams, Genesis, Timestamp, ValidatorAddress,
    ValidatorSet,
};
use welkin_runtime::execute::{TxResult, ValidatorUpdate};
use welkin_runtime::{Event, Hash};

/// Blocks that a subscriber may be behind before it loses some (`RecvError::Lagged`).
pub const EVENT_BUFFER: usize = 32;

/// A running node, as those see it who answer questions about it.
///
/// Reads take microseconds to a few milliseconds and may read the disk: a server calls them on a
/// thread that may block (`tokio::task::spawn_blocking`) or accepts that. Where a height is asked
/// for, 0 means the newest.
pub trait Node: Send + Sync {
    /// Who this node is and where it stands.
    fn status(&self) -> Status;

    /// The connected peers.
    fn net_info(&self) -> NetInfo;

    /// The genesis document.
    fn genesis(&self) -> Arc<Genesis>;

    /// The hash by which the network is told from others.
    fn genesis_hash(&self) -> Hash;

    /// A block with its name.
    fn block(&self, height: u64) -> Result<Arc<StoredBlock>, ApiError>;

    /// The commit of a block. For the newest block it is the one that this node saw, which is not
    /// final: the next block may carry more votes.
    fn commit(&self, height: u64) -> Result<CommitOf, ApiError>;

    /// The validators of a height; also of the one after the newest block.
    fn validators(&self, height: u64) -> Result<Arc<ValidatorSet>, ApiError>;

    /// The consensus parameters of a height; also of the one after the newest block.
    fn consensus_params(&self, height: u64) -> Result<ConsensusParams, ApiError>;

    /// What came of a block.
    fn results(&self, height: u64) -> Result<Arc<BlockResults>, ApiError>;

    /// A committed transaction by its id.
    fn transaction(&self, id: &Hash) -> Result<Option<CommittedTx>, ApiError>;

    /// Answers a question about the state after a height.
    fn query(&self, query: &Query) -> Result<Answer, ApiError>;

    /// The state after the newest height that a header proves, and after the newest height.
    fn state_heights(&self) -> StateHeights;

    /// How many transactions wait in the mempool, and their bytes.
    fn mempool_size(&self) -> MempoolSize;

    /// Checks a transaction and takes it into the mempool. One that is its sender's next is run
    /// first, alone on the newest state, and refused where it would fail.
    fn submit_tx(&self, raw: Vec<u8>) -> BoxFuture<'static, Result<CheckResult, ApiError>>;

    /// Every block from now on, in order. A receiver that falls more than [`EVENT_BUFFER`] behind
    /// is told how many it lost.
    fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>>;
}

/// A shared node.
pub type Handle = Arc<dyn Node>;

/// A block with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBlock {
    /// Its name.
    pub block_id: BlockId,
    /// The block.
    pub block: Block,
    /// Its encoded size.
    pub size_bytes: usize,
}

/// A commit, and whether it will change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOf {
    /// The precommits.
    pub commit: Commit,
    /// Whether it is the one in the next block; false for the newest block only.
    pub is_canonical: bool,
}

/// What came of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct BlockResults {
    /// Its height.
    pub height: u64,
    /// A result for each transaction, in order.
    pub tx_results: Vec<TxResult>,
    /// Events of hooks.
    pub events: Vec<Event>,
    /// Changes of the validator set, effective two heights later: key and power.
    pub validator_updates: Vec<([u8; 32], u64)>,
    /// The root of the state after the block.
    pub app_hash: Vec<u8>,
}

impl BlockResults {
    /// The changes of the validator set with the names that the runtime gives them.
    pub fn updates(&self) -> impl Iterator<Item = ValidatorUpdate> + '_ {
        self.validator_updates
            .iter()
            .map(|(public_key, power)| ValidatorUpdate {
                public_key: *public_key,
                power: *power,
            })
    }
}

/// A block that became readable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The block with its name.
    pub block: Arc<StoredBlock>,
    /// What came of it; result `i` is of transaction `i` of the block.
    pub results: Arc<BlockResults>,
    /// The ids of its transactions, in order.
    pub tx_ids: Arc<[Hash]>,
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct TxPlace {
    /// The block's height.
    pub height: u64,
    /// Its position in the block, from 0.
    pub index: u32,
}

/// A transaction that stands in a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedTx {
    /// Where it stands.
    pub place: TxPlace,
    /// The raw transaction.
    pub raw: Vec<u8>,
    /// What came of it.
    pub result: TxResult,
}

/// A question about the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What is asked.
    pub what: QueryKind,
    /// State after this height; 0 for the newest that a header proves.
    pub height: u64,
    /// Whether the answer carries a witness.
    pub prove: bool,
}

/// What is asked about the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// A query of a module.
    Module {
        /// Its name.
        module: String,
        /// The query in borsh.
        query: Vec<u8>,
    },
    /// The value under a raw key.
    Key(Vec<u8>),
}

/// The answer to a question about the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The height after which the state is as the answer says; the header one higher proves it.
    pub height: u64,
    /// The module's answer in borsh, or the value; empty when the key is not there.
    pub value: Vec<u8>,
    /// The witness (`Proof` in borsh), if one was asked for.
    pub proof: Option<Vec<u8>>,
}

/// Up to which height the state can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateHeights {
    /// The oldest version that is kept.
    pub oldest: u64,
    /// The newest version whose root stands in a committed header.
    pub provable: u64,
    /// The newest version.
    pub newest: u64,
}

/// What waits for a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MempoolSize {
    /// Transactions.
    pub transactions: usize,
    /// Their raw bytes.
    pub bytes: usize,
}

/// What the mempool says of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    /// SHA-256 of the raw bytes.
    pub id: Hash,
    /// 0, or the code of the error.
    pub code: u32,
    /// The module of the error; empty if there is none.
    pub codespace: String,
    /// The message of the error; empty if there is none.
    pub log: String,
    /// The gas that it may use; 0 if it was not decoded.
    pub gas_wanted: u64,
    /// Where it stands, if it was committed before: then it is refused as a replay, and whoever
    /// lost the first answer finds here what became of it.
    pub committed: Option<TxPlace>,
}

/// Who a node is and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// CometBFT's form of the node key's id: 40 lower hex digits.
    pub node_id: String,
    /// The same key as libp2p names it.
    pub peer_id: String,
    /// A name for people.
    pub moniker: String,
    /// The chain's name.
    pub chain_id: String,
    /// Where peers reach it, as it was configured.
    pub listen_address: String,
    /// Where the RPC listens, as it was configured.
    pub rpc_address: String,
    /// The newest block; none before the first.
    pub latest: Option<BlockSummary>,
    /// The oldest block that is kept; none before the first.
    pub earliest: Option<BlockSummary>,
    /// Whether it is behind its peers and fetches blocks.
    pub catching_up: bool,
    /// The validator's key of this node.
    pub validator: Option<ValidatorView>,
}

/// A block in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockSummary {
    /// Its height.
    pub height: u64,
    /// Its hash.
    pub hash: Vec<u8>,
    /// The root of the state before it, as its header says.
    pub app_hash: AppHash,
    /// Its time.
    pub time: Timestamp,
}

/// The validator's key that a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorView {
    /// Its address.
    pub address: ValidatorAddress,
    /// The Ed25519 key.
    pub public_key: [u8; 32],
    /// Its power at the next height; 0 if it is not in the set.
    pub power: u64,
}

/// The peers of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetInfo {
    /// Where it really listens.
    pub listeners: Vec<String>,
    /// Who is connected.
    pub peers: Vec<PeerView>,
}

/// A connected peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerView {
    /// CometBFT's form of its key's id: 40 lower hex digits.
    pub node_id: String,
    /// The same key as libp2p names it.
    pub peer_id: String,
    /// Where it is connected from or to, as a multiaddress.
    pub address: String,
    /// Its IP address, if the multiaddress has one.
    pub remote_ip: String,
    /// Whether this node dialled.
    pub is_outbound: bool,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// The chain has not come so far.
    #[error("height {asked} must be less than or equal to the current blockchain height {newest}")]
    Future {
        /// What was asked for.
        asked: u64,
        /// What there is.
        newest: u64,
    },
    /// It was pruned, or is below the first height.
    #[error("height {asked} is not available, lowest height is {oldest}")]
    Pruned {
        /// What was asked for.
        asked: u64,
        /// The oldest that is kept.
        oldest: u64,
    },
    /// The runtime refuses: code, module and message as in a transaction's result.
    #[error("{codespace}: {log}")]
    Refused {
        /// The code, never 0.
        code: u32,
        /// The module.
        codespace: String,
        /// The message.
        log: String,
    },
    /// The node fetches blocks and takes no transactions meanwhile.
    #[error("the node is catching up with the chain; try again, or ask another node")]
    CatchingUp,
    /// Too much waits already.
    #[error("the node is busy; try again")]
    Busy,
    /// The node is stopping, or its disk failed.
    #[error("{0}")]
    Failed(String),
}
