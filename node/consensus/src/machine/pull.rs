//! Pulling: gossip loses messages, so a node tells a peer what it has, and the peer answers with
//! what is missing. Repeated with any correct peer until nothing is missing, this replaces
//! retransmission.

use super::bits::BitSet;
use super::gossip::{Certificate, Gossip};
use super::rounds::Round;
use super::vote_set::VoteSet;
use super::{Machine, Step};
use crate::error::DecodeError;
use crate::proto::{Message, Reader, Writer};
use crate::types::PartSetHeader;

/// Most rounds of which a summary tells.
const MAX_ROUNDS: usize = 8;
/// Most part sets of which a summary tells.
const MAX_PART_SETS: usize = 8;

/// What a node has of the height that it is deciding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The height.
    pub height: u64,
    /// The round.
    pub round: u32,
    /// Round of the newest polka whose block it has.
    pub valid_round: Option<u32>,
    /// Whose precommits for the last block it has, and of which round; while it can use more.
    pub last_commit: Option<(u32, BitSet)>,
    /// The rounds of which it wants to know more.
    pub rounds: Vec<RoundSummary>,
    /// The blocks that it is collecting.
    pub parts: Vec<PartsSummary>,
}

/// What a node has of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoundSummary {
    /// The round.
    pub round: u32,
    /// Whether it has the proposal.
    pub proposal: bool,
    /// Whose prevotes it has.
    pub prevotes: BitSet,
    /// Whether it knows what more than 2/3 prevoted.
    pub polka: bool,
    /// Whose precommits it has.
    pub precommits: BitSet,
    /// Whether it knows what more than 2/3 precommitted.
    pub decision: bool,
}

/// What a node has of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartsSummary {
    /// The part set.
    pub header: PartSetHeader,
    /// The parts that it has.
    pub have: BitSet,
}

impl Machine {
    /// What this node has, to be sent to a peer now and then while a height is under way.
    pub fn summary(&self) -> Summary {
        let wanted = self.wanted_rounds();
        let rounds = wanted.into_iter().filter_map(|round| {
            let data = self.rounds.get(round)?;
            Some(RoundSummary {
                round,
                proposal: data.proposal.is_some(),
                prevotes: data.prevotes.voters(),
                polka: data.prevotes.majority().is_some(),
                precommits: data.precommits.voters(),
                decision: data.precommits.majority().is_some(),
            })
        });
        let parts = self
            .candidates
            .incomplete()
            .take(MAX_PART_SETS)
            .map(|parts| PartsSummary {
                header: parts.header(),
                have: parts.parts().map(|part| part.index).collect(),
            });
        let last = self
            .last_commit
            .as_ref()
            .filter(|last| self.step <= Step::NewRound && !last.votes.is_complete());
        Summary {
            height: self.start.height,
            round: self.round,
            valid_round: self.valid.map(|valid| valid.round),
            last_commit: last.map(|last| (last.votes.round(), last.votes.voters())),
            rounds: rounds.collect(),
            parts: parts.collect(),
        }
    }

    /// The current round, the one before, and those on which locks and proposals rest.
    fn wanted_rounds(&self) -> Vec<u32> {
        let mut rounds = vec![self.round];
        rounds.extend(self.round.checked_sub(1));
        let proposal = self
            .rounds
            .get(self.round)
            .and_then(|data| data.proposal.as_ref());
        rounds.extend(proposal.and_then(|proposal| proposal.pol_round));
        rounds.extend(self.locked.map(|locked| locked.round));
        rounds.extend(self.valid.map(|valid| valid.round));
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        rounds.dedup();
        rounds.truncate(MAX_ROUNDS);
        rounds
    }

    /// What a peer lacks and this node has, the most urgent first, within `max_bytes` (by
    /// [`Gossip::size`]). A peer that is a height behind gets the decision, without the block; one
    /// that is further behind gets nothing here and has to ask for blocks.
    pub fn answer(&self, summary: &Summary, max_bytes: usize) -> Vec<Gossip> {
        let mut answer = Answer {
            messages: Vec::new(),
            room: max_bytes,
        };
        if summary.height.saturating_add(1) == self.start.height {
            let last = self.last_commit.as_ref();
            answer.push(
                last.and_then(|last| last.votes.certificate())
                    .map(Gossip::Certificate),
            );
        }
        if summary.height != self.start.height {
            return answer.messages;
        }
        self.answer_decisions(summary, &mut answer);
        self.answer_rounds(summary, &mut answer);
        self.answer_parts(summary, &mut answer);
        if let (Some((round, have)), Some(last)) = (&summary.last_commit, &self.last_commit)
            && *round == last.votes.round()
        {
            answer.votes(&last.votes, have);
        }
        answer.messages
    }

    /// Decisions and polkas that the peer does not know of.
    fn answer_decisions(&self, summary: &Summary, answer: &mut Answer) {
        for (round, _) in self.rounds.decisions() {
            let known = summary
                .rounds
                .iter()
                .any(|r| r.round == round && r.decision);
            let certificate = self.rounds.get(round).filter(|_| !known);
            answer.certificate(certificate.and_then(|data| data.precommits.certificate()));
        }
        if self.valid.map(|valid| valid.round) > summary.valid_round {
            let round = self.valid.and_then(|valid| self.rounds.get(valid.round));
            let known = round.is_some_and(|data| {
                let number = data.prevotes.round();
                summary.rounds.iter().any(|r| r.round == number && r.polka)
            });
            let certificate = round.filter(|_| !known);
            answer.certificate(certificate.and_then(|data| data.prevotes.certificate()));
        }
    }

    fn answer_rounds(&self, summary: &Summary, answer: &mut Answer) {
        for wanted in summary.rounds.iter().take(MAX_ROUNDS) {
            if let Some(data) = self.rounds.get(wanted.round) {
                answer.round(data, wanted);
            }
        }
        // A peer in an earlier round learns of this one, and skips to it.
        let behind = self.round > summary.round;
        for round in [Some(self.round), self.round.checked_sub(1)]
            .into_iter()
            .flatten()
        {
            let told = summary.rounds.iter().any(|told| told.round == round);
            if behind
                && !told
                && let Some(data) = self.rounds.get(round)
            {
                let nothing = RoundSummary {
                    round,
                    ..RoundSummary::default()
                };
                answer.round(data, &nothing);
            }
        }
    }

    fn answer_parts(&self, summary: &Summary, answer: &mut Answer) {
        for wanted in summary.parts.iter().take(MAX_PART_SETS) {
            let Some(parts) = self.candidates.parts(&wanted.header) else {
                continue;
            };
            for part in parts
                .parts()
                .filter(|part| !wanted.have.contains(part.index))
            {
                answer.push(Some(Gossip::Part(self.block_part(wanted.header, part))));
            }
        }
    }
}

/// Messages, as many as there is room for.
struct Answer {
    messages: Vec<Gossip>,
    room: usize,
}

impl Answer {
    fn push(&mut self, message: Option<Gossip>) {
        let Some(message) = message else { return };
        match self.room.checked_sub(message.size()) {
            Some(room) => {
                self.room = room;
                self.messages.push(message);
            }
            None => self.room = 0,
        }
    }

    fn certificate(&mut self, certificate: Option<Certificate>) {
        self.push(certificate.map(Gossip::Certificate));
    }

    fn round(&mut self, data: &Round, have: &RoundSummary) {
        if !have.proposal {
            self.push(data.proposal.clone().map(Gossip::Proposal));
        }
        self.votes_or_certificate(&data.prevotes, &have.prevotes, have.polka);
        self.votes_or_certificate(&data.precommits, &have.precommits, have.decision);
    }

    /// Missing votes one by one; the certificate if none is missing and the peer still does not
    /// see the majority: then it has other votes of equivocators.
    fn votes_or_certificate(&mut self, votes: &VoteSet, have: &BitSet, knows_majority: bool) {
        let sent = self.votes(votes, have);
        if sent == 0 && !knows_majority {
            self.certificate(votes.certificate());
        }
    }

    fn votes(&mut self, votes: &VoteSet, have: &BitSet) -> usize {
        let missing = votes
            .votes()
            .filter(|vote| !have.contains(vote.validator_index));
        let missing: Vec<_> = missing.cloned().collect();
        let count = missing.len();
        for vote in missing {
            self.push(Some(Gossip::Vote(vote)));
        }
        count
    }
}

impl Message for Summary {
    fn write(&self, to: &mut Writer) {
        to.uint(1, self.height);
        to.uint(2, u64::from(self.round));
        to.uint(3, self.valid_round.map_or(0, |round| u64::from(round) + 1));
        if let Some((round, have)) = &self.last_commit {
            to.uint(4, u64::from(*round) + 1);
            to.message(5, have);
        }
        for round in &self.rounds {
            to.message(6, round);
        }
        for parts in &self.parts {
            to.message(7, parts);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Summary", bytes);
        let mut summary = Summary::default();
        let (mut last_round, mut last_have) = (None, None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => summary.height = value.natural("a height")?,
                2 => summary.round = value.natural32("a round")?,
                3 => summary.valid_round = value.natural32("a round")?.checked_sub(1),
                4 => last_round = value.natural32("a round")?.checked_sub(1),
                5 => last_have = Some(value.message()?),
                6 if summary.rounds.len() == MAX_ROUNDS => {
                    return Err(DecodeError::TooMany("rounds in a summary"));
                }
                6 => summary.rounds.push(value.message()?),
                7 if summary.parts.len() == MAX_PART_SETS => {
                    return Err(DecodeError::TooMany("part sets in a summary"));
                }
                7 => summary.parts.push(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        summary.last_commit = last_round.zip(last_have);
        Ok(summary)
    }
}

impl Message for RoundSummary {
    fn write(&self, to: &mut Writer) {
        to.uint(1, u64::from(self.round));
        to.uint(2, u64::from(self.proposal));
        to.message(3, &self.prevotes);
        to.uint(4, u64::from(self.polka));
        to.message(5, &self.precommits);
        to.uint(6, u64::from(self.decision));
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("RoundSummary", bytes);
        let mut summary = RoundSummary::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => summary.round = value.natural32("a round")?,
                2 => summary.proposal = value.uint()? == 1,
                3 => summary.prevotes = value.message()?,
                4 => summary.polka = value.uint()? == 1,
                5 => summary.precommits = value.message()?,
                6 => summary.decision = value.uint()? == 1,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(summary)
    }
}

impl Message for PartsSummary {
    fn write(&self, to: &mut Writer) {
        to.message(1, &self.header);
        to.message(2, &self.have);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("PartsSummary", bytes);
        let mut summary = PartsSummary::default();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => summary.header = value.message()?,
                2 => summary.have = value.message()?,
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(summary)
    }
}
