//! The task that owns the consensus machine, and does what it asks for.
//!
//! ```text
//!   network ──► heard, asked ─┐                  ┌─► disk thread: WAL, signatures ─┐
//!   mempool ──► ready ────────┼─► Machine::handle┼─► executor: judge, build, commit┼─► answers ─┐
//!   timers, ticks ────────────┘   ▲              └─► network: gossip, pulling      ┘            │
//!                                 └────────────────────────────────────────────────────────────┘
//! ```
//!
//! Invariants:
//! - Effects are carried out in their order; records reach the WAL's queue before anything that
//!   rests on them reaches the disk thread, which syncs before it signs.
//! - The task never waits for the disk, for execution or for a peer.
//! - While the node catches up nothing is signed.

mod disk;
mod executor;
mod pull;
mod timers;

pub use disk::{DiskThread, RECORD};
pub use executor::{Executor, TakeOver, TakenOver};

use crate::evidence::EvidencePool;
use crate::ledger::Ledger;
use crate::mempool::Mempool;
use crate::net::{Asked, Heard};
use crate::stop::Stop;
use crate::sync::Progress;
use pull::Puller;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use timers::Timers;
use tokio::sync::mpsc;
use welkin_consensus::machine::{self, Effect, Gossip, Input, Machine, Notice, Step, Verdict};
use welkin_consensus::types::{Message, Timestamp, ValidatorAddress};
use welkin_p2p::chain::{self, Handle, Topic};

/// What a machine is made of, beside where the chain stands.
pub struct Rules {
    /// Timeouts.
    pub config: machine::Config,
    /// This node's address, if it holds a validator's key.
    pub own: Option<ValidatorAddress>,
}

impl Rules {
    /// A machine for the next height.
    pub fn machine(&self, ledger: &Ledger, work_waiting: bool) -> Machine {
        Machine::new(
            self.config.clone(),
            self.own,
            ledger.tip().start(work_waiting),
        )
    }
}

/// What the shell is made of.
pub struct Parts {
    /// For a new machine, if blocks are taken over before it starts.
    pub rules: Rules,
    /// The machine, after replay of the WAL.
    pub machine: Machine,
    /// The WAL and the key.
    pub disk: DiskThread,
    /// The ledger's thread.
    pub executor: Executor,
    /// Answers of both.
    pub answers: mpsc::UnboundedReceiver<Input>,
    /// Messages of peers.
    pub heard: mpsc::Receiver<Heard>,
    /// Messages that were pulled.
    pub heard_sender: mpsc::Sender<Heard>,
    /// Questions of peers.
    pub asked: mpsc::Receiver<Asked>,
    /// The network.
    pub network: Handle,
    /// Transactions.
    pub mempool: Arc<Mempool>,
    /// Evidence.
    pub evidence: Arc<EvidencePool>,
    /// Committed blocks.
    pub ledger: Arc<Ledger>,
    /// Whether the node catches up.
    pub progress: Arc<Progress>,
    /// How often a peer is asked for what is missing.
    pub pull_interval: Duration,
    /// Ends the node.
    pub stop: Stop,
}

/// The running shell.
struct Shell {
    parts: Parts,
    timers: Timers,
    puller: Puller,
    effects: Vec<Effect>,
}

/// This node's clock.
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp::from_unix_nanos(i128::try_from(since_1970.as_nanos()).unwrap_or(i128::MAX))
}

/// Runs the machine until the node ends, then lets the threads finish.
pub async fn run(parts: Parts) {
    let stop = parts.stop.clone();
    let puller = Puller::new(
        parts.network.clone(),
        parts.heard_sender.clone(),
        parts.progress.clone(),
    );
    let mut shell = Shell {
        parts,
        timers: Timers::default(),
        puller,
        effects: Vec::new(),
    };
    tokio::select! {
        () = shell.drive() => {}
        _ = stop.wait() => {}
    }
    let Parts { disk, executor, .. } = shell.parts;
    let finish = tokio::task::spawn_blocking(move || {
        executor.finish();
        disk.finish();
    });
    // A thread that panicked has told so itself.
    let _ = finish.await;
}

impl Shell {
    async fn drive(&mut self) {
        self.parts.progress.started().await;
        self.start_after_catching_up();
        self.parts.machine.resume(now(), &mut self.effects);
        self.carry_out();
        let mut tick = tokio::time::interval(self.parts.pull_interval);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mempool = self.parts.mempool.clone();
        loop {
            tokio::select! {
                biased;
                Some(input) = self.parts.answers.recv() => self.answered(input),
                () = self.timers.next() => self.timers_due(),
                Some(asked) = self.parts.asked.recv() => self.asked(asked),
                Some(heard) = self.parts.heard.recv() => self.heard(heard),
                () = mempool.wait_for_ready() => drop(self.input(Input::WorkWaiting)),
                _ = tick.tick() => self.puller.tick(&self.parts.machine),
            }
        }
    }

    /// What was fetched meanwhile makes the machine's height, and the WAL's records, a thing of the
    /// past.
    fn start_after_catching_up(&mut self) {
        let tip = self.parts.ledger.tip();
        if tip.chain.next_height() == self.parts.machine.height() {
            return;
        }
        while self.parts.answers.try_recv().is_ok() {}
        self.parts.machine = self
            .parts
            .rules
            .machine(&self.parts.ledger, self.parts.mempool.has_ready());
        self.parts.disk.end_height(tip.height());
    }

    fn answered(&mut self, input: Input) {
        if let Input::Applied(start) = &input {
            self.parts.disk.end_height(start.height.saturating_sub(1));
            self.timers.forget_before(start.height);
            self.tell_evidence();
        }
        self.input(input);
    }

    fn heard(&mut self, heard: Heard) {
        let Heard {
            message,
            from,
            token,
        } = heard;
        let height = message.height();
        // One height ahead is what the fastest peers are now and then.
        if height > self.parts.machine.height().saturating_add(1) {
            self.parts.progress.may_be_behind();
        }
        let verdict = self.input(Input::Message { from, message });
        let Some(token) = token else { return };
        let verdict = match verdict {
            Verdict::Accepted => chain::Verdict::Accept,
            Verdict::Ignored(_) => chain::Verdict::Ignore,
            Verdict::Refused(why) => {
                tracing::debug!(
                    target: "welkin::consensus",
                    height,
                    %why,
                    source = %token.source(),
                    "a message was refused"
                );
                chain::Verdict::Reject
            }
        };
        self.parts.network.report(token, verdict);
    }

    fn asked(&mut self, asked: Asked) {
        let messages = self.parts.machine.answer(&asked.summary, asked.max_bytes);
        // The peer may have gone.
        let _ = asked.reply.send(messages);
    }

    fn timers_due(&mut self) {
        for timeout in self.timers.due(Instant::now()) {
            self.input(Input::Timeout(timeout));
        }
    }

    fn input(&mut self, input: Input) -> Verdict {
        let verdict = self.parts.machine.handle(input, now(), &mut self.effects);
        self.carry_out();
        verdict
    }

    fn carry_out(&mut self) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain(..) {
            self.effect(effect);
        }
        self.effects = effects;
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::Persist(record) => self.parts.disk.persist(record),
            Effect::Sign(_) if self.parts.progress.is_catching_up() => {}
            Effect::Sign(request) => self.parts.disk.sign(request),
            Effect::Broadcast(message) => self.broadcast(&message),
            Effect::Schedule(timeout, after) => {
                self.timers.schedule(timeout, Instant::now() + after)
            }
            Effect::RequestValue(request) => self.parts.executor.build(request),
            Effect::Validate {
                height,
                block_id,
                block,
            } => {
                self.parts.executor.validate(height, block_id, block);
            }
            Effect::Commit(decided) => self.parts.executor.commit(decided),
            Effect::Equivocation(equivocation) => {
                tracing::warn!(
                    target: "welkin::consensus",
                    validator = %equivocation.vote_a.validator_address,
                    height = equivocation.vote_a.height,
                    "a validator voted twice"
                );
                self.parts.evidence.equivocation(*equivocation);
            }
            Effect::Notice(notice) => self.notice(&notice),
        }
    }

    fn broadcast(&self, message: &Gossip) {
        let topic = if matches!(message, Gossip::Part(_)) {
            Topic::Parts
        } else {
            Topic::Consensus
        };
        if let Err(why) = self.parts.network.publish(topic, message.encode()) {
            tracing::debug!(target: "welkin::consensus", %why, "not published: peers have to pull");
        }
    }

    /// Evidence that could not be finished before its height had a block.
    fn tell_evidence(&self) {
        for evidence in self.parts.evidence.finish(&self.parts.ledger) {
            // Every validator that saw the two votes has it too.
            let _ = self
                .parts
                .network
                .publish(Topic::Evidence, evidence.encode());
        }
    }

    fn notice(&self, notice: &Notice) {
        match notice {
            Notice::InvalidDecision { round, block_id } => {
                let height = self.parts.machine.height();
                self.parts.stop.fail(format!(
                    "more than 2/3 of the voting power decided block {height} ({:?}, round \
                     {round}), which this node finds invalid: the program differs from the \
                     network's, or its state is damaged; check the version, then run `welkind \
                     unsafe-reset` and start again",
                    block_id.hash
                ));
            }
            Notice::TimedOut(timeout) => {
                tracing::debug!(target: "welkin::consensus", ?timeout, "timed out");
            }
            Notice::Step {
                height,
                round,
                step,
            } if *round > 0 && *step == Step::Propose => {
                tracing::info!(target: "welkin::consensus", height, round, "round");
            }
            notice => tracing::trace!(target: "welkin::consensus", ?notice),
        }
    }
}
