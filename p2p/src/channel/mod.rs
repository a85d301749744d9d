//! The private peer channel: byte streams between a tenant and a provider, on a network of its own.
//!
//! ```text
//!   Connector::open(peer, addresses)            Listener::accept()
//!        | dial, stream, HELLO                        ^
//!        v                                            | queue; READY says a place is reserved
//!   +---------+    TCP or QUIC, Noise or TLS    +----------+
//!   | service | <-----------------------------> | service  | --> a short task per new stream
//!   +---------+   many streams per connection   +----------+
//! ```
//!
//! - Both sides know each other's key: the connection proves it.
//! - A stream that was lost, or found no place, is opened again until [`Config::open_timeout`];
//!   only then the caller hears of it.
//! - Every peer has a bounded number of connections and streams, and opens them at a bounded rate.
//!
//! What is said on a stream, and how it is framed, is not decided here.

mod accept;
mod config;
mod connector;
mod listener;
mod metrics;
mod service;
mod slots;
mod stream;
mod streams;

pub use config::{Config, Limits};
pub use connector::{Connector, OpenError};
pub use listener::Listener;
pub use metrics::{Declined, DeclinedLabel, Metrics};
pub use stream::Stream;

pub(crate) use accept::{HANDSHAKE_TIMEOUT, welcome};
pub(crate) use listener::QUEUE;
pub(crate) use slots::Slots;

use libp2p::Multiaddr;

/// Why an end of the channel could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address could not be listened on.
    #[error(
        "cannot listen on {address}: {reason}; choose another address, or stop what uses this one"
    )]
    Listen {
        /// The address as configured.
        address: Multiaddr,
        /// What the operating system said.
        reason: String,
    },
    /// The transports or protocols could not be set up.
    #[error("cannot set up the peer channel: {0}")]
    Setup(String),
}
