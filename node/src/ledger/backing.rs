//! Where state is kept: the store itself, how it is emptied, and how far it is trusted.

use super::recovery::extent;
use crate::store::{self, Condition, StoreConfig};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use welkin_runtime::store::{MemoryStore, Store, StoreError};
use welkin_runtime::tree::Extent;

/// Where state is kept.
pub enum Backing {
    /// In memory; it outlives the ledger, as a disk does.
    Memory(Mutex<Arc<MemoryStore>>),
    /// In a folder.
    Folder {
        /// The store's folder.
        path: PathBuf,
        /// How it is opened.
        config: StoreConfig,
    },
}

/// An open store, and how far it is trusted.
pub(super) struct Found {
    pub store: Arc<dyn Store>,
    /// How much of the tree is looked at.
    pub extent: Extent,
}

impl Backing {
    /// A store in memory.
    pub fn memory(store: Arc<MemoryStore>) -> Self {
        Backing::Memory(Mutex::new(store))
    }

    /// Opens the store. One that is damaged is found empty.
    pub(super) fn open(&self) -> Result<Found, StoreError> {
        match self {
            Backing::Memory(store) => {
                let store = store.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Ok(Found {
                    store,
                    extent: extent(false),
                })
            }
            Backing::Folder { path, config } => {
                let opened = store::open(path, config)?;
                let extent = extent(opened.condition == Condition::Closed);
                Ok(Found {
                    store: opened.store,
                    extent,
                })
            }
        }
    }

    /// Removes the store, which nobody has open, and opens a new one.
    pub(super) fn open_empty(&self) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            Backing::Memory(store) => {
                let empty = Arc::new(MemoryStore::new());
                *store.lock().unwrap_or_else(PoisonError::into_inner) = empty.clone();
                Ok(empty)
            }
            Backing::Folder { path, config } => {
                store::erase(path)?;
                Ok(store::open(path, config)?.store)
            }
        }
    }
}
