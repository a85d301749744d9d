//! Messages for the next height, kept until it begins.

use super::gossip::Gossip;
use super::input::Peer;
use std::collections::BTreeMap;

/// Most messages kept for one peer.
const MESSAGES_PER_PEER: usize = 256;
/// Most bytes kept for one peer.
const BYTES_PER_PEER: usize = 1 << 20;
/// Most peers for whom messages are kept.
const PEERS: usize = 64;

/// A peer that is a little faster sends what cannot be judged yet: the next height's validators may
/// change. It is kept within bounds for each peer, and what does not fit is dropped: it can be
/// pulled later.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead {
    by_peer: BTreeMap<Peer, Kept>,
}

#[derive(Clone, Debug, Default)]
struct Kept {
    bytes: usize,
    messages: Vec<Gossip>,
}

impl Ahead {
    /// Keeps a message, if it fits.
    pub(super) fn push(&mut self, from: Peer, message: Gossip) {
        if !self.by_peer.contains_key(&from) && self.by_peer.len() >= PEERS {
            return;
        }
        let kept = self.by_peer.entry(from).or_default();
        let bytes = kept.bytes.saturating_add(message.size());
        let known = kept.messages.contains(&message);
        if !known && kept.messages.len() < MESSAGES_PER_PEER && bytes <= BYTES_PER_PEER {
            kept.bytes = bytes;
            kept.messages.push(message);
        }
    }

    /// Takes out everything that was kept: proposals first, then the rest in the order in which each
    /// peer sent it. A message is kept for whoever brought it first, so a part may stand with one
    /// peer and its proposal with another; without its proposal a part is not wanted, and nobody
    /// sends it a second time.
    pub(super) fn take(&mut self) -> Vec<(Peer, Gossip)> {
        let by_peer = std::mem::take(&mut self.by_peer);
        let messages = by_peer
            .into_iter()
            .map(|(peer, kept)| (peer, kept.messages));
        let mut all: Vec<_> = messages
            .flat_map(|(peer, list)| list.into_iter().map(move |m| (peer, m)))
            .collect();
        all.sort_by_key(|(_, message)| !matches!(message, Gossip::Proposal(_)));
        all
    }
}
