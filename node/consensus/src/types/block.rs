//! Blocks.

use super::{Commit, EvidenceList, Header};

/// The transactions of a block, as raw bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data {
    /// Raw transactions in order.
    pub txs: Vec<Vec<u8>>,
}

/// A block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The header.
    pub header: Header,
    /// The transactions.
    pub data: Data,
    /// Proof of misbehaviour.
    pub evidence: EvidenceList,
    /// The precommits that decided the block before; empty in the first block.
    pub last_commit: Commit,
}
