//! Catching up: blocks that others have decided are fetched, verified and taken over.
//!
//! ```text
//!   start ──► ask peers where they stand ──► nobody is ahead ──────────────► consensus
//!                    ▲                   └─► fetch, verify, take over ──┐
//!                    └──────────────────────────────────────────────────┘   (also while running)
//! ```
//!
//! A peer's word about its height is only a reason to ask it for blocks: what counts is blocks with
//! commits that verify. A peer that has none to show is left alone for a while, one that sends
//! wrong ones is penalised, so nobody can keep a node from taking part.

use crate::ledger::{Decision, Ledger};
use crate::net::wire::{BlocksAnswer, BlocksRequest, MAX_BLOCKS, StatusAnswer, decode, encode};
use crate::shell::TakeOver;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use welkin_p2p::chain::{Handle, Protocol};
use welkin_p2p::{Offence, PeerId};

/// How often peers are asked where they stand.
const INTERVAL: Duration = Duration::from_secs(2);
/// The least time between two such questions, whatever peers hint at.
const HINT_INTERVAL: Duration = Duration::from_millis(100);
/// The same before consensus starts.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);
/// How long a start waits for the first peer.
const WAIT_FOR_PEERS: Duration = Duration::from_millis(1_500);
/// How long a node that is one block behind waits for gossip before it fetches that block.
const GRACE: Duration = Duration::from_millis(300);
/// Peers that are asked at once.
const ASKED: usize = 8;
/// How long a peer that had nothing to show is left alone, and one that sent something wrong.
const PAUSE: Duration = Duration::from_secs(5);
const LONG_PAUSE: Duration = Duration::from_secs(120);

/// Whether the node takes part, or still fetches what others have decided.
pub struct Progress {
    started: watch::Sender<bool>,
    catching_up: AtomicBool,
    hint: Notify,
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            started: watch::Sender::new(false),
            catching_up: AtomicBool::new(true),
            hint: Notify::new(),
        }
    }
}

impl Progress {
    /// Waits until the node has caught up for the first time.
    pub async fn started(&self) {
        // The sender lives as long as this does.
        let _ = self.started.subscribe().wait_for(|started| *started).await;
    }

    /// Whether the node is behind, so that it neither signs nor takes transactions.
    pub fn is_catching_up(&self) -> bool {
        self.catching_up.load(Ordering::Acquire)
    }

    /// Somebody spoke as if this node were behind. It may be a lie: peers are asked, that is all.
    pub fn may_be_behind(&self) {
        self.hint.notify_one();
    }

    fn caught_up(&self) {
        if self.catching_up.swap(false, Ordering::AcqRel) {
            tracing::info!(target: "welkin::sync", "caught up");
        }
        self.started.send_replace(true);
    }
}

/// The task that fetches blocks.
pub struct Sync {
    /// The network.
    pub network: Handle,
    /// Committed blocks.
    pub ledger: Arc<Ledger>,
    /// Where blocks go.
    pub take_over: TakeOver,
    /// Who is told.
    pub progress: Arc<Progress>,
    /// Whether there are peers to wait for at the start.
    pub has_peers: bool,
}

/// A peer that says it is ahead.
#[derive(Clone, Copy, Debug)]
struct Ahead {
    peer: PeerId,
    newest: u64,
}

impl Sync {
    /// Runs until the node ends.
    pub async fn run(self) {
        let mut paused: BTreeMap<PeerId, Instant> = BTreeMap::new();
        let begun = Instant::now();
        for turn in 0.. {
            let (answers, ahead) = self.who_is_ahead(turn, &mut paused).await;
            let patient = self.has_peers && answers == 0 && begun.elapsed() < WAIT_FOR_PEERS;
            let started = *self.progress.started.borrow();
            match ahead {
                Some(ahead) if self.is_worth_it(ahead, started).await => {
                    if let Some(pause) = self.fetch(ahead).await {
                        paused.insert(ahead.peer, Instant::now() + pause);
                    }
                    continue;
                }
                Some(_) => continue,
                None if patient && !started => tokio::time::sleep(FIRST_INTERVAL).await,
                None => {
                    self.progress.caught_up();
                    // Hints are free for whoever sends them, questions are not.
                    tokio::time::sleep(HINT_INTERVAL).await;
                    tokio::select! {
                        () = tokio::time::sleep(INTERVAL) => {}
                        () = self.progress.hint.notified() => {}
                    }
                }
            }
        }
    }

    /// How many peers said where they stand, and the one that is furthest ahead. Each turn asks others, so that no few
    /// peers that are silent or lag can hide the rest.
    async fn who_is_ahead(
        &self,
        turn: usize,
        paused: &mut BTreeMap<PeerId, Instant>,
    ) -> (usize, Option<Ahead>) {
        let now = Instant::now();
        paused.retain(|_, until| *until > now);
        let mut peers = self.network.peers();
        peers.retain(|info| !paused.contains_key(&info.peer));
        let first = turn.wrapping_mul(ASKED) % peers.len().max(1);
        peers.rotate_left(first);
        let asked = peers.iter().take(ASKED).map(|info| async {
            let answer = self
                .network
                .request(info.peer, Protocol::Status, Vec::new())
                .await
                .ok()?;
            Some((info.peer, decode::<StatusAnswer>(&answer)))
        });
        let mut answers = 0;
        let mut best: Option<Ahead> = None;
        let next = self.ledger.tip().chain.next_height();
        for (peer, status) in join_all(asked).await.into_iter().flatten() {
            let Some(status) = status else {
                self.network.penalise(peer, Offence::BadAnswer);
                continue;
            };
            answers += 1;
            let serves = status.newest >= next && status.oldest <= next;
            if serves && best.is_none_or(|best| status.newest > best.newest) {
                best = Some(Ahead {
                    peer,
                    newest: status.newest,
                });
            }
        }
        (answers, best)
    }

    /// Whether to fetch: a single block is probably on its way by gossip.
    async fn is_worth_it(&self, ahead: Ahead, started: bool) -> bool {
        let before = self.ledger.tip().height();
        if !started || ahead.newest > before + 1 {
            return true;
        }
        tokio::time::sleep(GRACE).await;
        self.ledger.tip().height() == before
    }

    /// Fetches blocks from a peer, and says for how long to leave it alone, if so.
    async fn fetch(&self, ahead: Ahead) -> Option<Duration> {
        let from = self.ledger.tip().chain.next_height();
        let request = encode(&BlocksRequest {
            from,
            count: MAX_BLOCKS as u32,
        });
        let Ok(answer) = self
            .network
            .request(ahead.peer, Protocol::Blocks, request)
            .await
        else {
            return Some(PAUSE);
        };
        let decoded = tokio::task::spawn_blocking(move || decode_blocks(&answer, from)).await;
        let Ok(Some(blocks)) = decoded else {
            return Some(self.lied(ahead.peer, "malformed blocks"));
        };
        if blocks.is_empty() {
            return Some(PAUSE);
        }
        let count = blocks.len();
        let taken = self.take_over.run(blocks).await?;
        if taken.blocks > 0 {
            let height = self.ledger.tip().height();
            tracing::info!(
                target: "welkin::sync",
                from,
                height,
                of = ahead.newest,
                peer = %ahead.peer,
                "took over blocks"
            );
            // Only blocks that verified can keep the node from taking part.
            if height < ahead.newest && count > 1 {
                self.progress.catching_up.store(true, Ordering::Release);
            }
        }
        taken.refused.map(|why| self.lied(ahead.peer, &why))
    }

    fn lied(&self, peer: PeerId, why: &str) -> Duration {
        tracing::warn!(target: "welkin::sync", %peer, %why, "a peer sent wrong blocks");
        self.network.penalise(peer, Offence::Invalid);
        LONG_PAUSE
    }
}

/// Blocks of an answer, if they are in order from this height on.
fn decode_blocks(answer: &[u8], from: u64) -> Option<Vec<Decision>> {
    let answer: BlocksAnswer = decode(answer)?;
    if answer.blocks.len() > MAX_BLOCKS {
        return None;
    }
    let blocks = answer
        .blocks
        .into_iter()
        .map(|block| Decision::decode(block.block, &block.commit).ok());
    let blocks: Vec<Decision> = blocks.collect::<Option<_>>()?;
    let in_order = (from..)
        .zip(&blocks)
        .all(|(height, decision)| decision.block.header.height == height);
    in_order.then_some(blocks)
}
