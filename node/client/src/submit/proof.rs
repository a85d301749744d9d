//! That a transaction is in a block, and what came of it, from what servers say and two headers.
//!
//! ```text
//!   header H:     data_hash          ◄── Merkle proof ── the transaction's id at its place
//!   header H + 1: last_results_hash  ◄── all results of block H (code, gas, events in borsh)
//! ```

use welkin_consensus::state::{TxOutcome, results_hash};
use welkin_runtime::{Event, Hash, ModuleError};

use crate::error::ClientError;
use crate::light::VerifiedHeader;
use crate::rpc::types::{BlockResults, TxAnswer, TxResult};

/// A transaction whose place in a block is proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its id.
    pub id: Hash,
    /// Height of its block.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
    /// How many transactions the block has.
    pub total: u64,
}

/// What came of a transaction, proven but for the words of a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The refusal, if it failed. Its code is proven; module and message are the server's words.
    pub error: Option<ModuleError>,
    /// The gas limit.
    pub gas_wanted: u64,
    /// The gas that was used.
    pub gas_used: u64,
    /// What happened.
    pub events: Vec<Event>,
}

/// Checks that the transaction `id` stands where the answer says.
///
/// # Errors
/// [`ClientError::Verification`] when the proof does not show that.
pub fn verify_place(
    id: &Hash,
    answer: &TxAnswer,
    header: &VerifiedHeader,
    by: &str,
) -> Result<Placed, ClientError> {
    let height = answer.height;
    let lie = |proven: &str| {
        ClientError::lie(
            by,
            format!("that transaction {id} is in block {height}"),
            proven,
        )
    };
    if header.height() != height {
        return Err(lie("the header is of another height"));
    }
    let proof = answer
        .proof
        .as_ref()
        .ok_or_else(|| lie("there is no proof with it"))?;
    let root = header.header().data_hash.bytes();
    let root = root.ok_or_else(|| lie("that block has no transactions"))?;
    proof
        .proof
        .verify(&root, &id.0)
        .map_err(|error| lie(&error.to_string()))?;
    if proof.proof.index != u64::from(answer.index) {
        return Err(lie("the proof is for another place"));
    }
    Ok(Placed {
        id: *id,
        height,
        index: answer.index,
        total: proof.proof.total,
    })
}

/// Checks the results of a block against the header after it, and returns the one of a transaction.
///
/// # Errors
/// [`ClientError::Verification`] when they are not the results that the header names.
pub fn verify_outcome(
    placed: &Placed,
    results: &BlockResults,
    next_header: &VerifiedHeader,
    by: &str,
) -> Result<Outcome, ClientError> {
    let height = placed.height;
    let lie = |proven: String| {
        ClientError::lie(
            by,
            format!("what came of the transactions of block {height}"),
            proven,
        )
    };
    if Some(next_header.height()) != height.checked_add(1) {
        return Err(lie("the header is not the next one".to_owned()));
    }
    let outcomes: Vec<TxOutcome> = results.txs_results.iter().map(TxResult::outcome).collect();
    let (found, named) = (
        results_hash(&outcomes),
        next_header.header().last_results_hash,
    );
    if found != named {
        return Err(lie(format!(
            "their hash is {found}, header {} names {named}",
            height + 1
        )));
    }
    if outcomes.len() as u64 != placed.total {
        return Err(lie(format!("the block has {} transactions", placed.total)));
    }
    let result = usize::try_from(placed.index)
        .ok()
        .and_then(|index| results.txs_results.get(index))
        .ok_or_else(|| lie("the block has fewer transactions".to_owned()))?;
    read(result).map_err(lie)
}

/// What a result says.
pub(super) fn read(result: &TxResult) -> Result<Outcome, String> {
    let error = result.error();
    let events = if error.is_none() {
        let events = borsh::from_slice(&result.data);
        events.map_err(|error| format!("its events cannot be read: {error}"))?
    } else {
        Vec::new()
    };
    Ok(Outcome {
        error,
        gas_wanted: result.gas_wanted,
        gas_used: result.gas_used,
        events,
    })
}
