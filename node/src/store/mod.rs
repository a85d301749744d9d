//! The stores on disk, behind the runtime's [`Store`].
//!
//! ```text
//!   open(folder) ──► guarded: tries, quarantine ──► SledStore | RedbStore ──► dyn Store
//!                          │
//!                          └──► Condition: was it closed, did it crash, is it new, was it damaged
//! ```
//!
//! Neither is the truth, which is the block log; so opening never gives up on damage. It tries
//! three times, and then sets the folder aside and begins an empty store, which the ledger fills
//! again. What it does give up on is what an operator has to change: another process that has the
//! store open, no room on the disk, or files that may not be read.
//!
//! sled 0.34 needs care that is not in its documentation, and it is all in [`SledStore`]: its
//! `flush` does not `fsync`, its settings file is not synced, and values beyond a few kilobytes
//! leave room that is never given back.

mod folder;
mod redb;
mod sled;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use welkin_runtime::store::{Store, StoreError};

pub use self::redb::RedbStore;
pub use self::sled::SledStore;
pub use folder::erase;

/// Which program keeps the bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// sled 0.34.
    #[default]
    Sled,
    /// redb.
    Redb,
}

/// How a store is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreConfig {
    /// Which program keeps the bytes.
    pub engine: Engine,
    /// Memory for pages.
    pub cache_bytes: u64,
    /// Room that has to be free on the disk: a full one makes sled refuse to open next time.
    pub min_free_bytes: u64,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            engine: Engine::Sled,
            cache_bytes: 16 << 20,
            min_free_bytes: 64 << 20,
        }
    }
}

/// How a store was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There was none: it is empty.
    New,
    /// Its last user closed it.
    Closed,
    /// Its last user did not. It was read from end to end, so it is whole as far as it itself can
    /// tell; what it holds still has to be checked against the root.
    Crashed,
    /// It could not be read, and is kept in this folder for whoever wants to know why. The store
    /// is a new, empty one.
    Quarantined(PathBuf),
}

/// An open store.
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    /// How it was found.
    pub condition: Condition,
}

/// Opens the store in `folder`, which is made if need be.
///
/// # Errors
///
/// [`StoreError::InUse`] and [`StoreError::NoRoom`] as they say; [`StoreError::Failed`] when the
/// folder itself cannot be used. Damage is no error: see [`Condition::Quarantined`].
pub fn open(folder: &Path, config: &StoreConfig) -> Result<Opened, StoreError> {
    match config.engine {
        Engine::Sled => folder::open(folder, config, SledStore::open),
        Engine::Redb => folder::open(folder, config, RedbStore::open),
    }
}

/// The first failure of a store: from then on everything fails, because a system that failed to
/// write once may have forgotten what it still had to write.
#[derive(Debug, Default)]
struct Failure(OnceLock<StoreError>);

impl Failure {
    fn check(&self) -> Result<(), StoreError> {
        self.0.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// Remembers the error, and passes on the first one.
    fn note(&self, error: StoreError) -> StoreError {
        self.0.get_or_init(|| error).clone()
    }
}

/// An error of the operating system: some kinds of it say that a file is not what it should be.
fn io_error(why: &std::io::Error) -> StoreError {
    match why.kind() {
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => StoreError::Damaged(why.to_string()),
        _ => StoreError::Failed(why.to_string()),
    }
}

#[cfg(test)]
mod tests;
