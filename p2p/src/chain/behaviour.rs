//! The protocols of the chain's network, composed.

use std::collections::BTreeSet;
use std::time::Duration;

use libp2p::identity::PublicKey;
use libp2p::swarm::{NetworkBehaviour, StreamProtocol};
use libp2p::{PeerId, connection_limits, identify, ping, request_response};

use super::codec::Codec;
use super::config::{Config, ConnectionLimits};
use super::gossip::{GuardedGossip, gossip};
use super::inspector::Inspector;
use crate::admission::{self, Admission};
use crate::conduct::Conduct;

/// Requests at once on one connection, both directions together.
pub(crate) const REQUEST_STREAMS: u32 = 48;

/// What runs on every connection. The order matters: admission refuses before anything else is
/// asked.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    admission: Admission,
    limits: connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(crate) gossip: GuardedGossip,
    pub(crate) requests: request_response::Behaviour<Codec>,
}

/// The string by which peers of one network recognise each other.
pub(crate) fn protocol_version(network: &str) -> String {
    format!("/welkin/{network}/1")
}

/// What the behaviour is made from, beside the configuration.
pub(crate) struct Parts<'a> {
    pub(crate) network: &'a str,
    pub(crate) key: PublicKey,
    pub(crate) explicit: &'a BTreeSet<PeerId>,
    /// Peers for whom there is always room.
    pub(crate) welcome: BTreeSet<PeerId>,
    pub(crate) inspector: Inspector,
    pub(crate) conduct: Conduct,
}

/// The behaviour for this configuration.
pub(crate) fn behaviour(config: &Config, parts: Parts<'_>) -> Result<Behaviour, String> {
    let Parts {
        network,
        key,
        explicit,
        welcome,
        inspector,
        conduct,
    } = parts;
    let gossip = gossip(network, explicit, inspector.clone())?;
    let request_protocol = StreamProtocol::try_from_owned(format!("/welkin/{network}/request/1"))
        .map_err(|error| format!("protocol name: {error}"))?;
    let request_config = request_response::Config::default()
        // Twice, so that the asker's own clock is the first to run out, and not the answering
        // side's.
        .with_request_timeout(config.request_timeout * 2)
        .with_max_concurrent_streams(REQUEST_STREAMS as usize);
    let admission_limits = admission::Limits {
        per_peer: config.connections.per_peer,
        per_ip: config.connections.per_ip,
        per_loopback_ip: config.connections.per_loopback_ip,
    };
    Ok(Behaviour {
        admission: Admission::new(conduct.clone(), admission_limits),
        limits: connection_limits(config.connections, &welcome),
        identify: identify::Behaviour::new(
            identify::Config::new(protocol_version(network), key)
                .with_agent_version(concat!("welkin/", env!("CARGO_PKG_VERSION")).to_owned())
                .with_interval(Duration::from_secs(3600))
                .with_hide_listen_addrs(true)
                .with_cache_size(0),
        ),
        ping: ping::Behaviour::new(
            ping::Config::new()
                .with_interval(Duration::from_secs(10))
                .with_timeout(Duration::from_secs(10)),
        ),
        gossip: GuardedGossip::new(gossip, inspector, conduct),
        requests: request_response::Behaviour::with_codec(
            Codec,
            [(request_protocol, request_response::ProtocolSupport::Full)],
            request_config,
        ),
    })
}

fn connection_limits(
    limits: ConnectionLimits,
    welcome: &BTreeSet<PeerId>,
) -> connection_limits::Behaviour {
    let mut behaviour = connection_limits::Behaviour::new(
        connection_limits::ConnectionLimits::default()
            .with_max_pending_incoming(Some(limits.pending_inbound))
            .with_max_pending_outgoing(Some(limits.pending_outbound))
            .with_max_established_incoming(Some(limits.inbound))
            .with_max_established_outgoing(Some(limits.outbound)),
    );
    for peer in welcome {
        behaviour.bypass_peer_id(peer);
    }
    behaviour
}
