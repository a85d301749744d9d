//! One set of token buckets per peer.

use std::collections::BTreeMap;
use std::time::Instant;

use libp2p::PeerId;

use super::config::Rates;
use super::types::{Protocol, Topic};
use crate::bucket::Bucket;

/// Peers whose buckets are remembered, connected or not; beyond that the longest unused make room.
const REMEMBERED: usize = 512;

/// The buckets of all peers. They outlive connections, so reconnecting does not refill them.
#[derive(Debug)]
pub(crate) struct Meters {
    rates: Rates,
    peers: BTreeMap<PeerId, Meter>,
}

#[derive(Debug)]
struct Meter {
    messages: [Bucket; Topic::ALL.len()],
    gossip_bytes: Bucket,
    requests: [Bucket; Protocol::ALL.len()],
    used_at: Instant,
}

impl Meters {
    pub(crate) const fn new(rates: Rates) -> Self {
        Self {
            rates,
            peers: BTreeMap::new(),
        }
    }

    /// Whether a peer may send one more message of this size.
    pub(crate) fn message(
        &mut self,
        peer: PeerId,
        topic: Topic,
        bytes: usize,
        now: Instant,
    ) -> bool {
        let meter = self.meter(peer, now);
        meter.messages[topic as usize].take(1, now) && meter.gossip_bytes.take(bytes as u64, now)
    }

    /// Whether a peer may ask once more.
    pub(crate) fn request(&mut self, peer: PeerId, protocol: Protocol, now: Instant) -> bool {
        self.meter(peer, now).requests[protocol as usize].take(1, now)
    }

    fn meter(&mut self, peer: PeerId, now: Instant) -> &mut Meter {
        if self.peers.len() >= REMEMBERED && !self.peers.contains_key(&peer) {
            let oldest = self.peers.iter().min_by_key(|(_, meter)| meter.used_at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.peers.remove(&oldest);
            }
        }
        let rates = &self.rates;
        let meter = self
            .peers
            .entry(peer)
            .or_insert_with(|| Meter::full(rates, now));
        meter.used_at = now;
        meter
    }
}

impl Meter {
    fn full(rates: &Rates, now: Instant) -> Self {
        // The arrays are indexed by the enums' own order.
        let topics = [
            Topic::Consensus,
            Topic::Parts,
            Topic::Transactions,
            Topic::Evidence,
        ];
        Self {
            messages: topics.map(|topic| Bucket::full(rates.messages(topic), now)),
            gossip_bytes: Bucket::full(rates.gossip_bytes, now),
            requests: Protocol::ALL.map(|protocol| Bucket::full(rates.requests(protocol), now)),
            used_at: now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bucket::Rate;

    #[test]
    fn every_peer_topic_and_protocol_has_its_own_bucket() {
        let now = Instant::now();
        let rates = Rates {
            evidence_messages: Rate::new(1, 1),
            gossip_bytes: Rate::new(1, 100),
            block_requests: Rate::new(1, 1),
            ..Rates::default()
        };
        let mut meters = Meters::new(rates);
        let (a, b) = (PeerId::random(), PeerId::random());
        assert!(meters.message(a, Topic::Evidence, 10, now));
        assert!(!meters.message(a, Topic::Evidence, 10, now));
        assert!(meters.message(b, Topic::Evidence, 10, now));
        assert!(meters.message(a, Topic::Consensus, 90, now));
        assert!(
            !meters.message(a, Topic::Consensus, 1, now),
            "bytes are shared by the topics"
        );
        assert!(meters.request(a, Protocol::Blocks, now));
        assert!(!meters.request(a, Protocol::Blocks, now));
        assert!(meters.request(a, Protocol::Status, now));
    }

    #[test]
    fn the_number_of_peers_is_bounded() {
        let now = Instant::now();
        let mut meters = Meters::new(Rates::default());
        for _ in 0..2 * REMEMBERED {
            assert!(meters.message(PeerId::random(), Topic::Parts, 1, now));
        }
        assert_eq!(meters.peers.len(), REMEMBERED);
    }
}
