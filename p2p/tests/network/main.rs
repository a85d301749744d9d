//! Both networks as their users see them: real ones on loopback, and their twins. One binary,
//! because each would link all of libp2p.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod chain;
mod channel;
mod common;
mod conformance;
mod hostile;
mod raw;
mod twins;
