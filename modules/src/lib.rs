//! Welkin's modules: what the chain knows of money, providers, deployments and the market.
//!
//! ```text
//!   tenant                                                        provider
//!     | create, deposit                                register, bid |
//!     v                                                              v
//!   deployment --- groups ---> market: order -> bids -> lease <--- provider
//!     |                            |                                 | bond, attributes
//!     | opens, closes              | opens, closes payments          |
//!     v                            v                                 v
//!   escrow: account ----- payments, by the nanosecond ----------> accounts: balances, fees
//! ```
//!
//! [`RUNTIME`] is the list that composes them. Each module is a folder of the same shape: `mod`
//! (purpose and rules), `types` (what others see), `state` (what is stored, and what is always
//! true of it), `calls`, `queries`, `tests`. Beside them stand what all share: names ([`ids`]),
//! what a tenant asks for ([`spec`]), and the rules of who can run it ([`matching`]).
//!
//! # What always holds
//!
//! - The sum of all balances never changes; each module that holds money holds exactly what it
//!   owes.
//! - A group is open if and only if its newest order is open or leased; an active lease has exactly
//!   one open payment, an open order exactly one place in the index of expiries.
//! - Whatever can be opened has one function that ends it, and one that removes its record later.
//! - No block does more work than the parameters say; what is left over is done in the next ones.
//!
//! Not here, on purpose: staking and governance (validators and parameters are those of the
//! genesis), and anything that reads a clock, a disk or the network.

pub mod accounts;
pub mod deployment;
pub mod escrow;
pub mod genesis;
pub mod ids;
pub mod market;
pub mod matching;
pub mod moment;
pub mod page;
pub mod provider;
pub mod spec;
#[cfg(any(test, feature = "test-support"))]
pub mod test_support;

mod invariants;
mod text;

#[cfg(test)]
mod tests;

use welkin_runtime::types::NANOS_PER_SECOND;
use welkin_runtime::{Runtime, entry};

pub use ids::{BidId, DeploymentId, GroupId, LeaseId, OrderId};
pub use moment::{Closed, Moment, Reason, Side};

pub(crate) use invariants::{EACH_PAGE, each, expect_balance};

/// The runtime of the chain. Numbers are never changed or given to another module.
pub const RUNTIME: Runtime = Runtime {
    entries: &[
        entry::<accounts::Accounts>(1),
        entry::<provider::Providers>(2),
        entry::<deployment::Deployments>(3),
        entry::<market::Market>(4),
        entry::<escrow::Escrow>(5),
    ],
    accounts: &accounts::HOOKS,
};

/// So many seconds in nanoseconds; the longest time there is if that is longer.
pub(crate) fn seconds(seconds: u64) -> u64 {
    seconds.saturating_mul(NANOS_PER_SECOND)
}
