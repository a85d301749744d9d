//! Looks at every gossiped message before gossipsub remembers, delivers or forwards it.
//!
//! gossipsub itself neither tells who sent a bad message nor drops one early; its score would
//! notice later, on average. This inspector is its data transform, so it sees each message first,
//! and [`GuardedGossip`] tells it which peer is speaking.
//!
//! A message on the wire is its data and one flag byte at the end: [`DIRECT`] or [`RELAY`].
//!
//! [`GuardedGossip`]: super::gossip::GuardedGossip

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use libp2p::PeerId;
use libp2p::gossipsub::{DataTransform, Message, RawMessage, TopicHash};

use super::meters::Meters;
use super::metrics::{DropLabel, DropReason, Metrics};
use super::types::Topic;
use crate::conduct::{Conduct, Offence};

/// The author has reached every validator itself: validators need not pass the message on to each
/// other.
pub(crate) const DIRECT: u8 = 0;
/// The author has not reached every validator: pass the message on to everybody.
pub(crate) const RELAY: u8 = 1;

/// The inspector; clones share their state.
#[derive(Clone)]
pub(crate) struct Inspector {
    topics: Arc<BTreeMap<TopicHash, Topic>>,
    state: Arc<Mutex<State>>,
    conduct: Conduct,
    metrics: Metrics,
}

struct State {
    meters: Meters,
    /// Whose bytes are being looked at.
    speaker: Option<PeerId>,
}

impl Inspector {
    pub(crate) fn new(
        topics: BTreeMap<TopicHash, Topic>,
        meters: Meters,
        conduct: Conduct,
        metrics: Metrics,
    ) -> Self {
        let state = Arc::new(Mutex::new(State {
            meters,
            speaker: None,
        }));
        Self {
            topics: Arc::new(topics),
            state,
            conduct,
            metrics,
        }
    }

    /// Until the next call, messages come from this peer.
    pub(crate) fn set_speaker(&self, peer: PeerId) {
        self.with_state(|state| state.speaker = Some(peer));
    }

    pub(crate) fn topic(&self, hash: &TopicHash) -> Option<Topic> {
        self.topics.get(hash).copied()
    }

    /// Whether a peer may ask once more; if not, that is noted.
    pub(crate) fn admit_request(&self, peer: PeerId, protocol: super::Protocol) -> bool {
        let admitted =
            self.with_state(|state| state.meters.request(peer, protocol, Instant::now()));
        if !admitted {
            self.conduct.note(peer, Offence::TooFast);
        }
        admitted
    }

    /// What is wrong with a message of this peer, if anything is.
    fn fault(&self, peer: PeerId, raw: &RawMessage) -> Option<(Option<Topic>, DropReason)> {
        let Some(topic) = self.topic(&raw.topic) else {
            return Some((None, DropReason::Malformed));
        };
        let Some((flag, data)) = raw.data.split_last() else {
            return Some((Some(topic), DropReason::Malformed));
        };
        if data.len() > topic.max_bytes() {
            return Some((Some(topic), DropReason::Oversized));
        }
        // Authenticity is the node's matter; gossip carries neither authors nor signatures.
        let unsigned = raw.signature.is_none() && raw.key.is_none();
        if !unsigned || !matches!(*flag, DIRECT | RELAY) {
            return Some((Some(topic), DropReason::Malformed));
        }
        let now = Instant::now();
        // First the rate, so that a graylisted peer that goes on flooding is cut off in the end.
        if !self.with_state(|state| state.meters.message(peer, topic, data.len(), now)) {
            return Some((Some(topic), DropReason::TooFast));
        }
        let graylisted = self.conduct.is_graylisted(&peer);
        graylisted.then_some((Some(topic), DropReason::Graylisted))
    }

    fn with_state<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        action(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a drop says about the peer.
const fn offence(reason: DropReason) -> Option<Offence> {
    match reason {
        DropReason::TooFast => Some(Offence::TooFast),
        DropReason::Oversized => Some(Offence::Oversized),
        DropReason::Malformed => Some(Offence::Malformed),
        DropReason::QueueFull | DropReason::Graylisted => None,
    }
}

impl DataTransform for Inspector {
    fn inbound_transform(&self, raw: RawMessage) -> Result<Message, io::Error> {
        let speaker = self.with_state(|state| state.speaker);
        let peer = speaker.ok_or_else(|| io::Error::other("no peer is speaking"))?;
        if let Some((topic, reason)) = self.fault(peer, &raw) {
            if let Some(topic) = topic {
                self.metrics
                    .dropped
                    .get_or_create(&DropLabel { topic, reason })
                    .inc();
            }
            if let Some(offence) = offence(reason) {
                self.conduct.note(peer, offence);
            }
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Message {
            source: raw.source,
            data: raw.data,
            sequence_number: raw.sequence_number,
            topic: raw.topic,
        })
    }

    fn outbound_transform(&self, _: &TopicHash, data: Vec<u8>) -> Result<Vec<u8>, io::Error> {
        Ok(data)
    }
}

#[cfg(test)]
mod tests {
    use libp2p::gossipsub::IdentTopic;

    use super::super::config::Rates;
    use super::*;
    use crate::bucket::Rate;

    fn inspector(rates: Rates) -> (Inspector, TopicHash) {
        let hash = IdentTopic::new("votes").hash();
        let topics = [(hash.clone(), Topic::Consensus)].into();
        let conduct = Conduct::default();
        let inspector = Inspector::new(topics, Meters::new(rates), conduct, Metrics::default());
        (inspector, hash)
    }

    fn raw(topic: &TopicHash, data: Vec<u8>) -> RawMessage {
        RawMessage {
            source: None,
            data,
            sequence_number: None,
            topic: topic.clone(),
            signature: None,
            key: None,
            validated: false,
        }
    }

    #[test]
    fn only_whole_unsigned_messages_of_known_topics_pass() {
        let (inspector, topic) = inspector(Rates::default());
        inspector.set_speaker(PeerId::random());
        let passes = |message| {
            // A fresh peer each time, so that no bad message graylists the next.
            inspector.set_speaker(PeerId::random());
            inspector.inbound_transform(message).is_ok()
        };
        assert!(passes(raw(&topic, b"vote\x00".to_vec())));
        assert!(passes(raw(&topic, b"vote\x01".to_vec())));
        assert!(passes(raw(
            &topic,
            vec![0; Topic::Consensus.max_bytes() + 1]
        )));
        assert!(!passes(raw(
            &topic,
            vec![0; Topic::Consensus.max_bytes() + 2]
        )));
        assert!(!passes(raw(&topic, b"vote\x02".to_vec())));
        assert!(!passes(raw(&topic, Vec::new())));
        assert!(!passes(raw(
            &IdentTopic::new("else").hash(),
            b"vote\x00".to_vec()
        )));
        let signed = RawMessage {
            signature: Some(vec![1]),
            ..raw(&topic, b"vote\x00".to_vec())
        };
        assert!(!passes(signed));
    }

    #[test]
    fn a_flood_is_dropped_and_in_the_end_gets_the_peer_banned() {
        let rates = Rates {
            consensus_messages: Rate::new(1, 10),
            ..Rates::default()
        };
        let (inspector, topic) = inspector(rates);
        let peer = PeerId::random();
        inspector.set_speaker(peer);
        let passed = (0..200)
            .filter(|_| {
                inspector
                    .inbound_transform(raw(&topic, b"x\x00".to_vec()))
                    .is_ok()
            })
            .count();
        assert_eq!(passed, 10);
        assert!(inspector.conduct.is_banned(&peer));
    }

    #[test]
    fn three_oversized_messages_get_a_peer_cut_off() {
        let (inspector, topic) = inspector(Rates::default());
        let peer = PeerId::random();
        inspector.set_speaker(peer);
        for _ in 0..3 {
            assert!(
                inspector
                    .inbound_transform(raw(&topic, vec![0; 5000]))
                    .is_err()
            );
        }
        let waker = futures::task::noop_waker();
        let cut = inspector
            .conduct
            .poll_to_cut(&std::task::Context::from_waker(&waker));
        assert_eq!(cut, std::task::Poll::Ready(peer));
    }
}
