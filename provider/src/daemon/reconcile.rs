//! The loop that makes what runs equal to what is proven and wanted.
//!
//! Everything wakes it (a tenant's manifest, a block, an engine's event, a finished action) and nothing but its own look at
//! chain and engine decides. A look that fails changes nothing: leases run on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use tokio::sync::{Notify, mpsc};
use welkin_client::{Chain, ClientError, call};
use welkin_modules::escrow::Escrow;
use welkin_modules::escrow::types::Call as EscrowCall;
use welkin_modules::ids::LeaseId;
use welkin_modules::market::Market;
use welkin_modules::market::types::Call as MarketCall;
use welkin_modules::matching::Resources;
use welkin_modules::moment::Reason;
use welkin_provider_api::channel::Severity;
use welkin_provider_api::manifest::GroupManifest;
use welkin_runtime::Hash;
use welkin_runtime::crypto::SigningKey;

use super::book::{Book, Live};
use super::look::{Leases, Looker};
use super::market::{Bidder, Round};
use super::{LOG, Watch};
use crate::backend::{Backend, BackendError, LeaseKey, LeaseSpec, SeenLease};
use crate::bid::{Offering, PriceTable};
use crate::ingress::{self, routes::Routes};
use crate::manifests::{Failure, Manifests, ManifestsError, Versions};
use crate::planner::{Action, Inputs, Plan, Record, is_as_wanted, plan};
use crate::workload::{self, Opened, PortLeases};

/// The first pause after a failure, and the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How often the disk use of what runs is looked at.
const DISK_INTERVAL: Duration = Duration::from_secs(30);
/// Withdrawals in one transaction.
const MAX_WITHDRAWALS: usize = 32;

/// What the loop is made of.
pub struct Parts {
    /// Looks at the chain.
    pub looker: Looker,
    /// The provider's account.
    pub key: SigningKey,
    /// What runs leases.
    pub backend: Arc<dyn Backend>,
    /// What tenants sent.
    pub manifests: Arc<Manifests>,
    /// What is known.
    pub book: Book,
    /// Wakes the loop.
    pub wake: Arc<Notify>,
    /// For `status` and metrics.
    pub watch: Watch,
    /// What this provider is.
    pub offering: Offering,
    /// What it has.
    pub capacity: Resources,
    /// What it asks.
    pub prices: PriceTable,
    /// The provider's folder.
    pub home: PathBuf,
    /// The domain of generated names.
    pub domain: String,
    /// Ports for tenants.
    pub ports: std::ops::RangeInclusive<u16>,
    /// How often everything is looked at when nothing happens.
    pub interval: Duration,
    /// How often earned money is withdrawn.
    pub withdraw_interval: Duration,
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
    pause: Duration,
    not_before: Option<Instant>,
    right_since: Option<Instant>,
}

/// The end of an action that ran beside the loop.
struct Done {
    key: LeaseKey,
    version: Option<Hash>,
    outcome: Result<(), BackendError>,
}

/// The loop.
pub struct Reconciler {
    parts: Parts,
    memory: BTreeMap<LeaseKey, Memory>,
    busy: BTreeSet<LeaseKey>,
    port_leases: PortLeases,
    routes: Option<Routes>,
    bidder: Bidder,
    started: Instant,
    looked_before: bool,
    disk_at: Instant,
    withdrew_at: Instant,
    /// The last look at the chain that succeeded.
    last: Option<Leases>,
}

impl Parts {
    /// The loop; the ports that leases had are read from the provider's folder.
    pub fn build(self) -> Reconciler {
        let port_leases = std::fs::read(self.home.join(PORTS_FILE))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        let now = Instant::now();
        Reconciler {
            parts: self,
            memory: BTreeMap::new(),
            busy: BTreeSet::new(),
            port_leases,
            routes: None,
            bidder: Bidder::default(),
            started: now,
            looked_before: false,
            disk_at: now,
            withdrew_at: now,
            last: None,
        }
    }
}

/// Which ports which leases have.
const PORTS_FILE: &str = "ports.json";

impl Reconciler {
    /// The client through which the loop looks at the chain.
    pub fn chain(&self) -> Chain {
        self.parts.looker.chain().clone()
    }

    /// Runs until the future is dropped.
    pub async fn run(mut self) {
        let (done_sender, mut done) = mpsc::channel::<Done>(256);
        let mut changes = self.parts.backend.changes();
        let mut has_changes = true;
        let mut tick = tokio::time::interval(self.parts.interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let wake = self.parts.wake.clone();
        loop {
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
                Some(finished) = done.recv() => self.finish(finished),
            }
            if let Err(error) = self.round(&done_sender).await {
                tracing::warn!(target: LOG, %error, "this look failed; everything runs on");
                self.parts.watch.note_error(error.to_string());
            }
        }
    }

    async fn round(&mut self, done: &mpsc::Sender<Done>) -> Result<(), RoundError> {
        let seen = self.parts.backend.observe().await?;
        self.parts.book.note_seen(seen.clone());
        let highest_height = self.highest_height();
        let looked = self
            .parts
            .looker
            .leases(seen.iter().map(|lease| lease.key.lease))
            .await;
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

        let versions = self.versions(&leases)?;
        let records = self.records(&leases, &versions)?;
        let now_ms = self.now_ms();
        let plan = plan(Inputs {
            chain: &leases.view,
            highest_height,
            records: &records,
            seen: &seen,
            now_ms,
        });
        self.note_good(&records, &versions, &seen)?;
        self.write_routes(&leases, &records, &seen)?;
        self.act(plan, done, &leases).await;
        self.watch_disks(&records, &seen).await;
        if let Some(error) = failure {
            return Err(error.into());
        }
        self.forget_ended(&leases, highest_height)?;
        self.bid(&leases).await?;
        self.withdraw(&leases).await?;
        self.parts.watch.note_round(&leases, &seen);
        Ok(())
    }

    /// The highest height whose state was ever proven to this provider. The client keeps it over restarts.
    fn highest_height(&self) -> u64 {
        // The state after a block is proven by the header one higher.
        self.parts.looker.chain().highest_seen().saturating_sub(1)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
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

    fn versions(&self, leases: &Leases) -> Result<BTreeMap<LeaseId, Versions>, ManifestsError> {
        let read = |live: &Live| Ok((live.key.lease, self.parts.manifests.versions(live.key)?));
        leases.live.values().map(read).collect()
    }

    fn records(
        &self,
        leases: &Leases,
        versions: &BTreeMap<LeaseId, Versions>,
    ) -> Result<BTreeMap<LeaseId, Record>, ManifestsError> {
        let mut records = BTreeMap::new();
        for live in leases.live.values() {
            let versions = &versions[&live.key.lease];
            let memory = self.memory.get(&live.key);
            let not_before = memory.and_then(|memory| memory.not_before);
            let record = Record {
                accepted: self.spec(live.key, versions.accepted)?,
                last_good: self.spec(live.key, versions.last_good)?,
                failed: versions.failed.as_ref().map(|failed| failed.version),
                waited_ms: memory.map_or(0, |memory| {
                    u64::try_from(memory.waited.as_millis()).unwrap_or(u64::MAX)
                }),
                is_from_its_beginning: memory.is_some_and(|memory| memory.began_here),
                not_before_ms: not_before.map_or(0, |at| {
                    u64::try_from(at.duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
                }),
            };
            records.insert(live.key.lease, record);
        }
        Ok(records)
    }

    fn spec(
        &self,
        key: LeaseKey,
        version: Option<Hash>,
    ) -> Result<Option<LeaseSpec>, ManifestsError> {
        let Some(version) = version else {
            return Ok(None);
        };
        Ok(self
            .manifest(key, version)?
            .and_then(|manifest| workload::lease_spec(key, version, &manifest).ok()))
    }

    fn manifest(
        &self,
        key: LeaseKey,
        version: Hash,
    ) -> Result<Option<GroupManifest>, ManifestsError> {
        let kept = self.parts.manifests.get(key, version)?;
        Ok(kept.and_then(|kept| GroupManifest::decode(&kept.manifest).ok()))
    }

    /// Notes versions that run as they should, and lets pauses end after a quiet time.
    fn note_good(
        &mut self,
        records: &BTreeMap<LeaseId, Record>,
        versions: &BTreeMap<LeaseId, Versions>,
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
            if wanted.key != lease.key || !is_as_wanted(wanted, lease) {
                memory.right_since = None;
                continue;
            }
            let since = *memory.right_since.get_or_insert_with(Instant::now);
            if since.elapsed() > memory.pause.max(FIRST_PAUSE) * 2 {
                memory.pause = Duration::ZERO;
                memory.not_before = None;
            }
            let known = versions
                .get(&lease.key.lease)
                .and_then(|versions| versions.last_good);
            if known != Some(wanted.version) {
                self.parts.manifests.note_good(lease.key, wanted.version)?;
                let text = format!("manifest {} runs", wanted.version);
                self.parts
                    .book
                    .tell(lease.key.lease, Severity::Normal, "running", None, text);
            }
        }
        Ok(())
    }

    async fn act(&mut self, plan: Plan, done: &mpsc::Sender<Done>, leases: &Leases) {
        for action in plan.actions {
            match action {
                Action::Apply(spec) => self.apply(spec, done.clone()),
                Action::Remove(key) => self.remove(key, done.clone()),
                Action::CloseUnused(lease) => self.close_unused(lease, leases).await,
            }
        }
    }

    fn apply(&mut self, spec: LeaseSpec, done: mpsc::Sender<Done>) {
        let key = spec.key;
        if !self.busy.insert(key) {
            return;
        }
        let text = format!("starting manifest {}", spec.version);
        self.parts
            .book
            .tell(key.lease, Severity::Normal, "starting", None, text);
        let backend = self.parts.backend.clone();
        tokio::spawn(async move {
            let outcome = backend.apply(&spec).await;
            let _ = done
                .send(Done {
                    key,
                    version: Some(spec.version),
                    outcome,
                })
                .await;
        });
    }

    fn remove(&mut self, key: LeaseKey, done: mpsc::Sender<Done>) {
        if !self.busy.insert(key) {
            return;
        }
        tracing::info!(target: LOG, lease = %key.lease, "the lease is proven over; removing it");
        let backend = self.parts.backend.clone();
        tokio::spawn(async move {
            let outcome = backend.remove(key).await;
            let _ = done
                .send(Done {
                    key,
                    version: None,
                    outcome,
                })
                .await;
        });
    }

    fn finish(&mut self, done: Done) {
        self.busy.remove(&done.key);
        let lease = done.key.lease;
        match (&done.outcome, done.version) {
            (Ok(()), None) => {
                tracing::info!(target: LOG, %lease, "removed");
                if let Err(error) = self.parts.manifests.forget(done.key) {
                    tracing::warn!(target: LOG, %error, %lease, "its manifest is still on the disk");
                }
            }
            (Ok(()), Some(_)) => {}
            (Err(BackendError::Unreachable(_)), _) => {}
            (Err(error), Some(version)) => {
                self.parts
                    .book
                    .tell(lease, Severity::Warning, "failed", None, error.to_string());
                let failure = Failure {
                    version,
                    cause: error.to_string(),
                };
                if let Err(error) = self.parts.manifests.note_failed(done.key, failure) {
                    tracing::error!(target: LOG, %error, %lease, "a failure could not be noted");
                }
            }
            (Err(error), None) => {
                tracing::warn!(target: LOG, %error, %lease, "it could not be removed yet")
            }
        }
        if let Some(memory) = self.memory.get_mut(&done.key) {
            memory.pause = (memory.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
            memory.not_before = Some(Instant::now() + memory.pause);
        }
    }

    async fn close_unused(&mut self, lease: LeaseId, leases: &Leases) {
        if !leases.live.contains_key(&lease) {
            return;
        }
        let calls = vec![call::<Market>(&MarketCall::CloseLease {
            lease,
            reason: Reason::NO_MANIFEST,
        })];
        tracing::info!(target: LOG, %lease, "nobody sent a manifest; closing the lease");
        if let Err(error) = self.submit(calls).await {
            tracing::warn!(target: LOG, %error, %lease, "the lease could not be closed yet");
        }
    }

    async fn submit(&self, calls: Vec<welkin_runtime::tx::RawCall>) -> Result<(), ClientError> {
        let chain = self.parts.looker.chain();
        chain.submit(&self.parts.key, calls).await.map(|_| ())
    }

    /// Forgets what was kept for leases that are over and of which nothing runs. The same proof is asked for as for
    /// removing what runs: a look that lags forgets nothing.
    fn forget_ended(&self, leases: &Leases, highest_height: u64) -> Result<(), ManifestsError> {
        if leases.view.height < highest_height {
            return Ok(());
        }
        for key in self.parts.manifests.all()?.into_keys() {
            let is_live = leases
                .live
                .get(&key.lease)
                .is_some_and(|live| live.key == key);
            let runs = self.parts.book.seen(key).is_some();
            if !is_live && !runs && leases.view.height > key.creation_height {
                self.parts.manifests.forget(key)?;
            }
        }
        Ok(())
    }

    fn write_routes(
        &mut self,
        leases: &Leases,
        records: &BTreeMap<LeaseId, Record>,
        seen: &[SeenLease],
    ) -> Result<(), RoundError> {
        let mut routes = Routes::new();
        let mut opened_of: BTreeMap<LeaseKey, Vec<Opened>> = BTreeMap::new();
        let before = self.port_leases.clone();
        let live: BTreeSet<(String, u64)> = seen
            .iter()
            .map(|lease| lease.key)
            .chain(leases.live.values().map(|live| live.key))
            .map(|key| (key.lease.to_string(), key.creation_height))
            .collect();
        workload::release_ports(&mut self.port_leases, &live);
        for live in leases.live.values() {
            let wanted = records
                .get(&live.key.lease)
                .and_then(crate::planner::wanted);
            let Some(version) = wanted.map(|spec| spec.version) else {
                continue;
            };
            let Some(manifest) = self.manifest(live.key, version)? else {
                continue;
            };
            let (domain, ports) = (&self.parts.domain, self.parts.ports.clone());
            let opened =
                workload::entrances(live.key, &manifest, domain, ports, &mut self.port_leases);
            let nothing = SeenLease {
                key: live.key,
                replicas: Vec::new(),
            };
            let lease = seen
                .iter()
                .find(|lease| lease.key == live.key)
                .unwrap_or(&nothing);
            workload::add_routes(&mut routes, &manifest, &opened, lease);
            opened_of.insert(live.key, opened);
        }
        if self.port_leases != before {
            let bytes =
                serde_json::to_vec_pretty(&self.port_leases).expect("ports are always JSON");
            let path = self.parts.home.join(PORTS_FILE);
            let temporary = path.with_extension("partial");
            std::fs::write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, &path))?;
        }
        self.parts.book.note_opened(opened_of);
        if self.routes.as_ref() != Some(&routes) {
            routes.write(&self.parts.home.join(ingress::ROUTES_FILE))?;
            self.routes = Some(routes);
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
            let Some(spec) = wanted.filter(|_| !self.busy.contains(&lease.key)) else {
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
                if limit.is_none_or(|limit| bytes <= limit) {
                    continue;
                }
                let text = format!(
                    "replica {replica} wrote {bytes} bytes, more than it leased; it starts afresh"
                );
                self.parts.book.tell(
                    lease.key.lease,
                    Severity::Warning,
                    "disk-full",
                    Some(&service),
                    text,
                );
                if let Err(error) = self
                    .parts
                    .backend
                    .evict_replica(lease.key, &service, replica)
                    .await
                {
                    tracing::warn!(target: LOG, %error, lease = %lease.key.lease, "a replica over its disk limit still runs");
                }
            }
        }
    }

    async fn bid(&mut self, leases: &Leases) -> Result<(), ClientError> {
        let is_served = ingress::is_running(&self.parts.home);
        self.parts.watch.note_ingress(is_served);
        if !is_served {
            return Ok(());
        }
        let held = |live: &Live| (live.key.lease, Resources::needed(&live.spec));
        let ledger = self
            .bidder
            .round(Round {
                looker: &self.parts.looker,
                key: &self.parts.key,
                offering: &self.parts.offering,
                capacity: self.parts.capacity,
                leases: leases.live.values().map(held).collect(),
                prices: &self.parts.prices,
            })
            .await?;
        self.parts.watch.note_ledger(&ledger);
        Ok(())
    }

    async fn withdraw(&mut self, leases: &Leases) -> Result<(), ClientError> {
        if self.withdrew_at.elapsed() < self.parts.withdraw_interval || leases.live.is_empty() {
            return Ok(());
        }
        self.withdrew_at = Instant::now();
        let ids: Vec<LeaseId> = leases.live.keys().copied().collect();
        for batch in ids.chunks(MAX_WITHDRAWALS) {
            let calls = batch
                .iter()
                .map(|lease| call::<Escrow>(&EscrowCall::Withdraw { lease: *lease }));
            match self.submit(calls.collect()).await {
                Ok(()) => {
                    tracing::info!(target: LOG, leases = batch.len(), "withdrew what was earned")
                }
                // One of them ended meanwhile; the next time it is not among them.
                Err(error @ ClientError::Refused { .. }) => {
                    tracing::warn!(target: LOG, %error, "a withdrawal was refused");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
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
    Routes(#[from] crate::ingress::routes::RoutesError),
    #[error("the provider's folder: {0}")]
    Disk(#[from] std::io::Error),
}
