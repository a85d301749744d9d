//! Running blocks: the functions that a node calls.
//!
//! Values in, values out. The node owns state and time; what comes back is what to write.

mod block;
mod check;
mod genesis;
mod json;
mod query;
mod table;

use crate::ctx::{BlockInfo, Ctx, HookFailure};
use crate::error::{ModuleError, Result};
use crate::event::Event;
use crate::module::Entry;
use crate::state::{StateError, Writes};
use crate::storage::{Item, Prefix, StorageItem};
use crate::types::{Address, Amount, Time};

pub use block::REHEARSAL_GAS_LIMIT;
pub use check::{BlockCheck, BlockLimits, CheckedTransaction, NoCache, SignatureCache, TxCheck};
pub use query::QUERY_GAS_LIMIT;

/// A composed runtime: the table of modules, and what the frame must know of accounts.
#[derive(Clone, Copy)]
pub struct Runtime {
    /// The modules, in the order in which genesis and hooks run.
    pub entries: &'static [Entry],
    /// Sequences and fees.
    pub accounts: &'static AccountsHooks,
}

/// What the frame must know of accounts, as functions of the module that holds them.
pub struct AccountsHooks {
    /// What an account has; zeros for one that was never heard of.
    pub payer: fn(&Ctx, &Address) -> Result<Payer>,
    /// Moves the fee to the collector of fees and raises the sequence by one.
    pub charge: fn(&mut Ctx, &Address, Amount) -> Result<()>,
    /// The least fee for this gas limit that gets a transaction into the mempool.
    pub minimum_fee: fn(&Ctx, u64) -> Result<Amount>,
}

/// What decides whether an account can send a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payer {
    /// The sequence of its next transaction.
    pub sequence: u64,
    /// What it can pay.
    pub balance: Amount,
}

/// A block to be executed.
#[derive(Clone, Debug)]
pub struct BlockInput<'a> {
    /// Height, time, proposer, votes and misbehaviour.
    pub block: BlockInfo,
    /// The raw transactions, valid by [`Runtime::validate_block`].
    pub transactions: &'a [Vec<u8>],
    /// Whether the invariants are checked.
    pub invariants: Invariants,
}

/// Whether invariants are checked after a block. They read the whole state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invariants {
    /// Not checked.
    Trusted,
    /// Checked; a violation is [`ExecuteError::InvariantBroken`].
    Checked,
}

/// What came of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockOutput {
    /// What to write, in order of keys.
    pub writes: Writes,
    /// A result for each transaction.
    pub tx_results: Vec<TxResult>,
    /// Events of hooks.
    pub events: Vec<Event>,
    /// Changes of the validator set, effective two heights later.
    pub validator_updates: Vec<ValidatorUpdate>,
    /// Whether a module has due work left, so that the next block should come early.
    pub due_work: bool,
    /// Parts of hooks that failed and were undone: for the operator, who has found a bug.
    pub hook_failures: Vec<HookFailure>,
}

/// What came of a transaction, in the terms of Tendermint's `ExecTxResult`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[derive(borsh::BorshSerialize, borsh::BorshDeserialize)]
pub struct TxResult {
    /// 0, or the code of the error.
    pub code: u32,
    /// The module of the error; empty if there is none.
    pub codespace: String,
    /// The message of the error; empty if there is none. Not hashed.
    pub log: String,
    /// The events in borsh. The next header's `last_results_hash` covers this, so events can be
    /// proven, which Tendermint's own cannot.
    pub data: Vec<u8>,
    /// The gas limit.
    pub gas_wanted: u64,
    /// The gas that was used, at most the limit.
    pub gas_used: u64,
    /// What happened; nothing if the transaction failed.
    pub events: Vec<Event>,
}

/// A change of a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorUpdate {
    /// The Ed25519 key.
    pub public_key: [u8; 32],
    /// The new voting power; 0 removes the validator.
    pub power: u64,
}

/// The first state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenesisOutput {
    /// What to write into the empty state.
    pub writes: Writes,
    /// Validators that modules name; empty where consensus' own genesis names them.
    pub validator_updates: Vec<ValidatorUpdate>,
    /// Events of the genesis.
    pub events: Vec<Event>,
}

/// Why the runtime did not do what it was asked. The variant says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExecuteError {
    /// The input is at fault: refuse it.
    #[error("{0}")]
    Refused(ModuleError),
    /// A transaction makes the block invalid: refuse the block.
    #[error("transaction {position} of the block: {error}")]
    InvalidTransaction {
        /// Its position in the block, from 0.
        position: usize,
        /// What is wrong with it.
        error: ModuleError,
    },
    /// State cannot be read: stop, or ask for a better proof.
    #[error("{0}")]
    State(#[from] StateError),
    /// The modules have a bug: stop.
    #[error("invariant {name} of {module} is broken at height {height}: {detail}")]
    InvariantBroken {
        /// The module.
        module: &'static str,
        /// The invariant.
        name: &'static str,
        /// The height of the block after which it was checked.
        height: u64,
        /// What is wrong.
        detail: String,
    },
}

impl From<ModuleError> for ExecuteError {
    fn from(error: ModuleError) -> Self {
        ExecuteError::Refused(error)
    }
}

/// The frame's own storage: the block after which state is as it is, so that queries know its time
/// wherever they run.
const LAST_BLOCK: Item<LastBlock> = Item::new(
    "runtime/last_block",
    [0, 1],
    "Height and time of the block after which the state is as it is.",
);

/// Listed as the modules list theirs.
pub(crate) const FRAME_STORAGE: &[StorageItem] = &[LAST_BLOCK.info()];

#[derive(Clone, Copy, Debug)]
#[derive(borsh::BorshSerialize, borsh::BorshDeserialize, schemars::JsonSchema)]
struct LastBlock {
    height: u64,
    time: Time,
}

impl Runtime {
    /// The module of this number.
    pub fn entry(&self, number: u8) -> Option<&'static Entry> {
        self.entries.iter().find(|entry| entry.number == number)
    }

    /// The module of this name.
    pub fn entry_named(&self, name: &str) -> Option<&'static Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The prefixes of all storage items, in order.
    pub(crate) fn listed(&self) -> Vec<Prefix> {
        let items = self.entries.iter().flat_map(|entry| entry.storage);
        let mut prefixes: Vec<Prefix> =
            items.chain(FRAME_STORAGE).map(|item| item.prefix).collect();
        prefixes.sort_unstable();
        prefixes
    }

    /// Checks all invariants on the state that `ctx` sees.
    fn check_invariants(&self, ctx: &Ctx) -> Result<(), ExecuteError> {
        for entry in self.entries {
            for (name, holds) in entry.invariants {
                let verdict = holds(ctx);
                ctx.sound()?;
                verdict.map_err(|detail| ExecuteError::InvariantBroken {
                    module: entry.name,
                    name,
                    height: ctx.height(),
                    detail,
                })?;
            }
        }
        Ok(())
    }
}
