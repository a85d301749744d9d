//! The client against chains that are really built and signed, behind servers that lie, stall, cut
//! off and flood.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that this is a test"
)]

mod chain;
mod light;
mod queries;
mod rpc;
mod server;
mod sockets;
mod transactions;
