//! Why the ledger cannot go on, and what its caller does about it.

use crate::disk::StorageError;
use welkin_consensus::error::{DecodeError, Invalid, VerifyError};
use welkin_runtime::execute::ExecuteError;
use welkin_runtime::store::StoreError;
use welkin_runtime::tree::TreeError;

/// Why a block was not accepted or not executed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The block is at fault: refuse it, and whoever sent it.
    #[error("the block is refused: {0}")]
    Refused(String),
    /// The block log, the WAL or the sign state failed: stop.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The store failed: stop; it is rebuilt at the next start if need be.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state tree is damaged: stop; it is rebuilt at the next start.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The runtime has no result for a block that was decided: stop.
    #[error("block {height} cannot be executed: {why}")]
    Execution {
        /// The block.
        height: u64,
        /// What the runtime said.
        why: ExecuteError,
    },
    /// The state here is not the state that the chain agreed on: stop, and let people look.
    #[error(
        "app hash mismatch after block {height}: this node computes {own}, the chain has {chain}; \
         the program differs from the network's, or its state is damaged: check the version, then \
         run `welkind unsafe-reset` and start again"
    )]
    AppHash {
        /// The block after which the state differs.
        height: u64,
        /// The root that was computed here, in hex.
        own: String,
        /// The root in the next header, in hex.
        chain: String,
    },
    /// The genesis file cannot be used.
    #[error("the genesis cannot be used: {0}")]
    Genesis(String),
    /// What the disk holds does not fit together.
    #[error("{0}")]
    Inconsistent(String),
}

impl From<Invalid> for LedgerError {
    fn from(why: Invalid) -> Self {
        LedgerError::Refused(why.to_string())
    }
}

impl From<VerifyError> for LedgerError {
    fn from(why: VerifyError) -> Self {
        LedgerError::Refused(why.to_string())
    }
}

impl From<DecodeError> for LedgerError {
    fn from(why: DecodeError) -> Self {
        LedgerError::Refused(why.to_string())
    }
}
