//! Transactions on their way into a block.
//!
//! ```text
//!   RPC ───────┐                               ┌──► pool ──► reap ──► proposal
//!   gossip ────┼──► queue ──► intake thread ───┤
//!   pulled ────┘              many at a time   └──► answers, verdicts, gossip
//! ```
//!
//! The intake takes whatever waits in its queue at once, so one transaction is checked without
//! delay, and under load signatures are verified in batches. An id that was found signed well is
//! remembered, so the block that carries it costs no second verification.
//!
//! What was submitted here and has the sequence that is next in the newest committed state is also
//! run, alone on that state, and refused with module, code and message where it would fail: it
//! costs no fee. What is not found so fails in its block and pays: transactions behind others of
//! their sender (which may bring what they need), those that others make fail meanwhile, and those
//! whose run takes more gas than a rehearsal has. Peers' transactions are not run again.
//!
//! A transaction that waits is answered as it was the first time; one that stands in a block is
//! refused as a replay, with its height.
//!
//! Deliberately not here: what a transaction means (the runtime's `check_tx` and `rehearse`).

mod error;
mod intake;
mod pool;
mod verified;

pub use error::MempoolError;
pub use pool::{Inserted, Limits, Pool, Room};
pub use verified::{Unjudged, Verified};

use crate::api::{ApiError, CheckResult, Committed, MempoolSize};
use crate::ledger::Ledger;
use crate::stop::Stop;
use bytes::Bytes;
use intake::{Arrival, Intake, Source};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot};
use welkin_runtime::tx::Transaction;
use welkin_runtime::{Address, Hash};

/// Messages and submissions that wait for the intake. Full: submitters are told, gossip is dropped.
const QUEUE: usize = 4_096;
/// Accepted transactions that wait to be told to peers. Full: peers pull them.
const OUTGOING: usize = 8_192;
/// Accounts that are looked at again after each block although it did not touch them.
const RECHECKED: usize = 16;

/// What the intake found out about a message of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Something in it was new.
    New,
    /// Nothing in it was of use.
    Useless,
    /// Something in it no correct peer sends.
    Wrong,
}

/// The transactions that wait, with what surrounds them.
pub struct Mempool {
    pool: Mutex<Pool>,
    ledger: Arc<Ledger>,
    queue: mpsc::Sender<Arrival>,
    ready: Notify,
    next_rechecked: Mutex<Address>,
    marks: Mutex<Marks>,
}

/// What separates what has waited for a while from what is new.
#[derive(Debug, Default)]
struct Marks {
    aged: u64,
    newest: u64,
}

/// The ends of a mempool that others serve.
pub struct MempoolEnds {
    /// Raw transactions that were submitted here, to be told to peers.
    pub outgoing: mpsc::Receiver<Bytes>,
}

impl Mempool {
    /// An empty mempool with its intake thread, which ends with the last handle.
    pub fn start(
        ledger: Arc<Ledger>,
        limits: Limits,
        stop: Stop,
    ) -> std::io::Result<(Arc<Mempool>, MempoolEnds)> {
        let (queue, arrivals) = mpsc::channel(QUEUE);
        let (told, outgoing) = mpsc::channel(OUTGOING);
        let mempool = Arc::new(Mempool {
            pool: Mutex::new(Pool::new(limits)),
            ledger: ledger.clone(),
            queue,
            ready: Notify::new(),
            next_rechecked: Mutex::new(Address([0; 20])),
            marks: Mutex::default(),
        });
        let stop_on_panic = stop.clone();
        let intake = Intake {
            mempool: Arc::downgrade(&mempool),
            ledger,
            arrivals,
            outgoing: told,
            stop,
        };
        stop_on_panic.thread("mempool", move || intake.run())?;
        Ok((mempool, MempoolEnds { outgoing }))
    }

    /// Checks a transaction and keeps it if it may stand in a block.
    pub async fn submit(&self, raw: Bytes) -> Result<CheckResult, ApiError> {
        let (answer, checked) = oneshot::channel();
        let arrival = Arrival {
            txs: vec![raw],
            source: Source::Local(answer),
        };
        self.queue.try_send(arrival).map_err(|_| ApiError::Busy)?;
        checked
            .await
            .map_err(|_| ApiError::Failed("the node is stopping".to_owned()))?
    }

    /// Takes transactions of a peer; the receiver tells what they were. `None` if there is no room
    /// for them now.
    pub fn offer(&self, txs: Vec<Bytes>) -> Option<oneshot::Receiver<Judgement>> {
        let (answer, judged) = oneshot::channel();
        self.queue
            .try_send(Arrival {
                txs,
                source: Source::Peer(answer),
            })
            .ok()?;
        Some(judged)
    }

    /// Waits until something new is ready for a block.
    pub async fn wait_for_ready(&self) {
        self.ready.notified().await;
    }

    /// Whether a block made now would have a transaction.
    pub fn has_ready(&self) -> bool {
        self.pool().has_ready()
    }

    /// How much waits.
    pub fn size(&self) -> MempoolSize {
        let pool = self.pool();
        MempoolSize {
            transactions: pool.len(),
            bytes: pool.bytes(),
        }
    }

    /// Transactions for a block.
    pub fn reap(&self, room: Room) -> Vec<Vec<u8>> {
        let chosen = self.pool().reap(room);
        chosen.iter().map(|raw| raw.to_vec()).collect()
    }

    /// Removes a transaction that cannot stand in a block.
    pub fn drop_unfit(&self, raw: &[u8]) {
        self.pool().remove(&Transaction::id(raw));
    }

    /// Removes what stands in a block, and what can no longer stand in one.
    pub fn committed(&self, committed: &Committed) {
        let next = committed.results.height + 1;
        let mut touched = Vec::new();
        {
            let mut pool = self.pool();
            pool.expire(next);
            for (id, raw) in committed.tx_ids.iter().zip(&committed.block.block.data.txs) {
                if pool.contains(id) {
                    touched.extend(pool.used(id));
                } else if let Ok(transaction) = Transaction::decode(raw) {
                    touched.push(transaction.body.sender);
                }
            }
            touched.retain(|sender| pool.next_sequence(sender).is_some());
            let mut start = self
                .next_rechecked
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let others = pool.senders_from(&start, RECHECKED);
            if let Some(last) = others.last() {
                *start = *last;
            }
            touched.extend(others);
        }
        touched.sort_unstable();
        touched.dedup();
        self.settle(&touched);
    }

    /// Ids of transactions that waited already when [`Mempool::age`] was called for the last time
    /// but one, oldest first.
    pub fn waiting(&self, limit: usize) -> Vec<Hash> {
        let aged = self
            .marks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .aged;
        self.pool().older_than(aged, limit)
    }

    /// Time passes: what is new now has waited for a while the next time.
    pub fn age(&self) {
        let now = self.pool().mark();
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.aged = std::mem::replace(&mut marks.newest, now);
    }

    /// Those of these ids that do not wait here and do not stand in a block.
    pub fn unknown(&self, ids: &[Hash]) -> Vec<Hash> {
        let mut unknown: Vec<Hash> = {
            let pool = self.pool();
            ids.iter()
                .filter(|id| !pool.contains(id))
                .copied()
                .collect()
        };
        unknown.retain(|id| matches!(self.ledger.tx_place(id), Ok(None)));
        unknown
    }

    /// Transactions that wait, by id.
    pub fn get(&self, ids: &[Hash], max_bytes: usize) -> Vec<Bytes> {
        let pool = self.pool();
        let mut bytes = 0;
        let found = ids.iter().filter_map(|id| pool.get(id));
        found
            .take_while(|raw| {
                bytes += raw.len();
                bytes <= max_bytes
            })
            .collect()
    }

    fn settle(&self, senders: &[Address]) {
        let version = self.ledger.tip().version();
        let Ok(view) = self.ledger.tree().view(version) else {
            return;
        };
        let runtime = self.ledger.runtime();
        for sender in senders {
            let payer = runtime.read(&view, |ctx| (runtime.accounts.payer)(ctx, sender));
            match payer {
                Ok(payer) => self.pool().settle(sender, &payer),
                Err(why) => {
                    tracing::warn!(
                        target: "welkin::mempool",
                        %sender,
                        "an account cannot be read: {why}"
                    )
                }
            }
        }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        // A panic under this lock may leave indexes that differ; they only cost a transaction.
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
