//! Filling an empty store with a whole state, as a snapshot holds it.

use std::sync::Arc;

use crate::state::Writes;
use crate::store::{Batch, Store};
use crate::types::Hash;

use super::cache::LeafCache;
use super::error::TreeError;
use super::hash::empty_root;
use super::page::Slot;
use super::records::{Memory, Records};
use super::update::Update;
use super::{StateTree, TreeConfig, is_empty, layout, root_record};

/// Pairs in one batch, and their bytes, at most.
pub(super) const PART_PAIRS: usize = 4_096;
const PART_BYTES: usize = 4 << 20;

impl StateTree {
    /// Fills `store` with the state `rows` at `version`, and checks it against `root`.
    ///
    /// The rows come in the order of their keys. They are written in parts and synced at the end;
    /// only the last part makes a tree of them, so a load that was interrupted is found by
    /// [`StateTree::open`] as damaged.
    ///
    /// # Errors
    ///
    /// [`TreeError::Damaged`] when the store holds a tree or a part of one already, or when the
    /// rows lead to another root. `E` is what the rows can fail with.
    pub fn load<E: From<TreeError>>(
        store: Arc<dyn Store>,
        config: TreeConfig,
        version: u64,
        root: Hash,
        rows: impl IntoIterator<Item = Result<(Vec<u8>, Vec<u8>), E>>,
    ) -> Result<StateTree, E> {
        if !is_empty(&*store)? {
            return Err(TreeError::Damaged("the store to be filled is not empty".into()).into());
        }
        let mut loader = Loader {
            records: Records::new(store, Memory::new(0)),
            cache: LeafCache::new(config.leaf_cache_bytes),
            version,
            slot: None,
        };
        let (mut part, mut bytes) = (Writes::new(), 0);
        for row in rows {
            let (key, value) = row?;
            bytes += key.len() + value.len();
            part.insert(key, Some(value));
            if part.len() >= PART_PAIRS || bytes >= PART_BYTES {
                loader.put(&std::mem::take(&mut part))?;
                bytes = 0;
            }
        }
        loader.put(&part)?;
        Ok(loader.finish(config, root)?)
    }
}

struct Loader {
    records: Records,
    cache: LeafCache,
    version: u64,
    slot: Option<Slot>,
}

impl Loader {
    fn put(&mut self, part: &Writes) -> Result<(), TreeError> {
        let before = self.records.unversioned(self.slot.clone());
        let mut update = Update::new(&before, &mut self.cache);
        let slot = update.run(part)?;
        let batch = Batch::from(update.written);
        self.records.store.commit(batch, self.version)?;
        self.slot = slot;
        Ok(())
    }

    fn finish(self, config: TreeConfig, root: Hash) -> Result<StateTree, TreeError> {
        let found = self.slot.as_ref().map_or_else(empty_root, |slot| slot.hash);
        if found != root {
            let what = format!("the state leads to the root {found}, not to {root}");
            return Err(TreeError::Damaged(what));
        }
        let mut batch = Batch::default();
        batch.put(layout::root(self.version), root_record(self.slot.as_ref()));
        self.records.store.commit(batch, self.version)?;
        self.records.store.sync()?;
        StateTree::open(self.records.store, config)
    }
}
