//! The loop that makes what runs equal to what is proven and wanted.
//!
//! Everything wakes it (a tenant's manifest, a block, an engine's event, a finished action) and nothing but its own look at
//! chain and engine decides. A look that fails changes nothing: leases run on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use tokio::sync::{Notify, mpsc, watch};
use welkin_client::{Chain, ClientError};
use welkin_modules::ids::LeaseId;
use welkin_provider_api::channel::Severity;
use welkin_runtime::Hash;

use super::book::Book;
use super::health::size;
use super::journal::Journal;
use super::knock::knock;
use super::look::{Leases, Looker};
use super::records::{Known, Records};
use super::report::is_ready;
use super::routing::{Routing, RoutingError};
use super::trade::View;
use super::works::{Deed, Done, Works};
use super::{LOG, Watch};
use crate::backend::{Backend, BackendError, LeaseKey, LeaseSpec, SeenLease};
use crate::manifests::{Failure, Manifests, ManifestsError};
use crate::planner::{Action, Inputs, Plan, Record, plan};
use crate::workload::tcp_ports;

/// The first pause before a version is started again, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A version that never ran has failed after so many tries, or after two that lie so far apart. It is tried on, in case
/// that what is wrong passes, but nobody waits for it any more.
const MOST_TRIES: u32 = 3;
const TRYING: Duration = Duration::from_secs(10);
/// The least time from one look to the next, so that nobody who wakes the loop often makes it spin.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);
/// How often the disk use of what runs is looked at.
const DISK_INTERVAL: Duration = Duration::from_secs(30);

/// What the loop is made of.
pub struct Parts {
    /// Looks at the chain.
    pub looker: Looker,
    /// What runs leases.
    pub backend: Arc<dyn Backend>,
    /// What tenants sent.
    pub manifests: Arc<Manifests>,
    /// What is known.
    pub book: Book,
    /// Keeps what leases went through.
    pub journal: Journal,
    /// Wakes the loop.
    pub wake: Arc<Notify>,
    /// For `status` and metrics.
    pub watch: Watch,
    /// The provider's folder.
    pub home: PathBuf,
    /// The domain of generated names.
    pub domain: String,
    /// Ports for tenants.
    pub ports: std::ops::RangeInclusive<u16>,
    /// How often everything is looked at when nothing happens.
    pub interval: Duration,
    /// Where the newest look is shown to the trader.
    pub views: watch::Sender<View>,
}

/// What the loop remembers of a lease between two looks. Losing it costs a pause and no more.
#[derive(Default)]
struct Memory {
    /// Time without a manifest, while the provider could be reached.
    waited: Duration,
    /// Since when it is counted.
    counted_at: Option<Instant>,
    /// Whether the lease began while this daemon watched.
    began_here: bool,
    /// The version that was applied last. A pause is for the same one again; another begins at once.
    applied: Option<Hash>,
    pause: Duration,
    not_before: Option<Instant>,
    /// Tries in a row that failed with it.
    tries: Tries,
    right_since: Option<Instant>,
}

/// Tries in a row to start a version that failed in ways that may pass.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    count: u32,
    since: Option<Instant>,
    /// Whether the version was called failed for it.
    is_told: bool,
}

impl Tries {
    /// One more; whether it is time to tell the tenant that the version failed, though it is tried again.
    fn is_last(&mut self, now: Instant) -> bool {
        self.count = self.count.saturating_add(1);
        let since = *self.since.get_or_insert(now);
        let is_long = now.saturating_duration_since(since) >= TRYING;
        self.is_told = self.count >= MOST_TRIES || (self.count > 1 && is_long);
        self.is_told
    }
}

/// The loop.
pub struct Reconciler {
    parts: Parts,
    records: Records,
    routing: Routing,
    memory: BTreeMap<LeaseKey, Memory>,
    works: Works,
    /// Where they tell that they ended.
    ends: mpsc::Receiver<Done>,
    started: Instant,
    looked_before: bool,
    disk_at: Instant,
    /// The last look at the chain that succeeded.
    last: Option<Leases>,
    /// The leases whose past could not be kept the last time, so that a failure is told once.
    unkept: BTreeSet<LeaseKey>,
    /// Asks ports whether anybody listens.
    knocking: Option<tokio::task::JoinHandle<()>>,
}

impl Parts {
    /// The loop; the ports that leases had are read from the provider's folder.
    ///
    /// # Errors
    /// [`RoutingError`] when they cannot be read.
    pub fn build(self) -> Result<Reconciler, RoutingError> {
        let now = Instant::now();
        let (works, ends) = Works::new();
        Ok(Reconciler {
            records: Records::new(self.manifests.clone()),
            routing: Routing::open(
                &self.home,
                self.domain.clone(),
                self.ports.clone(),
                self.backend.capabilities().traffic,
            )?,
            parts: self,
            memory: BTreeMap::new(),
            works,
            ends,
            started: now,
            looked_before: false,
            disk_at: now,
            last: None,
            unkept: BTreeSet::new(),
            knocking: None,
        })
    }
}

impl Reconciler {
    /// The client through which the loop looks at the chain.
    pub fn chain(&self) -> Chain {
        self.parts.looker.chain().clone()
    }

    /// Runs until the future is dropped.
    pub async fn run(mut self) {
        let mut changes = self.parts.backend.changes();
        let mut has_changes = true;
        let mut tick = tokio::time::interval(self.parts.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let wake = self.parts.wake.clone();
        let mut rest = tokio::time::interval(LEAST_INTERVAL);
        rest.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rest.tick().await;
            tokio::select! {
                _ = tick.tick() => {
                    // The engine's stream of events ended: it is opened anew here and nowhere else, so that an engine
                    // that is gone is asked once in an interval.
                    if !has_changes {
                        changes = self.parts.backend.changes();
                        has_changes = true;
                    }
                }
                () = wake.notified() => {}
                change = changes.next(), if has_changes => has_changes = change.is_some(),
                Some(done) = self.ends.recv() => self.finish(done),
            }
            if let Err(error) = self.round().await {
                tracing::warn!(target: LOG, %error, "this look failed; everything runs on");
                self.parts.watch.note_error(error.to_string());
            }
            self.keep_journal().await;
        }
    }

    async fn round(&mut self) -> Result<(), RoundError> {
        let observed = self.parts.backend.observe().await;
        if let Ok(seen) = &observed {
            self.parts.book.note_seen(seen.clone());
        }
        let highest_height = self.highest_height();
        // Though the engine does not answer: what the chain says is for tenants too.
        let there = observed.iter().flatten().map(|lease| lease.key.lease);
        let looked = self.parts.looker.leases(there).await;
        let (leases, failure) = match looked {
            Ok(leases) => {
                self.parts
                    .book
                    .note_chain(leases.view.height, leases.live.clone());
                self.remember(&leases);
                self.last = Some(leases.clone());
                (leases, None)
            }
            // What was proven active before goes on being started again where it ends; nothing ends for it.
            Err(error) => match &self.last {
                Some(last) => (last.only_active(), Some(error)),
                None => return Err(error.into()),
            },
        };
        let seen = observed?;

        let known = self.known(&leases);
        let records = self.planned_records(&known);
        self.note_planned(&records, &known);
        let plan = plan(Inputs {
            chain: &leases.view,
            highest_height,
            records: &records,
            seen: &seen,
            now_ms: self.now_ms(),
        });
        // What the disk refuses is told at the end: removing what is over may be all that makes room on it.
        let noted = self.note_good(&records, &known, &seen);
        let routed = self.routing.update(&leases.live, &known, &seen);
        let routed = routed.map(|opened| self.parts.book.note_opened(opened));
        let unused = self.act(plan);
        self.watch_disks(&records, &seen).await;
        self.knock(&seen);
        if let Some(error) = failure {
            return Err(error.into());
        }
        let forgotten = self.forget_ended(&leases, highest_height);
        self.parts.watch.note_round(&leases, &seen);
        self.parts.views.send_replace(View { leases, unused });
        noted?;
        routed?;
        Ok(forgotten?)
    }

    /// The highest height whose state was ever proven to this provider. The client keeps it over restarts.
    fn highest_height(&self) -> u64 {
        // The state after a block is proven by the header one higher.
        self.parts.looker.chain().highest_seen().saturating_sub(1)
    }

    fn now_ms(&self) -> u64 {
        millis(self.started.elapsed())
    }

    fn remember(&mut self, leases: &Leases) {
        let now = Instant::now();
        let keys: BTreeSet<LeaseKey> = leases.live.values().map(|live| live.key).collect();
        self.memory.retain(|key, _| keys.contains(key));
        for key in keys {
            let is_new = !self.memory.contains_key(&key);
            let memory = self.memory.entry(key).or_default();
            memory.began_here |= is_new && self.looked_before;
            // Only time between two looks that both succeeded soon after each other counts.
            let limit = self.parts.interval * 5;
            if let Some(at) = memory.counted_at.replace(now) {
                memory.waited += now.duration_since(at).min(limit);
            }
        }
        self.looked_before = true;
    }

    /// What is kept of each lease; tenants whose records cannot be read are told.
    fn known(&mut self, leases: &Leases) -> BTreeMap<LeaseId, Known> {
        let (known, broken) = self.records.look(leases.live.values());
        for (key, _) in broken {
            let text = "the provider cannot read its copy of the manifest; send it again";
            self.parts
                .book
                .tell(key, Severity::Warning, "damaged", None, text.into());
        }
        for live in leases.live.values() {
            // Where the version that should run cannot be read, nothing is known of what is wanted.
            if let Some(known) = known
                .get(&live.key.lease)
                .filter(|one| one.accepted.is_some())
            {
                let is_wanted = |service: &str, replica| known.has_replica(service, replica);
                self.parts.book.note_wanted(live.key, is_wanted);
                // A tenant who sends a failed version again wants it tried now.
                let memory = self.memory.get_mut(&live.key);
                let is_failed = known.versions.failed.is_some();
                if let Some(memory) = memory.filter(|memory| memory.tries.is_told && !is_failed) {
                    memory.tries = Tries::default();
                    memory.pause = Duration::ZERO;
                    memory.not_before = None;
                }
            }
        }
        known
    }

    fn planned_records(&self, known: &BTreeMap<LeaseId, Known>) -> BTreeMap<LeaseId, Record> {
        let by_lease = self.memory.iter();
        by_lease
            .filter_map(|(key, memory)| {
                let known = known.get(&key.lease)?;
                let pause = memory
                    .not_before
                    .filter(|_| memory.applied == known.versions.wanted());
                let record = Record {
                    accepted: known.accepted.as_ref().map(|one| one.spec.clone()),
                    last_good: known.last_good.as_ref().map(|one| one.spec.clone()),
                    failed: known.versions.failed.as_ref().map(|failed| failed.version),
                    waited_ms: millis(memory.waited),
                    is_from_its_beginning: memory.began_here,
                    not_before_ms: pause.map_or(0, |at| millis(at.duration_since(self.started))),
                    resting: self.resting(*key),
                };
                Some((key.lease, record))
            })
            .collect()
    }

    /// The replicas of a lease that are not to be started again yet.
    fn resting(&self, key: LeaseKey) -> BTreeSet<(String, u32)> {
        let now = Instant::now();
        let resting = self.parts.book.with_health(key, |one, _| one.resting(now));
        resting.unwrap_or_default()
    }

    /// Notes which replicas shall run, so that the next look at the engine can tell what became of them.
    fn note_planned(&self, records: &BTreeMap<LeaseId, Record>, known: &BTreeMap<LeaseId, Known>) {
        for (lease, record) in records {
            let Some(wanted) = crate::planner::wanted(record) else {
                continue;
            };
            let runnable = known.get(lease);
            let runnable = runnable.and_then(|known| known.version(wanted.version));
            let ports = runnable.map(|one| tcp_ports(&one.manifest));
            self.parts
                .book
                .note_planned(wanted, ports.unwrap_or_default());
        }
    }

    /// Asks the ports of what runs, beside the loop and once at a time, and wakes the loop where one answers.
    fn knock(&mut self, seen: &[SeenLease]) {
        if self
            .knocking
            .as_ref()
            .is_some_and(|task| !task.is_finished())
        {
            return;
        }
        let keys: Vec<LeaseKey> = seen.iter().map(|lease| lease.key).collect();
        let (book, wake) = (self.parts.book.clone(), self.parts.wake.clone());
        self.knocking = Some(tokio::spawn(async move {
            let asked = keys.into_iter().map(|key| {
                let (book, ports) = (book.clone(), book.ports(key));
                async move { knock(&book, key, &ports).await }
            });
            if join_all(asked).await.contains(&true) {
                wake.notify_one();
            }
        }));
    }

    /// Notes versions that run as they should, and lets pauses end after a quiet time.
    fn note_good(
        &mut self,
        records: &BTreeMap<LeaseId, Record>,
        known: &BTreeMap<LeaseId, Known>,
        seen: &[SeenLease],
    ) -> Result<(), ManifestsError> {
        for lease in seen {
            let Some(record) = records.get(&lease.key.lease) else {
                continue;
            };
            let Some(wanted) = crate::planner::wanted(record) else {
                continue;
            };
            let Some(memory) = self.memory.get_mut(&lease.key) else {
                continue;
            };
            let book = &self.parts.book;
            let is_good =
                wanted.key == lease.key && is_ready(book, wanted, lease, &book.ports(lease.key));
            if !is_good {
                memory.right_since = None;
                continue;
            }
            let since = *memory.right_since.get_or_insert_with(Instant::now);
            if since.elapsed() > memory.pause.max(FIRST_PAUSE) * 2 {
                memory.pause = Duration::ZERO;
                memory.not_before = None;
            }
            self.parts.book.note_trouble(lease.key, None);
            let versions = known.get(&lease.key.lease).map(|known| &known.versions);
            let is_noted = versions.is_some_and(|versions| {
                let failed = versions.failed.as_ref().map(|failed| failed.version);
                versions.last_good == Some(wanted.version) && failed != Some(wanted.version)
            });
            if !is_noted {
                self.parts.manifests.note_good(lease.key, wanted.version)?;
                let text = format!("manifest {} runs", wanted.version);
                self.parts
                    .book
                    .tell(lease.key, Severity::Normal, "running", None, text);
            }
        }
        Ok(())
    }

    /// Begins what the plan says; the leases that nobody uses are for the trader to close.
    fn act(&mut self, plan: Plan) -> BTreeSet<LeaseId> {
        let mut unused = BTreeSet::new();
        for action in plan.actions {
            match action {
                Action::Apply(spec) => self.apply(spec),
                Action::StartAgain(key, replicas) => self.start_again(key, replicas),
                Action::Remove(key) => self.remove(key),
                Action::CloseUnused(lease) => {
                    unused.insert(lease);
                }
            }
        }
        unused
    }

    fn apply(&mut self, spec: LeaseSpec) {
        let (key, deed) = (spec.key, Deed::Apply(spec.version));
        if !self.works.may_begin(key, deed) {
            return;
        }
        // Tries that fail one like the other are told once.
        if !self.is_tried_again(key, spec.version) {
            let text = format!("starting manifest {}", spec.version);
            let book = &self.parts.book;
            book.tell(key, Severity::Normal, "starting", None, text);
        }
        self.parts
            .book
            .with_health(key, |health, _| health.begin_change());
        let backend = self.parts.backend.clone();
        let work = async move { backend.apply(&spec).await };
        self.works.begin(key, deed, work);
    }

    /// Whether the last try with this version failed.
    fn is_tried_again(&self, key: LeaseKey, version: Hash) -> bool {
        let memory = self.memory.get(&key);
        memory.is_some_and(|one| one.applied == Some(version) && one.tries.count > 0)
    }

    fn start_again(&mut self, key: LeaseKey, replicas: Vec<(String, u32)>) {
        if !self.works.may_begin(key, Deed::StartAgain) {
            return;
        }
        let now = Instant::now();
        self.parts.book.with_health(key, |health, _| {
            for (service, replica) in &replicas {
                health.note_tried(service, *replica, now);
            }
        });
        let backend = self.parts.backend.clone();
        let work = async move {
            let mut outcome = Ok(());
            for (service, replica) in &replicas {
                let started = backend.start_again(key, service, *replica).await;
                outcome = outcome.and(started);
            }
            outcome
        };
        self.works.begin(key, Deed::StartAgain, work);
    }

    fn remove(&mut self, key: LeaseKey) {
        if !self.works.may_begin(key, Deed::Remove) {
            return;
        }
        tracing::info!(target: LOG, lease = %key.lease, "the lease is proven over; removing it");
        let backend = self.parts.backend.clone();
        let work = async move { backend.remove(key).await };
        self.works.begin(key, Deed::Remove, work);
    }

    fn finish(&mut self, done: Done) {
        if !self.works.end(&done) {
            return;
        }
        match done.deed {
            Deed::Apply(version) => self.applied(done.key, version, done.outcome),
            Deed::StartAgain => self.started_again(done.key, done.outcome),
            Deed::Remove => self.removed(done.key, done.outcome),
        }
    }

    fn started_again(&self, key: LeaseKey, outcome: Result<(), BackendError>) {
        match outcome {
            // It went meanwhile and is made afresh; or the engine says nothing of the lease.
            Ok(()) | Err(BackendError::Missing(_) | BackendError::Unreachable(_)) => {}
            Err(cause) => {
                let text = format!("what ended does not start again: {cause}");
                let book = &self.parts.book;
                book.tell(key, Severity::Warning, "failed", None, text);
            }
        }
    }

    fn applied(&mut self, key: LeaseKey, version: Hash, outcome: Result<(), BackendError>) {
        self.parts
            .book
            .with_health(key, |health, _| health.end_change());
        let has_succeeded = outcome.is_ok();
        // An engine that does not answer says nothing of the lease.
        if let Err(error) = &outcome
            && !matches!(error, BackendError::Unreachable(_))
        {
            let cause = error.to_string();
            let book = &self.parts.book;
            book.tell(key, Severity::Warning, "failed", None, cause.clone());
            book.note_trouble(key, Some(cause.clone()));
            if self.has_failed(key, version, error)
                && let Err(error) = self
                    .parts
                    .manifests
                    .note_failed(key, Failure { version, cause })
            {
                tracing::error!(target: LOG, %error, lease = %key.lease, "a failure could not be noted");
            }
        }
        // After a success too: what ends right after its start is not started again at once.
        if let Some(memory) = self.memory.get_mut(&key) {
            if memory.applied.replace(version) != Some(version) {
                memory.pause = Duration::ZERO;
            }
            if has_succeeded {
                memory.tries = Tries::default();
            }
            memory.pause = (memory.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            memory.not_before = Some(Instant::now() + memory.pause);
        }
    }

    /// Whether the version failed for its tenant. What the tenant must change is a failure at once; all else may pass, and
    /// is none of a version that ran well before.
    fn has_failed(&mut self, key: LeaseKey, version: Hash, error: &BackendError) -> bool {
        if matches!(error, BackendError::Refused(_)) {
            return true;
        }
        let versions = self.parts.manifests.versions(key);
        let ran_well = versions.is_ok_and(|versions| versions.last_good == Some(version));
        let Some(memory) = self.memory.get_mut(&key).filter(|_| !ran_well) else {
            return false;
        };
        if memory.applied != Some(version) {
            memory.tries = Tries::default();
        }
        memory.tries.is_last(Instant::now())
    }

    fn removed(&self, key: LeaseKey, outcome: Result<(), BackendError>) {
        let lease = key.lease;
        if let Err(error) = outcome {
            tracing::warn!(target: LOG, %error, %lease, "it could not be removed yet");
            return;
        }
        tracing::info!(target: LOG, %lease, "removed");
        if let Err(error) = self.forget(key) {
            tracing::warn!(target: LOG, %error, %lease, "its manifest is still on the disk");
        }
    }

    fn forget(&self, key: LeaseKey) -> Result<(), ManifestsError> {
        self.parts.book.forget(key);
        if let Err(error) = self.parts.journal.forget(key) {
            tracing::warn!(target: LOG, %error, lease = %key.lease, "its events are still on the disk");
        }
        self.parts.manifests.forget(key)
    }

    /// Keeps what leases went through since the last time, beside the loop's own thread. That it fails holds up nothing.
    async fn keep_journal(&mut self) {
        let unkept = self.parts.book.take_unkept();
        if unkept.is_empty() {
            return;
        }
        let journal = self.parts.journal.clone();
        let keeping = tokio::task::spawn_blocking(move || {
            let failed = journal.keep_each(&unkept);
            (unkept, failed)
        });
        // Nothing in it panics; if it did, these would be kept with what happens next.
        let Ok((tried, failed)) = keeping.await else {
            return;
        };
        let failed: BTreeMap<LeaseKey, std::io::Error> = failed.into_iter().collect();
        for (key, error) in &failed {
            if !self.unkept.contains(key) {
                let path = self.parts.journal.path(*key);
                tracing::warn!(
                    target: LOG, path = %path.display(), %error,
                    "events of a lease cannot be kept; a restart of this program will lose them"
                );
            }
        }
        let tried: BTreeSet<LeaseKey> = tried.into_iter().map(|(key, _)| key).collect();
        let told = self.parts.book.told();
        self.unkept
            .retain(|key| told.contains(key) && !tried.contains(key));
        self.unkept.extend(failed.keys());
        self.parts.book.note_unkept(failed.into_keys());
    }

    /// Forgets what was kept for leases that are over and of which nothing runs. The same proof is asked for as for
    /// removing what runs: a look that lags forgets nothing.
    fn forget_ended(&self, leases: &Leases, highest_height: u64) -> Result<(), ManifestsError> {
        if leases.view.height < highest_height {
            return Ok(());
        }
        let mut kept = self.parts.manifests.leases()?;
        kept.extend(self.parts.book.told());
        for key in kept {
            let is_live = leases
                .live
                .get(&key.lease)
                .is_some_and(|live| live.key == key);
            let runs = self.parts.book.seen(key).is_some();
            if !is_live && !runs && leases.view.height > key.creation_height {
                self.forget(key)?;
            }
        }
        Ok(())
    }

    async fn watch_disks(&mut self, records: &BTreeMap<LeaseId, Record>, seen: &[SeenLease]) {
        if self.disk_at.elapsed() < DISK_INTERVAL {
            return;
        }
        self.disk_at = Instant::now();
        for lease in seen {
            let wanted = records
                .get(&lease.key.lease)
                .and_then(crate::planner::wanted);
            let Some(spec) = wanted.filter(|_| !self.works.is_busy(lease.key)) else {
                continue;
            };
            let Ok(uses) = self.parts.backend.disk_use(lease.key).await else {
                continue;
            };
            for (service, replica, bytes) in uses {
                let limit = spec
                    .services
                    .iter()
                    .find(|one| one.name == service)
                    .map(|one| one.disk_bytes);
                if let Some(limit) = limit.filter(|limit| bytes > *limit) {
                    self.evict(lease.key, &service, replica, limit).await;
                }
            }
        }
    }

    /// Ends a replica that wrote more than `limit` bytes; what it wrote goes with it.
    async fn evict(&self, key: LeaseKey, service: &str, replica: u32, limit: u64) {
        let Parts { book, backend, .. } = &self.parts;
        let cause = format!(
            "used more than its {} of storage and was ended",
            size(limit)
        );
        let text = format!("replica {replica} {cause}; it is made afresh");
        book.tell(key, Severity::Warning, "disk-full", Some(service), text);
        let lease = key.lease;
        match backend.evict_replica(key, service, replica).await {
            Ok(()) => drop(book.with_health(key, |health, _| {
                health.note_evicted(service, replica, cause, Instant::now());
            })),
            Err(error) => {
                tracing::warn!(target: LOG, %error, %lease, "a replica over its disk limit still runs");
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Why a look failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Backend(#[from] BackendError),
    #[error(transparent)]
    Chain(#[from] ClientError),
    #[error(transparent)]
    Manifests(#[from] ManifestsError),
    #[error(transparent)]
    Routing(#[from] RoutingError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_cannot_be_started_has_failed_after_three_tries_or_ten_seconds() {
        let now = Instant::now();
        let mut quick = Tries::default();
        let told = [0, 2, 6, 14].map(|at| quick.is_last(now + Duration::from_secs(at)));
        assert_eq!(told, [false, false, true, true]);
        let mut slow = Tries::default();
        let told = [0, 12].map(|at| slow.is_last(now + Duration::from_secs(at)));
        assert_eq!(told, [false, true]);
    }
}
