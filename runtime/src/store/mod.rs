//! Where bytes are kept: an ordered map with one atomic batch a block.
//!
//! ```text
//!   state tree ──┐                        ┌── MemoryStore (here): model, tests, simulator
//!   node indexes ┼── Batch ── dyn Store ──┼── sled  (welkin-node)
//!                ┘   height               └── redb  (welkin-node)
//! ```
//!
//! A store is never the truth: the truth is the block log, from which a store can be made again.
//! So it has to promise little, and it promises this:
//!
//! - a batch is seen whole or not at all, with its height, also after a crash;
//! - what was committed before a [`Store::sync`] that returned is there after a power cut;
//! - after the first failure of the disk every call fails. Nothing is tried a second time, because
//!   a system that failed to write once may have forgotten what it still had to write.
//!
//! All three implementations run the same suite, `conformance`.

mod memory;

#[cfg(any(test, feature = "test-support"))]
pub mod conformance;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

pub use memory::MemoryStore;

/// The longest key of a store in bytes.
pub const MAX_KEY_BYTES: usize = 160;

/// The largest value of a store in bytes: sled 0.34 never gives back the room of larger ones.
/// Whoever has more cuts it up.
pub const MAX_VALUE_BYTES: usize = 4096;

/// The first byte of every key, by owner, so that the owners share one store and one batch.
pub mod owner {
    /// The state tree.
    pub const TREE: u8 = b't';
    /// Indexes of blocks and transactions.
    pub const INDEX: u8 = b'i';
}

/// Why a store cannot do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A key or a value beyond the limits, or a height that goes back: a mistake of the caller.
    /// Nothing was written.
    #[error("the store refuses this batch: {0}")]
    Refused(String),
    /// Another process has the store open: stop that one first.
    #[error("{} is in use by another process: stop that one first", .0.display())]
    InUse(PathBuf),
    /// There is no room on the disk: make some, then start again.
    #[error("no room left for {}: {free_mib} MiB are free, at least {needed_mib} MiB are needed", path.display())]
    NoRoom {
        /// Where room is needed.
        path: PathBuf,
        /// What there is.
        free_mib: u64,
        /// What there has to be.
        needed_mib: u64,
    },
    /// The disk failed: stop, and start again once it is well.
    #[error("the store failed: {0}")]
    Failed(String),
    /// What is on the disk is not what was written: the store has to be made again.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Changes that become visible together: a key with its new value, or `None` where it is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Batch {
    /// Sets `key` to `value`.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.writes.insert(key.into(), Some(value.into()));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.writes.insert(key.into(), None);
    }

    /// Adds the changes of a later batch. Blocks that wait for the disk become one batch so: what
    /// they wrote several times is written once.
    pub fn append(&mut self, mut later: Batch) {
        self.writes.append(&mut later.writes);
    }

    /// The changes in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.writes
            .iter()
            .map(|(key, value)| (key.as_slice(), value.as_deref()))
    }

    /// How many keys change.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// How many bytes of keys and values it holds.
    pub fn size_bytes(&self) -> usize {
        self.iter()
            .map(|(key, value)| key.len() + value.map_or(0, <[u8]>::len))
            .sum()
    }

    /// Whether a store may take it: every key and value within the limits, and `height` not below
    /// the store's own.
    pub fn check(&self, height: u64, current: Option<u64>) -> Result<(), StoreError> {
        if current.is_some_and(|current| height < current) {
            return Err(StoreError::Refused(format!(
                "height {height} is below the height {} of the store",
                current.unwrap_or_default()
            )));
        }
        for (key, value) in self.iter() {
            let size = value.map_or(0, <[u8]>::len);
            if key.is_empty() || key.len() > MAX_KEY_BYTES || size > MAX_VALUE_BYTES {
                return Err(StoreError::Refused(format!(
                    "a key of {} bytes with a value of {size} bytes; allowed are 1 to \
                     {MAX_KEY_BYTES} and at most {MAX_VALUE_BYTES}",
                    key.len()
                )));
            }
        }
        Ok(())
    }
}

impl From<BTreeMap<Vec<u8>, Option<Vec<u8>>>> for Batch {
    fn from(writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>) -> Batch {
        Batch { writes }
    }
}

impl IntoIterator for Batch {
    type Item = (Vec<u8>, Option<Vec<u8>>);
    type IntoIter = std::collections::btree_map::IntoIter<Vec<u8>, Option<Vec<u8>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.writes.into_iter()
    }
}

/// What [`Store::range`] calls for each pair; `Break` ends the walk.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// An ordered map of bytes on a disk, or in memory.
pub trait Store: Send + Sync {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Shows the pairs with `from <= key < to`, in the order of their keys, until `visit` breaks.
    /// With an empty `to` the walk goes on to the last key.
    ///
    /// A batch that is committed meanwhile may be seen in part; no key that stays is missed.
    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Makes the changes and sets the height, all or none of it. They are durable only after the
    /// next [`Store::sync`].
    fn commit(&self, batch: Batch, height: u64) -> Result<(), StoreError>;

    /// The height of the last batch, `None` when there was none yet.
    fn height(&self) -> Option<u64>;

    /// Returns when everything committed so far would survive a power cut.
    fn sync(&self) -> Result<(), StoreError>;

    /// The room that the store takes on its disk.
    fn size_bytes(&self) -> Result<u64, StoreError>;

    /// Syncs and lets go of the files; every later call fails with [`StoreError::Closed`].
    fn close(&self) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests;
