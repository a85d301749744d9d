//! The second vote of a round (lines 36, 44, 47).

use super::candidates::Judgement;
use super::effect::TimeoutKind;
use super::{Held, Machine, Notice, Step, Turn};
use crate::types::{BlockId, VoteType};

impl Machine {
    /// Line 36 in step prevote: a polka for a valid block is locked on and precommitted.
    pub(super) fn take_polka(&mut self, turn: &mut Turn<'_>) -> bool {
        let round = self.round;
        let polka = self
            .rounds
            .polka(round)
            .filter(|block_id| !block_id.is_nil());
        let Some(block_id) = polka else { return false };
        self.tell_polka(block_id, turn);
        self.collect(block_id);
        let valid = self.candidates.judgement(&block_id) == Judgement::Valid;
        if self.step != Step::Prevote || !valid {
            return false;
        }
        let relock = self
            .locked
            .is_some_and(|locked| locked.block_id == block_id);
        self.locked = Some(Held { round, block_id });
        turn.notice(match relock {
            true => Notice::Relock { round, block_id },
            false => Notice::Lock { round, block_id },
        });
        self.cast(VoteType::Precommit, block_id, turn);
        true
    }

    /// Line 36, the valid block: it is what this node proposes when it is its turn. Polkas of
    /// earlier rounds teach as well.
    pub(super) fn learn_valid_block(&mut self, turn: &mut Turn<'_>) -> bool {
        let after = self.valid.map_or(0, |valid| valid.round + 1);
        let newer = self
            .rounds
            .iter()
            .rev()
            .take_while(|(round, _)| *round >= after);
        let polkas = newer.filter_map(|(round, data)| Some((round, data.prevotes.majority()?)));
        let polkas: Vec<_> = polkas.filter(|(_, block_id)| !block_id.is_nil()).collect();
        for (round, block_id) in polkas {
            self.collect(block_id);
            if self.candidates.judgement(&block_id) == Judgement::Valid {
                self.valid = Some(Held { round, block_id });
                turn.notice(Notice::ValidBlock { round, block_id });
                return true;
            }
        }
        false
    }

    /// Line 44.
    pub(super) fn precommit_nil(&mut self, turn: &mut Turn<'_>) -> bool {
        if self.step != Step::Prevote || self.rounds.polka(self.round) != Some(BlockId::NIL) {
            return false;
        }
        self.tell_polka(BlockId::NIL, turn);
        self.cast(VoteType::Precommit, BlockId::NIL, turn);
        true
    }

    /// Line 47.
    pub(super) fn wait_for_precommits(&mut self, turn: &mut Turn<'_>) -> bool {
        let Some(round) = self.rounds.get_mut(self.round) else {
            return false;
        };
        let waits = !round.precommit_wait && round.precommits.is_two_thirds_any();
        if waits {
            round.precommit_wait = true;
            let wait = self.config.precommit_timeout(self.round);
            self.schedule(TimeoutKind::Precommit, wait, turn);
        }
        waits
    }

    /// Collects a block that votes name. Its name was signed by more than 2/3; one that no block
    /// can have is left alone.
    pub(super) fn collect(&mut self, block_id: BlockId) {
        self.candidates.want(block_id).unwrap_or_default();
    }

    fn tell_polka(&mut self, block_id: BlockId, turn: &mut Turn<'_>) {
        let round = self.round;
        if let Some(data) = self.rounds.get_mut(round)
            && !std::mem::replace(&mut data.told.polka, true)
        {
            turn.notice(Notice::Polka { round, block_id });
        }
    }
}
