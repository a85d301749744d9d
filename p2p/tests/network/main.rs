//! Both networks as their users see them: real ones on loopback, and their twins. One binary,
//! because each would link all of libp2p.

mod chain;
mod channel;
mod common;
mod conformance;
mod hostile;
mod raw;
mod twins;
