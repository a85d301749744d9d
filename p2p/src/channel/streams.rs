//! The libp2p behaviour below the channel: streams of one protocol, in both directions.
//!
//! Unlike `libp2p-stream` it loses none: what arrives waits, with back-pressure on the connection,
//! until the channel's task takes it.

use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll};

use futures::future::Either as Negotiated;
use libp2p::core::upgrade::{DeniedUpgrade, ReadyUpgrade};
use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, StreamProtocol, StreamUpgradeError, SubstreamProtocol,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::oneshot;

/// Why there is no stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoStream {
    #[error("not connected")]
    NotConnected,
    #[error("the peer does not serve this network's channel")]
    Unsupported,
    #[error("{0}")]
    Lost(String),
}

/// Where a new stream goes.
pub(crate) type Opened = oneshot::Sender<Result<libp2p::Stream, NoStream>>;

/// Whether streams of others are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Listener,
    Connector,
}

/// The behaviour. Its events are the streams that peers open.
pub(crate) struct Streams {
    protocol: StreamProtocol,
    role: Role,
    connections: BTreeMap<PeerId, Vec<ConnectionId>>,
    events: VecDeque<ToSwarm<(PeerId, libp2p::Stream), Opened>>,
}

impl Streams {
    pub(crate) const fn new(protocol: StreamProtocol, role: Role) -> Self {
        Self {
            protocol,
            role,
            connections: BTreeMap::new(),
            events: VecDeque::new(),
        }
    }

    /// Opens a stream to a connected peer. The swarm has to be polled afterwards.
    pub(crate) fn open(&mut self, peer: PeerId, opened: Opened) {
        // The newest connection: an older one may be dead already.
        match self
            .connections
            .get(&peer)
            .and_then(|connections| connections.last())
        {
            Some(connection) => self.events.push_back(ToSwarm::NotifyHandler {
                peer_id: peer,
                handler: NotifyHandler::One(*connection),
                event: opened,
            }),
            None => {
                let _ = opened.send(Err(NoStream::NotConnected));
            }
        }
    }

    fn handler(&self) -> Handler {
        Handler {
            protocol: self.protocol.clone(),
            role: self.role,
            wanted: VecDeque::new(),
            arrived: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Streams {
    type ConnectionHandler = Handler;
    type ToSwarm = (PeerId, libp2p::Stream);

    fn handle_established_inbound_connection(
        &mut self,
        _id: ConnectionId,
        _peer: PeerId,
        _local: &Multiaddr,
        _remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _id: ConnectionId,
        _peer: PeerId,
        _address: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                let connections = self.connections.entry(established.peer_id).or_default();
                connections.push(established.connection_id);
            }
            FromSwarm::ConnectionClosed(closed) => {
                if let Some(connections) = self.connections.get_mut(&closed.peer_id) {
                    connections.retain(|id| *id != closed.connection_id);
                    if connections.is_empty() {
                        self.connections.remove(&closed.peer_id);
                    }
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        _id: ConnectionId,
        stream: THandlerOutEvent<Self>,
    ) {
        self.events
            .push_back(ToSwarm::GenerateEvent((peer, stream)));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // No waker: events are added only by the task that polls.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The handler of one connection.
pub(crate) struct Handler {
    protocol: StreamProtocol,
    role: Role,
    wanted: VecDeque<Opened>,
    arrived: VecDeque<libp2p::Stream>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Opened;
    type ToBehaviour = libp2p::Stream;
    type InboundProtocol = Either<ReadyUpgrade<StreamProtocol>, DeniedUpgrade>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Opened;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        let upgrade = match self.role {
            Role::Listener => Either::Left(ReadyUpgrade::new(self.protocol.clone())),
            Role::Connector => Either::Right(DeniedUpgrade),
        };
        SubstreamProtocol::new(upgrade, ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Opened, Self::ToBehaviour>> {
        if let Some(stream) = self.arrived.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(stream));
        }
        if let Some(opened) = self.wanted.pop_front() {
            let protocol = SubstreamProtocol::new(ReadyUpgrade::new(self.protocol.clone()), opened);
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest { protocol });
        }
        // No waker: the connection polls its handler again after every event that it hands in.
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, opened: Opened) {
        self.wanted.push_back(opened);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), Opened>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: Negotiated::Left(stream),
                ..
            }) => self.arrived.push_back(stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: stream,
                info: opened,
            }) => {
                // Whoever wanted it may have given up; then the stream is dropped and so closed.
                let _ = opened.send(Ok(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError {
                error,
                info: opened,
            }) => {
                let _ = opened.send(Err(match error {
                    StreamUpgradeError::NegotiationFailed => NoStream::Unsupported,
                    StreamUpgradeError::Timeout => NoStream::Lost("no answer".to_owned()),
                    StreamUpgradeError::Io(error) => NoStream::Lost(error.to_string()),
                    StreamUpgradeError::Apply(never) => match never {},
                }));
            }
            _ => {}
        }
    }
}
