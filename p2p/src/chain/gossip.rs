//! gossipsub, set up for a small set of validators, and a guard around it.
//!
//! The guard tells the [`Inspector`] who is speaking, and notices what gossipsub hides. Bytes that
//! make no sense (a frame above the limit, a broken encoding) cost their sender its stream, and
//! nothing that it sends there is heard any more. To be heard again it has to open another stream
//! on the same connection, which an honest peer never does, and which is held against it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::gossipsub::{
    self, ConfigBuilder, IdentTopic, MaxCountSubscriptionFilter, MessageAuthenticity, MessageId,
    TopicHash, ValidationMode, WhitelistSubscriptionFilter,
};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::handler::ConnectionEvent;
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};

use super::inspector::Inspector;
use super::types::Topic;
use crate::conduct::{Conduct, Offence};

/// The largest frame, in bytes: the largest message with its envelope, and room to spare.
const FRAME_BYTES: usize = 128 * 1024;
/// How long an id is remembered; within this time a message is neither delivered nor sent again.
const REMEMBER_IDS: Duration = Duration::from_secs(60);

/// gossipsub as we use it.
pub(crate) type Gossip =
    gossipsub::Behaviour<Inspector, MaxCountSubscriptionFilter<WhitelistSubscriptionFilter>>;

/// The name of a topic on the wire.
pub(crate) fn topic_name(network: &str, topic: Topic) -> IdentTopic {
    IdentTopic::new(format!("/welkin/{network}/{}/1", topic.name()))
}

/// All topics by their hash.
pub(crate) fn topics(network: &str) -> BTreeMap<TopicHash, Topic> {
    Topic::ALL
        .into_iter()
        .map(|topic| (topic_name(network, topic).hash(), topic))
        .collect()
}

/// The id of a message: BLAKE3 of topic and data, without the flag at the end.
pub(crate) fn message_id(topic: &str, data: &[u8]) -> [u8; 32] {
    let data = data.split_last().map_or(data, |(_flag, data)| data);
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(topic.len() as u64).to_be_bytes());
    hasher.update(topic.as_bytes());
    hasher.update(data);
    *hasher.finalize().as_bytes()
}

fn config(network: &str) -> Result<gossipsub::Config, String> {
    ConfigBuilder::default()
        .protocol_id_prefix(format!("/welkin/{network}/gossip"))
        .heartbeat_interval(Duration::from_millis(700))
        .heartbeat_initial_delay(Duration::from_millis(100))
        .mesh_n_low(6)
        .mesh_n(8)
        .mesh_n_high(12)
        .mesh_outbound_min(3)
        .flood_publish(true)
        // Memory: a message is kept for three heartbeats, a slow peer for 512 messages.
        .history_length(3)
        .history_gossip(3)
        .connection_handler_queue_len(512)
        .duplicate_cache_time(REMEMBER_IDS)
        .max_transmit_size(FRAME_BYTES)
        .max_publish_messages(64)
        .validate_messages()
        // No authors and no signatures on the wire; the inspector refuses messages that carry any.
        .validation_mode(ValidationMode::None)
        .message_id_fn(|message: &gossipsub::Message| {
            MessageId::new(&message_id(message.topic.as_str(), &message.data))
        })
        .build()
        .map_err(|error| format!("gossip: {error}"))
}

/// gossipsub, subscribed to all topics, with these explicit peers.
pub(crate) fn gossip(
    network: &str,
    explicit_peers: &BTreeSet<PeerId>,
    inspector: Inspector,
) -> Result<Gossip, String> {
    let allowed: HashSet<TopicHash> = topics(network).into_keys().collect();
    let filter = MaxCountSubscriptionFilter {
        filter: WhitelistSubscriptionFilter(allowed),
        max_subscribed_topics: 2 * Topic::ALL.len(),
        max_subscriptions_per_request: 4 * Topic::ALL.len(),
    };
    let mut gossip = Gossip::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        config(network)?,
        filter,
        inspector,
    )?;
    for topic in Topic::ALL {
        gossip
            .subscribe(&topic_name(network, topic))
            .map_err(|error| format!("topic {}: {error}", topic.name()))?;
    }
    for peer in explicit_peers {
        gossip.add_explicit_peer(peer);
    }
    Ok(gossip)
}

/// gossipsub and its guard.
pub(crate) struct GuardedGossip {
    pub(crate) gossip: Gossip,
    inspector: Inspector,
    conduct: Conduct,
}

impl GuardedGossip {
    pub(crate) const fn new(gossip: Gossip, inspector: Inspector, conduct: Conduct) -> Self {
        Self {
            gossip,
            inspector,
            conduct,
        }
    }
}

/// A peer opened a further gossip stream on one connection.
#[derive(Debug)]
pub(crate) struct StreamReopened;

type Inner = <Gossip as NetworkBehaviour>::ConnectionHandler;

/// gossipsub's handler of one connection, and how many streams the peer opened for it.
pub(crate) struct GuardedHandler {
    inner: Inner,
    streams: u32,
    unreported: u32,
}

impl GuardedHandler {
    const fn new(inner: Inner) -> Self {
        Self {
            inner,
            streams: 0,
            unreported: 0,
        }
    }
}

impl ConnectionHandler for GuardedHandler {
    type FromBehaviour = <Inner as ConnectionHandler>::FromBehaviour;
    type ToBehaviour = Either<<Inner as ConnectionHandler>::ToBehaviour, StreamReopened>;
    type InboundProtocol = <Inner as ConnectionHandler>::InboundProtocol;
    type OutboundProtocol = <Inner as ConnectionHandler>::OutboundProtocol;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        self.inner.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if self.unreported > 0 {
            self.unreported -= 1;
            let event = Either::Right(StreamReopened);
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(event));
        }
        self.inner
            .poll(cx)
            .map(|event| event.map_custom(Either::Left))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner
            .poll_close(cx)
            .map(|event| event.map(Either::Left))
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        if matches!(event, ConnectionEvent::FullyNegotiatedInbound(_)) {
            self.streams += 1;
            if self.streams > 1 {
                self.unreported += 1;
            }
        }
        self.inner.on_connection_event(event);
    }
}

impl NetworkBehaviour for GuardedGossip {
    type ConnectionHandler = GuardedHandler;
    type ToSwarm = gossipsub::Event;

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip
            .handle_established_inbound_connection(id, peer, local, remote)
            .map(GuardedHandler::new)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.gossip
            .handle_established_outbound_connection(id, peer, address, role, port)
            .map(GuardedHandler::new)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        self.gossip.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => {
                self.inspector.set_speaker(peer);
                self.gossip.on_connection_handler_event(peer, id, event);
            }
            Either::Right(StreamReopened) => self.conduct.note(peer, Offence::Malformed),
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // gossipsub dials explicit peers on its own, without addresses: the redialler knows better.
        match self.gossip.poll(cx) {
            Poll::Ready(ToSwarm::Dial { .. }) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_depend_on_topic_and_data_and_not_on_the_flag() {
        let id = message_id("a", b"data\x00");
        assert_eq!(id, message_id("a", b"data\x01"));
        assert_ne!(id, message_id("b", b"data\x00"));
        assert_ne!(id, message_id("ad", b"ata\x00"));
        assert_ne!(id, message_id("a", b"date\x00"));
    }

    #[test]
    fn names_hold_the_network() {
        let names: Vec<String> = topics("0011")
            .into_keys()
            .map(|hash| hash.into_string())
            .collect();
        assert_eq!(names.len(), 4);
        assert!(names.iter().all(|name| name.starts_with("/welkin/0011/")));
    }
}
