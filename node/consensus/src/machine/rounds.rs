//! The rounds of a height: proposals and votes.

use super::planted::Bugs;
use super::quorum::Quorum;
use super::vote_set::VoteSet;
use crate::types::{BlockId, Proposal, Validator, ValidatorSet, Vote, VoteType};
use std::collections::BTreeMap;

/// Rounds that lie further behind than this are forgotten, unless the lock, the valid block or a
/// proposal rests on them. (They matter only if their precommits could still decide; then f+1
/// correct validators are locked and the block is proposed again.)
const KEPT_ROUNDS: u32 = 16;

/// Most later rounds in which a validator's votes are kept: its newest ones.
const ROUNDS_AHEAD_PER_VALIDATOR: usize = 2;

/// What is known of one round.
#[derive(Clone, Debug)]
pub(super) struct Round {
    pub(super) proposer: Validator,
    pub(super) proposal: Option<Proposal>,
    pub(super) prevotes: VoteSet,
    pub(super) precommits: VoteSet,
    /// Whether the timeout of line 34 was asked for.
    pub(super) prevote_wait: bool,
    /// Whether the timeout of line 47 was asked for.
    pub(super) precommit_wait: bool,
    /// What was told to people already.
    pub(super) told: Told,
}

/// Notices of a round that are given once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub(super) polka: bool,
    pub(super) complete: bool,
    pub(super) stale: bool,
    pub(super) invalid: bool,
}

/// The rounds up to the current one (and a proposal for the next), and votes from beyond.
#[derive(Clone, Debug)]
pub(super) struct Rounds {
    height: u64,
    quorum: Quorum,
    bugs: Bugs,
    known: BTreeMap<u32, Round>,
    ahead: BTreeMap<u32, BTreeMap<u32, AheadVotes>>,
}

/// One validator's votes in a round that has not begun here.
#[derive(Clone, Debug, Default)]
struct AheadVotes {
    prevote: Option<Vote>,
    precommit: Option<Vote>,
}

impl Round {
    pub(super) fn votes(&self, vote_type: VoteType) -> &VoteSet {
        match vote_type {
            VoteType::Prevote => &self.prevotes,
            VoteType::Precommit => &self.precommits,
        }
    }

    pub(super) fn votes_mut(&mut self, vote_type: VoteType) -> &mut VoteSet {
        match vote_type {
            VoteType::Prevote => &mut self.prevotes,
            VoteType::Precommit => &mut self.precommits,
        }
    }
}

impl AheadVotes {
    fn get(&self, vote_type: VoteType) -> Option<&Vote> {
        match vote_type {
            VoteType::Prevote => self.prevote.as_ref(),
            VoteType::Precommit => self.precommit.as_ref(),
        }
    }

    fn put(&mut self, vote: Vote) {
        match vote.vote_type {
            VoteType::Prevote => self.prevote = Some(vote),
            VoteType::Precommit => self.precommit = Some(vote),
        }
    }
}

impl Rounds {
    pub(super) fn new(height: u64, quorum: Quorum, bugs: Bugs) -> Self {
        Rounds {
            height,
            quorum,
            bugs,
            known: BTreeMap::new(),
            ahead: BTreeMap::new(),
        }
    }

    /// The round, made if it is not known. The cost grows with the round's number, so this is only
    /// for rounds that this node or more than 1/3 of the power have reached.
    pub(super) fn open(&mut self, round: u32, validators: &ValidatorSet) -> &mut Round {
        let (height, quorum, bugs) = (self.height, self.quorum, self.bugs);
        self.known.entry(round).or_insert_with(|| {
            let count = validators.len();
            let set = |vote_type| VoteSet::new(vote_type, height, round, count, quorum, bugs);
            Round {
                proposer: validators.at_round(round).proposer().clone(),
                proposal: None,
                prevotes: set(VoteType::Prevote),
                precommits: set(VoteType::Precommit),
                prevote_wait: false,
                precommit_wait: false,
                told: Told::default(),
            }
        })
    }

    pub(super) fn get(&self, round: u32) -> Option<&Round> {
        self.known.get(&round)
    }

    pub(super) fn get_mut(&mut self, round: u32) -> Option<&mut Round> {
        self.known.get_mut(&round)
    }

    /// The known rounds, the earliest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &Round)> {
        self.known.iter().map(|(round, data)| (*round, data))
    }

    /// The block for which more than 2/3 prevoted in this round.
    pub(super) fn polka(&self, round: u32) -> Option<BlockId> {
        self.get(round)?.prevotes.majority()
    }

    /// Blocks that more than 2/3 precommitted, with the round.
    pub(super) fn decisions(&self) -> impl Iterator<Item = (u32, BlockId)> {
        let decided = self
            .iter()
            .filter_map(|(round, data)| Some((round, data.precommits.majority()?)));
        decided.filter(|(_, block_id)| !block_id.is_nil())
    }

    /// Whether a vote of a round that has not begun here would be kept: of each validator its
    /// newest rounds are.
    pub(super) fn has_room_ahead(&self, index: u32, round: u32) -> bool {
        let Some(kept) = self.ahead.get(&index) else {
            return true;
        };
        let earliest = kept.keys().next().copied().unwrap_or(0);
        kept.len() < ROUNDS_AHEAD_PER_VALIDATOR || kept.contains_key(&round) || earliest < round
    }

    /// The validator's vote in a round that has not begun here.
    pub(super) fn get_ahead(&self, index: u32, round: u32, vote_type: VoteType) -> Option<&Vote> {
        self.ahead.get(&index)?.get(&round)?.get(vote_type)
    }

    /// Keeps a vote of a round that has not begun here; the validator's earliest makes room.
    pub(super) fn put_ahead(&mut self, vote: Vote) {
        let kept = self.ahead.entry(vote.validator_index).or_default();
        kept.entry(vote.round).or_default().put(vote);
        if kept.len() > ROUNDS_AHEAD_PER_VALIDATOR {
            kept.pop_first();
        }
    }

    /// The latest round which more than 1/3 of the power have reached, if it lies beyond
    /// `current`. (Line 55 asks for one round in which they all voted; whoever voted in a later
    /// one has left that round behind as well.)
    pub(super) fn skip_target(&self, validators: &ValidatorSet) -> Option<u32> {
        let newest = self.ahead.iter().filter_map(|(index, rounds)| {
            let power = validators.get(*index)?.voting_power;
            Some((*rounds.keys().next_back()?, power))
        });
        let mut newest: Vec<(u32, u64)> = newest.collect();
        newest.sort_unstable_by(|a, b| b.cmp(a));
        let mut power = 0u64;
        for (round, of_validator) in newest {
            power = power.saturating_add(of_validator);
            if self.quorum.is_one_third(power) {
                return Some(round);
            }
        }
        None
    }

    /// Takes out the votes of rounds up to `round`.
    pub(super) fn take_ahead(&mut self, round: u32) -> Vec<Vote> {
        let mut taken = Vec::new();
        for rounds in self.ahead.values_mut() {
            let later = rounds.split_off(&round.saturating_add(1));
            let reached = std::mem::replace(rounds, later);
            taken.extend(
                reached
                    .into_values()
                    .flat_map(|v| [v.prevote, v.precommit])
                    .flatten(),
            );
        }
        self.ahead.retain(|_, rounds| !rounds.is_empty());
        taken
    }

    /// Whether votes of this round are still of use in round `current`.
    pub(super) fn is_kept(&self, round: u32, current: u32) -> bool {
        let named = |data: &Round| {
            data.proposal
                .as_ref()
                .is_some_and(|p| p.pol_round == Some(round))
        };
        round.saturating_add(KEPT_ROUNDS) >= current
            || self.known.contains_key(&round)
            || self.get(current).is_some_and(named)
    }

    /// Forgets rounds long past, except `needed` ones.
    pub(super) fn prune(&mut self, current: u32, needed: &[u32]) {
        self.known.retain(|round, _| {
            round.saturating_add(KEPT_ROUNDS) >= current || needed.contains(round)
        });
    }
}
