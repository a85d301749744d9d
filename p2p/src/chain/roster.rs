//! Who is connected, and what the node has been told about it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};

use super::handle::PeerTable;
use super::lanes::Lanes;
use super::types::{Direction, NetworkEvent, PeerInfo, Topic};

/// The connected peers of this network. A peer counts from the moment it has shown that it is of
/// this network and has asked for all topics: from then on gossip reaches it.
pub(crate) struct Roster {
    table: PeerTable,
    explicit: BTreeSet<PeerId>,
    endpoints: BTreeMap<ConnectionId, PeerInfo>,
    newcomers: BTreeMap<PeerId, Newcomer>,
    /// Peers that the node was told about.
    announced: BTreeSet<PeerId>,
    /// All explicit peers are connected.
    explicit_complete: bool,
    /// A peer that is not explicit is connected.
    has_others: bool,
}

/// What a connected peer has shown so far.
#[derive(Default)]
struct Newcomer {
    recognised_on: Option<ConnectionId>,
    topics: BTreeSet<Topic>,
}

impl Roster {
    pub(crate) fn new(table: PeerTable, explicit: BTreeSet<PeerId>) -> Self {
        Self {
            table,
            explicit,
            endpoints: BTreeMap::new(),
            newcomers: BTreeMap::new(),
            announced: BTreeSet::new(),
            explicit_complete: false,
            has_others: false,
        }
    }

    /// A connection was opened; nothing is known about the peer's network yet.
    pub(crate) fn opened(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        address: Multiaddr,
        direction: Direction,
    ) {
        self.endpoints.insert(
            id,
            PeerInfo {
                peer,
                address,
                direction,
            },
        );
    }

    /// A connection was closed; `last` if it was the last one with its peer.
    pub(crate) fn closed(&mut self, id: ConnectionId, peer: &PeerId, last: bool) {
        self.endpoints.remove(&id);
        if last {
            self.newcomers.remove(peer);
            self.with_table(|table| table.remove(peer));
            self.recount();
        }
    }

    /// The peer on this connection is of our network.
    pub(crate) fn recognised(&mut self, id: ConnectionId, peer: PeerId) {
        self.newcomers.entry(peer).or_default().recognised_on = Some(id);
        self.welcome(&peer);
    }

    /// A connected peer wants the messages of a topic.
    pub(crate) fn subscribed(&mut self, peer: PeerId, topic: Topic) {
        self.newcomers.entry(peer).or_default().topics.insert(topic);
        self.welcome(&peer);
    }

    fn welcome(&mut self, peer: &PeerId) {
        let Some(newcomer) = self.newcomers.get(peer) else {
            return;
        };
        if newcomer.topics.len() < Topic::ALL.len() {
            return;
        }
        let endpoint = newcomer
            .recognised_on
            .and_then(|id| self.endpoints.get(&id))
            .cloned();
        if let Some(info) = endpoint {
            self.with_table(|table| {
                table.entry(info.peer).or_insert(info);
            });
            self.recount();
        }
    }

    pub(crate) fn is_recognised(&self, peer: &PeerId) -> bool {
        self.newcomers
            .get(peer)
            .is_some_and(|newcomer| newcomer.recognised_on.is_some())
    }

    pub(crate) fn len(&self) -> usize {
        self.with_table(|table| table.len())
    }

    /// Whether a message of ours reaches every explicit peer without anybody's help.
    pub(crate) const fn reaches_all(&self) -> bool {
        self.explicit_complete
    }

    /// Whether an accepted message from `source` has to be passed on.
    ///
    /// Explicit peers flood their own messages to each other. So a message that comes from an
    /// explicit peer, and whose author says that it reached them all, is news only to peers that
    /// are not explicit. Where that is wrong, pulling makes up for it.
    pub(crate) fn must_forward(&self, source: &PeerId, relay: bool) -> bool {
        relay || self.has_others || !self.explicit.contains(source)
    }

    /// Tells the node what has changed, as far as there is room; the rest follows with the next
    /// call.
    pub(crate) fn announce(&mut self, lanes: &Lanes) {
        let connected = self.with_table(|table| table.clone());
        for peer in self.announced.clone() {
            if !connected.contains_key(&peer)
                && lanes.offer(NetworkEvent::PeerDisconnected(peer)).is_ok()
            {
                self.announced.remove(&peer);
            }
        }
        for (peer, info) in connected {
            if !self.announced.contains(&peer)
                && lanes.offer(NetworkEvent::PeerConnected(info)).is_ok()
            {
                self.announced.insert(peer);
            }
        }
    }

    fn recount(&mut self) {
        let (complete, others) = {
            let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
            let complete =
                !self.explicit.is_empty() && self.explicit.iter().all(|p| table.contains_key(p));
            (
                complete,
                table.keys().any(|peer| !self.explicit.contains(peer)),
            )
        };
        self.explicit_complete = complete;
        self.has_others = others;
    }

    fn with_table<T>(&self, action: impl FnOnce(&mut BTreeMap<PeerId, PeerInfo>) -> T) -> T {
        action(&mut self.table.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::lanes;
    use super::*;

    impl Roster {
        fn opened_inbound(&mut self, id: usize, peer: PeerId) {
            let address = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
            self.opened(
                ConnectionId::new_unchecked(id),
                peer,
                address,
                Direction::Inbound,
            );
        }

        fn showed_everything(&mut self, id: usize, peer: PeerId) {
            self.recognised(ConnectionId::new_unchecked(id), peer);
            Topic::ALL
                .into_iter()
                .for_each(|topic| self.subscribed(peer, topic));
        }
    }

    #[test]
    fn messages_between_complete_explicit_peers_are_not_passed_on() {
        let (a, b, stranger) = (PeerId::random(), PeerId::random(), PeerId::random());
        let mut roster = Roster::new(PeerTable::default(), [a, b].into());
        roster.opened_inbound(1, a);
        roster.showed_everything(1, a);
        assert!(!roster.reaches_all());
        roster.opened_inbound(2, b);
        roster.showed_everything(2, b);
        assert!(roster.reaches_all());
        assert!(!roster.must_forward(&a, false));
        assert!(roster.must_forward(&a, true));
        roster.opened_inbound(3, stranger);
        assert!(!roster.must_forward(&a, false), "not recognised yet");
        roster.showed_everything(3, stranger);
        assert!(roster.must_forward(&a, false));
        assert!(roster.must_forward(&stranger, false));
        roster.closed(ConnectionId::new_unchecked(2), &b, true);
        assert!(!roster.reaches_all());
    }

    #[test]
    fn the_node_hears_of_a_peer_once_and_only_when_gossip_reaches_it() {
        let (lanes, mut events) = lanes();
        let peer = PeerId::random();
        let mut roster = Roster::new(PeerTable::default(), BTreeSet::new());
        let id = ConnectionId::new_unchecked;
        roster.opened_inbound(1, peer);
        roster.opened_inbound(2, peer);
        roster.recognised(id(1), peer);
        for topic in &Topic::ALL[1..] {
            roster.subscribed(peer, *topic);
        }
        roster.announce(&lanes);
        assert!(events.try_recv().is_none());
        roster.subscribed(peer, Topic::ALL[0]);
        roster.recognised(id(2), peer);
        roster.announce(&lanes);
        assert!(matches!(
            events.try_recv(),
            Some(NetworkEvent::PeerConnected(_))
        ));
        assert!(events.try_recv().is_none());
        roster.closed(id(1), &peer, false);
        roster.announce(&lanes);
        assert!(events.try_recv().is_none());
        roster.closed(id(2), &peer, true);
        roster.announce(&lanes);
        assert!(matches!(events.try_recv(), Some(NetworkEvent::PeerDisconnected(p)) if p == peer));
    }
}
