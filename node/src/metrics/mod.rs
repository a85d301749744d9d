//! Prometheus metrics on a port of their own, under the names that CometBFT's dashboards know where the meaning is the
//! same, and under `welkin_` where it is ours. Names, help texts and units are an interface.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;
use welkin_consensus::types::Timestamp;

use crate::api::{Committed, Handle};
use crate::http;

/// Connections at a time.
const MAX_CONNECTIONS: usize = 16;

/// Where metrics are served.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// A metrics server that holds its port and does not serve yet.
pub struct MetricsServer {
    listener: TcpListener,
    shared: Arc<Shared>,
}

struct Shared {
    node: Handle,
    registry: Registry,
    metrics: Metrics,
}

/// What is measured. Gauges that the node knows by itself are read when they are asked for.
struct Metrics {
    height: Gauge<i64>,
    validators: Gauge<i64>,
    validators_power: Gauge<i64>,
    missing_validators: Gauge<i64>,
    num_txs: Gauge<i64>,
    total_txs: Counter,
    failed_txs: Counter,
    block_size_bytes: Gauge<i64>,
    block_interval: Histogram,
    byzantine_validators: Gauge<i64>,
    mempool_size: Gauge<i64>,
    mempool_size_bytes: Gauge<i64>,
    peers: Gauge<i64>,
    syncing: Gauge<i64>,
    state_newest: Gauge<u64, AtomicU64>,
    state_oldest: Gauge<u64, AtomicU64>,
}

impl Metrics {
    fn register(registry: &mut Registry) -> Metrics {
        let metrics = Metrics {
            height: Gauge::default(),
            validators: Gauge::default(),
            validators_power: Gauge::default(),
            missing_validators: Gauge::default(),
            num_txs: Gauge::default(),
            total_txs: Counter::default(),
            failed_txs: Counter::default(),
            block_size_bytes: Gauge::default(),
            block_interval: Histogram::new([
                0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0,
            ]),
            byzantine_validators: Gauge::default(),
            mempool_size: Gauge::default(),
            mempool_size_bytes: Gauge::default(),
            peers: Gauge::default(),
            syncing: Gauge::default(),
            state_newest: Gauge::default(),
            state_oldest: Gauge::default(),
        };
        metrics.register_cometbft(registry.sub_registry_with_prefix("cometbft"));
        let own = registry.sub_registry_with_prefix("welkin");
        own.register(
            "transactions_failed",
            "Transactions in blocks whose calls failed",
            metrics.failed_txs.clone(),
        );
        own.register(
            "state_newest_height",
            "Newest version of the state",
            metrics.state_newest.clone(),
        );
        own.register(
            "state_oldest_height",
            "Oldest version of the state that is kept",
            metrics.state_oldest.clone(),
        );
        metrics
    }

    fn register_cometbft(&self, registry: &mut Registry) {
        registry.register(
            "consensus_height",
            "Height of the chain",
            self.height.clone(),
        );
        registry.register(
            "consensus_latest_block_height",
            "Height of the newest block",
            self.height.clone(),
        );
        registry.register(
            "consensus_validators",
            "Validators",
            self.validators.clone(),
        );
        registry.register(
            "consensus_validators_power",
            "Power of all validators",
            self.validators_power.clone(),
        );
        registry.register(
            "consensus_missing_validators",
            "Validators without a precommit in the last commit",
            self.missing_validators.clone(),
        );
        registry.register(
            "consensus_byzantine_validators",
            "Validators against whom the newest block carries evidence",
            self.byzantine_validators.clone(),
        );
        registry.register(
            "consensus_num_txs",
            "Transactions in the newest block",
            self.num_txs.clone(),
        );
        registry.register(
            "consensus_total_txs",
            "Transactions since the node started",
            self.total_txs.clone(),
        );
        registry.register(
            "consensus_block_size_bytes",
            "Size of the newest block",
            self.block_size_bytes.clone(),
        );
        registry.register_with_unit(
            "consensus_block_interval",
            "Time between this and the last block",
            Unit::Seconds,
            self.block_interval.clone(),
        );
        registry.register(
            "mempool_size",
            "Transactions that wait",
            self.mempool_size.clone(),
        );
        registry.register(
            "mempool_size_bytes",
            "Bytes of transactions that wait",
            self.mempool_size_bytes.clone(),
        );
        registry.register("p2p_peers", "Connected peers", self.peers.clone());
        registry.register(
            "blocksync_syncing",
            "1 while the node fetches blocks",
            self.syncing.clone(),
        );
    }

    fn note(&self, block: &Committed, last: Option<Timestamp>) {
        let header = &block.block.block.header;
        let count = block.tx_ids.len();
        let failed = block
            .results
            .tx_results
            .iter()
            .filter(|result| result.code != 0)
            .count();
        let commit = &block.block.block.last_commit;
        let missing = commit
            .signatures
            .iter()
            .filter(|sig| sig.cast().is_none())
            .count();
        self.num_txs.set(count as i64);
        self.total_txs.inc_by(count as u64);
        self.failed_txs.inc_by(failed as u64);
        self.block_size_bytes.set(block.block.size_bytes as i64);
        self.missing_validators.set(missing as i64);
        self.byzantine_validators
            .set(block.block.block.evidence.0.len() as i64);
        if let Some(last) = last {
            let nanos = header.time.unix_nanos() - last.unix_nanos();
            self.block_interval.observe(nanos as f64 / 1e9);
        }
    }

    /// Brings the gauges up to date that the node knows by itself.
    fn refresh(&self, node: &Handle) {
        let status = node.status();
        let height = status.latest.as_ref().map_or(0, |latest| latest.height);
        self.height.set(height.cast_signed());
        self.syncing.set(i64::from(status.catching_up));
        self.peers.set(node.net_info().peers.len() as i64);
        let mempool = node.mempool_size();
        self.mempool_size.set(mempool.transactions as i64);
        self.mempool_size_bytes.set(mempool.bytes as i64);
        let state = node.state_heights();
        self.state_newest.set(state.newest);
        self.state_oldest.set(state.oldest);
        if let Ok(validators) = node.validators(height + 1) {
            self.validators.set(validators.validators().len() as i64);
            self.validators_power
                .set(validators.total_voting_power().cast_signed());
        }
    }
}

impl Config {
    /// Takes the port.
    ///
    /// # Errors
    /// The port is taken; the text says what to do.
    pub async fn build(self, node: Handle) -> Result<MetricsServer, String> {
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            format!(
                "the metrics address {} cannot be opened: {error}; free it, or set another \
                 `metrics.listen`",
                self.listen
            )
        })?;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        Ok(MetricsServer {
            listener,
            shared: Arc::new(Shared {
                node,
                registry,
                metrics,
            }),
        })
    }
}

impl MetricsServer {
    /// Serves until the future is dropped.
    pub async fn run(self) {
        let router = Router::new()
            .route("/metrics", get(show))
            .with_state(self.shared.clone());
        tokio::select! {
            never = http::serve(self.listener, router, http::Limits::new(MAX_CONNECTIONS)) => match never {},
            () = watch(&self.shared) => {}
        }
    }
}

async fn watch(shared: &Shared) {
    let mut blocks = shared.node.subscribe();
    let mut last = None;
    loop {
        match blocks.recv().await {
            Ok(block) => {
                shared.metrics.note(&block, last);
                last = Some(block.block.block.header.time);
            }
            Err(RecvError::Lagged(_)) => last = None,
            Err(RecvError::Closed) => return,
        }
    }
}

async fn show(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let text = tokio::task::spawn_blocking(move || {
        shared.metrics.refresh(&shared.node);
        let mut text = String::new();
        let _ = prometheus_client::encoding::text::encode(&mut text, &shared.registry);
        text
    });
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, kind)],
        text.await.unwrap_or_default(),
    )
}
