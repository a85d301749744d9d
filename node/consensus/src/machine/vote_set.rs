//! The votes of one type in one round.

use super::bits::BitSet;
use super::gossip::{Certificate, Entry};
use super::planted::{Bug, Bugs};
use super::quorum::Quorum;
use crate::types::{BlockId, Commit, CommitSig, Timestamp, Vote, VoteType};
use std::collections::BTreeMap;

/// Counts votes whose signatures were checked. Of each validator the first vote counts; another
/// one only within a certificate, so memory is bounded by the number of validators.
#[derive(Clone, Debug)]
pub(super) struct VoteSet {
    vote_type: VoteType,
    height: u64,
    round: u32,
    quorum: Quorum,
    bugs: Bugs,
    first: Vec<Option<Vote>>,
    power: u64,
    tallies: BTreeMap<BlockId, Tally>,
    majority: Option<BlockId>,
    equivocators: BitSet,
}

/// The votes for one block.
#[derive(Clone, Debug, Default)]
struct Tally {
    voters: BitSet,
    power: u64,
    /// Votes of validators whose first vote was for something else; only from a certificate.
    second: BTreeMap<u32, Vote>,
}

/// What became of a vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Added {
    /// It counts.
    New,
    /// The validator voted the same before.
    Known,
    /// The validator voted otherwise before.
    Conflict(Box<Vote>),
}

impl VoteSet {
    pub(super) fn new(
        vote_type: VoteType,
        height: u64,
        round: u32,
        validators: usize,
        quorum: Quorum,
        bugs: Bugs,
    ) -> Self {
        VoteSet {
            vote_type,
            height,
            round,
            quorum,
            bugs,
            first: vec![None; validators],
            power: 0,
            tallies: BTreeMap::new(),
            majority: None,
            equivocators: BitSet::new(),
        }
    }

    /// What this vote would be, without adding it.
    pub(super) fn compare(&self, vote: &Vote) -> Added {
        match self
            .first
            .get(vote.validator_index as usize)
            .and_then(Option::as_ref)
        {
            None => Added::New,
            Some(first) if first.block_id == vote.block_id => Added::Known,
            Some(first) => Added::Conflict(Box::new(first.clone())),
        }
    }

    /// Adds a vote of a validator with this power.
    pub(super) fn add(&mut self, vote: Vote, power: u64) -> Added {
        let index = vote.validator_index;
        let outcome = self.compare(&vote);
        match outcome {
            Added::New => {
                let block_id = vote.block_id;
                let Some(place) = self.first.get_mut(index as usize) else {
                    return Added::Known;
                };
                *place = Some(vote);
                self.power = self.power.saturating_add(power);
                self.count(block_id, index, power);
            }
            Added::Known if self.bugs.has(Bug::DoubleCount) => {
                self.power = self.power.saturating_add(power);
                self.tallies.entry(vote.block_id).or_default().voters = BitSet::new();
                self.count(vote.block_id, index, power);
            }
            Added::Known | Added::Conflict(_) => {}
        }
        outcome
    }

    /// Adds a vote of a certificate, whose votes were found to have more than 2/3 of the power: it
    /// counts for its block even if the validator voted otherwise before.
    pub(super) fn add_certified(&mut self, vote: Vote, power: u64) {
        if let Added::Conflict(_) = self.add(vote.clone(), power) {
            let (block_id, index) = (vote.block_id, vote.validator_index);
            self.tallies
                .entry(block_id)
                .or_default()
                .second
                .insert(index, vote);
            self.count(block_id, index, power);
        }
    }

    fn count(&mut self, block_id: BlockId, index: u32, power: u64) {
        let tally = self.tallies.entry(block_id).or_default();
        if !tally.voters.insert(index) {
            return;
        }
        tally.power = tally.power.saturating_add(power);
        if self.majority.is_none() && self.quorum.is_two_thirds(tally.power) {
            self.majority = Some(block_id);
        }
    }

    /// Notes that a validator voted twice; whether this is news.
    pub(super) fn note_equivocator(&mut self, index: u32) -> bool {
        self.equivocators.insert(index)
    }

    pub(super) fn round(&self) -> u32 {
        self.round
    }

    /// The power of all who voted.
    pub(super) fn power(&self) -> u64 {
        self.power
    }

    /// What more than 2/3 voted for, nil included.
    pub(super) fn majority(&self) -> Option<BlockId> {
        self.majority
    }

    /// Whether more than 2/3 voted for anything.
    pub(super) fn is_two_thirds_any(&self) -> bool {
        self.quorum.is_two_thirds(self.power)
    }

    /// Whether every validator voted.
    pub(super) fn is_complete(&self) -> bool {
        self.first.iter().all(Option::is_some)
    }

    /// The first vote of the validator at this place.
    pub(super) fn get(&self, index: u32) -> Option<&Vote> {
        self.first.get(index as usize)?.as_ref()
    }

    /// The first votes, in order.
    pub(super) fn votes(&self) -> impl Iterator<Item = &Vote> {
        self.first.iter().flatten()
    }

    /// Who voted.
    pub(super) fn voters(&self) -> BitSet {
        self.votes().map(|vote| vote.validator_index).collect()
    }

    /// The vote of the validator at this place, for this block if it has cast one for it.
    fn vote_for(&self, block_id: &BlockId, index: u32) -> Option<&Vote> {
        let second = self
            .tallies
            .get(block_id)
            .and_then(|tally| tally.second.get(&index));
        second.or_else(|| self.get(index))
    }

    /// The votes of the majority.
    pub(super) fn certificate(&self) -> Option<Certificate> {
        let block_id = self.majority?;
        let places = 0..u32::try_from(self.first.len()).unwrap_or(u32::MAX);
        let votes = places.filter_map(|index| self.vote_for(&block_id, index));
        let entries = votes
            .filter(|vote| vote.block_id == block_id)
            .filter_map(|vote| {
                Some(Entry {
                    validator_index: vote.validator_index,
                    timestamp: vote.timestamp,
                    signature: vote.signature?,
                })
            });
        Some(Certificate {
            vote_type: self.vote_type,
            height: self.height,
            round: self.round,
            block_id,
            entries: entries.collect(),
        })
    }

    /// These precommits as the commit for `block_id`, a block of the time `after`.
    ///
    /// The next block's time is the median of the times in its last commit, and must be later than
    /// this block's. Votes that are not later are left out, as if they had not come: a correct
    /// voter for the block stamps a later time, one for nil may not have known the block. (In
    /// CometBFT v0.38 such votes, with one faulty validator, can make the next block impossible.)
    pub(super) fn commit(&self, block_id: BlockId, after: Timestamp) -> Commit {
        let places = 0..u32::try_from(self.first.len()).unwrap_or(u32::MAX);
        let signatures = places.map(|index| {
            let vote = self.vote_for(&block_id, index);
            let timely = vote.filter(|vote| vote.timestamp > after);
            timely.map_or(CommitSig::Absent, |vote| {
                CommitSig::of_vote(vote, &block_id)
            })
        });
        let signatures = signatures.collect();
        Commit {
            height: self.height,
            round: self.round,
            block_id,
            signatures,
        }
    }
}
