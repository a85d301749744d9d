//! Votes.

use super::{BlockId, Signature, Timestamp, ValidatorAddress};

/// The two kinds of votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum VoteType {
    /// First vote of a round.
    Prevote,
    /// Second vote of a round; more than 2/3 for a block decide.
    Precommit,
}

/// A vote of one validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Prevote or precommit.
    pub vote_type: VoteType,
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// The block voted for, or [`BlockId::NIL`].
    pub block_id: BlockId,
    /// The voter's time.
    pub timestamp: Timestamp,
    /// Who votes.
    pub validator_address: ValidatorAddress,
    /// The voter's place in the validator set.
    pub validator_index: u32,
    /// None until it is signed.
    pub signature: Option<Signature>,
}
