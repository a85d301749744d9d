//! What the daemon knows, in one place: written by the reconcile loop, read by the gateway and `status`.
//!
//! Nothing here is the truth. The truth is the chain and the engine; this is the last look at both, with the time of that
//! look, so that a reader can tell whether it is fresh.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, watch};
use welkin_modules::ids::LeaseId;
use welkin_modules::spec::GroupSpec;
use welkin_provider_api::channel::{LeaseEvent, Severity};
use welkin_runtime::{Address, Hash, Time};

use crate::backend::{LeaseKey, SeenLease};
use crate::workload::Opened;

/// Events kept of one lease.
const MAX_EVENTS: usize = 256;
/// A look at the chain is fresh for this long.
const FRESH: Duration = Duration::from_secs(30);

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

/// The book. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Book {
    inner: Arc<Mutex<Inner>>,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    live: BTreeMap<LeaseId, Live>,
    proven_height: u64,
    proven_at: Option<Instant>,
    seen: BTreeMap<LeaseKey, SeenLease>,
    opened: BTreeMap<LeaseKey, Vec<Opened>>,
    troubles: BTreeMap<LeaseKey, String>,
    events: BTreeMap<LeaseId, Events>,
}

struct Events {
    kept: VecDeque<LeaseEvent>,
    sender: broadcast::Sender<LeaseEvent>,
}

impl Default for Events {
    fn default() -> Self {
        Events {
            kept: VecDeque::new(),
            sender: broadcast::channel(MAX_EVENTS).0,
        }
    }
}

impl Default for Book {
    fn default() -> Self {
        Book {
            inner: Arc::default(),
            changed: watch::channel(0).0,
        }
    }
}

impl Book {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no holder of the book panics")
    }

    /// Notes a proven look at the chain: all active leases of this provider at that height.
    pub fn note_chain(&self, height: u64, live: BTreeMap<LeaseId, Live>) {
        let mut inner = self.lock();
        inner.events.retain(|lease, _| live.contains_key(lease));
        inner
            .troubles
            .retain(|key, _| live.contains_key(&key.lease));
        inner.live = live;
        inner.proven_height = height;
        inner.proven_at = Some(Instant::now());
        drop(inner);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Notes a look at the engine.
    pub fn note_seen(&self, seen: Vec<SeenLease>) {
        self.lock().seen = seen.into_iter().map(|lease| (lease.key, lease)).collect();
        self.changed.send_modify(|count| *count += 1);
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

    /// What runs of the lease.
    pub fn seen(&self, key: LeaseKey) -> Option<SeenLease> {
        self.lock().seen.get(&key).cloned()
    }

    /// How the world reaches the lease.
    pub fn opened(&self, key: LeaseKey) -> Vec<Opened> {
        self.lock().opened.get(&key).cloned().unwrap_or_default()
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

    /// Tells of every change from now on.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Tells the tenant something. What was just told is not told again.
    pub fn tell(
        &self,
        lease: LeaseId,
        severity: Severity,
        name: &str,
        service: Option<&str>,
        message: String,
    ) {
        let event = LeaseEvent {
            time: now(),
            severity,
            service: service.map(str::to_owned),
            name: name.to_owned(),
            message,
        };
        let mut inner = self.lock();
        let events = inner.events.entry(lease).or_default();
        let is_repeated = events.kept.back().is_some_and(|last| {
            (&last.name, &last.service, &last.message)
                == (&event.name, &event.service, &event.message)
        });
        if is_repeated {
            return;
        }
        if events.kept.len() == MAX_EVENTS {
            events.kept.pop_front();
        }
        events.kept.push_back(event.clone());
        let _ = events.sender.send(event);
    }

    /// What was told about the lease so far, and what will be.
    pub fn events(&self, lease: LeaseId) -> (Vec<LeaseEvent>, broadcast::Receiver<LeaseEvent>) {
        let mut inner = self.lock();
        let events = inner.events.entry(lease).or_default();
        (
            events.kept.iter().cloned().collect(),
            events.sender.subscribe(),
        )
    }
}

/// The provider's clock.
pub fn now() -> Time {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Time(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
