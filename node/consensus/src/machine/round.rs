//! Rounds: how they start and how waiting ends (lines 11 to 21, 55, 57 to 67).

use super::effect::{Timeout, TimeoutKind};
use super::input::Ignored;
use super::planted::Bug;
use super::record::Entry;
use super::{Effect, Machine, Notice, Outcome, SignRequest, Step, Turn};
use crate::types::{BlockId, VoteType};
use std::time::Duration;

/// The blocks of the proposals of so many past rounds are kept: their votes may still come.
const KEPT_PROPOSALS: u32 = 4;

impl Machine {
    /// Lines 11 to 13. Round 0 waits until its block is due; later rounds are late already.
    pub(super) fn start_round(&mut self, round: u32, turn: &mut Turn<'_>) {
        self.round = round;
        self.value_wanted = false;
        self.signing
            .retain(|request| request.place().1.saturating_add(1) >= round);
        let proposer = self
            .rounds
            .open(round, &self.start.validators)
            .proposer
            .address;
        self.forget_past();
        for vote in self.rounds.take_ahead(round) {
            self.count(vote);
        }
        turn.notice(Notice::NewRound {
            height: self.start.height,
            round,
            proposer,
        });
        if round == 0 {
            self.enter(Step::NewRound, turn);
        } else {
            self.enter_propose(turn);
        }
    }

    /// Lines 14 to 21. The proposer waits as well: its shell may not build a block in time.
    pub(super) fn enter_propose(&mut self, turn: &mut Turn<'_>) {
        self.enter(Step::Propose, turn);
        let wait = self.config.propose_timeout(self.round);
        self.schedule(TimeoutKind::Propose, wait, turn);
        if self.own == Some(self.proposer()) {
            self.propose(turn);
        }
    }

    /// Line 55.
    pub(super) fn skip_round(&mut self, turn: &mut Turn<'_>) -> bool {
        let target = self.rounds.skip_target(&self.start.validators);
        let Some(round) = target.filter(|round| *round > self.round) else {
            return false;
        };
        self.start_round(round, turn);
        true
    }

    /// Ends the wait for the next block when others have gone on: a proposal has come, or one
    /// correct validator has prevoted.
    pub(super) fn follow_others(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.step != Step::NewRound {
            return false;
        }
        let gone_on = self.rounds.get(self.round).is_some_and(|round| {
            round.proposal.is_some() || self.quorum.is_one_third(round.prevotes.power())
        });
        if gone_on {
            self.enter_propose(turn);
        }
        gone_on
    }

    pub(super) fn on_timeout(&mut self, timeout: Timeout, turn: &mut Turn<'_>) -> Outcome {
        if timeout.kind == TimeoutKind::CommitWait {
            return self.on_commit_wait(timeout, turn);
        }
        let current_round = timeout.round == self.round || self.bugs.has(Bug::StaleTimeouts);
        if timeout.height != self.start.height || !current_round || self.overtaken.is_some() {
            return Err(Ignored::Past.into());
        }
        match (timeout.kind, self.step) {
            (TimeoutKind::BlockInterval, Step::NewRound) => {
                self.consider_block(turn);
                return Ok(());
            }
            (TimeoutKind::Propose, Step::Propose) | (TimeoutKind::Prevote, Step::Prevote) => {}
            (TimeoutKind::Precommit, Step::Propose | Step::Prevote | Step::Precommit) => {}
            _ => return Err(Ignored::Past.into()),
        }
        self.log(Entry::Timeout(timeout), turn);
        turn.notice(Notice::TimedOut(timeout));
        match timeout.kind {
            // Line 57.
            TimeoutKind::Propose => self.cast(VoteType::Prevote, BlockId::NIL, turn),
            // Line 61.
            TimeoutKind::Prevote => self.cast(VoteType::Precommit, BlockId::NIL, turn),
            // Line 65.
            _ => self.start_round(timeout.round.saturating_add(1), turn),
        }
        self.advance(turn);
        Ok(())
    }

    pub(super) fn enter(&mut self, step: Step, turn: &mut Turn<'_>) {
        self.step = step;
        turn.notice(Notice::Step {
            height: self.start.height,
            round: self.round,
            step,
        });
    }

    pub(super) fn schedule(&self, kind: TimeoutKind, wait: Duration, turn: &mut Turn<'_>) {
        let timeout = Timeout {
            height: self.start.height,
            round: self.round,
            kind,
        };
        turn.push(Effect::Schedule(timeout, wait));
    }

    /// Casts this node's vote and moves on to the step after it. Without a validator's key only
    /// the step changes: the node follows.
    pub(super) fn cast(&mut self, vote_type: VoteType, block_id: BlockId, turn: &mut Turn<'_>) {
        let step = match vote_type {
            VoteType::Prevote => Step::Prevote,
            VoteType::Precommit => Step::Precommit,
        };
        self.enter(step, turn);
        if let Some(vote) = self.own_vote(vote_type, block_id, turn.now) {
            self.request_signature(SignRequest::Vote(vote), turn);
        }
    }

    /// Keeps memory bounded over many rounds: of past ones what the lock, the valid block and a
    /// possible decision rest on, and the last few.
    fn forget_past(&mut self) {
        let mut rounds: Vec<u32> = self.rounds.decisions().map(|(round, _)| round).collect();
        let mut blocks: Vec<BlockId> = self.rounds.decisions().map(|(_, id)| id).collect();
        for held in [self.locked, self.valid].into_iter().flatten() {
            rounds.push(held.round);
            blocks.push(held.block_id);
        }
        for (round, data) in self.rounds.iter().rev() {
            let proposal = data.proposal.as_ref();
            if round.saturating_add(KEPT_PROPOSALS) >= self.round {
                blocks.extend(proposal.map(|proposal| proposal.block_id));
                blocks.extend(data.prevotes.majority());
            }
            if round.saturating_add(1) >= self.round {
                rounds.extend(proposal.and_then(|proposal| proposal.pol_round));
            }
        }
        self.rounds.prune(self.round, &rounds);
        self.candidates.keep(&blocks);
    }
}
