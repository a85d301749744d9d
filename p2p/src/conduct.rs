//! What peers did wrong, and what follows from it. Pure: the caller brings the time.
//!
//! Every offence adds points, points fade with time. A peer with [`GRAYLIST`] points is no longer
//! listened to, one with [`BAN`] points is cut off for a while, each time for longer. Points
//! outlive the connection, so reconnecting does not wash them off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::task::AtomicWaker;
use libp2p::PeerId;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

/// From here on a peer's gossip is dropped unread.
pub const GRAYLIST: u32 = 60;
/// From here on a peer is disconnected and refused for a while.
pub const BAN: u32 = 100;

/// Points that fade each second.
const FADE_PER_SECOND: u32 = 1;
/// The first ban; each further one is twice as long, up to [`LONGEST_BAN`].
const FIRST_BAN: Duration = Duration::from_secs(30);
const LONGEST_BAN: Duration = Duration::from_secs(3600);
/// How many misbehaving peers are remembered; the one with the fewest points makes room.
const REMEMBERED: usize = 1024;

/// Something that a peer should not have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(EncodeLabelValue)]
pub enum Offence {
    /// It forwarded a message that is invalid by itself (the verdict was
    /// [`Reject`](crate::chain::Verdict)).
    Invalid,
    /// It sent bytes that do not follow the protocol.
    Malformed,
    /// It sent or announced more bytes than the protocol allows.
    Oversized,
    /// It sends faster than its token bucket allows.
    TooFast,
    /// It belongs to a network with another genesis.
    WrongNetwork,
    /// It answered a request with something wrong.
    BadAnswer,
}

impl Offence {
    /// How much this counts against [`GRAYLIST`] and [`BAN`].
    #[must_use]
    pub const fn points(self) -> u32 {
        match self {
            Self::Invalid | Self::Malformed | Self::Oversized => 35,
            Self::TooFast => 1,
            Self::WrongNetwork => BAN,
            Self::BadAnswer => 20,
        }
    }
}

/// The label of metrics that count offences.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OffenceLabel {
    /// What the peer did.
    pub offence: Offence,
}

/// The ledger of one network, with its counters, for all parts of its task.
///
/// The lock is only ever taken for a few instructions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conduct {
    state: Arc<Mutex<State>>,
    offences: Family<OffenceLabel, Counter>,
    bans: Counter,
    /// Wakes the task that cuts peers off.
    cutter: Arc<AtomicWaker>,
}

#[derive(Debug, Default)]
struct State {
    ledger: Ledger,
    /// Peers whose connections are to be closed.
    to_cut: Vec<PeerId>,
}

impl Conduct {
    pub(crate) fn new(offences: Family<OffenceLabel, Counter>, bans: Counter) -> Self {
        Self {
            offences,
            bans,
            ..Self::default()
        }
    }

    /// Notes an offence; a peer that is banned for it is cut off.
    pub(crate) fn note(&self, peer: PeerId, offence: Offence) {
        self.offences.get_or_create(&OffenceLabel { offence }).inc();
        let mut state = self.lock();
        if state.ledger.note(peer, offence, Instant::now()) {
            self.bans.inc();
            state.to_cut.push(peer);
            drop(state);
            self.cutter.wake();
            tracing::info!(target: crate::LOG_TARGET, %peer, ?offence, "peer banned");
        }
    }

    pub(crate) fn is_graylisted(&self, peer: &PeerId) -> bool {
        self.lock().ledger.is_graylisted(peer, Instant::now())
    }

    pub(crate) fn is_banned(&self, peer: &PeerId) -> bool {
        self.lock().ledger.is_banned(peer, Instant::now())
    }

    /// A peer that is to be disconnected now; if there is none, the task is woken when there is.
    pub(crate) fn poll_to_cut(&self, cx: &Context<'_>) -> Poll<PeerId> {
        self.cutter.register(cx.waker());
        self.lock().to_cut.pop().map_or(Poll::Pending, Poll::Ready)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Debug)]
struct Record {
    points: u32,
    updated_at: Instant,
    bans: u32,
    banned_until: Option<Instant>,
}

/// The memory of who did what.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    records: BTreeMap<PeerId, Record>,
}

impl Ledger {
    /// Notes an offence; true if the peer is to be cut off now.
    pub(crate) fn note(&mut self, peer: PeerId, offence: Offence, now: Instant) -> bool {
        self.make_room(peer, now);
        let record = self.records.entry(peer).or_insert(Record {
            points: 0,
            updated_at: now,
            bans: 0,
            banned_until: None,
        });
        record.fade(now);
        record.points = record.points.saturating_add(offence.points());
        if record.points < BAN {
            return false;
        }
        record.points = 0;
        let length = FIRST_BAN
            .saturating_mul(1 << record.bans.min(16))
            .min(LONGEST_BAN);
        record.bans += 1;
        record.banned_until = Some(now + length);
        true
    }

    /// Whether the peer's gossip is to be dropped unread.
    pub(crate) fn is_graylisted(&self, peer: &PeerId, now: Instant) -> bool {
        self.records
            .get(peer)
            .is_some_and(|record| record.points_at(now) >= GRAYLIST)
    }

    /// Whether the peer is refused at the moment.
    pub(crate) fn is_banned(&self, peer: &PeerId, now: Instant) -> bool {
        self.records
            .get(peer)
            .and_then(|record| record.banned_until)
            .is_some_and(|until| now < until)
    }

    fn make_room(&mut self, newcomer: PeerId, now: Instant) {
        if self.records.len() < REMEMBERED || self.records.contains_key(&newcomer) {
            return;
        }
        let least = self
            .records
            .iter()
            .min_by_key(|(_, record)| {
                (
                    record.banned_until.is_some_and(|t| now < t),
                    record.points_at(now),
                )
            })
            .map(|(peer, _)| *peer);
        if let Some(peer) = least {
            self.records.remove(&peer);
        }
    }
}

impl Record {
    fn points_at(&self, now: Instant) -> u32 {
        let seconds = now.saturating_duration_since(self.updated_at).as_secs();
        let faded = u32::try_from(seconds)
            .unwrap_or(u32::MAX)
            .saturating_mul(FADE_PER_SECOND);
        self.points.saturating_sub(faded)
    }

    fn fade(&mut self, now: Instant) {
        let points = self.points_at(now);
        // Whole seconds only are used up, so frequent small offences fade as well.
        let seconds = now.saturating_duration_since(self.updated_at).as_secs();
        self.updated_at += Duration::from_secs(seconds);
        self.points = points;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_invalid_message_bans_and_bans_grow() {
        let peer = PeerId::random();
        let mut ledger = Ledger::default();
        let start = Instant::now();
        assert!(!ledger.note(peer, Offence::Invalid, start));
        assert!(!ledger.is_graylisted(&peer, start));
        assert!(!ledger.note(peer, Offence::Invalid, start));
        assert!(ledger.is_graylisted(&peer, start));
        assert!(ledger.note(peer, Offence::Invalid, start));
        assert!(ledger.is_banned(&peer, start + FIRST_BAN - Duration::from_millis(1)));
        let later = start + FIRST_BAN;
        assert!(!ledger.is_banned(&peer, later));
        assert!(ledger.note(peer, Offence::WrongNetwork, later));
        assert!(ledger.is_banned(&peer, later + FIRST_BAN));
        assert!(!ledger.is_banned(&peer, later + 2 * FIRST_BAN));
    }

    #[test]
    fn points_fade() {
        let peer = PeerId::random();
        let mut ledger = Ledger::default();
        let start = Instant::now();
        for step in 0..50 {
            assert!(!ledger.note(
                peer,
                Offence::Invalid,
                start + Duration::from_secs(40 * step)
            ));
        }
    }

    #[test]
    fn the_memory_is_bounded_and_keeps_the_banned() {
        let mut ledger = Ledger::default();
        let start = Instant::now();
        let banned = PeerId::random();
        assert!(ledger.note(banned, Offence::WrongNetwork, start));
        for _ in 0..2 * REMEMBERED {
            ledger.note(PeerId::random(), Offence::TooFast, start);
        }
        assert_eq!(ledger.records.len(), REMEMBERED);
        assert!(ledger.is_banned(&banned, start));
    }
}
