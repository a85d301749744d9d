//! What `status` and the metrics show of the daemon.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};

use super::look::Leases;
use crate::backend::SeenLease;
use crate::bid::{Ledger, Reservation};

/// What `welkin-provider status` prints. The keys are stable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The provider's account.
    pub provider: String,
    /// The chain.
    pub chain_id: String,
    /// The height of the last look at the chain.
    pub height: u64,
    /// Whether an ingress runs; without one there are no bids.
    pub ingress_running: bool,
    /// Why the last look failed, if it did.
    pub last_error: Option<String>,
    /// Why there were no bids or withdrawals the last time, if they failed.
    pub last_trade_error: Option<String>,
    /// Why nothing is bid on, where it is not known that leases are kept in.
    #[serde(default)]
    pub fence: Option<String>,
    /// Open bids.
    pub open_bids: usize,
    /// What can be promised still.
    pub free: Free,
    /// Active leases, in the order of their names.
    pub leases: Vec<LeaseLine>,
}

/// What can be promised still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Free {
    /// Thousandths of a processor core.
    pub cpu_millis: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes of disk.
    pub storage_bytes: u64,
}

/// One lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseLine {
    /// Its name.
    pub lease: String,
    /// Whose it is.
    pub owner: String,
    /// Containers that run.
    pub running: usize,
    /// Containers that are there.
    pub present: usize,
}

/// The metrics. Names and help texts are an interface.
struct Metrics {
    active_leases: Gauge<u64, AtomicU64>,
    open_bids: Gauge<u64, AtomicU64>,
    running_replicas: Gauge<u64, AtomicU64>,
    chain_height: Gauge<u64, AtomicU64>,
    ingress_up: Gauge<u64, AtomicU64>,
    rounds: Counter,
    failed_rounds: Counter,
    free_cpu_millis: Gauge<u64, AtomicU64>,
    free_memory_bytes: Gauge<u64, AtomicU64>,
}

/// A handle to what is shown. Cloning it gives another handle to the same.
#[derive(Clone)]
pub struct Watch {
    status: Arc<Mutex<Status>>,
    metrics: Arc<Metrics>,
    registry: Arc<Registry>,
}

impl Watch {
    /// Shows a provider on a chain, and nothing of it yet.
    pub fn new(provider: String, chain_id: String) -> Watch {
        let mut registry = Registry::with_prefix("welkin_provider");
        let metrics = Metrics::register(&mut registry);
        let status = Status {
            provider,
            chain_id,
            fence: Some("it is being tried whether leases are kept in".to_owned()),
            ..Status::default()
        };
        Watch {
            status: Arc::new(Mutex::new(status)),
            metrics: Arc::new(metrics),
            registry: Arc::new(registry),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        self.status.lock().expect("no holder of the status panics")
    }

    /// A copy of the status.
    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    /// The metrics in Prometheus' text form.
    pub fn metrics_text(&self) -> String {
        let mut text = String::new();
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }

    pub(super) fn note_error(&self, error: String) {
        self.metrics.failed_rounds.inc();
        self.lock().last_error = Some(error);
    }

    pub(super) fn note_trade(&self, error: Option<String>) {
        self.lock().last_trade_error = error;
    }

    pub(super) fn note_fence(&self, open: Option<String>) {
        self.lock().fence = open;
    }

    pub(super) fn note_ingress(&self, is_running: bool) {
        self.metrics.ingress_up.set(u64::from(is_running));
        self.lock().ingress_running = is_running;
    }

    pub(super) fn note_ledger(&self, ledger: &Ledger) {
        let (bids, _) = ledger.held(Reservation::Bid);
        let free = ledger.free();
        self.metrics.open_bids.set(bids as u64);
        self.metrics.free_cpu_millis.set(free.cpu_millis);
        self.metrics.free_memory_bytes.set(free.memory_bytes);
        let mut status = self.lock();
        status.open_bids = bids;
        status.free = Free {
            cpu_millis: free.cpu_millis,
            memory_bytes: free.memory_bytes,
            storage_bytes: free.storage_bytes,
        };
    }

    pub(super) fn note_round(&self, leases: &Leases, seen: &[SeenLease]) {
        let line = |live: &super::book::Live| {
            let replicas = seen
                .iter()
                .filter(|lease| lease.key == live.key)
                .flat_map(|lease| &lease.replicas);
            let running = replicas
                .clone()
                .filter(|r| r.state == crate::backend::ReplicaState::Running);
            LeaseLine {
                lease: live.key.lease.to_string(),
                owner: live.owner.to_string(),
                running: running.count(),
                present: replicas.count(),
            }
        };
        let lines: Vec<LeaseLine> = leases.live.values().map(line).collect();
        self.metrics.rounds.inc();
        self.metrics.active_leases.set(lines.len() as u64);
        self.metrics
            .running_replicas
            .set(lines.iter().map(|line| line.running as u64).sum());
        self.metrics.chain_height.set(leases.view.height);
        let mut status = self.lock();
        status.height = leases.view.height;
        status.leases = lines;
        status.last_error = None;
    }
}

impl Metrics {
    fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            active_leases: Gauge::default(),
            open_bids: Gauge::default(),
            running_replicas: Gauge::default(),
            chain_height: Gauge::default(),
            ingress_up: Gauge::default(),
            rounds: Counter::default(),
            failed_rounds: Counter::default(),
            free_cpu_millis: Gauge::default(),
            free_memory_bytes: Gauge::default(),
        };
        registry.register(
            "active_leases",
            "Leases that the chain proves active",
            metrics.active_leases.clone(),
        );
        registry.register(
            "open_bids",
            "Bids that may still win",
            metrics.open_bids.clone(),
        );
        registry.register(
            "running_replicas",
            "Containers that run",
            metrics.running_replicas.clone(),
        );
        registry.register(
            "chain_height",
            "Height of the last proven look at the chain",
            metrics.chain_height.clone(),
        );
        registry.register(
            "ingress_up",
            "1 while an ingress serves this provider's routes",
            metrics.ingress_up.clone(),
        );
        registry.register(
            "reconcile",
            "Looks at chain and engine that succeeded",
            metrics.rounds.clone(),
        );
        registry.register(
            "reconcile_failed",
            "Looks at chain and engine that failed",
            metrics.failed_rounds.clone(),
        );
        registry.register(
            "free_cpu_millis",
            "Thousandths of a core that are not promised",
            metrics.free_cpu_millis.clone(),
        );
        registry.register(
            "free_memory_bytes",
            "Bytes of memory that are not promised",
            metrics.free_memory_bytes.clone(),
        );
        metrics
    }
}
