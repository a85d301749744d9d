//! The conversation of tenant and provider over one stream.
//!
//! ```text
//!   tenant                                     provider
//!     Hello{version, Tenant(delegation)} ------> verify, once only, owner of the lease
//!     Request                      ------->      scope, then the work
//!                                  <-------    Answer: Refused | Accepted | Manifest | Status
//!                                  <-------    Answer: Streaming, then
//!     Input: stdin, resize         <------>      Output: stdout, stderr, log, event ... Exit | End
//!
//!   stranger
//!     Hello{version, Stranger(addressee)} -----> is it meant?
//!     Inquiry{groups}              ------->      what it would bid; nothing is kept of it
//!                                  <-------    Answer: Refused | Quotes
//! ```
//!
//! A stream carries one request. Every frame is a length (4 bytes, big endian) and a borsh value;
//! what a frame may hold, and how long it may be, follows from what was said before: the first one
//! gets 1 KiB of attention, an inquiry 64 KiB, a manifest is read only from somebody who may send
//! one.
//!
//! A caller that closes its side of a stream, or loses the connection, is gone, and what it asked
//! for ends: a log that is followed, a command that runs.
//!
//! [`session`] has these rules as two state machines without input and output. [`ChannelClient`]
//! and [`serve`] put them on a byte stream.

mod client;
mod frame;
mod messages;
mod quote;
mod server;
pub mod session;

pub use client::{ChannelClient, ChannelError, Inputs, Outputs};
pub use frame::{FrameError, MAX_CHUNK_BYTES, MAX_LOG_BYTES};
pub use messages::{
    Answer, Caller, ExecRequest, ForwardedPort, Hello, Input, KeptManifest, LeaseEvent,
    LeaseStatus, LogLine, LogQuery, Output, PROTOCOL_VERSION, Phase, Reason, Refusal, Request,
    ServiceStatus, Severity, TerminalSize, UnprovenHost,
};
pub use quote::{
    Addressee, Inquiry, MAX_QUOTED_GROUPS, MAX_REASON_BYTES, MAX_REASONS, MAX_REASONS_BYTES, Quote,
};
pub use server::{Exec, Tenancy, serve};

#[cfg(test)]
mod tests;
