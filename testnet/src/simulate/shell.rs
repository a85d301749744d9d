//! What surrounds a machine: it performs effects, and stops in the middle of them if so planned.

use super::app::{CHAIN_ID, POISON};
use super::plan::Role;
use super::world::{Event, Outcome, Task, World};
use std::collections::BTreeSet;
use std::sync::Arc;
use welkin_consensus::files::{Decision, Refusal};
use welkin_consensus::machine::{
    Bug, Decided, Effect, Gossip, Input, SignRequest, Signed, Timeout, Transactions, ValueRequest,
    Verdict,
};
use welkin_consensus::types::{Block, BlockId, EvidenceList, Signature};

/// Most offences that a node remembers until they are in a block.
const MOST_OFFENCES: usize = 16;
/// Most transactions of a block.
const BLOCK_TRANSACTIONS: usize = 10;

impl World {
    /// Hands an input to a node's machine, and performs what it wants.
    pub(crate) fn handle(&mut self, index: usize, input: Input) -> Outcome {
        let node = &mut self.nodes[index];
        let clock = node.clock(self.now);
        let Some(machine) = &mut node.machine else {
            return Ok(());
        };
        let knew = (machine.height(), machine.valid());
        let vote = match &input {
            Input::Message {
                message: Gossip::Vote(vote),
                ..
            } => Some(vote.clone()),
            _ => None,
        };
        let mut effects = Vec::new();
        let verdict = machine.handle(input, clock, &mut effects);
        if node.role.is_honest() {
            self.watch(index, knew, &effects)?;
            if let (Some(vote), Verdict::Accepted) = (vote, verdict) {
                let reported = effects.iter().any(|e| matches!(e, Effect::Equivocation(_)));
                self.accepted(index, &vote, reported)?;
            }
        }
        self.perform(index, effects)
    }

    /// Performs effects in order; the node may stop between any two.
    pub(crate) fn perform(&mut self, index: usize, effects: Vec<Effect>) -> Outcome {
        for effect in effects {
            if self.is_time_to_crash(index) {
                return Ok(());
            }
            self.perform_one(index, effect)?;
        }
        Ok(())
    }

    /// Counts down to a planned crash; whether the node just stopped.
    fn is_time_to_crash(&mut self, index: usize) -> bool {
        match self.nodes[index].crash_in {
            Some((0, down)) => {
                self.crash(index, down);
                true
            }
            Some((left, down)) => {
                self.nodes[index].crash_in = Some((left - 1, down));
                false
            }
            None => false,
        }
    }

    fn perform_one(&mut self, index: usize, effect: Effect) -> Outcome {
        match effect {
            Effect::Persist(record) => self.nodes[index].disk.wal.push(record),
            Effect::Sign(request) => self.sign_later(index, request),
            Effect::Broadcast(message) => self.broadcast(index, message),
            Effect::Schedule(timeout, after) => {
                let number = self.rng.next();
                let at = self.now + u64::try_from(after.as_nanos()).unwrap_or(u64::MAX >> 1);
                let life = self.nodes[index].life;
                self.nodes[index].timers.insert(timeout, number);
                self.at(
                    at,
                    Event::Timer {
                        node: index,
                        life,
                        timeout,
                        number,
                    },
                );
            }
            Effect::RequestValue(request) => {
                let wait = self.some_us(300, 6_000);
                self.later(index, wait, Task::Build(request));
            }
            Effect::Validate {
                height,
                block_id,
                block,
            } => {
                let slow = self.rng.chance(20);
                let wait = self.some_us(200, if slow { 150_000 } else { 8_000 });
                self.later(
                    index,
                    wait,
                    Task::Judge {
                        height,
                        block_id,
                        block,
                    },
                );
            }
            Effect::Commit(decided) => {
                self.report.rounds = self.report.rounds.max(decided.round);
                if self.nodes[index].role.is_honest() {
                    let chain = &self.nodes[index].disk.chain;
                    self.oracle.committed(index, &decided, chain)?;
                }
                let wait = self.some_us(500, 8_000);
                self.later(index, wait, Task::Store(decided));
            }
            Effect::Equivocation(found) => {
                self.report.offences += 1;
                let offences = &mut self.nodes[index].offences;
                offences.push(*found);
                // Enough are left to fill the next blocks.
                offences.drain(..offences.len().saturating_sub(MOST_OFFENCES));
            }
            Effect::Notice(_) => {}
        }
        Ok(())
    }

    fn later(&mut self, index: usize, wait: u64, task: Task) {
        let life = self.nodes[index].life;
        self.at(
            self.now + wait,
            Event::Work {
                node: index,
                life,
                task,
            },
        );
    }

    /// The signer works in order.
    fn sign_later(&mut self, index: usize, request: SignRequest) {
        let wait = self.some_us(200, 5_000);
        let node = &mut self.nodes[index];
        let at = (self.now + wait).max(node.signer_free_at + 1);
        node.signer_free_at = at;
        let (life, wal_records) = (node.life, node.disk.wal.len());
        let task = Task::Sign {
            request,
            wal_records,
        };
        self.at(
            at,
            Event::Work {
                node: index,
                life,
                task,
            },
        );
    }

    pub(crate) fn work(&mut self, index: usize, life: u64, task: Task) -> Outcome {
        if self.nodes[index].life != life || self.nodes[index].machine.is_none() {
            return Ok(());
        }
        match task {
            Task::Sign {
                request,
                wal_records,
            } => self.sign(index, request, wal_records),
            Task::Build(request) => self.build(index, &request),
            Task::Judge {
                height,
                block_id,
                block,
            } => self.judge(index, height, block_id, &block),
            Task::Store(decided) => self.store(index, &decided),
            Task::Apply => {
                let node = &mut self.nodes[index];
                let mut start = node.disk.chain.start();
                start.work_waiting = !node.mempool.is_empty();
                // The WAL of a height that is in the block log is not needed any more.
                node.disk.wal.clear();
                node.disk.synced = 0;
                self.handle(index, Input::Applied(Box::new(start)))
            }
        }
    }

    /// Makes the records durable, then the signer's state, then hands the signature back.
    fn sign(&mut self, index: usize, request: SignRequest, wal_records: usize) -> Outcome {
        if self.nodes[index].role == Role::Equivocator {
            return self.sign_anything(index, &request);
        }
        self.sync(index, wal_records);
        if self.is_time_to_crash(index) {
            return Ok(());
        }
        let input = match self.decide(index, &request) {
            Ok(Decision::Sign) => {
                let signature = self.nodes[index].key.sign(&request.sign_bytes(CHAIN_ID));
                let signature = Signature(signature);
                self.nodes[index].disk.sign_state = request.state_after(CHAIN_ID, signature);
                Input::Signed(request.signed(signature))
            }
            Ok(Decision::Reuse {
                signature,
                timestamp,
            }) => Input::Signed(request.signed_before(signature, timestamp)),
            Err(why) => {
                if request.place() > self.nodes[index].signed_before {
                    return Err(format!("node {index} was refused {request:?}: {why}"));
                }
                Input::SignRefused(request)
            }
        };
        if let Input::Signed(signed) = &input {
            self.note_signed(index, signed)?;
        }
        if self.is_time_to_crash(index) {
            return Ok(());
        }
        self.handle(index, input)
    }

    fn decide(&self, index: usize, request: &SignRequest) -> Result<Decision, Refusal> {
        let node = &self.nodes[index];
        if node.bug == Some(Bug::SignStateForgotten) {
            return Ok(Decision::Sign);
        }
        request.decide(&node.disk.sign_state, CHAIN_ID)
    }

    fn note_signed(&mut self, index: usize, signed: &Signed) -> Outcome {
        let node = &self.nodes[index];
        let Some(machine) = &node.machine else {
            return Ok(());
        };
        let height = match signed {
            Signed::Proposal(proposal) => proposal.height,
            Signed::Vote(vote) => vote.height,
        };
        if height != machine.height() {
            return Ok(());
        }
        let validators = &machine.start().validators;
        self.oracle
            .signed(signed, node.role, validators)
            .map_err(|why| format!("node {index}: {why}"))
    }

    fn sync(&mut self, index: usize, records: usize) {
        let disk = &mut self.nodes[index].disk;
        disk.synced = disk.synced.max(records.min(disk.wal.len()));
    }

    fn build(&mut self, index: usize, request: &ValueRequest) -> Outcome {
        let block = self.make_block(index, request);
        let block_id = block.id(&block.part_set());
        // Whether it is valid is the oracle's to remember; a faulty node proposes it anyway.
        let _ = self
            .oracle
            .judge(&self.nodes[index].disk.chain, block_id, &block);
        let (height, round) = (request.height, request.round);
        self.handle(
            index,
            Input::Value {
                height,
                round,
                block: Box::new(block),
            },
        )
    }

    pub(crate) fn make_block(&mut self, index: usize, request: &ValueRequest) -> Block {
        let node = &self.nodes[index];
        let chain = &node.disk.chain;
        let mut transactions = match request.transactions {
            Transactions::Allowed => node
                .mempool
                .iter()
                .take(BLOCK_TRANSACTIONS)
                .cloned()
                .collect(),
            Transactions::LeftOut => Vec::new(),
        };
        // A faulty proposer may make an invalid block.
        if node.role == Role::Equivocator && self.rng.chance(150) {
            transactions.push(vec![POISON]);
        }
        let found = node
            .offences
            .iter()
            .filter_map(|offence| chain.evidence(offence));
        let mut seen = BTreeSet::new();
        let evidence = found
            .filter(|evidence| chain.is_new(evidence))
            .filter(|evidence| {
                use welkin_consensus::types::Evidence::DuplicateVote;
                matches!(evidence, DuplicateVote(e) if seen.insert((
                    e.vote_a.validator_address, e.vote_a.height, e.vote_a.round, e.vote_a.vote_type,
                )))
            });
        let evidence = EvidenceList(evidence.take(4).collect());
        let last_commit = request.last_commit.clone();
        chain
            .state
            .make_block(transactions, evidence, last_commit, request.proposer)
    }

    fn judge(
        &mut self,
        index: usize,
        height: u64,
        block_id: BlockId,
        block: &Arc<Block>,
    ) -> Outcome {
        let chain = &self.nodes[index].disk.chain;
        if chain.state.next_height() != height {
            return Ok(());
        }
        let valid = self.oracle.judge(chain, block_id, block).is_ok();
        self.handle(
            index,
            Input::Validated {
                height,
                block_id,
                valid,
            },
        )
    }

    /// The block log is durable, the block is executed.
    fn store(&mut self, index: usize, decided: &Decided) -> Outcome {
        let node = &mut self.nodes[index];
        if node.disk.chain.state.next_height() != decided.block.header.height {
            return Ok(());
        }
        node.disk.chain.apply(decided)?;
        node.mempool
            .retain(|transaction| !decided.block.data.txs.contains(transaction));
        let chain = &node.disk.chain;
        node.offences.retain(|offence| {
            offence.vote_a.height > chain.height()
                || chain
                    .evidence(offence)
                    .is_some_and(|evidence| chain.is_new(&evidence))
        });
        self.report.evidence += decided.block.evidence.0.len() as u64;
        if self.nodes[index].role.is_honest() {
            self.oracle.executed(index, &self.nodes[index].disk.chain)?;
        }
        let wait = self.some_us(200, 8_000);
        self.later(index, wait, Task::Apply);
        Ok(())
    }

    pub(crate) fn timer(
        &mut self,
        index: usize,
        life: u64,
        timeout: Timeout,
        number: u64,
    ) -> Outcome {
        let node = &mut self.nodes[index];
        if node.life != life || node.timers.get(&timeout) != Some(&number) {
            return Ok(());
        }
        node.timers.remove(&timeout);
        self.handle(index, Input::Timeout(timeout))
    }
}
