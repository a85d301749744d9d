//! Decisions (line 49), and the way from one height to the next.

use super::candidates::Judgement;
use super::gossip::Certificate;
use super::input::{Ignored, Refused};
use super::planted::{Bug, Bugs};
use super::quorum::Quorum;
use super::record::Entry;
use super::rounds::Rounds;
use super::vote_set::VoteSet;
use super::{
    Decided, Effect, Held, Machine, Notice, Outcome, Start, Step, Timeout, TimeoutKind, Turn,
};
use crate::types::{Block, BlockId, Commit, CommitSig, Timestamp, ValidatorSet, VoteType};
use crate::verify::verify_commit_full;

/// The precommits that decided the last height; late ones are added.
#[derive(Clone, Debug)]
pub(super) struct LastCommit {
    pub(super) votes: VoteSet,
    pub(super) block_id: BlockId,
    pub(super) block_time: Timestamp,
    pub(super) validators: ValidatorSet,
}

impl LastCommit {
    /// From the commit that was seen; none at the first height.
    pub(super) fn of_start(start: &Start, bugs: Bugs) -> Option<Self> {
        let (validators, commit) = (start.last_validators.clone()?, &start.last_commit);
        let quorum = Quorum::new(validators.total_voting_power(), bugs);
        let (height, round, count) = (commit.height, commit.round, validators.len());
        let mut votes = VoteSet::new(VoteType::Precommit, height, round, count, quorum, bugs);
        for (index, validator) in (0..).zip(validators.validators()) {
            if let Some(vote) = commit.vote(index) {
                votes.add(vote, validator.voting_power);
            }
        }
        Some(LastCommit {
            votes,
            block_id: commit.block_id,
            block_time: start.last_block_time,
            validators,
        })
    }

    pub(super) fn commit(&self) -> Commit {
        self.votes.commit(self.block_id, self.block_time)
    }
}

impl Machine {
    /// Line 49: more than 2/3 precommitted a block, in any round, and it is here and valid.
    pub(super) fn decide(&mut self, turn: &mut Turn<'_>) -> bool {
        let decisions: Vec<_> = self.rounds.decisions().collect();
        for (round, block_id) in decisions {
            let other = self
                .proposed_now()
                .filter(|_| self.bugs.has(Bug::CommitsOtherBlock));
            let chosen = other.unwrap_or(block_id);
            match self.candidates.judgement(&chosen) {
                Judgement::Valid if self.is_timely(round, block_id) => {
                    self.finish(round, block_id, chosen, turn);
                    return true;
                }
                Judgement::Valid => {}
                Judgement::Invalid => self.tell_invalid(round, block_id, turn),
                Judgement::Incomplete => self.collect(block_id),
                Judgement::Asked => {}
            }
        }
        false
    }

    /// Whether more than 2/3 have precommitted the block at a time after its own, so that a next
    /// block is possible. All correct validators do. What a peer's commit says is decided already.
    fn is_timely(&self, round: u32, block_id: BlockId) -> bool {
        let Some(commit) = self.commit_for(round, block_id, block_id) else {
            return false;
        };
        let timely = commit
            .signatures
            .iter()
            .zip(self.start.validators.validators());
        let power = timely.filter(|(entry, _)| matches!(entry, CommitSig::Commit(_)));
        let power = power.map(|(_, validator)| validator.voting_power);
        self.overtaken.is_some()
            || self
                .quorum
                .is_two_thirds(power.fold(0, u64::saturating_add))
    }

    /// The commit to store. That of a peer is taken as it is: an equivocator may have signed the
    /// same vote with two times, of which this node has the useless one.
    fn commit_for(&self, round: u32, block_id: BlockId, chosen: BlockId) -> Option<Commit> {
        if self.overtaken.is_some() {
            return self.overtaken.clone();
        }
        let block_time = self.candidates.block(&chosen)?.header.time;
        let precommits = &self.rounds.get(round)?.precommits;
        Some(precommits.commit(block_id, block_time))
    }

    fn finish(&mut self, round: u32, block_id: BlockId, chosen: BlockId, turn: &mut Turn<'_>) {
        self.decided = Some(Held {
            round,
            block_id: chosen,
        });
        self.enter(Step::Commit, turn);
        let Some(decided) = self.decided_block(round, block_id, chosen) else {
            return;
        };
        self.timing.decided(&decided.block, turn.now);
        turn.push(Effect::Commit(Box::new(decided)));
        let (height, kind) = (self.start.height.saturating_add(1), TimeoutKind::CommitWait);
        let timeout = Timeout {
            height,
            round: 0,
            kind,
        };
        turn.push(Effect::Schedule(timeout, self.config.commit_wait()));
    }

    /// The decision as the shell gets it.
    pub(super) fn decided_block(
        &self,
        round: u32,
        block_id: BlockId,
        chosen: BlockId,
    ) -> Option<Decided> {
        let candidate = self.candidates.get(&chosen)?;
        Some(Decided {
            round,
            block_id: chosen,
            block: candidate.block.clone()?,
            parts: candidate.parts.clone(),
            commit: self.commit_for(round, block_id, chosen)?,
        })
    }

    /// The block of the current round's proposal, if it is complete.
    fn proposed_now(&self) -> Option<BlockId> {
        let block_id = self.rounds.get(self.round)?.proposal.as_ref()?.block_id;
        self.candidates.block(&block_id).map(|_| block_id)
    }

    /// A block and its commit from a peer that is ahead. The height is over: this node learns the
    /// decision and votes no more. (Nothing is logged: after a crash it is asked for again.)
    pub(super) fn on_committed(
        &mut self,
        block: Block,
        commit: &Commit,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if commit.height != self.start.height || self.overtaken.is_some() || self.decided.is_some()
        {
            let future = commit.height > self.start.height;
            return Err(if future {
                Ignored::Future
            } else {
                Ignored::Past
            }
            .into());
        }
        let parts = block.part_set();
        let block_id = block.id(&parts);
        if block_id != commit.block_id || block.header.height != commit.height {
            return Err(Refused::OtherBlock.into());
        }
        let (chain_id, validators) = (&self.config.chain_id, &self.start.validators);
        verify_commit_full(chain_id, validators, &block_id, commit.height, commit)
            .map_err(Refused::Commit)?;
        let votes = Certificate::of_commit(commit).votes(validators);
        let votes = votes.ok_or(Refused::UnknownValidator)?;
        self.overtaken = Some(commit.clone());
        self.count_certified(votes, turn);
        if self.candidates.block(&block_id).is_none() {
            self.candidates
                .put(block_id, parts, block, Judgement::Incomplete);
        }
        self.advance(turn);
        Ok(())
    }

    /// The decided block was executed: the next height can start, at once or after a short wait
    /// for precommits that are still missing.
    pub(super) fn on_applied(&mut self, start: Start, turn: &mut Turn<'_>) -> Outcome {
        if start.height <= self.start.height {
            return Err(Ignored::Past.into());
        }
        let follows = start.height == self.start.height.saturating_add(1);
        let decided = self.decided.filter(|_| follows);
        let own = decided.filter(|_| self.overtaken.is_none());
        if decided.is_none() {
            self.commit_wait_over = true;
        }
        self.last_commit = match own.and_then(|held| self.own_last_commit(held)) {
            Some(last) => Some(last),
            None => LastCommit::of_start(&start, self.bugs),
        };
        self.install(start);
        self.enter(Step::NewHeight, turn);
        for (peer, message) in self.ahead.take() {
            // What becomes of it concerns nobody: the sender was answered when it came.
            let _ = self.on_message(peer, message, turn);
        }
        self.try_begin(turn);
        Ok(())
    }

    fn own_last_commit(&self, decided: Held) -> Option<LastCommit> {
        let votes = self.rounds.get(decided.round)?.precommits.clone();
        let validators = self.start.validators.clone();
        let block_time = self.candidates.block(&decided.block_id)?.header.time;
        Some(LastCommit {
            votes,
            block_id: decided.block_id,
            block_time,
            validators,
        })
    }

    fn install(&mut self, start: Start) {
        self.quorum = Quorum::new(start.validators.total_voting_power(), self.bugs);
        self.rounds = Rounds::new(start.height, self.quorum, self.bugs);
        self.candidates = Default::default();
        self.start = start;
        self.round = 0;
        (self.locked, self.valid, self.decided) = (None, None, None);
        self.signing.clear();
        self.value_wanted = false;
        self.overtaken = None;
    }

    pub(super) fn on_commit_wait(&mut self, timeout: Timeout, turn: &mut Turn<'_>) -> Outcome {
        if timeout.height == self.start.height.saturating_add(1) && self.decided.is_some() {
            self.commit_wait_over = true;
            return Ok(());
        }
        if timeout.height != self.start.height || self.step != Step::NewHeight {
            return Err(Ignored::Past.into());
        }
        self.commit_wait_over = true;
        self.try_begin(turn);
        Ok(())
    }

    /// Starts round 0 if the last height's precommits are all in or were waited for long enough.
    pub(super) fn try_begin(&mut self, turn: &mut Turn<'_>) {
        let complete = self
            .last_commit
            .as_ref()
            .is_none_or(|last| last.votes.is_complete());
        if self.step != Step::NewHeight
            || self.overtaken.is_some()
            || !(complete || self.commit_wait_over)
        {
            return;
        }
        self.commit_wait_over = false;
        self.log(Entry::Begin, turn);
        self.begin(turn);
        self.consider_block(turn);
    }

    pub(super) fn begin(&mut self, turn: &mut Turn<'_>) {
        self.start_round(0, turn);
        self.advance(turn);
    }

    fn tell_invalid(&mut self, round: u32, block_id: BlockId, turn: &mut Turn<'_>) {
        if let Some(data) = self.rounds.get_mut(round)
            && !std::mem::replace(&mut data.told.invalid, true)
        {
            turn.notice(Notice::InvalidDecision { round, block_id });
        }
    }
}
