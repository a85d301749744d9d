//! Transactions: built, signed, sent, waited for, proven.
//!
//! Transactions of one account are handed in one after the other, so that a refused one leaves no
//! gap before those that follow; they wait for their blocks side by side. The same bytes are handed
//! in again while they wait, which is harmless: a node knows what it has, and refuses what was
//! executed as a replay. That refusal is never believed to mean that nothing happened: the blocks
//! are searched for the transaction first.

pub mod proof;
mod send;
pub mod sequence;
mod wait;

use welkin_modules::RUNTIME;
use welkin_runtime::tx::RawCall;
use welkin_runtime::{Address, Amount, Event, Hash, Module};

use crate::error::ClientError;
pub(crate) use send::Accounts;

/// Gas of every transaction, before its calls.
const BASE_GAS: u64 = 300_000;
/// Gas of a call.
const GAS_PER_CALL: u64 = 100_000;
/// Gas of each byte of a call: what is sent is stored, read and indexed.
const GAS_PER_CALL_BYTE: u64 = 20;

/// What the sender may choose. The default is right nearly always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubmitOptions {
    /// The gas limit; a generous guess if it is not given.
    pub gas_limit: Option<u64>,
    /// The fee; the least that the chain takes for the gas limit if it is not given.
    pub fee: Option<Amount>,
    /// For how many blocks from now the transaction may be executed.
    pub lifetime_blocks: u64,
    /// How long is waited until it is in a block and that is proven.
    pub timeout_ms: u64,
    /// What of the outcome is proven.
    pub proof: OutcomeProof,
}

/// What of a transaction's outcome is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeProof {
    /// That it is in the block, and what came of it; needs the next header.
    Full,
    /// That it is in the block. What came of it is the server's word.
    Place,
}

impl Default for SubmitOptions {
    fn default() -> Self {
        SubmitOptions {
            gas_limit: None,
            fee: None,
            lifetime_blocks: 120,
            timeout_ms: 60_000,
            proof: OutcomeProof::Full,
        }
    }
}

/// A transaction that was taken by a node's mempool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Its id.
    pub id: Hash,
    /// Whose it is.
    pub sender: Address,
    /// Its sequence.
    pub sequence: u64,
    /// It was sent after this block.
    pub sent_after_height: u64,
    /// The last height at which it can be executed.
    pub expiry_height: u64,
    /// What it pays.
    pub fee: Amount,
    /// Its bytes, to be handed in again.
    pub raw: Vec<u8>,
}

/// A transaction that was executed and succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: Hash,
    /// Height of its block. The state after it can be proven once the next block is there.
    pub height: u64,
    /// Its place in the block.
    pub index: u32,
    /// What it paid.
    pub fee: Amount,
    /// The gas limit.
    pub gas_wanted: u64,
    /// The gas that was used.
    pub gas_used: u64,
    /// What happened.
    pub events: Vec<Event>,
}

impl Receipt {
    /// The events of module `M`, in order.
    pub fn events_of<M: Module>(&self) -> Vec<M::Event> {
        let own = self.events.iter().filter(|event| event.module == M::NAME);
        own.filter_map(|event| borsh::from_slice(&event.data).ok())
            .collect()
    }
}

/// A call of module `M`.
pub fn call<M: Module>(call: &M::Call) -> RawCall {
    RUNTIME
        .call_of::<M>(call)
        .expect("the modules of this program are in its table, and calls have a form")
}

/// A call in JSON, as people write it.
///
/// # Errors
/// [`ClientError::Usage`] when there is no such module or the JSON is no call of it.
pub fn call_from_json(module: &str, call: &serde_json::Value) -> Result<RawCall, ClientError> {
    let call = RUNTIME.call_from_json(module, call);
    call.map_err(|error| ClientError::Usage(error.to_string()))
}

/// A gas limit that is generous for these calls.
pub fn gas_estimate(calls: &[RawCall]) -> u64 {
    let bytes: u64 = calls.iter().map(|call| call.bytes.len() as u64).sum();
    BASE_GAS + GAS_PER_CALL * calls.len() as u64 + GAS_PER_CALL_BYTE * bytes
}

/// The least fee for a gas limit, at this price for a million gas, rounded up.
pub fn minimum_fee(gas_limit: u64, per_million_gas: Amount) -> Amount {
    let fee = (u128::from(gas_limit) * u128::from(per_million_gas.0)).div_ceil(1_000_000);
    Amount(u64::try_from(fee).unwrap_or(u64::MAX))
}
