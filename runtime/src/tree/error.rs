//! What can go wrong in the tree.

use crate::state::{MAX_KEY_BYTES, MAX_VALUE_BYTES, StateError};
use crate::store::StoreError;

/// Why the tree cannot answer or cannot change.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// That version is not kept: ask for another.
    #[error("state version {0} is not kept")]
    UnknownVersion(u64),
    /// Versions follow one another: the caller skipped or repeated one.
    #[error("state version {given} cannot follow version {newest}")]
    NotNext {
        /// What was asked for.
        given: u64,
        /// The newest version.
        newest: u64,
    },
    /// A key is empty or too long: a mistake of the module that wrote it.
    #[error("a key of {0} bytes; 1 to {MAX_KEY_BYTES} are allowed")]
    KeyLength(usize),
    /// A value is too long: a mistake of the module that wrote it.
    #[error("a value of {0} bytes; at most {MAX_VALUE_BYTES} are allowed")]
    ValueLength(usize),
    /// One key begins with another: a mistake of the module that wrote it.
    #[error("key {} is the beginning of another key", hex::encode(.0))]
    NotPrefixFree(Vec<u8>),
    /// The proof would be larger than anybody accepts: ask for less.
    #[error("the proof would be larger than {0} bytes: ask for less")]
    ProofTooLarge(usize),
    /// The store holds something that the tree did not write, or lacks something that it wrote:
    /// make the state again from a snapshot and the block log.
    #[error("the state is damaged ({0}): make it again from a snapshot and the block log")]
    Damaged(String),
    /// The store failed: stop.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<TreeError> for StateError {
    fn from(error: TreeError) -> StateError {
        match error {
            TreeError::UnknownVersion(version) => StateError::UnknownVersion(version),
            other => StateError::Broken(other.to_string()),
        }
    }
}
