//! Tendermint's data types and the pure consensus state machine.
//!
//! ```text
//!   peers' bytes ──► proto ──► types ──► machine ──► effects: sign, send, store, decide
//!                                │          │                             │
//!                             merkle      verify, misbehaviour            ▼
//!                                │          │                   state: what the next header
//!   genesis.json, key files ──► types,    light: what a client            must say
//!                               files     believes of headers
//! ```
//!
//! Everything is compatible with CometBFT v0.38 to the byte: same fields, same protobuf, same
//! SHA-256 hashes, same sign bytes, same proposer, same block time. The tests compare this crate
//! with programs and vectors that others wrote.
//!
//! Invariants:
//! - Values in, values out: no clock, disk, socket, random number or task.
//! - A decoder never panics, and accepts exactly the bytes that the encoder would write, so a
//!   value has one encoding. Counts are checked against the input before anything is allocated.
//! - Signatures are judged by one rule (ZIP-215), alone or in a batch.
//!
//! Deliberately not here: timers, files, gossip (`welkin-node`, `welkin-p2p`), the meaning of
//! transactions (`welkin-runtime`), vote extensions (never enabled on this chain).

pub mod canonical_json;
pub mod error;
pub mod files;
mod json;
pub mod light;
pub mod machine;
pub mod merkle;
pub mod misbehaviour;
pub mod proto;
pub mod state;
pub mod types;
pub mod verify;
