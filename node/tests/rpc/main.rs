//! The RPC as programs meet it: over sockets, against a validator that makes blocks.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod golden;
mod harness;
mod mask;
mod refusals;
mod transports;
