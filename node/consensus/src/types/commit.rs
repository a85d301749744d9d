//! Commits: the precommits that decided a block.

use super::{BlockId, Signature, Timestamp, ValidatorAddress};

/// The precommits for one block, one entry for each validator in the order of the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Commit {
    /// Height of the block that was decided; 0 in the empty commit of the first block.
    pub height: u64,
    /// Round in which it was decided.
    pub round: u32,
    /// The block that was decided.
    pub block_id: BlockId,
    /// One entry for each validator, in the order of the set.
    pub signatures: Vec<CommitSig>,
}

/// What one validator did in the deciding round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitSig {
    /// Nothing was seen of it.
    Absent,
    /// It voted for the block.
    Commit(CommitVote),
    /// It voted for nil.
    Nil(CommitVote),
}

/// The part of a precommit that a commit keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitVote {
    /// The validator who signed.
    pub validator_address: ValidatorAddress,
    /// The time that it signed.
    pub timestamp: Timestamp,
    /// Its signature.
    pub signature: Signature,
}
