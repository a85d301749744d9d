//! The thread that checks transactions.

use super::{Inserted, Judgement, Mempool, Unjudged};
use crate::api::{ApiError, CheckResult, TxPlace};
use crate::ledger::{Ledger, Tip};
use crate::stop::Stop;
use bytes::Bytes;
use std::sync::{Arc, Weak};
use tokio::sync::{mpsc, oneshot};
use welkin_runtime::crypto::{self, BatchVerifier};
use welkin_runtime::execute::{CheckedTransaction, ExecuteError, SignatureCache, TxCheck};
use welkin_runtime::tree::View;
use welkin_runtime::tx::Transaction;
use welkin_runtime::{BlockInfo, Coded, Hash, ModuleError, RuntimeError};

/// Transactions that are checked together, at most.
const BATCH: usize = 256;

/// Transactions that came together.
pub(super) struct Arrival {
    pub txs: Vec<Bytes>,
    pub source: Source,
}

/// Where they came from, and who is to be told.
pub(super) enum Source {
    Local(oneshot::Sender<Result<CheckResult, ApiError>>),
    Peer(oneshot::Sender<Judgement>),
}

/// The thread's parts.
pub(super) struct Intake {
    pub mempool: Weak<Mempool>,
    pub ledger: Arc<Ledger>,
    pub arrivals: mpsc::Receiver<Arrival>,
    pub outgoing: mpsc::Sender<Bytes>,
    pub stop: Stop,
}

/// How far a transaction has come.
enum Stage {
    /// All but the signature is checked.
    Unsigned(CheckedTransaction, Box<Transaction>),
    /// All is checked.
    Checked(CheckedTransaction),
    /// It waits already.
    Known {
        gas_wanted: u64,
    },
    /// It stands in a block: whoever sends it again is told where.
    Committed(TxPlace),
    /// It waits now.
    Kept(CheckedTransaction),
    Refused(ModuleError),
}

struct Item {
    id: Hash,
    raw: Bytes,
    stage: Stage,
}

impl Intake {
    pub fn run(mut self) {
        while let Some(first) = self.arrivals.blocking_recv() {
            let Some(mempool) = self.mempool.upgrade() else {
                return;
            };
            let mut count = first.txs.len();
            let mut arrivals = vec![first];
            while count < BATCH
                && let Ok(arrival) = self.arrivals.try_recv()
            {
                count += arrival.txs.len();
                arrivals.push(arrival);
            }
            if let Err(why) = self.take(&mempool, arrivals) {
                self.stop
                    .fail(format!("transactions cannot be checked: {why}"));
                return;
            }
        }
    }

    fn take(&self, mempool: &Mempool, arrivals: Vec<Arrival>) -> Result<(), ExecuteError> {
        let newest = Newest::of(&self.ledger)?;
        let mut items = Vec::new();
        for arrival in &arrivals {
            for raw in &arrival.txs {
                items.push(self.look(mempool, &newest, raw.clone())?);
            }
        }
        self.verify(&mut items);
        self.rehearse(&newest, &arrivals, &mut items)?;
        let any_new = insert(mempool, &mut items);
        if any_new && mempool.has_ready() {
            mempool.ready.notify_one();
        }
        let mut items = items.into_iter();
        for arrival in arrivals {
            let own: Vec<Item> = items.by_ref().take(arrival.txs.len()).collect();
            self.answer(own, arrival.source);
        }
        Ok(())
    }

    /// Everything but the signature, which costs the most.
    fn look(&self, mempool: &Mempool, newest: &Newest, raw: Bytes) -> Result<Item, ExecuteError> {
        let id = Transaction::id(&raw);
        if mempool.pool().contains(&id) {
            // A block is readable a moment before its transactions leave the pool.
            let place = self.ledger.tx_place(&id).ok().flatten();
            let stage = place.map_or(Stage::Known { gas_wanted: 0 }, Stage::Committed);
            return Ok(Item { id, raw, stage });
        }
        let check = TxCheck {
            chain: self.ledger.info(),
            height: newest.tip.chain.next_height(),
            limits: newest.tip.limits(),
            signatures: &Unjudged,
        };
        let checked = self.ledger.runtime().check_tx(&newest.state, &check, &raw);
        let stage = match checked {
            Ok(checked) if self.ledger.verified().contains(&id) => Stage::Checked(checked),
            Ok(checked) => match Transaction::decode(&raw) {
                Ok(transaction) => Stage::Unsigned(checked, Box::new(transaction)),
                Err(why) => Stage::Refused(why),
            },
            Err(ExecuteError::Refused(why)) => match self.place(&why, &id) {
                Some(place) => Stage::Committed(place),
                None => Stage::Refused(why),
            },
            Err(why) => return Err(why),
        };
        Ok(Item { id, raw, stage })
    }

    /// Where it stands, if its sequence is used because it was committed.
    fn place(&self, why: &ModuleError, id: &Hash) -> Option<TxPlace> {
        let may_be = why.is(RuntimeError::SequenceUsed) || why.is(RuntimeError::Expired);
        may_be.then(|| self.ledger.tx_place(id).ok().flatten())?
    }

    /// The signatures, all at once if they are right.
    fn verify(&self, items: &mut [Item]) {
        let mut batch = BatchVerifier::new();
        for item in items.iter() {
            if let Stage::Unsigned(_, transaction) = &item.stage {
                let signed = signed_part(&item.raw);
                batch.push(&transaction.body.public_key, signed, &transaction.signature);
            }
        }
        if batch.is_empty() {
            return;
        }
        let all_right = batch.verify().is_ok();
        for item in items {
            let Stage::Unsigned(checked, transaction) = &item.stage else {
                continue;
            };
            let key = &transaction.body.public_key;
            let right =
                all_right || crypto::verify(key, signed_part(&item.raw), &transaction.signature);
            item.stage = if !crypto::is_account_key(key) {
                Stage::Refused(RuntimeError::WrongKey.into())
            } else if right {
                self.ledger.verified().insert(item.id);
                Stage::Checked(checked.clone())
            } else {
                Stage::Refused(RuntimeError::BadSignature.into())
            };
        }
    }

    /// Runs what was submitted here and would be its sender's next, so that what would fail is
    /// refused before it costs a fee. One behind a sequence that is still to come may need what
    /// that one brings: its turn is in the block. What peers forward was run where it was submitted.
    fn rehearse(
        &self,
        newest: &Newest,
        arrivals: &[Arrival],
        items: &mut [Item],
    ) -> Result<(), ExecuteError> {
        let mut rest = items;
        for arrival in arrivals {
            let (own, others) = rest.split_at_mut(arrival.txs.len());
            rest = others;
            if matches!(arrival.source, Source::Peer(_)) {
                continue;
            }
            for item in own {
                let Stage::Checked(checked) = &item.stage else {
                    continue;
                };
                if checked.sequence != checked.payer.sequence {
                    continue;
                }
                match self.run_alone(newest, &item.raw) {
                    Err(ExecuteError::Refused(why)) => item.stage = Stage::Refused(why),
                    outcome => outcome?,
                }
            }
        }
        Ok(())
    }

    fn run_alone(&self, newest: &Newest, raw: &[u8]) -> Result<(), ExecuteError> {
        let body = Transaction::decode(raw)?.body;
        let runtime = self.ledger.runtime();
        runtime.rehearse(&newest.state, &newest.next_block(), &body)
    }

    fn answer(&self, items: Vec<Item>, source: Source) {
        match source {
            Source::Local(answer) => {
                let Some(item) = items.into_iter().next() else {
                    return;
                };
                if matches!(item.stage, Stage::Kept(_)) {
                    // Full: peers pull it.
                    let _ = self.outgoing.try_send(item.raw.clone());
                }
                // Who asked may have gone.
                let _ = answer.send(Ok(item.result()));
            }
            Source::Peer(answer) => {
                let wrong = items.iter().any(|item| item.is_wrong());
                let new = items
                    .iter()
                    .any(|item| matches!(item.stage, Stage::Kept(_)));
                let judgement = match (wrong, new) {
                    (true, _) => Judgement::Wrong,
                    (false, true) => Judgement::New,
                    (false, false) => Judgement::Useless,
                };
                // The network may have stopped.
                let _ = answer.send(judgement);
            }
        }
    }
}

/// Against what the transactions of a batch are checked: where the chain stood when it came.
struct Newest<'l> {
    tip: Arc<Tip>,
    state: View<'l>,
}

impl Newest<'_> {
    fn of(ledger: &Ledger) -> Result<Newest<'_>, ExecuteError> {
        let tip = ledger.tip();
        let state = ledger.tree().view(tip.version());
        let state = state.map_err(|why| ExecuteError::State(why.into()))?;
        Ok(Newest { tip, state })
    }

    /// The block that would be made now.
    fn next_block(&self) -> BlockInfo {
        let chain = &self.tip.chain;
        let time = chain.next_time(&self.tip.seen).to_runtime();
        BlockInfo {
            height: chain.next_height(),
            // A chain that lives before 1970 executes no block at all.
            time: time.unwrap_or_default(),
            ..BlockInfo::default()
        }
    }
}

fn insert(mempool: &Mempool, items: &mut [Item]) -> bool {
    let mut pool = mempool.pool();
    let mut any_new = false;
    for item in items {
        let Stage::Checked(checked) = &item.stage else {
            continue;
        };
        // Copied: a slice would keep the whole message that it came in.
        item.stage = match pool.insert(checked, Bytes::copy_from_slice(&item.raw)) {
            Ok(Inserted::New(_)) => {
                any_new = true;
                Stage::Kept(checked.clone())
            }
            Ok(Inserted::Known) => Stage::Known {
                gas_wanted: checked.gas_limit,
            },
            Err(why) => Stage::Refused(why),
        };
    }
    any_new
}

fn signed_part(raw: &[u8]) -> &[u8] {
    raw.get(..raw.len().saturating_sub(64)).unwrap_or_default()
}

impl Item {
    /// Whether whoever forwarded it did not check it. What depends on the state may look different
    /// there.
    fn is_wrong(&self) -> bool {
        let Stage::Refused(why) = &self.stage else {
            return false;
        };
        [
            RuntimeError::MalformedTransaction,
            RuntimeError::TransactionTooLarge,
            RuntimeError::WrongChain,
            RuntimeError::WrongKey,
            RuntimeError::BadSignature,
            RuntimeError::BadCallCount,
            RuntimeError::UnknownModule,
            RuntimeError::MalformedCall,
        ]
        .into_iter()
        .any(|wrong| why.is(wrong))
    }

    fn result(self) -> CheckResult {
        let empty = CheckResult {
            id: self.id,
            code: 0,
            codespace: String::new(),
            log: String::new(),
            gas_wanted: 0,
            committed: None,
        };
        match self.stage {
            Stage::Refused(why) => CheckResult {
                code: why.code,
                codespace: why.module,
                log: why.message,
                ..empty
            },
            Stage::Committed(place) => {
                let message = format!("it stands in block {} already", place.height);
                let why = RuntimeError::SequenceUsed.because(message);
                CheckResult {
                    code: why.code,
                    codespace: why.module,
                    log: why.message,
                    committed: Some(place),
                    ..empty
                }
            }
            Stage::Known { gas_wanted } => CheckResult {
                gas_wanted,
                ..empty
            },
            Stage::Unsigned(checked, _) | Stage::Checked(checked) | Stage::Kept(checked) => {
                CheckResult {
                    gas_wanted: checked.gas_limit,
                    ..empty
                }
            }
        }
    }
}
