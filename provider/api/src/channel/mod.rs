//! The conversation of tenant and provider over one stream.
//!
//! ```text
//!   tenant                                     provider
//!     Hello{version, delegation}   ------->      verify, once only, owner of the lease
//!     Request                      ------->      scope, then the work
//!                                  <-------    Answer: Refused | Accepted | Manifest | Status
//!                                  <-------    Answer: Streaming, then
//!     Input: stdin, resize         <------>      Output: stdout, stderr, log, event ... Exit | End
//! ```
//!
//! A stream carries one request. Every frame is a length (4 bytes, big endian) and a borsh value;
//! what a frame may hold, and how long it may be, follows from what was said before: a stranger
//! gets 1 KiB of attention, a manifest is read only from somebody who may send one.
//!
//! [`session`] has these rules as two state machines without input and output. [`ChannelClient`]
//! and [`serve`] put them on a byte stream.

mod client;
mod frame;
mod messages;
mod server;
pub mod session;

pub use client::{ChannelClient, ChannelError, Inputs, Outputs};
pub use frame::{FrameError, MAX_CHUNK_BYTES, MAX_LOG_BYTES};
pub use messages::{
    Answer, ExecRequest, ForwardedPort, Hello, Input, KeptManifest, LeaseEvent, LeaseStatus,
    LogLine, LogQuery, Output, PROTOCOL_VERSION, Phase, Reason, Refusal, Request, ServiceStatus,
    Severity, TerminalSize, UnprovenHost,
};
pub use server::{Exec, Tenancy, serve};

#[cfg(test)]
mod tests;
