//! Own signatures: asked for, given, refused.

use super::gossip::Gossip;
use super::input::{Ignored, Refused};
use super::planted::Bug;
use super::record::{self, Entry};
use super::{Effect, Machine, Outcome, SignRequest, Turn};
use crate::types::{BlockId, Timestamp, Vote, VoteType};

const NANOS_PER_MILLISECOND: i128 = 1_000_000;

impl Machine {
    /// Writes what was handled to the WAL.
    pub(super) fn log(&self, entry: Entry<'_>, turn: &mut Turn<'_>) {
        if !self.replaying && !self.bugs.has(Bug::WalSkipped) {
            turn.push(Effect::Persist(record::encode(
                self.start.height,
                turn.now,
                entry,
            )));
        }
    }

    pub(super) fn request_signature(&mut self, request: SignRequest, turn: &mut Turn<'_>) {
        self.signing.push(request.clone());
        turn.push(Effect::Sign(request));
    }

    /// Takes out the request that a signature answers.
    pub(super) fn take_request(
        &mut self,
        is_answered: impl Fn(&SignRequest) -> bool,
    ) -> Result<SignRequest, Ignored> {
        let place = self
            .signing
            .iter()
            .position(is_answered)
            .ok_or(Ignored::Unwanted)?;
        Ok(self.signing.remove(place))
    }

    /// This node's vote, unsigned; none if it is not in the set.
    pub(super) fn own_vote(
        &self,
        vote_type: VoteType,
        block_id: BlockId,
        now: Timestamp,
    ) -> Option<Vote> {
        let (validator_index, validator) = self.start.validators.by_address(&self.own?)?;
        Some(Vote {
            vote_type,
            height: self.start.height,
            round: self.round,
            block_id,
            timestamp: self.vote_time(block_id, now),
            validator_address: validator.address,
            validator_index,
            signature: None,
        })
    }

    /// CometBFT v0.38 `voteTime`: the clock, but at least 1 ms after the block that is voted for,
    /// locked or proposed, so that block times grow whatever the clocks do. (In v0.38 a locked
    /// validator votes for no other block; here a newer polka can free it to.)
    fn vote_time(&self, block_id: BlockId, now: Timestamp) -> Timestamp {
        if self.bugs.has(Bug::ClockOnlyVoteTime) {
            return now;
        }
        let round = self.rounds.get(self.round);
        let proposal = round.and_then(|round| round.proposal.as_ref());
        let proposed = proposal.map(|proposal| proposal.block_id);
        let locked = self.locked.map(|locked| locked.block_id);
        let named = [Some(block_id), locked, proposed].into_iter().flatten();
        let blocks = named.filter_map(|block_id| self.candidates.block(&block_id));
        let times = blocks.map(|block| block.header.time.plus_nanos(NANOS_PER_MILLISECOND));
        times.fold(now, Timestamp::max)
    }

    /// Counts and publishes an own vote.
    pub(super) fn on_signed_vote(&mut self, vote: Vote, turn: &mut Turn<'_>) -> Outcome {
        if vote.height.saturating_add(1) == self.start.height {
            self.on_late_vote(vote.clone(), turn)?;
            turn.push(Effect::Broadcast(Gossip::Vote(vote)));
            return Ok(());
        }
        self.take_request(|request| match request {
            SignRequest::Vote(asked) => {
                (asked.vote_type, asked.height, asked.round, asked.block_id)
                    == (vote.vote_type, vote.height, vote.round, vote.block_id)
            }
            SignRequest::Proposal(_) => false,
        })?;
        let validator = self.validator_of(&vote)?.clone();
        self.check_vote(&vote, &validator.public_key)?;
        self.log(Entry::SignedVote(&vote), turn);
        turn.push(Effect::Broadcast(Gossip::Vote(vote.clone())));
        self.count(vote);
        self.advance(turn);
        Ok(())
    }

    pub(super) fn on_refused(&mut self, request: &SignRequest) -> Outcome {
        self.take_request(|asked| asked == request)?;
        Ok(())
    }

    /// Whether the vote is signed by the key.
    pub(super) fn check_vote(
        &self,
        vote: &Vote,
        key: &crate::types::PublicKey,
    ) -> Result<(), Refused> {
        let signature = vote.signature.ok_or(Refused::Signature)?;
        let message = vote.sign_bytes(&self.config.chain_id);
        let valid = self.verifier.verify(key, &message, &signature);
        if valid {
            Ok(())
        } else {
            Err(Refused::Signature)
        }
    }
}
