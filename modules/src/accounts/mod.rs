//! Accounts: who holds how much, and how many transactions each has sent.
//!
//! ```text
//!   transfer ----\
//!   fees ---------> move money between records; the sum of all balances never changes
//!   modules -----/
//! ```
//!
//! A record keeps balance and sequence together, so that a fee touches one key of its payer. It is
//! removed only when both are zero: a sequence, once used, is remembered for ever. Modules hold
//! money under addresses of their own ([`module_address`]) to which no key leads and which take no
//! transfers, so each of them can check that it holds exactly what it owes.
//!
//! Not here, on purpose: new money, and what becomes of the collected fees (there is no staking
//! yet).

mod calls;
mod queries;
mod state;
pub mod types;

#[cfg(test)]
mod tests;

use welkin_runtime::{Address, Ctx, Invariant, Module, Result, StorageItem};

pub use calls::{HOOKS, transfer};
pub use state::{account, module_address};
pub use types::*;

/// The name under which fees are collected.
pub const FEES: &str = "fees";

/// The address under which fees are collected.
pub fn fee_collector() -> Address {
    module_address(FEES)
}

/// The module.
pub struct Accounts;

impl Module for Accounts {
    const NAME: &'static str = "accounts";
    const DOC: &'static str = "Balances, transfers and sequence numbers.";
    const STORAGE: &'static [StorageItem] = state::STORAGE;
    const INVARIANTS: &'static [Invariant] = state::INVARIANTS;

    type Genesis = Genesis;
    type Call = Call;
    type Query = Query;
    type Answer = Answer;
    type Event = Event;
    type Error = Error;

    fn genesis(ctx: &mut Ctx, genesis: Genesis) -> Result<()> {
        calls::genesis(ctx, &genesis)
    }

    fn call(ctx: &mut Ctx, call: Call) -> Result<()> {
        match call {
            Call::Transfer { to, amount } => calls::transfer_call(ctx, &to, amount),
        }
    }

    fn query(ctx: &Ctx, query: Query) -> Result<Answer> {
        queries::answer(ctx, query)
    }
}
