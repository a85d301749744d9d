//! The chain as this node has it: committed blocks, the state after them, and the way from one to
//! the next.
//!
//! ```text
//!   decided block ──► block log: append ──┬──► sync ─────────┐
//!                                         └──► execute ──► tree root, results
//!                                                            ▼
//!                         next ChainState ◄── publish: tip, index, events ──► store (later)
//! ```
//!
//! One thread advances the ledger ([`Ledger::commit`], [`Ledger::commit_many`]); any number read
//! it meanwhile. Readers see a height only once its block is synced, its state can be read and its
//! transactions can be found.

mod backing;
mod error;
mod execute;
mod query;
mod read;
mod recent;
mod record;
mod recovery;
mod snapshots;
mod validate;
mod writer;

pub use backing::Backing;
pub use error::LedgerError;
pub use execute::{Decision, Executed};
pub use recovery::OpenLedger;
pub use snapshots::SnapshotPlan;

use crate::api::{Committed, EVENT_BUFFER};
use crate::block_log::BlockLog;
use crate::mempool::Verified;
use crate::stop::Stop;
use recent::Recent;
use snapshots::Writing;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::broadcast;
use welkin_consensus::machine::{Start, wants_proof};
use welkin_consensus::state::ChainState;
use welkin_consensus::types::{Commit, Genesis};
use welkin_runtime::execute::BlockLimits;
use welkin_runtime::store::Store;
use welkin_runtime::tree::StateTree;
use welkin_runtime::{ChainInfo, Runtime};
use writer::StoreWriter;

/// The chain as this node has it.
pub struct Ledger {
    runtime: Runtime,
    info: ChainInfo,
    genesis: Arc<Genesis>,
    log: BlockLog,
    tree: Arc<StateTree>,
    store: Arc<dyn Store>,
    writer: StoreWriter,
    recent: Arc<Recent>,
    verified: Arc<Verified>,
    tip: RwLock<Arc<Tip>>,
    events: broadcast::Sender<Arc<Committed>>,
    snapshots: Option<Writing>,
    stop: Stop,
}

/// Where the chain stands: what the next block follows.
#[derive(Clone, Debug)]
pub struct Tip {
    /// The consensus state after the last block.
    pub chain: ChainState,
    /// The commit that was seen for the last block; empty before the first.
    pub seen: Commit,
    /// Whether the last block did something, so that one more follows early.
    pub proof_wanted: bool,
}

impl Tip {
    /// Height of the last block; 0 before the first.
    pub fn height(&self) -> u64 {
        self.chain.last_height
    }

    /// The version of the state after the last block.
    pub fn version(&self) -> u64 {
        self.chain.next_height() - 1
    }

    /// What the next height starts from.
    pub fn start(&self, work_waiting: bool) -> Start {
        Start {
            proof_wanted: self.proof_wanted,
            work_waiting,
            ..Start::after(&self.chain, self.seen.clone())
        }
    }

    /// What the next block may hold at most.
    pub fn limits(&self) -> BlockLimits {
        let params = &self.chain.consensus_params;
        BlockLimits {
            max_bytes: params.max_block_bytes() as u64,
            max_gas: u64::try_from(params.block.max_gas).unwrap_or(u64::MAX),
        }
    }
}

impl Ledger {
    /// Where the chain stands.
    pub fn tip(&self) -> Arc<Tip> {
        // Nothing under this lock panics: it is only replaced.
        self.tip
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The runtime.
    pub fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// The chain's name and genesis.
    pub fn info(&self) -> &ChainInfo {
        &self.info
    }

    /// The genesis document.
    pub fn genesis(&self) -> &Arc<Genesis> {
        &self.genesis
    }

    /// The block log.
    pub fn log(&self) -> &BlockLog {
        &self.log
    }

    /// The state tree.
    pub fn tree(&self) -> &StateTree {
        &self.tree
    }

    /// Which transactions are known to be signed well.
    pub fn verified(&self) -> &Arc<Verified> {
        &self.verified
    }

    /// Every block from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Committed>> {
        self.events.subscribe()
    }

    /// Writes what waits for the store and lets go of the files. The ledger is read no more after.
    pub fn close(&self) {
        self.writer.finish();
        if let Err(why) = self.store.close() {
            tracing::warn!(
                target: "welkin::ledger",
                "the store was not closed well, it will be checked: {why}"
            );
        }
    }

    fn publish(&self, executed: Executed) -> Arc<Committed> {
        let Executed {
            committed,
            chain,
            seen,
            batch,
            due_work,
            evidence,
        } = executed;
        let height = chain.last_height;
        let proof_wanted = wants_proof(&committed.block.block, due_work);
        self.recent.insert(height, &committed.tx_ids, evidence);
        self.writer.push(height, batch);
        let tip = Arc::new(Tip {
            chain,
            seen,
            proof_wanted,
        });
        *self.tip.write().unwrap_or_else(PoisonError::into_inner) = tip;
        let committed = Arc::new(committed);
        // Nobody may be listening.
        let _ = self.events.send(committed.clone());
        committed
    }

    fn new_events() -> broadcast::Sender<Arc<Committed>> {
        broadcast::Sender::new(EVENT_BUFFER)
    }
}

#[cfg(test)]
mod tests;
