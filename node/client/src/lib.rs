//! Reads and writes the chain from outside, believing no server.
//!
//! ```text
//!    genesis file ──► light: validators, then header after header      keyring, derive
//!                        │  commits                                        │ keys
//!                        ▼                                                 ▼
//!    query: answer + witness ──► checked against a header's app hash    submit: build, sign,
//!                        ▲                                              send, wait, prove
//!                        │                                                 │
//!                        └───────── rpc: HTTP and WebSocket, several ──────┘
//!                                   servers, bounded answers
//! ```
//!
//! [`Chain`] is the whole of it for one network (`questions` gives it a method for each thing that is asked often); the
//! rest is there for those who need a part.
//!
//! Invariants:
//! - Trust starts at the genesis file, whose hash is pinned on disk; another network's answers never
//!   mix with this one's.
//! - What [`Chain::query`] returns was computed here, over state that a proof ties to a header that
//!   more than 2/3 of the validators signed. A server that says something else is named in
//!   [`ClientError::Verification`].
//! - The highest verified header never goes back, not even over a restart.
//! - One transaction has one sequence: while it may still be executed, its sequence is not given to
//!   another one, so nothing is ever done twice.
//! - Every answer is bounded in bytes and in time before it is read. Events are hints and prove nothing.
//!
//! Deliberately not here: trusting periods, skipping over validator changes by partial overlap,
//! witnesses and evidence against servers; what a call means (`welkin-modules`); TLS (put a proxy on
//! this machine in front of a distant server; what it could change would be noticed).

pub mod chain;
pub mod derive;
pub mod error;
pub mod keyring;
pub mod light;
pub mod query;
pub mod rpc;
pub mod submit;

pub mod files;
mod questions;

pub use chain::{BlockHints, Chain, Config, Trust};
pub use error::{ClientError, TransactionRef};
pub use light::{LightClient, VerifiedHeader};
pub use query::Proven;
pub use rpc::RpcClient;
pub use submit::{Receipt, SubmitOptions, Submitted, call, call_from_json};
