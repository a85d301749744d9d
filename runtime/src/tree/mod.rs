//! The authenticated, versioned state tree.
//!
//! ```text
//!   writes of a block ─► commit ─► root, Batch ─► (the node, off its path) store.commit, sync
//!                          │                                    │
//!                          ▼                                    ▼
//!            in memory until `applied`  ◄────────────  the newest version, in place:
//!            what it wrote and replaced                values by key, pages by position
//!                          │                           and for the last versions what
//!                          ▼                           each of them replaced
//!     View: any kept version ─► get, range ─► queries
//!                          └──► prove ─► Proof ─► verify(root) ─► PartialState
//! ```
//!
//! It is hashed as a binary, path-compressed trie ([`hash`]) and stored in steps of four bits
//! ([`page`]). What stores charge for is records, so few are written: the newest value of a key is
//! one record, read with one get; the hashes of the lowest levels, where most of a trie is, are
//! not stored at all but worked out from the values of a few neighbours; and old versions are kept
//! as what it takes to go back to them, packed, instead of as nodes of their own. A thousand
//! transfers over 100,000 accounts write about 2,300 records of which 2,000 are the values.
//!
//! # The pipeline
//!
//! [`StateTree::commit`] reads but does not write. It returns the root and a [`Batch`], and from
//! then on the version is readable and the next one can be committed, whether or not the batch
//! has reached the store. Batches are applied in the order of their versions; several may be made
//! one ([`Batch::append`]). After each, [`StateTree::applied`] lets go of the memory. What a crash
//! in between loses is in the block log.
//!
//! # What always holds
//!
//! - The root is a function of the keys and values alone, not of their history, of how they are
//!   stored, or of which versions are kept.
//! - A view of a version answers with that version and nothing else, whatever is committed,
//!   applied or pruned meanwhile, or says that the version is not kept any more.
//! - A proof that verifies shows what the tree with that root holds. What it does not show is
//!   [`NotCovered`](crate::state::StateError::NotCovered), never absent.
//!
//! # What is not here, on purpose
//!
//! No write to a store but in [`StateTree::load`]; no forks (a version is committed only when its
//! block is decided); no repair: a tree that does not verify is made again.

mod bucket;
mod cache;
mod error;
pub mod hash;
mod layout;
mod load;
mod page;
mod partial;
mod path;
mod proof;
mod prove;
mod records;
mod undo;
mod update;
mod verify;

use std::collections::BTreeMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::sync::{Arc, Mutex, PoisonError};

use crate::state::{Read, Writes};
use crate::store::{Batch, Store};
use crate::types::Hash;

pub use error::TreeError;
pub use partial::PartialState;
pub use proof::{MAX_PROOF_BYTES, Node, Proof, ProofError};
pub use records::View;
pub use verify::Extent;

use cache::LeafCache;
use page::Slot;
use records::{Delta, Memory, Records, Written};
use undo::{Replaced, Undo};
use update::Update;

/// How many versions beyond the kept ones a commit removes at most.
const PRUNED_PER_COMMIT: usize = 4;

/// The limits of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeConfig {
    /// How many versions stay readable, the newest included; at least 1.
    pub keep_versions: usize,
    /// Memory for the hashes of leaves, about 100 bytes a key. Without them a changed key costs
    /// a read of its neighbours.
    pub leaf_cache_bytes: usize,
    /// Memory for what was written last: busy accounts are read from it.
    pub recent_cache_bytes: usize,
    /// Memory for what the last applied versions replaced, which most proofs ask for.
    pub undo_cache_bytes: usize,
}

impl Default for TreeConfig {
    fn default() -> TreeConfig {
        TreeConfig {
            keep_versions: 100,
            leaf_cache_bytes: 16 << 20,
            recent_cache_bytes: 8 << 20,
            undo_cache_bytes: 2 << 20,
        }
    }
}

/// The state of a chain at its last versions.
pub struct StateTree {
    records: Records,
    config: TreeConfig,
    /// Held while a version is committed.
    writer: Mutex<LeafCache>,
}

impl StateTree {
    /// The tree in `store`, empty if there is none.
    ///
    /// # Errors
    ///
    /// [`TreeError::Damaged`] when the store holds a part of a tree.
    pub fn open(store: Arc<dyn Store>, config: TreeConfig) -> Result<StateTree, TreeError> {
        let memory = read_memory(&*store, config.recent_cache_bytes)?;
        if memory.roots.is_empty() && !is_empty(&*store)? {
            return Err(TreeError::Damaged("a tree without a root".into()));
        }
        Ok(StateTree::new(store, config, memory))
    }

    fn new(store: Arc<dyn Store>, config: TreeConfig, memory: Memory) -> StateTree {
        let writer = Mutex::new(LeafCache::new(config.leaf_cache_bytes));
        StateTree {
            records: Records::new(store, memory),
            config,
            writer,
        }
    }

    /// The newest version, `None` before the first.
    pub fn newest(&self) -> Option<u64> {
        self.kept().map(|kept| *kept.end())
    }

    /// The versions that can be read, `None` before the first.
    pub fn kept(&self) -> Option<RangeInclusive<u64>> {
        self.records.kept()
    }

    /// How many versions wait for [`StateTree::applied`]. Each holds its block's writes in memory.
    pub fn unapplied(&self) -> usize {
        self.records.memory().unapplied.len()
    }

    /// The state at `version`.
    pub fn view(&self, version: u64) -> Result<View<'_>, TreeError> {
        self.records.view(version)
    }

    /// The root of `version`.
    pub fn root(&self, version: u64) -> Result<Hash, TreeError> {
        Ok(self.view(version)?.root())
    }

    /// The value under `key` at `version`.
    pub fn get(&self, version: u64, key: &[u8]) -> Result<Option<Vec<u8>>, TreeError> {
        self.view(version)?.get(key)
    }

    /// The first `limit` pairs with `from <= key < to` at `version`.
    pub fn range(
        &self,
        version: u64,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, TreeError> {
        if from >= to {
            return self.view(version).map(|_| Vec::new());
        }
        self.view(version)?.pairs(from, to, limit)
    }

    /// Shows what the reads see at `version`, present and absent.
    pub fn prove(&self, version: u64, reads: &[Read]) -> Result<Proof, TreeError> {
        prove::prove(&self.view(version)?, reads)
    }

    /// Checks what the store holds of `version` against its root.
    pub fn verify(&self, version: u64, extent: Extent) -> Result<(), TreeError> {
        verify::verify(&self.view(version)?, extent)
    }

    /// Makes the changes of a block: `version` is the one after [`StateTree::newest`], or any
    /// when there is none.
    ///
    /// Returns the root, and the batch for the store. The version is readable at once. Nothing
    /// has changed when this fails.
    pub fn commit(&self, version: u64, writes: &Writes) -> Result<(Hash, Batch), TreeError> {
        let mut cache = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let before = match self.newest() {
            Some(newest) if newest.checked_add(1) != Some(version) => {
                return Err(TreeError::NotNext {
                    given: version,
                    newest,
                });
            }
            Some(newest) => self.records.view(newest)?,
            None => self.records.unversioned(None),
        };
        let mut update = Update::new(&before, &mut cache);
        let root = update.run(writes)?;
        let (written, replaced) = (update.written, update.replaced);
        Ok(self.install(version, root, written, replaced))
    }

    /// Puts a version into memory, and what it takes to keep it into a batch.
    fn install(
        &self,
        version: u64,
        root: Option<Slot>,
        written: Written,
        replaced: Replaced,
    ) -> (Hash, Batch) {
        let mut batch = Batch::from(written.clone());
        batch.put(layout::root(version), root_record(root.as_ref()));
        let (undo, records) = Undo::new(version, replaced);
        let hash = root
            .as_ref()
            .map_or_else(hash::empty_root, |slot| slot.hash);

        let mut memory = self.records.memory_mut();
        // Before the first version there is nothing to go back to.
        if !memory.roots.is_empty() {
            for (key, record) in undo.keys().zip(records) {
                batch.put(key, record);
            }
            memory.undo.insert(version, Arc::new(undo));
        }
        for (key, record) in &written {
            let bytes = record.as_ref().map_or(0, Vec::len);
            memory.recent.put(key, (version, record.clone()), bytes);
        }
        memory.roots.insert(version, root);
        memory
            .unapplied
            .push_back(Arc::new(Delta { version, written }));
        for _ in 0..PRUNED_PER_COMMIT {
            if memory.roots.len() <= self.config.keep_versions.max(1) {
                break;
            }
            prune_oldest(&mut memory, &mut batch);
        }
        (hash, batch)
    }

    /// Says that the batches up to `version` are in the store.
    ///
    /// They have to be: from now on the tree reads there what they hold.
    pub fn applied(&self, version: u64) {
        let mut memory = self.records.memory_mut();
        memory.unapplied.retain(|delta| delta.version > version);
        let mut budget = self.config.undo_cache_bytes;
        let applied = memory.undo.range_mut(..=version).rev();
        for (_, undo) in applied.skip_while(|(_, undo)| {
            let fits = undo.size_bytes() <= budget;
            budget -= if fits { undo.size_bytes() } else { 0 };
            fits
        }) {
            if undo.size_bytes() > 0 {
                *undo = Arc::new(undo.without_memory());
            }
        }
    }
}

/// Removes the oldest version, and the way back to it from the one after it.
fn prune_oldest(memory: &mut Memory, batch: &mut Batch) {
    if let Some((oldest, _)) = memory.roots.pop_first() {
        batch.delete(layout::root(oldest));
    }
    let Some(oldest) = memory.roots.keys().next().copied() else {
        return;
    };
    if let Some(undo) = memory.undo.remove(&oldest) {
        undo.keys().for_each(|key| batch.delete(key));
    }
}

/// The record of a version: the slot below its root, nothing for an empty tree.
fn root_record(root: Option<&Slot>) -> Vec<u8> {
    root.map(|slot| slot.to_record(&path::Path::root()))
        .unwrap_or_default()
}

/// The kept versions, and what they replaced, as the store says.
fn read_memory(store: &dyn Store, recent_bytes: usize) -> Result<Memory, TreeError> {
    let mut memory = Memory::new(recent_bytes);
    for (key, record) in rows_of(store, layout::ROOT)? {
        let version = layout::version_of(&key).ok_or_else(|| damaged("the key of a version"))?;
        let at = path::Path::root();
        let slot = (!record.is_empty())
            .then(|| Slot::from_record(&at, &record))
            .transpose()?;
        memory.roots.insert(version, slot);
    }
    let mut parts: BTreeMap<u64, Vec<Vec<u8>>> = BTreeMap::new();
    for (key, record) in rows_of(store, layout::UNDO)? {
        let version = layout::version_of(&key).ok_or_else(|| damaged("the key of a version"))?;
        parts.entry(version).or_default().push(record);
    }
    let kept: Vec<u64> = memory.roots.keys().copied().collect();
    if kept.windows(2).any(|pair| pair[0] + 1 != pair[1]) {
        return Err(damaged("versions do not follow one another"));
    }
    for version in kept.into_iter().skip(1) {
        // A version that replaced nothing has no parts.
        let undo = Undo::stored(version, &parts.remove(&version).unwrap_or_default())?;
        memory.undo.insert(version, Arc::new(undo));
    }
    Ok(memory)
}

fn damaged(what: &str) -> TreeError {
    TreeError::Damaged(what.into())
}

fn rows_of(store: &dyn Store, kind: [u8; 2]) -> Result<Vec<(Vec<u8>, Vec<u8>)>, TreeError> {
    let mut rows = Vec::new();
    store.range(&kind, &layout::end(kind), &mut |key, value| {
        rows.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(rows)
}

/// Whether there is not one record of a tree.
fn is_empty(store: &dyn Store) -> Result<bool, TreeError> {
    let owner = [crate::store::owner::TREE];
    let mut empty = true;
    store.range(&owner, &crate::state::prefix_end(&owner), &mut |_, _| {
        empty = false;
        ControlFlow::Break(())
    })?;
    Ok(empty)
}

#[cfg(test)]
mod tests;
