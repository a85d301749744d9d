//! The market: orders, bids, and the leases that come of them.
//!
//! ```text
//!   order:  Open -- a bid accepted, or best at the end --> Leased -- lease ended --> Closed
//!             +---- expired, withdrawn -------------------------------------------> Closed
//!
//!   bid:    Open -- accepted --> Won -- lease ended --> Closed
//!             +---- order gone without it, outbid ----> Lost
//!             +---- closed by its provider -----------> Closed
//!             +---- too old --------------------------> Expired
//! ```
//!
//! A bid's deposit is locked until its bid, or the lease that comes of it, ends; then it returns
//! whole. Bids of an order that is gone are ended by the end of the block, as many as there is room
//! for, and in the next blocks after that; until then they look open but can no longer be accepted.
//!
//! Matching is checked when a bid is placed and again when it wins, with the same rules as the
//! provider and the planner use ([`crate::matching`]). When an order has as many open bids as it
//! may, a lower bid takes the place of the highest one, so nobody can keep others out by filling
//! it.
//!
//! An order says how it is awarded. The tenant's choice is `accept`; the best bid (lowest rate, of
//! equal ones the earliest) wins by itself when the bid window ends, and cannot be accepted before.
//! Every open order stands in an index by the time at which it is awarded or expires.
//!
//! Closed orders, with their bids and leases, can be queried for a set time and are then removed.
//!
//! Not here, on purpose: what a lease is paid and how to get it (`escrow withdraw`), and
//! reputation.

mod calls;
mod queries;
mod state;
pub mod types;

#[cfg(test)]
mod tests;

use welkin_runtime::{Ctx, Invariant, Module, Result, StorageItem};

pub(crate) use calls::end_all_bids;
#[cfg(any(test, feature = "test-support"))]
pub(crate) use calls::{Terms, bid};
pub use calls::{check_award, end_order, open_order, withdraw_order};
pub(crate) use state::{has_orders, state_of};
pub use types::*;

/// The module.
pub struct Market;

impl Module for Market {
    const NAME: &'static str = "market";
    const DOC: &'static str = "Orders, bids and leases.";
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
            Call::Bid {
                order,
                rate_uwlk_per_hour,
                offer,
                deposit,
            } => {
                let terms = calls::Terms {
                    rate: rate_uwlk_per_hour,
                    offer,
                    deposit,
                };
                calls::bid(ctx, ctx.sender()?, order, terms)
            }
            Call::Accept { bid } => calls::accept(ctx, bid),
            Call::CloseBid { order, reason } => calls::close_bid(ctx, order, reason),
            Call::CloseLease { lease, reason } => calls::close_lease(ctx, lease, reason),
        }
    }

    fn query(ctx: &Ctx, query: Query) -> Result<Answer> {
        queries::answer(ctx, query)
    }

    fn begin_block(ctx: &mut Ctx) {
        calls::expire(ctx);
    }

    fn end_block(ctx: &mut Ctx) {
        calls::return_lost_deposits(ctx);
        calls::prune(ctx);
    }
}
