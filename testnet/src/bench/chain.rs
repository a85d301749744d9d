//! The chain's own figures: how many transfers it commits, and how soon a single one.

use super::blocks::{self, Throughput};
use super::figure::{Figure, Goal, quantile};
use super::load::{self, Sent};
use super::machine::{self, Cores, Work};
use super::rpc::{Connection, number};
use super::stage::{Floor, Stage};
use super::transfers::Crowd;
use anyhow::{Context, ensure};
use hyper::body::Bytes;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, Instant};

/// Accounts that send under load.
const ACCOUNTS: usize = 2_000;
/// Connections that send, to all validators in turn.
const CONNECTIONS: usize = 32;
/// How long they send.
pub const LOAD: Duration = Duration::from_secs(15);
/// Transfers that are signed in advance for each second of the load: more than can be committed.
const PER_SECOND: u64 = 8_000;
/// Single transfers for a latency.
pub const SINGLE: usize = 60;
/// Pause before each of them on an idle chain: longer than the interval between empty blocks.
const IDLE: Duration = Duration::from_millis(1_300);
/// How long what was taken may need until it is committed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What limits the time of a single transfer.
const SYNCS_ON_THE_WAY: &str = "limit: 7 syncs one after the other, of 4 validators on one disk \
    (two for each of proposal, prevote and precommit, one for the \
    block)";

/// What is measured on a chain, ours or the peer's.
#[derive(Clone, Debug)]
pub struct ChainFigures {
    /// Committed under load.
    pub throughput: Throughput,
    /// What became of the requests.
    pub sent: Sent,
    /// Processor time under load.
    pub work: Cores,
    /// Memory of all nodes after the load.
    pub resident_bytes: u64,
    /// Milliseconds of single transactions, one right after the other, without a floor between blocks.
    pub no_floor_ms: Vec<f64>,
}

/// Milliseconds of single transfers in the default configuration, each on an idle chain.
///
/// # Errors
/// The network does not do its part.
pub async fn idle(dir: &Path) -> anyhow::Result<Vec<Figure>> {
    let stage = Stage::set(dir, Floor::Default).await?;
    let times = singles(&stage, IDLE).await?;
    stage.strike().await?;
    let note = format!(
        "default configuration, broadcast_tx_commit on an idle chain, {SINGLE} times; p90 {:.1} \
         ms; {SYNCS_ON_THE_WAY}",
        quantile(&times, 0.9)
    );
    let figure = Figure::new("idle_transfer_p50", quantile(&times, 0.5), "ms", note);
    Ok(vec![figure.with_goal(Goal::AtMost(40.0))])
}

/// Measures networks of Welkin under load, and without a floor between blocks.
///
/// # Errors
/// A network does not do its part.
pub async fn measure(dir: &Path) -> anyhow::Result<ChainFigures> {
    let stage = Stage::set(dir, Floor::None).await?;
    let no_floor_ms = singles(&stage, Duration::ZERO).await?;
    stage.strike().await?;
    let stage = Stage::set(dir, Floor::Default).await?;
    let measured = under_load(&stage, no_floor_ms).await?;
    stage.strike().await?;
    Ok(measured)
}

async fn under_load(stage: &Stage, no_floor_ms: Vec<f64>) -> anyhow::Result<ChainFigures> {
    let validators = &stage.network.validators;
    let nodes: Vec<String> = validators.iter().map(|one| one.rpc.clone()).collect();
    let crowd = Crowd::gather(&stage.network, ACCOUNTS).await?;
    let per_account = PER_SECOND * LOAD.as_secs() / ACCOUNTS as u64;
    let rows = crowd.rows(CONNECTIONS, per_account, "broadcast_tx_sync");
    let mut connection = Connection::open(&nodes[0]).await?;
    let first = blocks::newest(&mut connection).await? + 1;
    let pids = stage.pids();
    let work = Work::begin(&pids);
    let sent = load::send(&nodes, rows, LOAD).await?;
    let work = work.end();
    let last = until_empty(&mut connection).await?;
    let counted = blocks::read(&mut connection, first, last).await?;
    let committed: u64 = counted.iter().map(|block| block.transactions).sum();
    ensure!(
        committed == sent.accepted,
        "{} transfers were taken, {committed} committed",
        sent.accepted
    );
    Ok(ChainFigures {
        throughput: blocks::throughput(&counted, LOAD.as_secs_f64())?,
        sent,
        work,
        resident_bytes: pids.iter().map(|pid| machine::resident_bytes(*pid)).sum(),
        no_floor_ms,
    })
}

/// The figures in print, beside the peer's if there is one.
pub fn figures(own: &ChainFigures, peer: Option<&ChainFigures>) -> Vec<Figure> {
    let beside = |figure: Figure, of: fn(&ChainFigures) -> f64| match peer {
        Some(peer) => figure.beside(of(peer)),
        None => figure,
    };
    let load_note = format!(
        "4 validators, default configuration, {CONNECTIONS} connections, broadcast_tx_sync: {}{}",
        describe(own),
        peer.map_or(String::new(), |peer| format!(
            "; peer, unsigned: {}",
            describe(peer)
        ))
    );
    let p90 = |figures: &ChainFigures| quantile(&figures.no_floor_ms, 0.9);
    let no_floor_note = format!(
        "min_block_interval_ms = 0, broadcast_tx_commit, {SINGLE} times, one right after the \
         other; p90 {:.1} ms{}; \
         {SYNCS_ON_THE_WAY}",
        p90(own),
        peer.map_or(String::new(), |peer| format!(
            "; peer's p90 {:.1} ms",
            p90(peer)
        ))
    );
    let throughput = Figure::new(
        "transfers_per_second",
        own.throughput.per_second(),
        "1/s",
        load_note,
    );
    let no_floor = Figure::new(
        "no_floor_transfer_p50",
        quantile(&own.no_floor_ms, 0.5),
        "ms",
        no_floor_note,
    );
    vec![
        beside(throughput.with_goal(Goal::AtLeast(3_000.0)), |figures| {
            figures.throughput.per_second()
        }),
        beside(no_floor, |figures| quantile(&figures.no_floor_ms, 0.5)),
    ]
}

fn describe(figures: &ChainFigures) -> String {
    let Throughput {
        transactions,
        blocks,
        seconds,
    } = figures.throughput;
    let Cores {
        measured,
        loader,
        others,
    } = figures.work;
    let Sent {
        postponed, refused, ..
    } = figures.sent;
    let limit = if measured + loader + others > 0.9 * machine::cores() as f64 {
        "the processors"
    } else {
        "waiting, for the disk and for the interval between blocks"
    };
    format!(
        "{transactions} in {blocks} blocks and {seconds:.1} s; cores used: nodes {measured:.2}, \
         loader {loader:.2}, others {others:.2}; {:.0} us of nodes' processor time each; \
         {postponed} postponed for want of room, {refused} refused; {} MB resident after; limit: \
         {limit}",
        measured * seconds * 1e6 / transactions as f64,
        figures.resident_bytes / 1_000_000
    )
}

/// Milliseconds of single transfers, each of an account of its own.
async fn singles(stage: &Stage, pause: Duration) -> anyhow::Result<Vec<f64>> {
    let crowd = Crowd::gather(&stage.network, SINGLE).await?;
    let mut connection = Connection::open(&stage.network.validators[0].rpc).await?;
    let requests = crowd.rows(1, 1, "broadcast_tx_commit").remove(0);
    single(&mut connection, &requests, pause).await
}

/// Milliseconds from sending each until it is committed.
///
/// # Errors
/// One is refused.
pub async fn single(
    connection: &mut Connection,
    requests: &[Bytes],
    pause: Duration,
) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::new();
    for request in requests {
        tokio::time::sleep(pause).await;
        let began = Instant::now();
        let answer = connection.post(request.clone()).await?;
        times.push(began.elapsed().as_secs_f64() * 1e3);
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        let height = &answer["result"]["height"];
        let is_committed = number(height).is_ok_and(|height| height > 0);
        ensure!(is_committed, "a single transfer: {answer}");
    }
    Ok(times)
}

/// Waits until nothing waits; the newest height then.
///
/// # Errors
/// It takes too long.
pub async fn until_empty(connection: &mut Connection) -> anyhow::Result<u64> {
    let began = Instant::now();
    loop {
        let waiting = connection.call("num_unconfirmed_txs", json!({})).await?;
        if number(&waiting["n_txs"]).context("n_txs")? == 0 {
            return blocks::newest(connection).await;
        }
        ensure!(began.elapsed() < PATIENCE, "transactions wait in vain");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
