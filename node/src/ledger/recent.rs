//! What the last blocks put into the index and the store does not have yet.

use crate::api::TxPlace;
use std::collections::{BTreeMap, HashMap};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use welkin_runtime::Hash;

/// Index entries that wait for the store.
#[derive(Debug, Default)]
pub(super) struct Recent(RwLock<Entries>);

#[derive(Debug, Default)]
struct Entries {
    txs: HashMap<Hash, TxPlace>,
    evidence: HashMap<[u8; 32], u64>,
    blocks: BTreeMap<u64, Vec<Hash>>,
}

impl Recent {
    /// Notes a block's transactions and evidence.
    pub fn insert(&self, height: u64, ids: &[Hash], evidence: impl IntoIterator<Item = [u8; 32]>) {
        let mut entries = self.write();
        for (index, id) in (0..).zip(ids) {
            entries.txs.insert(*id, TxPlace { height, index });
        }
        entries
            .evidence
            .extend(evidence.into_iter().map(|hash| (hash, height)));
        entries.blocks.insert(height, ids.to_vec());
    }

    /// Forgets what the store has now.
    pub fn applied(&self, height: u64) {
        let mut entries = self.write();
        let waiting = entries.blocks.split_off(&(height + 1));
        let applied = std::mem::replace(&mut entries.blocks, waiting);
        for id in applied.into_values().flatten() {
            entries.txs.remove(&id);
        }
        entries.evidence.retain(|_, at| *at > height);
    }

    /// Where a transaction stands.
    pub fn tx(&self, id: &Hash) -> Option<TxPlace> {
        self.read().txs.get(id).copied()
    }

    /// Whether evidence was used.
    pub fn has_evidence(&self, hash: &[u8; 32]) -> bool {
        self.read().evidence.contains_key(hash)
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        // Nothing under this lock panics half way.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Entries> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
