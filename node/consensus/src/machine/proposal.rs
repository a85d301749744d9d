//! Proposals and their blocks: making them (lines 14 to 19), taking them from others.

use super::candidates::{Collected, Judgement};
use super::gossip::{BlockPart, Gossip};
use super::input::{Ignored, Refused};
use super::planted::Bug;
use super::record::Entry;
use super::{Effect, Machine, Notice, Outcome, SignRequest, Step, Turn, ValueRequest};
use crate::types::{Block, BlockId, Commit, Part, Proposal};

/// Size of a full part.
const PART_BYTES: usize = 65_536;

impl Machine {
    /// Proposes the valid block, if there is one of an earlier round, else asks for a new one.
    pub(super) fn propose(&mut self, turn: &mut Turn<'_>) {
        let valid = self
            .valid
            .filter(|_| !self.bugs.has(Bug::ForgetsValidBlock));
        match valid {
            Some(valid) if valid.round < self.round => {
                let proposal = self.own_proposal(valid.block_id, Some(valid.round), turn);
                self.request_signature(SignRequest::Proposal(proposal), turn);
            }
            // A polka of this very round: it is past proposing.
            Some(_) => {}
            None => self.request_value(turn),
        }
    }

    pub(super) fn request_value(&mut self, turn: &mut Turn<'_>) {
        let Some(proposer) = self.own else { return };
        self.value_wanted = true;
        let last = self.last_commit.as_ref();
        turn.push(Effect::RequestValue(ValueRequest {
            height: self.start.height,
            round: self.round,
            last_commit: last.map_or_else(Commit::default, |last| last.commit()),
            proposer,
            transactions: self.transactions(turn.now),
        }));
    }

    pub(super) fn on_value(
        &mut self,
        height: u64,
        round: u32,
        block: Block,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        let asked = (height, round) == (self.start.height, self.round) && self.value_wanted;
        if !asked || self.step != Step::Propose {
            return Err(Ignored::Unwanted.into());
        }
        self.log(Entry::Value(round, &block), turn);
        self.value_wanted = false;
        let parts = block.part_set();
        let block_id = block.id(&parts);
        self.candidates
            .put(block_id, parts, block, Judgement::Valid);
        let proposal = self.own_proposal(block_id, None, turn);
        self.request_signature(SignRequest::Proposal(proposal), turn);
        Ok(())
    }

    fn own_proposal(&self, block_id: BlockId, pol_round: Option<u32>, turn: &Turn<'_>) -> Proposal {
        let (height, round) = (self.start.height, self.round);
        Proposal {
            height,
            round,
            pol_round,
            block_id,
            timestamp: turn.now,
            signature: None,
        }
    }

    /// Stores and publishes an own proposal: with its block, and with the polka that it rests on,
    /// which others may have missed (the hidden lock).
    pub(super) fn on_signed_proposal(
        &mut self,
        proposal: Proposal,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        self.take_request(|request| match request {
            SignRequest::Proposal(asked) => {
                let (a, b) = (asked, &proposal);
                (a.height, a.round, a.pol_round, a.block_id)
                    == (b.height, b.round, b.pol_round, b.block_id)
            }
            SignRequest::Vote(_) => false,
        })?;
        self.check_proposal(&proposal)?;
        self.log(Entry::SignedProposal(&proposal), turn);
        let round = self.rounds.open(proposal.round, &self.start.validators);
        round.proposal.get_or_insert_with(|| proposal.clone());
        if proposal.round == self.round {
            self.publish_proposal(proposal, turn);
        }
        self.advance(turn);
        Ok(())
    }

    pub(super) fn publish_proposal(&self, proposal: Proposal, turn: &mut Turn<'_>) {
        let polka = proposal
            .pol_round
            .and_then(|round| self.rounds.get(round)?.prevotes.certificate());
        let header = proposal.block_id.part_set_header;
        turn.push(Effect::Broadcast(Gossip::Proposal(proposal)));
        for part in self
            .candidates
            .parts(&header)
            .iter()
            .flat_map(|parts| parts.parts())
        {
            turn.push(Effect::Broadcast(Gossip::Part(
                self.block_part(header, part),
            )));
        }
        if let Some(polka) = polka {
            turn.push(Effect::Broadcast(Gossip::Certificate(polka)));
        }
    }

    pub(super) fn block_part(&self, header: crate::types::PartSetHeader, part: &Part) -> BlockPart {
        BlockPart {
            height: self.start.height,
            header,
            part: part.clone(),
        }
    }

    pub(super) fn on_proposal(&mut self, proposal: Proposal, turn: &mut Turn<'_>) -> Outcome {
        if proposal.round < self.round || self.decided.is_some() {
            return Err(Ignored::Past.into());
        }
        if proposal.round > self.round.saturating_add(1) {
            return Err(Ignored::Future.into());
        }
        let round = self.rounds.open(proposal.round, &self.start.validators);
        if round.proposal.is_some() {
            return Err(Ignored::Known.into());
        }
        let parts = proposal.block_id.part_set_header.total as usize;
        if parts > self.start.max_block_bytes.div_ceil(PART_BYTES) {
            return Err(Refused::Oversized.into());
        }
        self.check_proposal(&proposal)?;
        self.candidates
            .want(proposal.block_id)
            .map_err(Refused::Invalid)?;
        self.log(Entry::Proposal(&proposal), turn);
        if let Some(round) = self.rounds.get_mut(proposal.round) {
            round.proposal = Some(proposal);
        }
        self.advance(turn);
        Ok(())
    }

    /// Whether the proposal is signed by the one whose turn it is.
    fn check_proposal(&mut self, proposal: &Proposal) -> Result<(), Refused> {
        let round = self.rounds.open(proposal.round, &self.start.validators);
        let key = round.proposer.public_key;
        let signature = proposal.signature.ok_or(Refused::Signature)?;
        let message = proposal.sign_bytes(&self.config.chain_id);
        let valid = self.verifier.verify(&key, &message, &signature);
        if valid {
            Ok(())
        } else {
            Err(Refused::Signature)
        }
    }

    pub(super) fn on_part(&mut self, part: &BlockPart, turn: &mut Turn<'_>) -> Outcome {
        let collected = self
            .candidates
            .add(part.header, &part.part)
            .map_err(Refused::Invalid)?;
        match collected {
            Collected::Unwanted => Err(Ignored::Unwanted.into()),
            Collected::Known => Err(Ignored::Known.into()),
            Collected::New => {
                self.log(Entry::Part(part), turn);
                self.advance(turn);
                Ok(())
            }
        }
    }

    pub(super) fn on_validated(
        &mut self,
        height: u64,
        block_id: BlockId,
        valid: bool,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if height != self.start.height {
            return Err(Ignored::Past.into());
        }
        let candidate = self.candidates.get_mut(&block_id);
        let asked = candidate.filter(|candidate| candidate.judgement == Judgement::Asked);
        let Some(candidate) = asked else {
            return Err(Ignored::Unwanted.into());
        };
        candidate.judgement = if valid {
            Judgement::Valid
        } else {
            Judgement::Invalid
        };
        self.log(Entry::Validated(&block_id, valid), turn);
        self.advance(turn);
        Ok(())
    }

    /// Tells people once that the round's proposal is complete.
    pub(super) fn tell_complete(&mut self, turn: &mut Turn<'_>) {
        let Some(round) = self.rounds.get_mut(self.round) else {
            return;
        };
        let Some(proposal) = &round.proposal else {
            return;
        };
        let block_id = proposal.block_id;
        if !round.told.complete && self.candidates.block(&block_id).is_some() {
            round.told.complete = true;
            turn.notice(Notice::CompleteProposal {
                round: self.round,
                block_id,
            });
        }
    }
}
