//! How bytes travel, the same for every network: TCP with Noise and yamux, and QUIC.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use futures::StreamExt as _;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, SwarmBuilder, noise, tcp, yamux};

/// A handshake that takes longer is given up.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// By then a new listener has reported its address.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long connections may take to say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bounds of one connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Streams at once, both directions together.
    pub(crate) streams: u32,
    /// Bytes in flight on one QUIC stream.
    pub(crate) stream_window_bytes: u32,
    /// A connection without streams is closed after this time.
    pub(crate) idle: Duration,
}

/// A swarm with this behaviour on both transports.
pub(crate) fn build_swarm<B: NetworkBehaviour>(
    keypair: Keypair,
    bounds: Bounds,
    behaviour: B,
) -> Result<Swarm<B>, String> {
    let multiplexer = move || {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(bounds.streams as usize);
        config
    };
    let builder = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(
            tcp::Config::new().listen_backlog(128),
            noise::Config::new,
            multiplexer,
        )
        .map_err(|error| format!("encryption: {error}"))?
        .with_quic_config(|mut config| {
            config.max_concurrent_stream_limit = bounds.streams;
            config.max_stream_data = bounds.stream_window_bytes;
            config.max_connection_data = bounds.stream_window_bytes.saturating_mul(4);
            config.handshake_timeout = HANDSHAKE_TIMEOUT;
            config
        })
        .with_dns()
        .map_err(|error| format!("name resolution: {error}"))?;
    let swarm = builder
        .with_behaviour(|_| behaviour)
        .map_err(|error| format!("protocols: {error}"))?
        .with_swarm_config(|config| {
            config
                .with_idle_connection_timeout(bounds.idle)
                .with_max_negotiating_inbound_streams(32)
                .with_per_connection_event_buffer_size(16)
        })
        .with_connection_timeout(HANDSHAKE_TIMEOUT)
        .build();
    Ok(swarm)
}

/// Dials a known peer at any of these addresses, unless it is connected or being dialled.
///
/// From a port of its own: sharing the listening port (libp2p's default) makes a quick reconnection
/// collide with the remains of the last connection.
pub(crate) fn dial_peer(peer: PeerId, addresses: Vec<Multiaddr>) -> DialOpts {
    DialOpts::peer_id(peer)
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .addresses(addresses)
        .allocate_new_port()
        .build()
}

/// Dials whoever is at this address.
pub(crate) fn dial_anybody(address: Multiaddr) -> DialOpts {
    DialOpts::unknown_peer_id()
        .address(address)
        .allocate_new_port()
        .build()
}

/// Where a swarm really listens, and what else happened until that was known.
pub(crate) struct Listening<B: NetworkBehaviour> {
    pub(crate) addresses: Vec<Multiaddr>,
    pub(crate) earlier: Vec<SwarmEvent<B::ToSwarm>>,
}

/// Listens on all these addresses, or says which one failed, and why.
pub(crate) async fn listen<B: NetworkBehaviour>(
    swarm: &mut Swarm<B>,
    wanted: &[Multiaddr],
) -> Result<Listening<B>, (Multiaddr, String)> {
    let mut waiting = HashSet::new();
    for address in wanted {
        let failed = |reason: String| (address.clone(), reason);
        check_free(address).map_err(|error| failed(error.to_string()))?;
        let id = swarm
            .listen_on(address.clone())
            .map_err(|error| failed(error.to_string()))?;
        waiting.insert(id);
    }
    let mut listening = Listening {
        addresses: Vec::new(),
        earlier: Vec::new(),
    };
    let deadline = tokio::time::Instant::now() + LISTEN_TIMEOUT;
    while !waiting.is_empty() {
        let event = tokio::time::timeout_at(deadline, swarm.select_next_some()).await;
        match event {
            Ok(SwarmEvent::NewListenAddr {
                listener_id,
                address,
            }) => {
                waiting.remove(&listener_id);
                listening.addresses.push(address);
            }
            Ok(event) => listening.earlier.push(event),
            Err(_) => {
                let address = wanted.first().cloned().unwrap_or_else(Multiaddr::empty);
                return Err((address, "no local address was found for it".to_owned()));
            }
        }
    }
    Ok(listening)
}

/// Waits until a dropped swarm has given its ports back: QUIC's are held until its connections have
/// said goodbye.
pub(crate) async fn wait_until_free(addresses: &[Multiaddr]) {
    let deadline = tokio::time::Instant::now() + GOODBYE_TIMEOUT;
    while addresses.iter().any(|address| check_free(address).is_err())
        && tokio::time::Instant::now() < deadline
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Fails if somebody else uses the port. libp2p listens with `SO_REUSEPORT`, which would let two
/// nodes of one user share a port silently, each getting half of the connections.
pub(crate) fn check_free(address: &Multiaddr) -> io::Result<()> {
    let mut parts = address.iter();
    let ip = match parts.next() {
        Some(Protocol::Ip4(ip)) => ip.into(),
        Some(Protocol::Ip6(ip)) => ip.into(),
        _ => return Ok(()),
    };
    match parts.next() {
        Some(Protocol::Tcp(port)) if port != 0 => {
            TcpListener::bind(SocketAddr::new(ip, port)).map(drop)
        }
        Some(Protocol::Udp(port)) if port != 0 => {
            UdpSocket::bind(SocketAddr::new(ip, port)).map(drop)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_seen_for_both_transports() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp_address = format!("/ip4/127.0.0.1/tcp/{}", tcp.local_addr().unwrap().port());
        let udp_address = format!(
            "/ip4/127.0.0.1/udp/{}/quic-v1",
            udp.local_addr().unwrap().port()
        );
        assert!(check_free(&tcp_address.parse().unwrap()).is_err());
        assert!(check_free(&udp_address.parse().unwrap()).is_err());
        drop((tcp, udp));
        assert!(check_free(&tcp_address.parse().unwrap()).is_ok());
        assert!(check_free(&udp_address.parse().unwrap()).is_ok());
    }
}
