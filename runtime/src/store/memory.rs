//! A store in memory: the model for the others, and what tests and the simulator use.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{PoisonError, RwLock};

use super::{Batch, Store, StoreError, Visit};

/// A store in memory that knows what a power cut would leave of it.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    map: BTreeMap<Vec<u8>, Vec<u8>>,
    height: Option<u64>,
    /// What undoes the commits since the last sync, in the order in which they were made.
    unsynced: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    synced_height: Option<u64>,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> MemoryStore {
        MemoryStore::default()
    }

    /// Forgets what was not synced, as a power cut does, and opens the store again.
    pub fn cut_power(&self) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        while let Some((key, old)) = inner.unsynced.pop() {
            match old {
                Some(value) => inner.map.insert(key, value),
                None => inner.map.remove(&key),
            };
        }
        inner.height = inner.synced_height;
        inner.closed = false;
    }

    fn read<T>(&self, with: impl FnOnce(&Inner) -> T) -> Result<T, StoreError> {
        let inner = self.inner.read().map_err(poisoned)?;
        if inner.closed {
            return Err(StoreError::Closed);
        }
        Ok(with(&inner))
    }

    fn write<T>(
        &self,
        with: impl FnOnce(&mut Inner) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut inner = self.inner.write().map_err(poisoned)?;
        if inner.closed {
            return Err(StoreError::Closed);
        }
        with(&mut inner)
    }
}

fn poisoned<T>(_: PoisonError<T>) -> StoreError {
    StoreError::Failed("a thread died while it changed the store".into())
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|inner| inner.map.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let end = if to.is_empty() {
            Bound::Unbounded
        } else {
            Bound::Excluded(to)
        };
        if !to.is_empty() && from >= to {
            return self.read(|_| ());
        }
        self.read(|inner| {
            for (key, value) in inner.map.range::<[u8], _>((Bound::Included(from), end)) {
                if let ControlFlow::Break(()) = visit(key, value) {
                    break;
                }
            }
        })
    }

    fn commit(&self, batch: Batch, height: u64) -> Result<(), StoreError> {
        self.write(|inner| {
            batch.check(height, inner.height)?;
            for (key, value) in batch {
                let old = match value {
                    Some(value) => inner.map.insert(key.clone(), value),
                    None => inner.map.remove(&key),
                };
                inner.unsynced.push((key, old));
            }
            inner.height = Some(height);
            Ok(())
        })
    }

    fn height(&self) -> Option<u64> {
        self.read(|inner| inner.height).ok().flatten()
    }

    fn sync(&self) -> Result<(), StoreError> {
        self.write(|inner| {
            inner.unsynced.clear();
            inner.synced_height = inner.height;
            Ok(())
        })
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.read(|inner| {
            let bytes: usize = inner
                .map
                .iter()
                .map(|(key, value)| key.len() + value.len())
                .sum();
            bytes as u64
        })
    }

    fn close(&self) -> Result<(), StoreError> {
        self.sync()?;
        self.write(|inner| {
            inner.closed = true;
            Ok(())
        })
    }
}
