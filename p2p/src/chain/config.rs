//! What an operator or a test can set.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};

use super::types::{Protocol, Topic};
use crate::bucket::Rate;

/// How a node takes part in its chain's network.
#[derive(Clone, Debug)]
pub struct Config {
    /// The hash of the genesis; it is in every protocol name, so networks never mix.
    pub genesis_hash: [u8; 32],
    /// Where to listen, TCP (`/ip4/0.0.0.0/tcp/26656`) and QUIC (`/ip4/0.0.0.0/udp/26656/quic-v1`).
    pub listen: Vec<Multiaddr>,
    /// Peers to stay connected to for ever, each ending in `/p2p/PEER_ID`. Several addresses of one
    /// peer are tried at once.
    pub persistent_peers: Vec<Multiaddr>,
    /// Peers that get every message directly (the other validators, up to 16). Both sides must list
    /// each other.
    pub explicit_peers: Vec<PeerId>,
    /// How long a request may take.
    pub request_timeout: Duration,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// How fast a single peer may send.
    pub rates: Rates,
}

impl Config {
    /// The defaults for the chain with this genesis, without any address.
    #[must_use]
    pub fn new(genesis_hash: [u8; 32]) -> Self {
        Self {
            genesis_hash,
            listen: Vec::new(),
            persistent_peers: Vec::new(),
            explicit_peers: Vec::new(),
            request_timeout: Duration::from_secs(5),
            connections: ConnectionLimits::default(),
            rates: Rates::default(),
        }
    }
}

/// Bounds on connections. Persistent peers are let in beyond them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Inbound connections that have not proven an identity yet.
    pub pending_inbound: u32,
    /// Outbound connections that have not proven an identity yet.
    pub pending_outbound: u32,
    /// Inbound connections.
    pub inbound: u32,
    /// Outbound connections.
    pub outbound: u32,
    /// Connections with one peer: two, because both sides may dial at the same moment.
    pub per_peer: u32,
    /// Inbound connections from one IPv4 address or one IPv6 /64.
    pub per_ip: u32,
    /// The same for loopback addresses, where a whole test network lives.
    pub per_loopback_ip: u32,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            pending_inbound: 8,
            pending_outbound: 16,
            inbound: 64,
            outbound: 32,
            per_peer: 2,
            per_ip: 8,
            per_loopback_ip: 64,
        }
    }
}

/// How fast a single peer may send, by topic (messages and bytes) and by protocol (requests).
///
/// What exceeds a rate is dropped and costs the peer a point; the defaults are several times what
/// an honest neighbour sends under full load.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Messages on [`Topic::Consensus`].
    pub consensus_messages: Rate,
    /// Messages on [`Topic::Parts`].
    pub part_messages: Rate,
    /// Messages on [`Topic::Transactions`].
    pub transaction_messages: Rate,
    /// Messages on [`Topic::Evidence`].
    pub evidence_messages: Rate,
    /// Bytes on all topics together.
    pub gossip_bytes: Rate,
    /// Requests of each protocol.
    pub requests: Rate,
    /// Requests of [`Protocol::Blocks`], whose responses are large.
    pub block_requests: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            consensus_messages: Rate::new(4_000, 16_000),
            part_messages: Rate::new(500, 2_000),
            transaction_messages: Rate::new(20_000, 40_000),
            evidence_messages: Rate::new(10, 50),
            gossip_bytes: Rate::new(32 << 20, 64 << 20),
            requests: Rate::new(200, 800),
            block_requests: Rate::new(50, 200),
        }
    }
}

impl Rates {
    /// The rate of messages on a topic.
    #[must_use]
    pub const fn messages(&self, topic: Topic) -> Rate {
        match topic {
            Topic::Consensus => self.consensus_messages,
            Topic::Parts => self.part_messages,
            Topic::Transactions => self.transaction_messages,
            Topic::Evidence => self.evidence_messages,
        }
    }

    /// The rate of requests of a protocol.
    #[must_use]
    pub const fn requests(&self, protocol: Protocol) -> Rate {
        match protocol {
            Protocol::Blocks => self.block_requests,
            Protocol::Status | Protocol::Votes | Protocol::Parts | Protocol::Transactions => {
                self.requests
            }
        }
    }
}
