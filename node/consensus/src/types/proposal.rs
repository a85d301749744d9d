//! Proposals.

use super::{BlockId, Signature, Timestamp};

/// The proposer's offer of a block for a round. The block itself travels in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Height.
    pub height: u64,
    /// Round.
    pub round: u32,
    /// Round of the polka that makes this a re-proposal; none (-1 on the wire) if it is fresh.
    pub pol_round: Option<u32>,
    /// The block.
    pub block_id: BlockId,
    /// The proposer's time.
    pub timestamp: Timestamp,
    /// None until it is signed.
    pub signature: Option<Signature>,
}
