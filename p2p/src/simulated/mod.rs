//! In-memory twins of both networks, for tests of what is built on them.
//!
//! The ends are the same types as those of the real networks ([`chain::Handle`], [`chain::Events`],
//! [`channel::Listener`], [`channel::Connector`], [`channel::Stream`]), and one test suite runs on
//! both. Links
//! lose, delay and repeat what they carry, as a seed says, and can be cut. The dice depend on
//! nothing but the seed and the order of what is sent; on a single-threaded runtime that order is
//! repeatable.
//!
//! Not simulated: connection limits, rates, encodings, congestion.
//!
//! [`chain::Handle`]: crate::chain::Handle
//! [`chain::Events`]: crate::chain::Events
//! [`channel::Listener`]: crate::channel::Listener
//! [`channel::Connector`]: crate::channel::Connector
//! [`channel::Stream`]: crate::channel::Stream

pub mod chain;
pub mod channel;
mod links;
mod member;

pub use links::Conditions;
