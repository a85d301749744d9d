//! What can go wrong between a client and the chain. The variant says what to do about it.

use std::path::PathBuf;
use std::time::Duration;

use welkin_runtime::{Hash, ModuleError};

/// What a failure means to a caller.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The input is wrong: nothing was sent.
    #[error("{0}")]
    Usage(String),
    /// No server answered. Try again later, or name another one.
    #[error("no server of the chain answered {method}: {}", list(.tried))]
    Unreachable {
        /// What was asked.
        method: String,
        /// Each server that was tried, and what became of it.
        tried: Vec<(String, String)>,
        /// Whether a server may have got the question all the same.
        maybe_sent: bool,
    },
    /// A server answered that it cannot do that.
    #[error("{by} refuses {method}: {message}")]
    Server {
        /// The server.
        by: String,
        /// What was asked.
        method: String,
        /// The JSON-RPC code.
        code: i64,
        /// What the server says.
        message: String,
    },
    /// The chain refuses a transaction or a query.
    #[error("the chain refuses: {error}{}", in_block(.transaction))]
    Refused {
        /// Module, code and message.
        error: ModuleError,
        /// The transaction, if it is in a block; its fee is paid.
        transaction: Option<TransactionRef>,
    },
    /// There is no such thing on the chain.
    #[error("{0}")]
    NotFound(String),
    /// It did not happen in time.
    #[error("{what} did not happen within {:.1} s", waited.as_secs_f64())]
    TimedOut {
        /// What was waited for.
        what: String,
        /// For how long.
        waited: Duration,
    },
    /// A transaction was sent, and it is not known what became of it. It may still be executed up to
    /// its expiry height; sending the same call again may do it twice.
    #[error(
        "it is not known what became of transaction {id}: {reason}; it may be executed up to height \
         {expiry_height}: look at what it should have changed before you send it again"
    )]
    Unconfirmed {
        /// The transaction.
        id: Hash,
        /// The last height at which it can be executed.
        expiry_height: u64,
        /// Why it is not known.
        reason: String,
    },
    /// A transaction was sent, and can never be executed any more. Nothing happened; send it again.
    #[error(
        "transaction {id} was in no block up to its expiry height {expiry_height}; nothing happened, send it again"
    )]
    Expired {
        /// The transaction.
        id: Hash,
        /// The last height at which it could have been executed.
        expiry_height: u64,
    },
    /// A server told what is not true. Use another one.
    #[error("{by} does not tell the truth: it claims {claimed}, but {proven}")]
    Verification {
        /// What it told.
        claimed: String,
        /// What is proven instead.
        proven: String,
        /// The server.
        by: String,
    },
    /// The servers are behind what was verified before. Try again later, or name another one.
    #[error("{by} is at height {answered}, but height {seen} was verified before; the server lags")]
    Stale {
        /// The newest height that it can answer for.
        answered: u64,
        /// The height that was verified before.
        seen: u64,
        /// The server.
        by: String,
    },
    /// A folder belongs to another network.
    #[error(
        "{} belongs to the network with genesis {pinned}, not {given}; use another folder for another network",
        folder.display()
    )]
    OtherNetwork {
        /// The folder.
        folder: PathBuf,
        /// The network that it belongs to.
        pinned: Hash,
        /// The network that was asked for.
        given: Hash,
    },
    /// A file of ours cannot be used.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}

/// Where a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionRef {
    /// Its id.
    pub id: Hash,
    /// The height of its block.
    pub height: u64,
}

impl ClientError {
    /// The exit code of a command that fails with this (design 7): 1 failed, 2 usage, 3 not found,
    /// 4 refused by the chain, 6 timed out, 7 verification failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            ClientError::Usage(_) => 2,
            ClientError::NotFound(_) => 3,
            ClientError::Refused { .. } => 4,
            ClientError::TimedOut { .. }
            | ClientError::Unconfirmed { .. }
            | ClientError::Expired { .. } => 6,
            ClientError::Verification { .. } => 7,
            ClientError::Unreachable { .. }
            | ClientError::Server { .. }
            | ClientError::Stale { .. }
            | ClientError::OtherNetwork { .. }
            | ClientError::File { .. } => 1,
        }
    }

    /// Whether the same may work a little later, without anybody changing anything.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            ClientError::Unreachable { .. }
                | ClientError::Server { .. }
                | ClientError::TimedOut { .. }
                | ClientError::Expired { .. }
                | ClientError::Stale { .. }
        )
    }

    pub(crate) fn lie(
        by: impl Into<String>,
        claimed: impl Into<String>,
        proven: impl Into<String>,
    ) -> ClientError {
        ClientError::Verification {
            claimed: claimed.into(),
            proven: proven.into(),
            by: by.into(),
        }
    }

    pub(crate) fn refused(error: ModuleError) -> ClientError {
        ClientError::Refused {
            error,
            transaction: None,
        }
    }
}

fn list(tried: &[(String, String)]) -> String {
    let tried: Vec<_> = tried
        .iter()
        .map(|(server, why)| format!("{server}: {why}"))
        .collect();
    tried.join("; ")
}

fn in_block(transaction: &Option<TransactionRef>) -> String {
    match transaction {
        Some(TransactionRef { id, height }) => {
            format!(" (transaction {id} in block {height}; its fee is paid)")
        }
        None => String::new(),
    }
}
