//! What the daemon knows, in one place: written by the reconcile loop, read by the gateway and `status`.
//!
//! Nothing here is the truth. The truth is the chain and the engine; this is the last look at both, with the time of that
//! look, so that a reader can tell whether it is fresh. What leases went through is here too; the loop keeps it in the
//! [`Journal`](super::journal::Journal).

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};
use welkin_modules::ids::LeaseId;
use welkin_modules::spec::GroupSpec;
use welkin_provider_api::channel::{LeaseEvent, Severity};
use welkin_runtime::{Address, Hash, Time};

use super::health::{Door, Ended, Health};
use super::journal::{MAX_EVENTS, MAX_MESSAGE_BYTES, Past};
use crate::backend::{LeaseKey, LeaseSpec, SeenLease, SeenReplica};
use crate::ingress::dial::Replica;
use crate::workload::Opened;

/// A look at the chain is fresh for this long.
const FRESH: Duration = Duration::from_secs(30);
/// The name of the events of replicas that ended.
const ENDED: &str = "ended";
/// How many of these are kept of one replica: those of one that falls for days leave room for all others.
const KEPT_ENDS: usize = 3;

/// A lease of this provider's that the chain proves active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its name for good.
    pub key: LeaseKey,
    /// Whose it is.
    pub owner: Address,
    /// The position of its group in the deployment, from 1.
    pub group: u32,
    /// The commitment that the deployment's manifest has now.
    pub commitment: Hash,
    /// What was leased.
    pub spec: GroupSpec,
}

/// What looks at the chain that are new enough say of a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// It is active, and as it was asked for.
    Found(Live),
    /// Proven: it is not.
    Absent,
    /// There was no look in time that is new enough to tell.
    Unknown,
}

/// The book. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Book {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
    /// The height of the newest proven look.
    height: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    live: BTreeMap<LeaseId, Live>,
    proven_height: u64,
    proven_at: Option<Instant>,
    seen: BTreeMap<LeaseKey, SeenLease>,
    /// Of each lease of which it is known what shall run.
    health: BTreeMap<LeaseKey, Health>,
    ports: BTreeMap<LeaseKey, BTreeMap<String, BTreeSet<u16>>>,
    opened: BTreeMap<LeaseKey, Vec<Opened>>,
    troubles: BTreeMap<LeaseKey, String>,
    stories: BTreeMap<LeaseKey, Story>,
    /// Those of which more is known than is kept.
    unkept: BTreeSet<LeaseKey>,
}

/// What a lease went through, and who listens for more.
struct Story {
    past: Past,
    sender: broadcast::Sender<LeaseEvent>,
}

impl Inner {
    /// Notes what the last look says of a lease's replicas, and tells what ended.
    fn note_health(&mut self, key: LeaseKey) {
        let (Some(seen), Some(health)) = (self.seen.get(&key), self.health.get_mut(&key)) else {
            return;
        };
        for ended in health.note(&seen.replicas, Instant::now()) {
            let story = self.stories.entry(key).or_default();
            story.forget_ends(&ended);
            story.tell(LeaseEvent {
                time: now(),
                severity: Severity::Warning,
                service: Some(ended.service),
                name: ENDED.to_owned(),
                message: ended.message,
            });
            self.unkept.insert(key);
        }
    }
}

impl Story {
    /// Makes room for one more end of a replica.
    fn forget_ends(&mut self, of: &Ended) {
        let replica = format!("replica {} ", of.replica);
        let is_of = |event: &LeaseEvent| {
            event.name == ENDED
                && event.service.as_ref() == Some(&of.service)
                && event.message.starts_with(&replica)
        };
        let events = &mut self.past.events;
        let mut spare = events.iter().filter(|event| is_of(event)).count() + 1;
        events.retain(|event| {
            let goes = spare > KEPT_ENDS && is_of(event);
            spare -= usize::from(goes);
            !goes
        });
    }

    /// Whether it was not told just before.
    fn tell(&mut self, event: LeaseEvent) -> bool {
        let events = &mut self.past.events;
        let is_repeated = events.back().is_some_and(|last| {
            (&last.name, &last.service, &last.message)
                == (&event.name, &event.service, &event.message)
        });
        if is_repeated {
            return false;
        }
        if events.len() == MAX_EVENTS {
            events.pop_front();
        }
        events.push_back(event.clone());
        let _ = self.sender.send(event);
        true
    }

    fn new(past: Past) -> Story {
        let sender = broadcast::channel(MAX_EVENTS).0;
        Story { past, sender }
    }
}

impl Default for Story {
    fn default() -> Self {
        Story::new(Past::default())
    }
}

impl Default for Book {
    fn default() -> Self {
        Book::new(BTreeMap::new())
    }
}

impl Book {
    /// A book that knows nothing but what leases went through before.
    pub fn new(pasts: BTreeMap<LeaseKey, Past>) -> Book {
        let stories = pasts.into_iter().map(|(key, past)| (key, Story::new(past)));
        let inner = Inner {
            stories: stories.collect(),
            ..Inner::default()
        };
        Book {
            inner: Arc::new(Mutex::new(inner)),
            changed: watch::channel(0).0,
            height: watch::channel(0).0,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the book panics")
    }

    /// Notes a proven look at the chain: all active leases of this provider at that height.
    pub fn note_chain(&self, height: u64, live: BTreeMap<LeaseId, Live>) {
        let mut inner = self.lock();
        inner
            .troubles
            .retain(|key, _| live.contains_key(&key.lease));
        inner.health.retain(|key, _| live.contains_key(&key.lease));
        inner.ports.retain(|key, _| live.contains_key(&key.lease));
        inner.live = live;
        inner.proven_height = height;
        inner.proven_at = Some(Instant::now());
        drop(inner);
        self.changed.send_modify(|count| *count += 1);
        self.height
            .send_if_modified(|newest| std::mem::replace(newest, height) != height);
    }

    /// Notes a look at the engine: counts what was started again, and tells what ended.
    pub fn note_seen(&self, seen: Vec<SeenLease>) {
        let mut inner = self.lock();
        for lease in &seen {
            let story = inner.stories.entry(lease.key).or_default();
            if story.past.restarts.note(&lease.replicas) {
                inner.unkept.insert(lease.key);
            }
        }
        inner.seen = seen.into_iter().map(|lease| (lease.key, lease)).collect();
        let watched: Vec<LeaseKey> = inner.health.keys().copied().collect();
        for key in watched {
            inner.note_health(key);
        }
        drop(inner);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Forgets how often replicas of the lease were started again that are neither wanted nor there.
    pub fn note_wanted(&self, key: LeaseKey, is_wanted: impl Fn(&str, u32) -> bool) {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let Some(story) = inner.stories.get_mut(&key) else {
            return;
        };
        let there = inner.seen.get(&key);
        let there = there.map_or(&[][..], |seen| &seen.replicas[..]);
        if story.past.restarts.retain(there, is_wanted) {
            inner.unkept.insert(key);
        }
    }

    /// Notes which replicas shall run of a lease, and on which ports its services take TCP connections.
    pub fn note_planned(&self, spec: &LeaseSpec, ports: BTreeMap<String, BTreeSet<u16>>) {
        let mut inner = self.lock();
        inner.ports.insert(spec.key, ports);
        inner.health.entry(spec.key).or_default().want(spec);
        inner.note_health(spec.key);
    }

    /// On which ports each service of a lease takes TCP connections.
    pub fn ports(&self, key: LeaseKey) -> BTreeMap<String, BTreeSet<u16>> {
        self.lock().ports.get(&key).cloned().unwrap_or_default()
    }

    /// Changes, or asks, what is known of the health of a lease's replicas; none where it is not known what shall run.
    pub fn with_health<T>(
        &self,
        key: LeaseKey,
        work: impl FnOnce(&mut Health, &[SeenReplica]) -> T,
    ) -> Option<T> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let seen = inner.seen.get(&key);
        let seen = seen.map_or(&[][..], |seen| &seen.replicas[..]);
        Some(work(inner.health.get_mut(&key)?, seen))
    }

    /// The ports of a lease that did not take a connection yet, and where they are.
    pub fn closed_doors(
        &self,
        key: LeaseKey,
        ports: &BTreeMap<String, BTreeSet<u16>>,
    ) -> Vec<(Door, Replica)> {
        let Some(seen) = self.seen(key) else {
            return Vec::new();
        };
        let doors = self.with_health(key, |health, _| health.doors(ports));
        let doors = doors.into_iter().flatten();
        let placed = doors.filter_map(|door| {
            let replica = seen.replicas.iter().find(|one| one.run == door.run)?;
            let place = Replica {
                address: SocketAddr::new(replica.address?, door.port),
                interface: seen.interface.clone(),
            };
            Some((door, place))
        });
        placed.collect()
    }

    /// Notes how the world reaches the leases.
    pub fn note_opened(&self, opened: BTreeMap<LeaseKey, Vec<Opened>>) {
        self.lock().opened = opened;
    }

    /// Notes why the last try to start a lease failed, or that nothing is wrong.
    pub fn note_trouble(&self, key: LeaseKey, cause: Option<String>) {
        let mut inner = self.lock();
        match cause {
            Some(cause) => inner.troubles.insert(key, cause),
            None => inner.troubles.remove(&key),
        };
    }

    /// Why the last try to start a lease failed.
    pub fn trouble(&self, key: LeaseKey) -> Option<String> {
        self.lock().troubles.get(&key).cloned()
    }

    /// The lease, if it is proven active.
    pub fn live(&self, lease: LeaseId) -> Option<Live> {
        self.lock().live.get(&lease).cloned()
    }

    /// Whether the look at the chain is fresh, and its height.
    pub fn freshness(&self) -> (bool, u64) {
        let inner = self.lock();
        (
            inner.proven_at.is_some_and(|at| at.elapsed() < FRESH),
            inner.proven_height,
        )
    }

    /// Waits for a look at the chain that is new enough to say whether the lease is active and `fits`, while there is
    /// patience. Two heights after the first fresh look it is certain that what the tenant saw before is seen here too.
    pub async fn seek(
        &self,
        lease: LeaseId,
        fits: impl Fn(&Live) -> bool,
        patience: impl Future<Output = ()>,
    ) -> Sought {
        let mut heights = self.height.subscribe();
        let mut patience = pin!(patience);
        let mut first = None;
        loop {
            let (is_fresh, height) = self.freshness();
            if let Some(live) = self.live(lease).filter(&fits) {
                return Sought::Found(live);
            }
            match first {
                Some(first) if height > first + 1 => return Sought::Absent,
                None if is_fresh => first = Some(height),
                _ => {}
            }
            // Only another height can say more: looks are dear, and anybody can ask.
            tokio::select! {
                biased;
                changed = heights.changed() => if changed.is_err() {
                    return Sought::Unknown;
                },
                () = &mut patience => return Sought::Unknown,
            }
        }
    }

    /// What runs of the lease.
    pub fn seen(&self, key: LeaseKey) -> Option<SeenLease> {
        self.lock().seen.get(&key).cloned()
    }

    /// How often these replicas of a service were started again, together.
    pub fn restarts(&self, key: LeaseKey, service: &str, replicas: u32) -> u32 {
        let inner = self.lock();
        let story = inner.stories.get(&key);
        story.map_or(0, |story| story.past.restarts.of(service, replicas))
    }

    /// How the world reaches the lease; none while that is not settled.
    pub fn opened(&self, key: LeaseKey) -> Option<Vec<Opened>> {
        self.lock().opened.get(&key).cloned()
    }

    /// Ends when `lease` is not proven active any more.
    pub async fn until_ended(&self, lease: LeaseId) {
        let mut changed = self.changed.subscribe();
        while self.live(lease).is_some() {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells the tenant something. What was just told is not told again.
    pub fn tell(
        &self,
        key: LeaseKey,
        severity: Severity,
        name: &str,
        service: Option<&str>,
        mut message: String,
    ) {
        let end = (0..=MAX_MESSAGE_BYTES.min(message.len()))
            .rev()
            .find(|end| message.is_char_boundary(*end));
        message.truncate(end.unwrap_or(0));
        let event = LeaseEvent {
            time: now(),
            severity,
            service: service.map(str::to_owned),
            name: name.to_owned(),
            message,
        };
        let mut inner = self.lock();
        if inner.stories.entry(key).or_default().tell(event) {
            inner.unkept.insert(key);
        }
    }

    /// What was told about the lease so far, and what will be.
    pub fn events(&self, key: LeaseKey) -> (Vec<LeaseEvent>, broadcast::Receiver<LeaseEvent>) {
        let mut inner = self.lock();
        let story = inner.stories.entry(key).or_default();
        let events = story.past.events.iter().cloned().collect();
        (events, story.sender.subscribe())
    }

    /// All leases of which anything was told or counted.
    pub fn told(&self) -> BTreeSet<LeaseKey> {
        self.lock().stories.keys().copied().collect()
    }

    /// What is to be kept since this was asked last.
    pub fn take_unkept(&self) -> Vec<(LeaseKey, Past)> {
        let mut inner = self.lock();
        let keys = std::mem::take(&mut inner.unkept);
        let past = |key: LeaseKey| Some((key, inner.stories.get(&key)?.past.clone()));
        keys.into_iter().filter_map(past).collect()
    }

    /// Notes that these could not be kept.
    pub fn note_unkept(&self, keys: impl IntoIterator<Item = LeaseKey>) {
        self.lock().unkept.extend(keys);
    }

    /// Forgets what was told of a lease that is over; whoever listens hears the end.
    pub fn forget(&self, key: LeaseKey) {
        let mut inner = self.lock();
        inner.stories.remove(&key);
        inner.unkept.remove(&key);
        inner.health.remove(&key);
        inner.ports.remove(&key);
    }
}

/// The provider's clock.
pub fn now() -> Time {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::{pending, ready};

    use futures::FutureExt;

    use super::*;
    use crate::backend::{ReplicaState, Run, SeenReplica};

    fn key(number: u64) -> LeaseKey {
        LeaseKey {
            lease: format!("{number}/1/1").parse().unwrap(),
            creation_height: 9,
        }
    }

    fn live(number: u64) -> BTreeMap<LeaseId, Live> {
        let spec = GroupSpec {
            name: "one".to_owned(),
            requirements: Default::default(),
            resources: Vec::new(),
        };
        let live = Live {
            key: key(number),
            owner: Address([1; 20]),
            group: 1,
            commitment: Hash([1; 32]),
            spec,
        };
        BTreeMap::from([(live.key.lease, live)])
    }

    #[test]
    fn a_lease_is_absent_only_where_two_newer_heights_show_none() {
        let book = Book::default();
        book.note_chain(7, BTreeMap::new());
        // Patience that is over at once: no newer look came.
        let stalled = book.seek(key(1).lease, |_| true, ready(()));
        assert_eq!(stalled.now_or_never(), Some(Sought::Unknown));
        for (heights, expected) in [
            (vec![8], Sought::Unknown),
            (vec![9, 10], Sought::Absent),
            (vec![12], Sought::Absent),
            (vec![13], Sought::Unknown),
        ] {
            let (over, patience) = futures::channel::oneshot::channel::<()>();
            let seeking = book.seek(key(1).lease, |_| true, patience.map(drop));
            let mut seeking = pin!(seeking);
            assert_eq!(seeking.as_mut().now_or_never(), None);
            for height in heights {
                book.note_chain(height, BTreeMap::new());
            }
            drop(over);
            assert_eq!(seeking.now_or_never(), Some(expected));
        }
        book.note_chain(14, live(1));
        let there = book.seek(key(1).lease, |_| true, ready(()));
        assert!(matches!(there.now_or_never(), Some(Sought::Found(_))));
    }

    #[test]
    fn a_book_that_saw_nothing_yet_takes_no_first_look_for_two() {
        let book = Book::default();
        let mut seeking = pin!(book.seek(key(1).lease, |_| true, pending()));
        for height in [7, 8] {
            assert_eq!(seeking.as_mut().now_or_never(), None);
            book.note_chain(height, BTreeMap::new());
        }
        assert_eq!(seeking.as_mut().now_or_never(), None);
        book.note_chain(9, BTreeMap::new());
        assert_eq!(seeking.now_or_never(), Some(Sought::Absent));
    }

    #[test]
    fn who_waits_for_a_lease_looks_again_only_at_another_height() {
        let book = Book::default();
        book.note_chain(7, live(1));
        let looks = Cell::new(0);
        let fits = |_: &Live| {
            looks.set(looks.get() + 1);
            false
        };
        let mut seeking = pin!(book.seek(key(1).lease, fits, pending()));
        for _ in 0..3 {
            assert_eq!(seeking.as_mut().now_or_never(), None);
            book.note_seen(Vec::new());
            book.note_chain(7, live(1));
        }
        assert_eq!(looks.get(), 1);
        book.note_chain(8, live(1));
        assert_eq!(seeking.now_or_never(), None);
        assert_eq!(looks.get(), 2);
    }

    fn tell(book: &Book, number: u64, message: &str) {
        let message = message.to_owned();
        book.tell(key(number), Severity::Normal, "starting", None, message);
    }

    #[test]
    fn the_newest_events_are_kept_each_once_and_none_is_longer_than_may_be() {
        let book = Book::default();
        for number in 0..=MAX_EVENTS {
            tell(&book, 1, &number.to_string());
            tell(&book, 1, &number.to_string());
        }
        let (events, _) = book.events(key(1));
        assert_eq!(events.len(), MAX_EVENTS);
        assert_eq!(events[0].message, "1");
        tell(&book, 1, &format!("a{}", "é".repeat(MAX_MESSAGE_BYTES)));
        let (events, _) = book.events(key(1));
        assert_eq!(events[MAX_EVENTS - 1].message.len(), MAX_MESSAGE_BYTES - 1);
    }

    #[test]
    fn a_replica_that_falls_without_end_leaves_room_for_all_other_events() {
        let book = Book::default();
        let service = crate::backend::ServiceSpec {
            name: "web".to_owned(),
            image: "image".to_owned(),
            credentials: None,
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            cpu_millis: 1,
            memory_bytes: 1,
            disk_bytes: 1,
            replicas: 1,
            volumes: Vec::new(),
            ports: Vec::new(),
        };
        let fingerprint = service.fingerprint();
        let spec = LeaseSpec {
            key: key(1),
            version: Hash([1; 32]),
            services: vec![service],
        };
        book.note_planned(&spec, BTreeMap::new());
        tell(&book, 1, "first");
        for run in 0..MAX_EVENTS {
            let replica = SeenReplica {
                service: "web".to_owned(),
                replica: 0,
                fingerprint: fingerprint.clone(),
                version: spec.version,
                state: ReplicaState::Exited {
                    code: 1,
                    out_of_memory: false,
                },
                address: None,
                is_ready: None,
                run: Run {
                    id: "x".to_owned(),
                    started: Some(run.to_string()),
                    restarts: 0,
                },
            };
            let lease = SeenLease {
                key: key(1),
                replicas: vec![replica],
                interface: None,
                public_ports: BTreeMap::new(),
            };
            book.note_seen(vec![lease]);
            book.with_health(key(1), |health, _| {
                health.note_tried("web", 0, Instant::now())
            });
        }
        let (events, _) = book.events(key(1));
        assert_eq!(events.len(), 1 + KEPT_ENDS);
        assert_eq!(events[0].message, "first");
        let last = format!("restart {MAX_EVENTS} after 300 s");
        assert!(events[KEPT_ENDS].message.ends_with(&last), "{events:?}");
    }

    #[test]
    fn a_replica_that_is_not_wanted_any_more_is_not_kept() {
        let book = Book::default();
        let run = Run {
            id: "x".to_owned(),
            started: None,
            restarts: 3,
        };
        let replica = SeenReplica {
            service: "web".to_owned(),
            replica: 1,
            fingerprint: "a".to_owned(),
            version: Hash([1; 32]),
            state: ReplicaState::Running,
            address: None,
            is_ready: None,
            run,
        };
        let seen = |replicas| SeenLease {
            key: key(1),
            replicas,
            interface: None,
            public_ports: BTreeMap::new(),
        };
        book.note_seen(vec![seen(vec![replica])]);
        book.note_seen(vec![seen(Vec::new())]);
        assert_eq!(book.take_unkept().len(), 1);
        book.note_wanted(key(1), |_, number| number < 2);
        assert_eq!(book.take_unkept(), []);
        assert_eq!(book.restarts(key(1), "web", 2), 3);
        book.note_wanted(key(1), |_, number| number < 1);
        assert_eq!(book.take_unkept(), [(key(1), Past::default())]);
    }

    #[test]
    fn a_look_without_a_lease_forgets_nothing_of_it_and_proof_forgets_all() {
        let book = Book::default();
        tell(&book, 1, "one");
        tell(&book, 2, "two");
        book.note_chain(7, BTreeMap::new());
        assert_eq!(book.told(), BTreeSet::from([key(1), key(2)]));
        let kept: BTreeMap<_, _> = book.take_unkept().into_iter().collect();
        assert_eq!(kept.len(), 2);
        assert_eq!(book.take_unkept(), []);
        book.note_unkept([key(1), key(2)]);
        book.forget(key(1));
        assert_eq!(book.take_unkept().len(), 1);
        assert!(book.events(key(1)).0.is_empty());

        let next = Book::new(kept);
        assert_eq!(next.events(key(2)).0, book.events(key(2)).0);
        assert_eq!(next.take_unkept(), [], "what was read is kept already");
        tell(&next, 2, "two");
        assert_eq!(next.take_unkept(), [], "and it is not told again");
    }
}
