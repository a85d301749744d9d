//! After a crash: the WAL's records lead back to where the machine stood, then what was under way
//! is asked for again.

use super::gossip::Gossip;
use super::record::{Logged, Record};
use super::{Effect, Machine, Step, Timeout, TimeoutKind, Turn};
use crate::types::{Timestamp, VoteType};

impl Machine {
    /// Feeds a record back. Records of other heights are left out; whether this one was used.
    pub fn replay(&mut self, record: Record) -> bool {
        if record.height != self.start.height {
            return false;
        }
        self.replaying = true;
        // What the record led to was done before the crash, or `resume` asks for it again.
        let mut done = Vec::new();
        match record.logged {
            Logged::Begin => self.begin(&mut Turn {
                now: record.now,
                effects: &mut done,
            }),
            Logged::BlockDue => {
                let turn = &mut Turn {
                    now: record.now,
                    effects: &mut done,
                };
                self.enter_propose(turn);
                self.advance(turn);
            }
            Logged::Input(input) => {
                self.handle(*input, record.now, &mut done);
            }
        }
        self.replaying = false;
        true
    }

    /// Starts the machine, at the height's beginning or where replay left it: asks again for
    /// everything that was under way. Own messages are sent again, for they may have been lost.
    pub fn resume(&mut self, now: Timestamp, effects: &mut Vec<Effect>) {
        let turn = &mut Turn { now, effects };
        for request in self.signing.clone() {
            turn.push(Effect::Sign(request));
        }
        for (block_id, block) in self.candidates.asked() {
            turn.push(Effect::Validate {
                height: self.start.height,
                block_id,
                block,
            });
        }
        match self.step {
            Step::NewHeight => {
                let (height, kind) = (self.start.height, TimeoutKind::CommitWait);
                let timeout = Timeout {
                    height,
                    round: 0,
                    kind,
                };
                turn.push(Effect::Schedule(timeout, self.config.commit_wait()));
                self.try_begin(turn);
            }
            Step::NewRound => self.consider_block(turn),
            Step::Propose | Step::Prevote | Step::Precommit => {
                self.resume_waiting(turn);
                self.publish_again(turn);
            }
            Step::Commit => self.resume_commit(turn),
        }
    }

    fn resume_waiting(&mut self, turn: &mut Turn<'_>) {
        if self.step == Step::Propose {
            let wait = self.config.propose_timeout(self.round);
            self.schedule(TimeoutKind::Propose, wait, turn);
            if self.value_wanted {
                self.request_value(turn);
            }
        }
        let Some(round) = self.rounds.get(self.round) else {
            return;
        };
        if self.step == Step::Prevote && round.prevote_wait {
            let wait = self.config.prevote_timeout(self.round);
            self.schedule(TimeoutKind::Prevote, wait, turn);
        }
        if round.precommit_wait {
            let wait = self.config.precommit_timeout(self.round);
            self.schedule(TimeoutKind::Precommit, wait, turn);
        }
    }

    fn publish_again(&self, turn: &mut Turn<'_>) {
        let Some(round) = self.rounds.get(self.round) else {
            return;
        };
        if self.own == Some(round.proposer.address)
            && let Some(proposal) = round.proposal.clone()
        {
            self.publish_proposal(proposal, turn);
        }
        let own = self
            .own
            .and_then(|own| self.start.validators.by_address(&own));
        let Some((index, _)) = own else { return };
        for vote_type in [VoteType::Prevote, VoteType::Precommit] {
            if let Some(vote) = round.votes(vote_type).get(index) {
                turn.push(Effect::Broadcast(Gossip::Vote(vote.clone())));
            }
        }
    }

    fn resume_commit(&self, turn: &mut Turn<'_>) {
        let Some(held) = self.decided else { return };
        let decided = self.decided_block(held.round, held.block_id, held.block_id);
        if let Some(decided) = decided {
            turn.push(Effect::Commit(Box::new(decided)));
        }
        let (height, kind) = (self.start.height.saturating_add(1), TimeoutKind::CommitWait);
        let timeout = Timeout {
            height,
            round: 0,
            kind,
        };
        turn.push(Effect::Schedule(timeout, self.config.commit_wait()));
    }
}
