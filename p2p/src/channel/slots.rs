//! How many streams of peers are open, in total and by peer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::PeerId;
use prometheus_client::metrics::gauge::Gauge;

/// The places for streams.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    per_peer: u32,
    total: u32,
    taken: Arc<Mutex<Taken>>,
    open: Gauge,
}

#[derive(Debug, Default)]
struct Taken {
    by_peer: BTreeMap<PeerId, u32>,
    total: u32,
}

impl Slots {
    pub(crate) fn new(per_peer: u32, total: u32, open: Gauge) -> Self {
        Self {
            per_peer,
            total,
            taken: Arc::default(),
            open,
        }
    }

    /// A place for a stream of this peer, if there is one.
    pub(crate) fn take(&self, peer: PeerId) -> Option<Slot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = taken.by_peer.get(&peer).copied().unwrap_or(0);
        if taken.total >= self.total || of_peer >= self.per_peer {
            return None;
        }
        taken.total += 1;
        taken.by_peer.insert(peer, of_peer + 1);
        self.open.inc();
        Some(Slot {
            peer,
            slots: self.clone(),
        })
    }
}

/// One place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    peer: PeerId,
    slots: Slots,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self
            .slots
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        taken.total -= 1;
        match taken.by_peer.get(&self.peer).copied() {
            Some(count) if count > 1 => {
                taken.by_peer.insert(self.peer, count - 1);
            }
            _ => {
                taken.by_peer.remove(&self.peer);
            }
        }
        self.slots.open.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_by_peer_and_in_total_and_come_back() {
        let open = Gauge::default();
        let slots = Slots::new(2, 3, open.clone());
        let (a, b) = (PeerId::random(), PeerId::random());
        let mut held = vec![slots.take(a).unwrap(), slots.take(a).unwrap()];
        assert!(slots.take(a).is_none());
        held.push(slots.take(b).unwrap());
        assert!(slots.take(b).is_none());
        assert_eq!(open.get(), 3);
        held.remove(0);
        assert!(slots.take(b).is_some());
        drop(held);
        assert_eq!(open.get(), 0);
        assert!(slots.taken.lock().unwrap().by_peer.is_empty());
    }
}
