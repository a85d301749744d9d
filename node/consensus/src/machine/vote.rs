//! Votes of others, alone and in certificates.

use super::gossip::Certificate;
use super::input::{Ignored, Refused};
use super::planted::Bug;
use super::record::Entry;
use super::vote_set::Added;
use super::{Effect, Equivocation, Machine, Outcome, Step, Turn};
use crate::types::{Validator, Vote, VoteType};

impl Machine {
    pub(super) fn on_vote(&mut self, vote: Vote, turn: &mut Turn<'_>) -> Outcome {
        let validator = self.validator_of(&vote)?.clone();
        let deciding = self
            .decided
            .is_some_and(|decided| decided.round == vote.round);
        if vote.round <= self.round || deciding {
            self.on_current_vote(vote, &validator, turn)
        } else {
            self.on_vote_ahead(vote, &validator, turn)
        }
    }

    /// A vote of a round that has begun here.
    fn on_current_vote(
        &mut self,
        mut vote: Vote,
        validator: &Validator,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if !self.rounds.is_kept(vote.round, self.round) {
            return Err(Ignored::Past.into());
        }
        let votes = self
            .rounds
            .open(vote.round, &self.start.validators)
            .votes(vote.vote_type);
        let known = votes.compare(&vote);
        if known == Added::Known && !self.bugs.has(Bug::DoubleCount) {
            return Err(Ignored::Known.into());
        }
        self.check_vote(&vote, &validator.public_key)?;
        if let Added::Conflict(first) = known {
            return self.on_equivocation(*first, vote, validator.voting_power, turn);
        }
        self.log(Entry::Vote(&vote), turn);
        if self.bugs.has(Bug::VotesOfAnyRound) {
            vote.round = self.round;
        }
        self.count(vote);
        self.advance(turn);
        Ok(())
    }

    /// A vote of a round that has not begun here.
    fn on_vote_ahead(&mut self, vote: Vote, validator: &Validator, turn: &mut Turn<'_>) -> Outcome {
        let (index, round) = (vote.validator_index, vote.round);
        if !self.rounds.has_room_ahead(index, round) {
            return Err(Ignored::Future.into());
        }
        let known = self.rounds.get_ahead(index, round, vote.vote_type).cloned();
        if known
            .as_ref()
            .is_some_and(|known| known.block_id == vote.block_id)
        {
            return Err(Ignored::Known.into());
        }
        self.check_vote(&vote, &validator.public_key)?;
        if let Some(first) = known {
            return self.on_equivocation(first, vote, validator.voting_power, turn);
        }
        self.log(Entry::Vote(&vote), turn);
        self.rounds.put_ahead(vote);
        self.advance(turn);
        Ok(())
    }

    /// Adds a vote that was checked to the votes of its round.
    pub(super) fn count(&mut self, vote: Vote) {
        let Some(validator) = self.start.validators.get(vote.validator_index) else {
            return;
        };
        let power = validator.voting_power;
        if self.rounds.is_kept(vote.round, self.round) {
            let round = self.rounds.open(vote.round, &self.start.validators);
            round.votes_mut(vote.vote_type).add(vote, power);
        }
    }

    /// Takes the votes of more than 2/3 for one block at once, those of equivocators included.
    pub(super) fn on_certificate(
        &mut self,
        certificate: &Certificate,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        let round = certificate.round;
        if self.decided.is_some() || !self.rounds.is_kept(round, self.round) {
            return Err(Ignored::Past.into());
        }
        if round > self.round && (self.step == Step::NewHeight || self.overtaken.is_some()) {
            return Err(Ignored::Future.into());
        }
        let known = self
            .rounds
            .get(round)
            .map(|data| data.votes(certificate.vote_type));
        if known.is_some_and(|votes| votes.majority().is_some()) {
            return Err(Ignored::Known.into());
        }
        let votes = self.check_certificate(certificate)?;
        self.log(Entry::Certificate(certificate), turn);
        self.count_certified(votes, turn);
        if round > self.round {
            self.start_round(round, turn);
        }
        self.advance(turn);
        Ok(())
    }

    /// The votes of a certificate, if they have more than 2/3 of the power and right signatures.
    /// Power is compared first: it is cheap.
    pub(super) fn check_certificate(
        &self,
        certificate: &Certificate,
    ) -> Result<Vec<Vote>, Refused> {
        let validators = &self.start.validators;
        let votes = certificate
            .votes(validators)
            .ok_or(Refused::UnknownValidator)?;
        let members = votes
            .iter()
            .filter_map(|vote| validators.get(vote.validator_index));
        let power = members
            .map(|member| member.voting_power)
            .fold(0, u64::saturating_add);
        if !self.quorum.is_two_thirds(power) {
            return Err(Refused::TooLittlePower);
        }
        let known = self
            .rounds
            .get(certificate.round)
            .map(|r| r.votes(certificate.vote_type));
        for vote in &votes {
            let same = known.and_then(|known| known.get(vote.validator_index)) == Some(vote);
            if let Some(validator) = validators.get(vote.validator_index).filter(|_| !same) {
                self.check_vote(vote, &validator.public_key)?;
            }
        }
        Ok(votes)
    }

    /// Adds the votes of a certificate that was checked.
    pub(super) fn count_certified(&mut self, votes: Vec<Vote>, turn: &mut Turn<'_>) {
        for vote in votes {
            let validators = &self.start.validators;
            let Some(validator) = validators.get(vote.validator_index) else {
                continue;
            };
            let power = validator.voting_power;
            let set = self
                .rounds
                .open(vote.round, validators)
                .votes_mut(vote.vote_type);
            let known = set.compare(&vote);
            set.add_certified(vote.clone(), power);
            if let Added::Conflict(first) = known {
                // That it is known already is no objection to the certificate.
                let _ = self.on_equivocation(*first, vote, power, turn);
            }
        }
    }

    /// A precommit for the block of the last height: the next block's commit has room for it, and
    /// the height starts when all are in.
    pub(super) fn on_late_vote(&mut self, vote: Vote, turn: &mut Turn<'_>) -> Outcome {
        let Some(last) = &mut self.last_commit else {
            return Err(Ignored::Past.into());
        };
        if vote.vote_type != VoteType::Precommit || vote.round != last.votes.round() {
            return Err(Ignored::Past.into());
        }
        let validator = last.validators.get(vote.validator_index);
        let validator = validator.filter(|v| v.address == vote.validator_address);
        let validator = validator.ok_or(Refused::UnknownValidator)?.clone();
        let known = last.votes.compare(&vote);
        if known == Added::Known {
            return Err(Ignored::Known.into());
        }
        self.check_vote(&vote, &validator.public_key)?;
        let power = validator.voting_power;
        let Some(last) = &mut self.last_commit else {
            return Err(Ignored::Past.into());
        };
        if let Added::Conflict(first) = known {
            let news = last.votes.note_equivocator(vote.validator_index);
            let total = last.validators.total_voting_power();
            return self.tell_equivocation(news, (*first, vote), power, total, turn);
        }
        last.votes.add(vote, power);
        self.try_begin(turn);
        Ok(())
    }

    /// The validator that the vote names, if it is at that place.
    pub(super) fn validator_of(&self, vote: &Vote) -> Result<&Validator, Refused> {
        let validator = self.start.validators.get(vote.validator_index);
        let validator = validator.filter(|validator| validator.address == vote.validator_address);
        validator.ok_or(Refused::UnknownValidator)
    }

    /// Two votes where only one is allowed. The second does not count, but is worth telling once.
    fn on_equivocation(
        &mut self,
        first: Vote,
        second: Vote,
        power: u64,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        let news = self.rounds.get_mut(first.round).is_none_or(|round| {
            let votes = round.votes_mut(first.vote_type);
            votes.note_equivocator(first.validator_index)
        });
        let total = self.start.validators.total_voting_power();
        self.tell_equivocation(news, (first, second), power, total, turn)
    }

    fn tell_equivocation(
        &self,
        news: bool,
        (a, b): (Vote, Vote),
        validator_power: u64,
        total_voting_power: u64,
        turn: &mut Turn<'_>,
    ) -> Outcome {
        if !news {
            return Err(Ignored::Known.into());
        }
        let in_order = a.block_id.key() < b.block_id.key();
        let (vote_a, vote_b) = if in_order { (a, b) } else { (b, a) };
        if !self.bugs.has(Bug::NoEvidence) {
            turn.push(Effect::Equivocation(Box::new(Equivocation {
                vote_a,
                vote_b,
                validator_power,
                total_voting_power,
            })));
        }
        Ok(())
    }
}
