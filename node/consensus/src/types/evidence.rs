//! Evidence of misbehaviour.

use super::{Commit, Header, Timestamp, Validator, ValidatorAddress, ValidatorSet, Vote};

/// Proof that a validator broke the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// Two different votes for one height, round and type.
    DuplicateVote(Box<DuplicateVoteEvidence>),
    /// A header signed for a light client that is not the chain's.
    LightClientAttack(Box<LightClientAttackEvidence>),
}

/// Two different votes of one validator for one height, round and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateVoteEvidence {
    /// The vote with the smaller block id.
    pub vote_a: Vote,
    /// The vote with the larger block id.
    pub vote_b: Vote,
    /// Total power of the set at that height.
    pub total_voting_power: u64,
    /// The offender's power at that height.
    pub validator_power: u64,
    /// Time of the block at that height.
    pub timestamp: Timestamp,
}

/// A header and the commit for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeader {
    /// The header.
    pub header: Header,
    /// The precommits that decided it.
    pub commit: Commit,
}

/// A signed header with the validators that signed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightBlock {
    /// Header and commit.
    pub signed_header: SignedHeader,
    /// The validators of that height.
    pub validator_set: ValidatorSet,
}

/// A header, signed by enough validators to fool a light client, that is not the chain's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LightClientAttackEvidence {
    /// The false block.
    pub conflicting_block: LightBlock,
    /// The last height at which both agree.
    pub common_height: u64,
    /// Who signed it and can be blamed.
    pub byzantine_validators: Vec<Validator>,
    /// Total power at the common height.
    pub total_voting_power: u64,
    /// Time of the block at the common height.
    pub timestamp: Timestamp,
}

/// The evidence in a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceList(pub Vec<Evidence>);

/// What the application is told about an offender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    /// What it did.
    pub kind: MisbehaviourKind,
    /// Who did it.
    pub validator_address: ValidatorAddress,
    /// Its power at that height.
    pub validator_power: u64,
    /// When, as a height.
    pub height: u64,
    /// When, as the time of that height's block.
    pub time: Timestamp,
    /// Total power at that height.
    pub total_voting_power: u64,
}

/// What an offender did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisbehaviourKind {
    /// Voted twice.
    DuplicateVote,
    /// Signed a false header.
    LightClientAttack,
}
