//! What can be counted about the chain's network.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::types::{Direction, Protocol, Topic, Verdict};
use crate::conduct::OffenceLabel;

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TopicLabel {
    /// The topic.
    pub topic: Topic,
}

/// A topic and what became of a message.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabel {
    /// The topic.
    pub topic: Topic,
    /// The node's verdict.
    pub verdict: Verdict,
}

/// A topic and why a message never reached the node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DropLabel {
    /// The topic.
    pub topic: Topic,
    /// The reason.
    pub reason: DropReason,
}

/// Why a message never reached the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum DropReason {
    /// The node's queue for this topic was full.
    QueueFull,
    /// The peer sent too fast.
    TooFast,
    /// The message was above the limit.
    Oversized,
    /// The message did not follow the protocol.
    Malformed,
    /// The peer is on the graylist.
    Graylisted,
}

/// A protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProtocolLabel {
    /// The protocol.
    pub protocol: Protocol,
}

/// A protocol and how a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OutcomeLabel {
    /// The protocol.
    pub protocol: Protocol,
    /// How it ended.
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Outcome {
    /// With a response.
    Answered,
    /// With a refusal, or because too much was asked at once.
    Declined,
    /// With a lost connection, a timeout or a malformed response.
    Failed,
}

/// Who dialled.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DirectionLabel {
    /// Who dialled.
    pub direction: Direction,
}

/// The counters of one chain network. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Connected peers.
    pub peers: Gauge,
    /// Connections opened since the start.
    pub connections: Family<DirectionLabel, Counter>,
    /// Connections refused: limits, bans, failed handshakes.
    pub connections_refused: Counter,
    /// Messages handed to gossip.
    pub published: Family<TopicLabel, Counter>,
    /// Bytes handed to gossip, before they are copied to every peer.
    pub published_bytes: Family<TopicLabel, Counter>,
    /// Messages that gossip did not take (nobody there, sent before, queues full).
    pub not_published: Family<TopicLabel, Counter>,
    /// Messages handed to the node.
    pub received: Family<TopicLabel, Counter>,
    /// Bytes of messages handed to the node.
    pub received_bytes: Family<TopicLabel, Counter>,
    /// Verdicts of the node.
    pub verdicts: Family<VerdictLabel, Counter>,
    /// Messages that never reached the node.
    pub dropped: Family<DropLabel, Counter>,
    /// Requests to peers, by how they ended.
    pub requests_sent: Family<OutcomeLabel, Counter>,
    /// Requests from peers, by how they ended.
    pub requests_received: Family<OutcomeLabel, Counter>,
    /// Bytes of responses sent to peers.
    pub response_bytes_sent: Family<ProtocolLabel, Counter>,
    /// Bytes of responses received from peers.
    pub response_bytes_received: Family<ProtocolLabel, Counter>,
    /// What peers did wrong.
    pub offences: Family<OffenceLabel, Counter>,
    /// Peers cut off for what they did.
    pub bans: Counter,
    /// Commands of the node that found the queue full.
    pub commands_refused: Counter,
}

impl Metrics {
    /// Adds everything to a registry, with help texts, under the prefix `p2p`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("p2p");
        self.register_gossip(registry);
        self.register_requests(registry);
        registry.register("peers", "Connected peers", self.peers.clone());
        registry.register(
            "connections",
            "Connections opened",
            self.connections.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections refused: limits, bans, failed handshakes",
            self.connections_refused.clone(),
        );
        registry.register("offences", "What peers did wrong", self.offences.clone());
        registry.register("bans", "Peers cut off for what they did", self.bans.clone());
        registry.register(
            "commands_refused",
            "Commands of the node that found the network's queue full",
            self.commands_refused.clone(),
        );
    }

    fn register_gossip(&self, registry: &mut Registry) {
        registry.register(
            "published",
            "Messages handed to gossip",
            self.published.clone(),
        );
        registry.register(
            "published_bytes",
            "Bytes handed to gossip, before they are copied to every peer",
            self.published_bytes.clone(),
        );
        registry.register(
            "not_published",
            "Messages that gossip did not take: nobody there, sent before, queues full",
            self.not_published.clone(),
        );
        registry.register(
            "received",
            "Messages handed to the node",
            self.received.clone(),
        );
        registry.register(
            "received_bytes",
            "Bytes of messages handed to the node",
            self.received_bytes.clone(),
        );
        registry.register(
            "verdicts",
            "Verdicts of the node on messages",
            self.verdicts.clone(),
        );
        registry.register(
            "dropped",
            "Messages that never reached the node, by reason",
            self.dropped.clone(),
        );
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "requests_sent",
            "Requests to peers, by how they ended",
            self.requests_sent.clone(),
        );
        registry.register(
            "requests_received",
            "Requests from peers, by how they ended",
            self.requests_received.clone(),
        );
        registry.register(
            "response_bytes_sent",
            "Bytes of responses sent to peers",
            self.response_bytes_sent.clone(),
        );
        registry.register(
            "response_bytes_received",
            "Bytes of responses received from peers",
            self.response_bytes_received.clone(),
        );
    }
}
