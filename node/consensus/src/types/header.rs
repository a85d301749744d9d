//! The header of a block.

use super::{BlockId, Digest, Timestamp, ValidatorAddress};

/// The block protocol and the application's own version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Block protocol; 11 in CometBFT v0.38.
    pub block: u64,
    /// Version of the application.
    pub app: u64,
}

/// The application's hash. Tendermint allows any length; Welkin's own is 32 bytes of BLAKE3.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppHash(pub Vec<u8>);

/// The header of a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Protocol versions.
    pub version: Version,
    /// The chain's name.
    pub chain_id: String,
    /// Height of this block.
    pub height: u64,
    /// BFT time: the power-weighted median of the last commit's timestamps.
    pub time: Timestamp,
    /// The block before; nil in the first.
    pub last_block_id: BlockId,
    /// Merkle root over the signatures of the commit for the block before.
    pub last_commit_hash: Digest,
    /// Merkle root over the hashes of the transactions.
    pub data_hash: Digest,
    /// Hash of the validators of this height.
    pub validators_hash: Digest,
    /// Hash of the validators of the next height.
    pub next_validators_hash: Digest,
    /// Hash of the consensus parameters of this height.
    pub consensus_hash: Digest,
    /// State root after the block before.
    pub app_hash: AppHash,
    /// Merkle root over the results of the block before.
    pub last_results_hash: Digest,
    /// Merkle root over the evidence in this block.
    pub evidence_hash: Digest,
    /// Proposer of the round in which the block was first made.
    pub proposer_address: ValidatorAddress,
}
