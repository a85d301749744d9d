//! What the mempool itself refuses; everything else is the runtime's word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::Coded;

/// Why a transaction that the runtime would take is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MempoolError {
    /// As many transactions wait as there is room for.
    Full = 1,
    /// Too many of the sender's transactions wait behind a missing one already.
    TooManyParked = 2,
    /// Another transaction with this sequence waits, and this one does not pay 10 % more.
    ReplacementUnderpaid = 3,
    /// The fees of all the sender's waiting transactions are more than it holds.
    FeesNotCovered = 4,
}

impl Coded for MempoolError {
    const MODULE: &'static str = "mempool";

    fn code(self) -> u32 {
        self as u32
    }
}
