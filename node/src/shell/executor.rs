//! The thread that advances the ledger: judges blocks, builds them, executes them.

use crate::evidence::EvidencePool;
use crate::ledger::{Decision, Ledger, LedgerError};
use crate::mempool::{Mempool, Room};
use crate::stop::Stop;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use welkin_consensus::machine::{Decided, Input, ValueRequest};
use welkin_consensus::state::{evidence_bytes, max_data_bytes};
use welkin_consensus::types::{Block, BlockId};

/// Work for the thread.
enum Job {
    Validate {
        height: u64,
        block_id: BlockId,
        block: Arc<Block>,
    },
    Build(ValueRequest),
    Commit(Box<Decided>),
    TakeOver {
        blocks: Vec<Decision>,
        reply: oneshot::Sender<TakenOver>,
    },
    End,
}

/// What came of blocks that a peer sent.
#[derive(Debug)]
pub struct TakenOver {
    /// How many are now part of the chain.
    pub blocks: usize,
    /// Why the next one was refused, if it was.
    pub refused: Option<String>,
}

/// The thread's queue. It is bounded by what the machine asks for, and by one request at a time
/// of who catches up.
pub struct Executor {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

/// A way to hand over blocks that peers sent.
#[derive(Clone)]
pub struct TakeOver(Sender<Job>);

impl Executor {
    /// Starts the thread.
    pub fn start(
        ledger: Arc<Ledger>,
        mempool: Arc<Mempool>,
        evidence: Arc<EvidencePool>,
        answers: UnboundedSender<Input>,
        stop: Stop,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = channel();
        let stop_on_panic = stop.clone();
        let worker = Worker {
            ledger,
            mempool,
            evidence,
            answers,
        };
        let run = move || {
            if let Err(why) = worker.run(&queue) {
                stop.fail(why.to_string());
            }
        };
        let thread = stop_on_panic.thread("executor", run)?;
        Ok(Executor { jobs, thread })
    }

    /// Judges a block; answered with `Validated`.
    pub fn validate(&self, height: u64, block_id: BlockId, block: Arc<Block>) {
        self.send(Job::Validate {
            height,
            block_id,
            block,
        });
    }

    /// Builds a block; answered with `Value`.
    pub fn build(&self, request: ValueRequest) {
        self.send(Job::Build(request));
    }

    /// Makes a decided block part of the chain; answered with `Applied`.
    pub fn commit(&self, decided: Box<Decided>) {
        self.send(Job::Commit(decided));
    }

    /// A way to hand over blocks of peers.
    pub fn take_over(&self) -> TakeOver {
        TakeOver(self.jobs.clone())
    }

    /// Finishes what is under way, and ends the thread.
    pub fn finish(self) {
        self.send(Job::End);
        // A thread that panicked has told so itself.
        let _ = self.thread.join();
    }

    fn send(&self, job: Job) {
        // The thread ends early only with an error, and that stops the node.
        let _ = self.jobs.send(job);
    }
}

impl TakeOver {
    /// Takes over blocks, and answers `Applied` to the machine if there were new ones. `None` if
    /// the node ends.
    pub async fn run(&self, blocks: Vec<Decision>) -> Option<TakenOver> {
        let (reply, taken) = oneshot::channel();
        self.0.send(Job::TakeOver { blocks, reply }).ok()?;
        taken.await.ok()
    }
}

struct Worker {
    ledger: Arc<Ledger>,
    mempool: Arc<Mempool>,
    evidence: Arc<EvidencePool>,
    answers: UnboundedSender<Input>,
}

impl Worker {
    fn run(self, jobs: &Receiver<Job>) -> Result<(), LedgerError> {
        while let Ok(job) = jobs.recv() {
            match job {
                Job::Validate {
                    height,
                    block_id,
                    block,
                } => self.validate(height, block_id, &block)?,
                Job::Build(request) => self.build(&request)?,
                Job::Commit(decided) => self.commit(*decided)?,
                Job::End => break,
                Job::TakeOver { blocks, reply } => {
                    let taken = self.take_over(&blocks)?;
                    // Who asked may have gone.
                    let _ = reply.send(taken);
                }
            }
        }
        Ok(())
    }

    fn validate(&self, height: u64, block_id: BlockId, block: &Block) -> Result<(), LedgerError> {
        let valid = match self.ledger.validate(block) {
            Ok(()) => true,
            Err(LedgerError::Refused(why)) => {
                tracing::warn!(
                    target: "welkin::consensus",
                    height,
                    %why,
                    "a proposed block is not valid"
                );
                false
            }
            Err(why) => return Err(why),
        };
        self.answer(Input::Validated {
            height,
            block_id,
            valid,
        });
        Ok(())
    }

    fn build(&self, request: &ValueRequest) -> Result<(), LedgerError> {
        let tip = self.ledger.tip();
        let evidence = self.evidence.for_block(&self.ledger, &tip);
        let limits = tip.limits();
        let max_bytes = usize::try_from(limits.max_bytes).unwrap_or(usize::MAX);
        let bytes = max_data_bytes(
            max_bytes,
            evidence_bytes(&evidence),
            tip.chain.validators.len(),
        );
        let txs = self.mempool.reap(Room {
            bytes: bytes as u64,
            gas: limits.max_gas,
        });
        let unfit = |raw: &[u8]| self.mempool.drop_unfit(raw);
        if let Some(block) = self.ledger.build(request, txs, evidence, unfit)? {
            let (height, round) = (request.height, request.round);
            self.answer(Input::Value {
                height,
                round,
                block: Box::new(block),
            });
        }
        Ok(())
    }

    fn commit(&self, decided: Decided) -> Result<(), LedgerError> {
        let Decided {
            block,
            block_id,
            parts,
            commit,
            ..
        } = decided;
        let bytes = parts
            .assemble()
            .unwrap_or_else(|| welkin_consensus::types::Message::encode(&*block));
        let decision = Decision {
            block,
            block_id,
            bytes,
            commit,
        };
        if let Some(committed) = self.ledger.commit(&decision)? {
            self.mempool.committed(&committed);
            self.evidence.committed(&committed.block.block);
            self.applied();
        }
        Ok(())
    }

    fn take_over(&self, blocks: &[Decision]) -> Result<TakenOver, LedgerError> {
        let (taken, outcome) = self.ledger.commit_many(blocks);
        for committed in &taken {
            self.mempool.committed(committed);
            self.evidence.committed(&committed.block.block);
        }
        if !taken.is_empty() {
            self.applied();
        }
        let refused = match outcome {
            Ok(()) => None,
            Err(LedgerError::Refused(why)) => Some(why),
            Err(why) => return Err(why),
        };
        Ok(TakenOver {
            blocks: taken.len(),
            refused,
        })
    }

    /// Tells the machine what the next height starts from.
    fn applied(&self) {
        self.ledger.snapshot_if_due();
        let waiting = self.mempool.has_ready() || self.evidence.has_pending();
        self.answer(Input::Applied(Box::new(self.ledger.tip().start(waiting))));
    }

    fn answer(&self, input: Input) {
        // The shell may have ended.
        let _ = self.answers.send(input);
    }
}
