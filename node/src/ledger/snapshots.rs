//! Snapshots of the state: when they are written, and how state is restored from one.

use super::recovery::{OpenLedger, Stored};
use super::{Ledger, LedgerError, Tip, record};
use crate::api::TxPlace;
use crate::block_log::BlockLog;
use crate::snapshot::{SnapshotError, Snapshots};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use welkin_consensus::state::ChainState;
use welkin_consensus::types::{Block, Message as _};
use welkin_runtime::Hash;
use welkin_runtime::store::{Batch, Store};
use welkin_runtime::tx::Transaction;

/// Keys of a batch while the index is made again.
const INDEXED_AT_ONCE: usize = 4_096;

/// Where snapshots are kept, and how often one is written.
pub struct SnapshotPlan {
    /// The folder.
    pub snapshots: Snapshots,
    /// One every so many blocks.
    pub interval_blocks: u64,
}

/// The plan at work: one snapshot at a time.
pub(super) struct Writing {
    plan: SnapshotPlan,
    busy: AtomicBool,
    /// The height at which a snapshot was last thought of; [`u64::MAX`] before the first time.
    seen: AtomicU64,
}

impl From<SnapshotPlan> for Writing {
    fn from(plan: SnapshotPlan) -> Self {
        Writing {
            plan,
            busy: AtomicBool::new(false),
            seen: AtomicU64::new(u64::MAX),
        }
    }
}

impl Writing {
    /// Whether a multiple of the interval was reached or passed since the last time: while the node catches up, many
    /// heights pass in one step.
    fn is_due(&self, height: u64) -> bool {
        let interval = self.plan.interval_blocks.max(1);
        let seen = self
            .seen
            .swap(height, Ordering::AcqRel)
            .min(height.saturating_sub(1));
        height / interval > seen / interval
    }
}

impl Ledger {
    /// Writes a snapshot if one is due at the newest height and none is being written, on a thread
    /// of its own. A failure is logged: the next one may succeed, and the block log has everything.
    pub fn snapshot_if_due(self: &Arc<Self>) {
        let Some(writing) = &self.snapshots else {
            return;
        };
        let tip = self.tip();
        if !writing.is_due(tip.height()) || writing.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let ledger = self.clone();
        let write = move || {
            if let Err(why) = ledger.write_snapshot(&tip) {
                tracing::warn!(
                    target: "welkin::ledger",
                    height = tip.height(),
                    "no snapshot was written: {why}"
                );
            }
            if let Some(writing) = &ledger.snapshots {
                writing.busy.store(false, Ordering::Release);
            }
        };
        if let Err(why) = self.stop.thread("snapshot", write) {
            tracing::warn!(target: "welkin::ledger", "no thread for a snapshot: {why}");
            writing.busy.store(false, Ordering::Release);
        }
    }

    /// Writes a snapshot of the state after the tip's block.
    pub(super) fn write_snapshot(&self, tip: &Tip) -> Result<(), SnapshotError> {
        let Some(writing) = &self.snapshots else {
            return Ok(());
        };
        let attachment =
            serde_json::to_vec(&tip.chain).expect("a chain state has only string keys");
        let view = self.tree.view(tip.version())?;
        writing
            .plan
            .snapshots
            .write(tip.version(), &view, &attachment)?;
        tracing::info!(target: "welkin::ledger", height = tip.height(), "wrote a snapshot");
        Ok(())
    }
}

impl OpenLedger {
    /// State from the newest snapshot that fits the block log; none if no snapshot does. The
    /// store is empty before, and whoever gets none has to empty it again.
    pub(super) fn restore(&self, log: &BlockLog) -> Result<Option<Stored>, LedgerError> {
        let Some(plan) = &self.snapshots else {
            return Ok(None);
        };
        for version in plan.snapshots.versions().map_err(failed)? {
            match self.restore_version(&plan.snapshots, version, log) {
                Ok(Some(stored)) => {
                    tracing::info!(
                        target: "welkin::ledger",
                        height = version,
                        "the state was restored from a snapshot"
                    );
                    return Ok(Some(stored));
                }
                Ok(None) => {}
                Err(why) => {
                    tracing::warn!(
                        target: "welkin::ledger",
                        height = version,
                        "a snapshot cannot be used: {why}"
                    );
                }
            }
        }
        Ok(None)
    }

    fn restore_version(
        &self,
        snapshots: &Snapshots,
        version: u64,
        log: &BlockLog,
    ) -> Result<Option<Stored>, LedgerError> {
        let head = snapshots.head(version).map_err(failed)?;
        let Ok(chain) = serde_json::from_slice::<ChainState>(&head.attachment) else {
            return Ok(None);
        };
        if chain.last_height != version || chain.last_height == 0 || !self.belongs(&chain, log)? {
            return Ok(None);
        }
        let Some(root) = root_after(version, log)?.filter(|root| chain.app_hash.0 == root.0) else {
            return Ok(None);
        };
        let store = self.backing.open_empty()?;
        let tree = snapshots
            .load(version, root, store.clone(), self.tree.clone())
            .map_err(failed)?;
        index_again(&*store, version, log)?;
        // Last: a store without it is begun again.
        let mut batch = Batch::default();
        record::put_chain(&mut batch, &chain);
        store.commit(batch, version)?;
        store.sync()?;
        Ok(Some(Stored { store, tree, chain }))
    }
}

/// The root after a block as the chain knows it: from the next header, or for the last block from
/// its results.
fn root_after(version: u64, log: &BlockLog) -> Result<Option<Hash>, LedgerError> {
    let bytes = if let Some(next) = log.read(version + 1)? {
        Block::decode(&next.block)?.header.app_hash.0
    } else {
        let Some(results) = log.read_results(version)? else {
            return Ok(None);
        };
        let results: Result<crate::api::BlockResults, _> = borsh::from_slice(&results);
        results.map(|results| results.app_hash).unwrap_or_default()
    };
    Ok(<[u8; 32]>::try_from(bytes).ok().map(Hash))
}

/// Notes where every transaction up to a height stands.
fn index_again(store: &dyn Store, version: u64, log: &BlockLog) -> Result<(), LedgerError> {
    let Some(heights) = log.heights() else {
        return Ok(());
    };
    let mut batch = Batch::default();
    for height in *heights.start()..=version {
        let Some(stored) = log.read(height)? else {
            continue;
        };
        let block = Block::decode(&stored.block)?;
        for (index, raw) in (0..).zip(&block.data.txs) {
            record::put_tx(&mut batch, &Transaction::id(raw), TxPlace { height, index });
        }
        for evidence in &block.evidence.0 {
            record::put_evidence(&mut batch, &evidence.hash(), height);
        }
        if batch.len() >= INDEXED_AT_ONCE {
            store.commit(std::mem::take(&mut batch), version)?;
        }
    }
    Ok(store.commit(batch, version)?)
}

fn failed(why: SnapshotError) -> LedgerError {
    LedgerError::Inconsistent(why.to_string())
}
