//! Providers: who they are, what they say they have, who vouches for it, and their bond.
//!
//! ```text
//!   register -> Active -- deactivate --> Leaving -- last bid and lease ended --> Retired -> pruned
//!                 ^                        |  (at once if there is none)           |
//!                 +------- register -------+-------------- register ---------------+
//! ```
//!
//! The bond is taken by registering and returned by retiring: nowhere else. Open bids and active
//! leases are counted for each provider ([`engage`], [`disengage`]), so nobody has to look for
//! them.
//!
//! An update never reaches back. A live lease goes on as it was made, even if its provider drops
//! what the lease was matched on: looking for such leases would make an update cost what the whole
//! network costs. The event names what was dropped, the tenant can close the lease and pays only up
//! to then, and an open bid is matched again when it is accepted, so nobody is given less than the
//! order required. Attestations are the auditors' own records; no update of the provider's changes
//! them, and an attribute counts as signed only while the provider itself still declares it.
//!
//! Not here, on purpose: slashing of bonds, and who is a good auditor (tenants say whom they
//! believe).

mod calls;
mod queries;
mod state;
pub mod types;

#[cfg(test)]
mod tests;

use welkin_runtime::{Ctx, Invariant, Module, Result, StorageItem};

pub use calls::{active, disengage, engage, mismatches};
pub(crate) use calls::{end_all_attestations, retire_all};
pub(crate) use state::all_engagements;
pub use types::*;

/// The module.
pub struct Providers;

impl Module for Providers {
    const NAME: &'static str = "provider";
    const DOC: &'static str =
        "Providers with their attributes and bonds, and what auditors attest.";
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
            Call::Register(profile) => calls::register(ctx, profile),
            Call::Update(profile) => calls::update(ctx, profile),
            Call::Deactivate {} => calls::deactivate(ctx),
            Call::Attest {
                provider,
                attributes,
            } => calls::attest(ctx, &provider, attributes),
            Call::Revoke { provider } => calls::revoke(ctx, &provider),
        }
    }

    fn query(ctx: &Ctx, query: Query) -> Result<Answer> {
        queries::answer(ctx, query)
    }

    fn end_block(ctx: &mut Ctx) {
        calls::prune(ctx);
    }
}
