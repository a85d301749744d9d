//! Who is let in: bans by identity, and bounds on connections with one peer and from one place.
//!
//! A libp2p behaviour without a protocol. It stands first in every network's behaviour, so that
//! what it refuses costs nothing further.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};
use std::task::{Context, Poll};

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use crate::conduct::Conduct;

/// Why a connection was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("the peer is banned for a while")]
    Banned,
    #[error("too many connections from this address")]
    TooManyFromHere,
    #[error("too many connections with this peer")]
    TooManyWithPeer,
}

/// Connections that one peer, and inbound ones that one place, may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) per_peer: u32,
    pub(crate) per_ip: u32,
    pub(crate) per_loopback_ip: u32,
}

/// The behaviour.
pub(crate) struct Admission {
    conduct: Conduct,
    limits: Limits,
    /// Inbound connections, pending or established, and where they come from.
    inbound: BTreeMap<ConnectionId, IpAddr>,
    /// Established connections by peer, in both directions.
    established: BTreeMap<PeerId, u32>,
}

impl Admission {
    pub(crate) const fn new(conduct: Conduct, limits: Limits) -> Self {
        Self {
            conduct,
            limits,
            inbound: BTreeMap::new(),
            established: BTreeMap::new(),
        }
    }

    fn admit_peer(&self, peer: &PeerId) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        if self.conduct.is_banned(peer) {
            return Err(ConnectionDenied::new(Refused::Banned));
        }
        let connections = self.established.get(peer).copied().unwrap_or(0);
        if connections >= self.limits.per_peer {
            return Err(ConnectionDenied::new(Refused::TooManyWithPeer));
        }
        Ok(dummy::ConnectionHandler)
    }

    fn admit_place(&mut self, id: ConnectionId, place: IpAddr) -> Result<(), ConnectionDenied> {
        let limit = if place.is_loopback() {
            self.limits.per_loopback_ip
        } else {
            self.limits.per_ip
        };
        let here = self
            .inbound
            .values()
            .filter(|other| **other == place)
            .count();
        if here >= limit as usize {
            return Err(ConnectionDenied::new(Refused::TooManyFromHere));
        }
        self.inbound.insert(id, place);
        Ok(())
    }
}

/// The place of an address: its IPv4 address, or the /64 of its IPv6 address, which one customer
/// gets whole.
fn place(address: &Multiaddr) -> Option<IpAddr> {
    address.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) if ip.is_loopback() => Some(IpAddr::V6(ip)),
        Protocol::Ip6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => Some(IpAddr::V4(mapped)),
            None => {
                let s = ip.segments();
                Some(IpAddr::V6(Ipv6Addr::new(
                    s[0], s[1], s[2], s[3], 0, 0, 0, 0,
                )))
            }
        },
        _ => None,
    })
}

impl NetworkBehaviour for Admission {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        place(remote).map_or(Ok(()), |place| self.admit_place(id, place))
    }

    fn handle_established_inbound_connection(
        &mut self,
        _id: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit_peer(&peer)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _id: ConnectionId,
        peer: Option<PeerId>,
        _addresses: &[Multiaddr],
        _role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        match peer {
            Some(peer) if self.conduct.is_banned(&peer) => {
                Err(ConnectionDenied::new(Refused::Banned))
            }
            _ => Ok(Vec::new()),
        }
    }

    fn handle_established_outbound_connection(
        &mut self,
        _id: ConnectionId,
        peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.admit_peer(&peer)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                *self.established.entry(established.peer_id).or_default() += 1;
            }
            FromSwarm::ConnectionClosed(closed) => {
                self.inbound.remove(&closed.connection_id);
                if closed.remaining_established == 0 {
                    self.established.remove(&closed.peer_id);
                } else if let Some(count) = self.established.get_mut(&closed.peer_id) {
                    *count -= 1;
                }
            }
            FromSwarm::ListenFailure(failure) => {
                self.inbound.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.conduct
            .poll_to_cut(cx)
            .map(|peer_id| ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::All,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_customer_counts_as_one_place() {
        let a = place(&"/ip6/2001:db8:1:2:3::1/tcp/1".parse().unwrap());
        let b = place(&"/ip6/2001:db8:1:2:4::9/udp/7/quic-v1".parse().unwrap());
        let c = place(&"/ip6/2001:db8:1:3:4::9/udp/7/quic-v1".parse().unwrap());
        assert_eq!(a, b);
        assert_ne!(a, c);
        assert_eq!(
            place(&"/ip6/::ffff:10.0.0.1/tcp/1".parse().unwrap()),
            Some([10, 0, 0, 1].into())
        );
    }

    #[test]
    fn a_place_gets_its_connections_and_no_more_until_one_closes() {
        let limits = Limits {
            per_peer: 2,
            per_ip: 2,
            per_loopback_ip: 3,
        };
        let mut admission = Admission::new(Conduct::default(), limits);
        let here: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let loopback: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut pending = |n: usize, address: &Multiaddr| {
            let id = ConnectionId::new_unchecked(n);
            admission
                .handle_pending_inbound_connection(id, address, address)
                .is_ok()
        };
        assert_eq!(
            (0..3).map(|n| pending(n, &here)).collect::<Vec<_>>(),
            [true, true, false]
        );
        assert_eq!((3..7).filter(|n| pending(*n, &loopback)).count(), 3);
    }
}
