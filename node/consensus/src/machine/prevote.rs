//! The first vote of a round (lines 22, 28, 34).

use super::candidates::Judgement;
use super::effect::TimeoutKind;
use super::planted::Bug;
use super::{Machine, Notice, Step, Turn};
use crate::types::{BlockId, Proposal, Timestamp, VoteType};

impl Machine {
    /// Lines 22 and 28: prevotes the proposal of the round, or nil.
    pub(super) fn prevote(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.step != Step::Propose {
            return false;
        }
        let proposal = self
            .rounds
            .get(self.round)
            .and_then(|round| round.proposal.clone());
        let Some(choice) = proposal.and_then(|proposal| self.choose(&proposal, turn)) else {
            return false;
        };
        self.cast(VoteType::Prevote, choice, turn);
        true
    }

    /// What to prevote, once enough is known.
    fn choose(&mut self, proposal: &Proposal, turn: &mut Turn<'_>) -> Option<BlockId> {
        let block_id = proposal.block_id;
        if let Some(pol_round) = proposal.pol_round {
            let seen = self.rounds.polka(pol_round) == Some(block_id);
            if !seen && !self.bugs.has(Bug::NoPolkaCheck) {
                return None;
            }
        }
        if !self.is_free_to_prevote(proposal) && !self.bugs.has(Bug::NoLock) {
            return Some(BlockId::NIL);
        }
        match self.candidates.judgement(&block_id) {
            Judgement::Valid if self.is_stale(proposal, turn.now) => {
                self.tell_stale(block_id, turn);
                Some(BlockId::NIL)
            }
            Judgement::Valid => Some(block_id),
            Judgement::Invalid | Judgement::Asked if self.bugs.has(Bug::PrevotesInvalid) => {
                Some(block_id)
            }
            Judgement::Invalid => Some(BlockId::NIL),
            Judgement::Incomplete | Judgement::Asked => None,
        }
    }

    /// Lines 23 and 29: not locked, or on this block, or in a round that the polka is not before.
    fn is_free_to_prevote(&self, proposal: &Proposal) -> bool {
        self.locked.is_none_or(|locked| {
            locked.block_id == proposal.block_id
                || proposal
                    .pol_round
                    .is_some_and(|pol_round| locked.round <= pol_round)
        })
    }

    /// Whether a fresh proposal with transactions lies too far behind this node's clock.
    fn is_stale(&self, proposal: &Proposal, now: Timestamp) -> bool {
        let block = self.candidates.block(&proposal.block_id);
        proposal.pol_round.is_none()
            && block.is_some_and(|block| {
                !block.data.txs.is_empty() && self.config.is_stale(block.header.time, now)
            })
    }

    fn tell_stale(&mut self, block_id: BlockId, turn: &mut Turn<'_>) {
        let round = self.round;
        if let Some(data) = self.rounds.get_mut(round)
            && !std::mem::replace(&mut data.told.stale, true)
        {
            turn.notice(Notice::StaleProposal { round, block_id });
        }
    }

    /// Line 34.
    pub(super) fn wait_for_prevotes(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(round) = self.rounds.get_mut(self.round) else {
            return false;
        };
        let waits =
            self.step == Step::Prevote && !round.prevote_wait && round.prevotes.is_two_thirds_any();
        if waits {
            round.prevote_wait = true;
            let wait = self.config.prevote_timeout(self.round);
            self.schedule(TimeoutKind::Prevote, wait, turn);
        }
        waits
    }
}
