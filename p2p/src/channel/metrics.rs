//! What can be counted about the private peer channel.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::conduct::OffenceLabel;

/// Why a stream of a peer was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum Declined {
    /// Too many are open.
    TooMany,
    /// The peer opens them too fast.
    TooFast,
    /// The peer did not begin as the protocol says, or not in time.
    Handshake,
}

/// The label of declined streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct DeclinedLabel {
    /// The reason.
    pub reason: Declined,
}

/// The counters of one end of the channel. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Open connections.
    pub connections: Gauge,
    /// Connections refused: limits, bans, failed handshakes.
    pub connections_refused: Counter,
    /// Streams of peers that are open.
    pub streams: Gauge,
    /// Streams of peers that were accepted.
    pub streams_accepted: Counter,
    /// Streams of peers that were declined.
    pub streams_declined: Family<DeclinedLabel, Counter>,
    /// Streams opened to peers.
    pub streams_opened: Counter,
    /// Attempts to open a stream that failed and were tried again.
    pub open_retries: Counter,
    /// Bytes received on streams.
    pub bytes_received: Counter,
    /// Bytes sent on streams.
    pub bytes_sent: Counter,
    /// What peers did wrong.
    pub offences: Family<OffenceLabel, Counter>,
    /// Peers cut off for what they did.
    pub bans: Counter,
}

impl Metrics {
    /// Adds everything to a registry, with help texts, under the prefix `channel`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("channel");
        registry.register("connections", "Open connections", self.connections.clone());
        registry.register(
            "connections_refused",
            "Connections refused: limits, bans, failed handshakes",
            self.connections_refused.clone(),
        );
        registry.register(
            "streams",
            "Streams of peers that are open",
            self.streams.clone(),
        );
        registry.register(
            "streams_accepted",
            "Streams of peers that were accepted",
            self.streams_accepted.clone(),
        );
        registry.register(
            "streams_declined",
            "Streams of peers that were declined, by reason",
            self.streams_declined.clone(),
        );
        registry.register(
            "streams_opened",
            "Streams opened to peers",
            self.streams_opened.clone(),
        );
        registry.register(
            "open_retries",
            "Attempts to open a stream that failed and were tried again",
            self.open_retries.clone(),
        );
        registry.register(
            "bytes_received",
            "Bytes received",
            self.bytes_received.clone(),
        );
        registry.register("bytes_sent", "Bytes sent", self.bytes_sent.clone());
        registry.register("offences", "What peers did wrong", self.offences.clone());
        registry.register("bans", "Peers cut off for what they did", self.bans.clone());
    }
}
