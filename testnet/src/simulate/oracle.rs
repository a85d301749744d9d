//! Sees everything, and says when a rule is broken.
//!
//! Agreement and validity are what the protocol promises. The other rules are steps of the proof
//! that it keeps its promise: a machine that breaks one of them has not forked yet, but can.

use super::app::{CHAIN_ID, Chain};
use super::plan::Role;
use std::collections::{BTreeMap, BTreeSet};
use welkin_consensus::machine::{Decided, Signed};
use welkin_consensus::types::{
    AppHash, Block, BlockId, Digest, Proposal, Timestamp, ValidatorAddress, ValidatorSet, Vote,
    VoteType,
};
use welkin_consensus::verify::{two_thirds, verify_commit_full};

/// What was seen of the whole network.
#[derive(Default)]
pub(crate) struct Oracle {
    heights: BTreeMap<u64, Seen>,
    judged: BTreeMap<(BlockId, BlockId), Verdict>,
    proven: BTreeSet<Digest>,
}

/// What was seen of one height.
#[derive(Default)]
struct Seen {
    decided: Option<BlockId>,
    app_hash: Option<AppHash>,
    blocks: BTreeMap<BlockId, (Timestamp, bool)>,
    voters: BTreeMap<(u32, VoteType, BlockId), BTreeSet<ValidatorAddress>>,
    cast: BTreeMap<(ValidatorAddress, u32, VoteType), BlockId>,
    proposed: BTreeMap<(ValidatorAddress, u32), BlockId>,
}

pub(crate) type Verdict = Result<(), String>;

fn ensure(rule: bool, why: impl FnOnce() -> String) -> Verdict {
    if rule { Ok(()) } else { Err(why()) }
}

impl Oracle {
    fn at(&mut self, height: u64) -> &mut Seen {
        self.heights.entry(height).or_default()
    }

    /// Whether the block may follow on the chain. All nodes ask here: the answer is computed once.
    pub(crate) fn judge(&mut self, chain: &Chain, block_id: BlockId, block: &Block) -> Verdict {
        let key = (chain.state.last_block_id, block_id);
        let judged = self
            .judged
            .entry(key)
            .or_insert_with(|| chain.validate(block));
        let verdict = judged.clone();
        let entry = (block.header.time, verdict.is_ok());
        self.at(block.header.height).blocks.insert(block_id, entry);
        verdict
    }

    /// A faulty validator signed a vote.
    pub(crate) fn faulty_vote(&mut self, vote: &Vote) {
        self.at(vote.height).note(vote);
    }

    /// A validator that follows the rules signed something.
    pub(crate) fn signed(
        &mut self,
        signed: &Signed,
        role: Role,
        validators: &ValidatorSet,
    ) -> Verdict {
        match signed {
            Signed::Proposal(proposal) => self.proposal(proposal, validators),
            Signed::Vote(vote) => {
                let seen = self.at(vote.height);
                seen.vote(vote, role, validators)?;
                seen.note(vote);
                Ok(())
            }
        }
    }

    fn proposal(&mut self, proposal: &Proposal, validators: &ValidatorSet) -> Verdict {
        let seen = self.at(proposal.height);
        let proposer = validators.at_round(proposal.round).proposer().address;
        let key = (proposer, proposal.round);
        let first = *seen.proposed.entry(key).or_insert(proposal.block_id);
        ensure(first == proposal.block_id, || {
            format!("{proposer} proposed twice: {proposal:?}")
        })?;
        let polka = proposal
            .pol_round
            .is_none_or(|round| seen.is_polka(round, proposal.block_id, validators));
        ensure(polka, || {
            format!("a proposal rests on no polka: {proposal:?}")
        })
    }

    /// A node committed a block, on top of `chain`.
    pub(crate) fn committed(&mut self, node: usize, decided: &Decided, chain: &Chain) -> Verdict {
        let height = decided.block.header.height;
        let next = chain.state.next_height();
        ensure(height == next, || {
            format!("node {node} committed height {height} at {next}")
        })?;
        let name = decided.block.id(&decided.block.part_set());
        ensure(name == decided.block_id, || {
            "a block was committed under another's name".into()
        })?;
        let judged = self.judge(chain, decided.block_id, &decided.block);
        judged.map_err(|why| {
            format!("validity: node {node} committed an invalid block at {height}: {why}")
        })?;
        self.prove(decided, chain)
            .map_err(|why| format!("node {node} committed height {height} without proof: {why}"))?;
        let first = *self.at(height).decided.get_or_insert(decided.block_id);
        ensure(first == decided.block_id, || {
            format!(
                "agreement: node {node} committed {:?} at {height}, another {first:?}",
                decided.block_id
            )
        })
    }

    /// Whether the commit decides the block. The same commit is checked once for all nodes.
    fn prove(&mut self, decided: &Decided, chain: &Chain) -> Verdict {
        let (commit, validators) = (&decided.commit, &chain.state.validators);
        let (height, block_id) = (chain.state.next_height(), decided.block_id);
        let same_block = commit.block_id == block_id && commit.height == height;
        if same_block && self.proven.contains(&commit.hash()) {
            return Ok(());
        }
        verify_commit_full(CHAIN_ID, validators, &block_id, height, commit)
            .map_err(|why| why.to_string())?;
        self.proven.insert(commit.hash());
        Ok(())
    }

    /// A node executed a block.
    pub(crate) fn executed(&mut self, node: usize, chain: &Chain) -> Verdict {
        let app_hash = chain.state.app_hash.clone();
        let seen = self.at(chain.height());
        let first = seen.app_hash.get_or_insert(app_hash.clone());
        ensure(*first == app_hash, || {
            format!("node {node} has another state at {}", chain.height())
        })
    }
}

impl Seen {
    fn note(&mut self, vote: &Vote) {
        let key = (vote.round, vote.vote_type, vote.block_id);
        self.voters
            .entry(key)
            .or_default()
            .insert(vote.validator_address);
    }

    /// Whether more than 2/3 signed prevotes for the block in this round.
    fn is_polka(&self, round: u32, block_id: BlockId, validators: &ValidatorSet) -> bool {
        let voters = self.voters.get(&(round, VoteType::Prevote, block_id));
        let members = voters
            .into_iter()
            .flatten()
            .filter_map(|voter| validators.by_address(voter));
        let power: u64 = members.map(|(_, validator)| validator.voting_power).sum();
        power > two_thirds(validators.total_voting_power())
    }

    fn vote(&mut self, vote: &Vote, role: Role, validators: &ValidatorSet) -> Verdict {
        let (voter, round, block_id) = (vote.validator_address, vote.round, vote.block_id);
        let first = *self
            .cast
            .entry((voter, round, vote.vote_type))
            .or_insert(block_id);
        ensure(first == block_id, || {
            format!("{voter} signed twice: {vote:?} and {first:?}")
        })?;
        if block_id.is_nil() {
            return Ok(());
        }
        let judged = self.blocks.get(&block_id).copied();
        let (time, _) = judged
            .filter(|(_, valid)| *valid)
            .ok_or_else(|| format!("validity: a vote for a block not found valid: {vote:?}"))?;
        ensure(vote.timestamp > time, || {
            format!("a vote not after its block's time: {vote:?}")
        })?;
        match vote.vote_type {
            VoteType::Precommit => ensure(self.is_polka(round, block_id, validators), || {
                format!("a precommit without a polka: {vote:?}")
            }),
            VoteType::Prevote if role.remembers() => self.lock(vote, validators),
            VoteType::Prevote => Ok(()),
        }
    }

    /// Whoever precommitted a block prevotes another one only after a polka for it that is not
    /// older than the precommit.
    fn lock(&self, vote: &Vote, validators: &ValidatorSet) -> Verdict {
        let mut own = self
            .cast
            .iter()
            .filter(|((voter, round, vote_type), block_id)| {
                *voter == vote.validator_address
                    && *vote_type == VoteType::Precommit
                    && *round < vote.round
                    && !block_id.is_nil()
            });
        let Some(((_, locked_round, _), locked)) = own.next_back() else {
            return Ok(());
        };
        let freed = (*locked_round..vote.round)
            .any(|round| self.is_polka(round, vote.block_id, validators));
        ensure(*locked == vote.block_id || freed, || {
            format!("locked on {locked:?} in round {locked_round}, yet: {vote:?}")
        })
    }
}
