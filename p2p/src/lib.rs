//! libp2p behind a small interface. It moves bytes and knows nothing of what they mean.
//!
//! There are two networks, apart from each other, each with its own swarm and protocol names:
//!
//! ```text
//!            the chain's network                         the private peer channel
//!
//!   node                                        tenant                      provider
//!    | publish, request, report   ^ events       | Connector::open             ^ Listener::accept
//!    v   (bounded, never waits)   | (lanes)      v                             |
//!   +-----------------------------------+       +---------+   streams    +---------+
//!   | driver: one task, owns the swarm  |       | service | <----------> | service |
//!   +-----------------------------------+       +---------+              +---------+
//!   | admission | gossip | requests | … |       | admission | ping | streams         |
//!   +-----------------------------------+       +-----------------------------------+
//!   |      TCP (Noise, yamux), QUIC     |       |      TCP (Noise, yamux), QUIC     |
//! ```
//!
//! - [`chain`]: gossip that is a hint, and requests that make it sure.
//! - [`channel`]: byte streams between two peers who know each other's keys.
//! - [`simulated`]: in-memory twins of both, with seeded loss, delay, repetition and partitions.
//! - [`identity`]: keys, peer ids and addresses, and how they convert.
//!
//! What holds everywhere:
//!
//! - The task that owns a swarm waits for nothing but the swarm and its commands. Whoever is slow
//!   (the node, a peer, a disk) finds a full queue, and each queue says what happens then.
//! - Every length from outside is checked before anything is allocated for it, and memory grows
//!   only with bytes that arrived.
//! - Protocol names hold the hash of the genesis, so networks never mix. Peers are known by ed25519
//!   keys only.
//! - Peers that break the rules collect points, are no longer listened to, and in the end are cut
//!   off for a while.
//!
//! Deliberately not here: what messages mean and whether they are valid (the node verifies, outside
//! these tasks, and reports a verdict), peer discovery (peers are configured or come by
//! themselves), NAT relays.

mod admission;
mod bucket;
pub mod chain;
pub mod channel;
mod conduct;
pub mod identity;
pub mod simulated;
mod transport;

pub use bucket::Rate;
pub use conduct::{Offence, OffenceLabel};
pub use identity::{Keypair, Multiaddr, PeerId};

/// The log target of everything in this crate.
pub const LOG_TARGET: &str = "welkin::p2p";

/// Log directives for the libraries below, to be put before an operator's own: they report what
/// single peers do wrong at levels that any peer could use to fill the log. What matters of it is
/// counted and logged here.
pub const QUIET_LIBRARIES: &str = "libp2p_gossipsub=off,libp2p_request_response=off,\
     libp2p_swarm=error,libp2p_tcp=error,libp2p_quic=error,yamux=off,multistream_select=off,\
     quinn=off,quinn_proto=off";
