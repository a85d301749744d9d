//! What an operator or a test can set.

use std::time::Duration;

use libp2p::Multiaddr;

use crate::bucket::Rate;

/// How a process takes part in the private peer channel.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hash of the chain's genesis; it is in the protocol's name.
    pub genesis_hash: [u8; 32],
    /// Where a listener listens: TCP (`/ip4/0.0.0.0/tcp/8443`) and QUIC
    /// (`/ip4/0.0.0.0/udp/8443/quic-v1`).
    pub listen: Vec<Multiaddr>,
    /// How long opening a stream may take, retries included.
    pub open_timeout: Duration,
    /// A connection on which nothing happened for this time, and that has no stream, is closed.
    pub idle_timeout: Duration,
    /// What is accepted from others.
    pub limits: Limits,
}

impl Config {
    /// The defaults for the chain with this genesis, without any address.
    #[must_use]
    pub fn new(genesis_hash: [u8; 32]) -> Self {
        Self {
            genesis_hash,
            listen: Vec::new(),
            open_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(60),
            limits: Limits::default(),
        }
    }
}

/// What is accepted from others.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Inbound connections that have not proven an identity yet.
    pub pending: u32,
    /// Inbound connections.
    pub connections: u32,
    /// Connections with one peer.
    pub connections_per_peer: u32,
    /// Inbound connections from one IPv4 address or one IPv6 /64.
    pub connections_per_ip: u32,
    /// The same for loopback addresses.
    pub connections_per_loopback_ip: u32,
    /// Open streams of one peer.
    pub streams_per_peer: u32,
    /// Open streams of all peers.
    pub streams: u32,
    /// How fast one peer may open streams.
    pub opening_rate: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 32,
            connections: 512,
            connections_per_peer: 8,
            connections_per_ip: 32,
            connections_per_loopback_ip: 512,
            streams_per_peer: 32,
            streams: 1024,
            opening_rate: Rate::new(64, 256),
        }
    }
}
