//! Deployments: what a tenant runs, in groups that each go to one provider.
//!
//! ```text
//!   create -> Active -- close, last group closed, money and grace used up --> Closed -> pruned
//!
//!   group:  Open --- pause; lease closed by the provider; order expired ---> Paused
//!            ^  ^                                                              |
//!            |  +-- lease closed by the owner: a new order at once             |
//!            +--------------------------- start -------------------------------+
//!           any of both --- close; the deployment's end ---> Closed
//! ```
//!
//! A group is open exactly while its newest order is open or leased. What becomes of it when that
//! ends depends on who ended it. An owner who closes a lease wants another provider: a new order is
//! opened at once (one who wants none pauses or closes the group). After a provider's withdrawal,
//! and after an order that nobody won, the group is paused, because asking again at once could go
//! on for ever at the tenant's cost. While the account is exhausted no order is opened.
//!
//! Of the manifest only a commitment is here. Creating and updating carry a nonce that is unique
//! among the owner's deployments, so that an interrupted tenant finds what it did; the nonces of
//! the creation and of the current version are kept.
//!
//! Not here, on purpose: money. The deposit of `create` opens the account in [`crate::escrow`],
//! where anybody can top it up (`escrow deposit`).

mod calls;
mod queries;
mod state;
pub mod types;

#[cfg(test)]
mod tests;

use welkin_runtime::{Ctx, Invariant, Module, Result, StorageItem};

pub(crate) use calls::end_all;
pub use calls::{after_order, end};
pub(crate) use state::prune_delay_nanos;
pub use state::{deployment, group};
pub use types::*;

/// The module.
pub struct Deployments;

impl Module for Deployments {
    const NAME: &'static str = "deployment";
    const DOC: &'static str = "Deployments, their groups and the commitments to their manifests.";
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
            Call::Create {
                groups,
                commitment,
                nonce,
                deposit,
                award,
            } => {
                let order = calls::NewDeployment {
                    commitment,
                    nonce,
                    deposit,
                    award,
                };
                calls::create(ctx, groups, order)
            }
            Call::Update {
                deployment,
                commitment,
                nonce,
            } => calls::update(ctx, deployment, commitment, nonce),
            Call::Close { deployment } => calls::close(ctx, deployment),
            Call::PauseGroup { group } => calls::pause_group(ctx, group),
            Call::StartGroup { group } => calls::start_group(ctx, group),
            Call::CloseGroup { group } => calls::close_group(ctx, group),
        }
    }

    fn query(ctx: &Ctx, query: Query) -> Result<Answer> {
        queries::answer(ctx, query)
    }

    fn end_block(ctx: &mut Ctx) {
        calls::prune(ctx);
    }
}
