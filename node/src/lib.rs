//! The validator and full node: everything that has a clock, a disk or a socket, around the pure
//! consensus machine and the pure runtime.
//!
//! ```text
//!   peers ──► net ──► shell ──► consensus machine ──► effects: sign, gossip, decide
//!              │        ▲           │ before anything that depends on it leaves
//!              ▼        │           ▼
//!   RPC ──► mempool ────┘    wal (votes, proposals, locks)   sign_state (what was signed last)
//!                                   │ a decided block; or one that `sync` fetched
//!                                   ▼
//!   ledger:  block_log (the truth: blocks, commits, validator sets, results)
//!                                   │ executed
//!                                   ▼
//!            store (state tree and indexes; rebuilt from snapshot and log when in doubt)
//!                                   │ readable
//!                                   ▼
//!   api ──► rpc, metrics
//! ```
//!
//! `start` leads from a home folder to a running node, `node` puts the parts together.
//!
//! Invariants:
//! - Nothing is acknowledged before the block log is synced and the state can be read.
//! - Nothing is signed before the sign state that records it is durable.
//! - A torn end of a file is cut; a change in what was synced is an error that says what to do.
//! - After a failed write or sync the node stops; a failed sync is never repeated.
//! - A part of the node (a thread, or a task that lives as long as it) that panics ends the process; a task that serves
//!   one peer or one client ends for that one only.
//!
//! Deliberately not here: the rules of consensus (`welkin-consensus`), of transactions
//! (`welkin-runtime`, `welkin-modules`) and of gossip (`welkin-p2p`).

pub mod api;
pub mod block_log;
pub mod config;
pub mod disk;
pub mod evidence;
pub mod export;
mod http;
pub mod init;
pub mod ledger;
pub mod lock;
pub mod mempool;
pub mod metrics;
pub mod net;
pub mod node;
pub mod rpc;
mod segments;
pub mod shell;
pub mod sign_state;
pub mod snapshot;
pub mod start;
pub mod stop;
pub mod store;
pub mod sync;
pub mod wal;
