//! One node of a simulated chain network, as the hub sees it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::swarm::ConnectionId;

use crate::chain::{
    Direction, DropLabel, DropReason, Lanes, MessageToken, Metrics, NetworkEvent, Roster, Topic,
    TopicLabel, Verdict, VerdictLabel,
};
use crate::conduct::{Conduct, Offence};

/// Messages that a member remembers; gossipsub remembers those of a minute.
const REMEMBERED: usize = 16_384;

/// A gossiped message in flight or in memory.
#[derive(Clone, Debug)]
pub(super) struct Gossip {
    pub(super) topic: Topic,
    pub(super) id: [u8; 32],
    pub(super) data: Bytes,
    pub(super) relay: bool,
}

/// A node.
pub(super) struct Member {
    pub(super) genesis_hash: [u8; 32],
    pub(super) conduct: Conduct,
    pub(super) metrics: Metrics,
    lanes: Lanes,
    roster: Roster,
    /// Connections, by peer. Ids are never used again.
    links: BTreeMap<PeerId, ConnectionId>,
    seen: BTreeMap<[u8; 32], Gossip>,
    seen_order: VecDeque<[u8; 32]>,
}

impl Member {
    pub(super) fn new(
        genesis_hash: [u8; 32],
        lanes: Lanes,
        roster: Roster,
        metrics: Metrics,
    ) -> Self {
        let conduct = Conduct::new(metrics.offences.clone(), metrics.bans.clone());
        Self {
            genesis_hash,
            conduct,
            metrics,
            lanes,
            roster,
            links: BTreeMap::new(),
            seen: BTreeMap::new(),
            seen_order: VecDeque::new(),
        }
    }

    pub(super) fn is_linked(&self, peer: &PeerId) -> bool {
        self.links.contains_key(peer)
    }

    pub(super) fn linked(&self) -> impl Iterator<Item = &PeerId> {
        self.links.keys()
    }

    /// Connects with a peer; `number` is the link's own.
    pub(super) fn link(&mut self, peer: PeerId, number: usize, direction: Direction) {
        let id = ConnectionId::new_unchecked(number);
        self.links.insert(peer, id);
        let place = libp2p::multiaddr::Protocol::Memory(number as u64);
        self.roster.opened(id, peer, place.into(), direction);
        self.roster.recognised(id, peer);
        Topic::ALL
            .into_iter()
            .for_each(|topic| self.roster.subscribed(peer, topic));
        self.changed();
    }

    pub(super) fn unlink(&mut self, peer: &PeerId) {
        if let Some(id) = self.links.remove(peer) {
            self.roster.closed(id, peer, true);
            self.changed();
        }
    }

    /// Retries what the node had no room to hear.
    pub(super) fn changed(&mut self) {
        self.metrics
            .peers
            .set(i64::try_from(self.roster.len()).unwrap_or(i64::MAX));
        self.roster.announce(&self.lanes);
    }

    /// A message of this node's own; none if it was seen before.
    pub(super) fn publish(&mut self, topic: Topic, data: Bytes) -> Option<Gossip> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(topic.name().as_bytes());
        hasher.update(&[0]);
        hasher.update(&data);
        let id = *hasher.finalize().as_bytes();
        let label = TopicLabel { topic };
        let gossip = Gossip {
            topic,
            id,
            data,
            relay: !self.roster.reaches_all(),
        };
        if self.links.is_empty() || !self.remember(&gossip) {
            self.metrics.not_published.get_or_create(&label).inc();
            return None;
        }
        self.metrics.published.get_or_create(&label).inc();
        self.metrics
            .published_bytes
            .get_or_create(&label)
            .inc_by(gossip.data.len() as u64);
        Some(gossip)
    }

    /// A message arrives.
    pub(super) fn deliver(&mut self, source: PeerId, gossip: Gossip) {
        let topic = gossip.topic;
        if self.conduct.is_graylisted(&source) {
            return self.count_drop(topic, DropReason::Graylisted);
        }
        if !self.remember(&gossip) {
            return;
        }
        let Gossip {
            topic,
            id,
            data,
            relay,
        } = gossip;
        let length = data.len() as u64;
        let token = MessageToken {
            source,
            topic,
            id,
            relay,
        };
        if self
            .lanes
            .offer(NetworkEvent::Message { topic, data, token })
            .is_err()
        {
            return self.count_drop(topic, DropReason::QueueFull);
        }
        self.metrics
            .received
            .get_or_create(&TopicLabel { topic })
            .inc();
        self.metrics
            .received_bytes
            .get_or_create(&TopicLabel { topic })
            .inc_by(length);
    }

    /// The node has decided on a message; what has to be passed on, and to whom.
    pub(super) fn decide(
        &mut self,
        token: &MessageToken,
        verdict: Verdict,
    ) -> Option<(Gossip, Vec<PeerId>)> {
        let label = VerdictLabel {
            topic: token.topic,
            verdict,
        };
        self.metrics.verdicts.get_or_create(&label).inc();
        if verdict == Verdict::Reject {
            self.conduct.note(token.source, Offence::Invalid);
        }
        if verdict != Verdict::Accept || !self.roster.must_forward(&token.source, token.relay) {
            return None;
        }
        let gossip = self.seen.get(&token.id)?.clone();
        let to = self
            .links
            .keys()
            .filter(|peer| **peer != token.source)
            .copied()
            .collect();
        Some((gossip, to))
    }

    /// Hands a request to the node; false if there is no room.
    pub(super) fn offer(&self, event: NetworkEvent) -> bool {
        self.lanes.offer(event).is_ok()
    }

    fn count_drop(&self, topic: Topic, reason: DropReason) {
        self.metrics
            .dropped
            .get_or_create(&DropLabel { topic, reason })
            .inc();
    }

    fn remember(&mut self, gossip: &Gossip) -> bool {
        if self.seen.contains_key(&gossip.id) {
            return false;
        }
        if self.seen_order.len() >= REMEMBERED
            && let Some(oldest) = self.seen_order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        self.seen.insert(gossip.id, gossip.clone());
        self.seen_order.push_back(gossip.id);
        true
    }
}
