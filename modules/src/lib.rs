//! Welkin's modules.

pub mod accounts;
pub mod deployment;
pub mod escrow;
pub mod ids;
pub mod market;
pub mod moment;
pub mod page;
pub mod provider;
pub mod spec;

mod text;

pub use ids::{BidId, DeploymentId, GroupId, LeaseId, OrderId};
pub use moment::{Closed, Moment, Reason, Side};
