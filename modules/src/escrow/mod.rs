//! Escrow: the money of deployments, and how leases are paid out of it by the nanosecond.
//!
//! ```text
//!   deposit --> balance --- earned by leases: rate x nanoseconds --- withdraw, close --> payee
//!                  |
//!                  +------- the rest, when the account closes -------------------------> owner
//!
//!   Open -- first block at or past due --> Exhausted -- grace used up --> Closed
//!     ^                                        |                            ^
//!     +--- money for min_runway again ---------+     closed by its owner ---+
//! ```
//!
//! # Money and time
//!
//! What a payment has earned is a numerator, rate x nanoseconds; 3.6e12 of them are a micro-token.
//! An account counts the nanoseconds of its life that were covered by money, so a payment's
//! numerator is rate x (covered now - covered when it opened) - what was paid out: settling an
//! account touches one record however many leases it has and however long they last. Paying takes
//! the whole part; when a payment closes, its remainder falls back to the owner.
//!
//! *Due* is the last instant that is fully covered, settled_at + floor((balance x 3.6e12 - earned)
//! / sum of rates). Every touch first settles up to min(now, due), so nobody is paid for time that
//! was not covered and nobody is ever short.
//!
//! The first block at or past due makes the account exhausted, and grace counts from that block's
//! time even if the block had no room to say so: while due accounts are carried over, the times of
//! blocks are kept (`escrow/backlog`). An account resumes as soon as its money lasts for
//! `min_runway`, by a top-up or because a lease ended.
//!
//! # What an end costs
//!
//! Opening prepays closing. When a transaction closes an account (its owner's, or anybody's
//! `settle` past its end) the prepayment goes back to the owner; when a hook has to, it is a fee.
//! Past its end an account is *closing*: every touch but `settle` is refused.
//!
//! Not here, on purpose: opening and closing by an account holder. The deployment does both
//! ([`crate::deployment`]); the one arrow upwards is that an account's end ends its deployment.

mod calls;
mod queries;
mod state;
pub mod types;

#[cfg(test)]
mod tests;

use welkin_runtime::{Ctx, Invariant, Module, Result, StorageItem};

pub use calls::{close, close_payment, open, open_payment, prune, prune_payment, touch};
pub(crate) use state::{count_open_payments, is_closed, is_open, payment_is_open};
pub use types::*;

/// The module.
pub struct Escrow;

impl Module for Escrow {
    const NAME: &'static str = "escrow";
    const DOC: &'static str =
        "Accounts of deployments, and payments out of them by the nanosecond.";
    const STORAGE: &'static [StorageItem] = state::STORAGE;
    const INVARIANTS: &'static [Invariant] = state::INVARIANTS;

    type Genesis = Genesis;
    type Call = Call;
    type Query = Query;
    type Answer = Answer;
    type Event = Event;
    type Error = Error;

    fn genesis(ctx: &mut Ctx, genesis: Genesis) -> Result<()> {
        calls::genesis(ctx, &genesis.params)
    }

    fn call(ctx: &mut Ctx, call: Call) -> Result<()> {
        match call {
            Call::Deposit { deployment, amount } => calls::deposit(ctx, deployment, amount),
            Call::Settle { deployment } => calls::settle(ctx, deployment),
            Call::Withdraw { lease } => calls::withdraw(ctx, lease),
        }
    }

    fn query(ctx: &Ctx, query: Query) -> Result<Answer> {
        queries::answer(ctx, query)
    }

    fn begin_block(ctx: &mut Ctx) {
        calls::wake(ctx);
    }
}
