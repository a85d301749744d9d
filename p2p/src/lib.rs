//! Under construction.

mod admission;
mod bucket;
pub mod chain;
mod conduct;
pub mod identity;
mod transport;

pub use bucket::Rate;
pub use conduct::{Offence, OffenceLabel};
pub use identity::{Keypair, Multiaddr, PeerId};

/// The log target of everything in this crate.
pub const LOG_TARGET: &str = "welkin::p2p";
