//! Blocks in parts of 64 KiB, each with a Merkle proof.

use super::{PartSetHeader};
use crate::merkle::Proof;

/// One part of a block's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Place in the set.
    pub index: u32,
    /// At most 65,536 bytes; exactly as many in every part but the last.
    pub bytes: Vec<u8>,
    /// Proof that this part is under the set's root.
    pub proof: Proof,
}

/// The parts of one block, complete or still being collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartSet {
    header: PartSetHeader,
    parts: Vec<Option<Part>>,
    count: u32,
    byte_size: usize,
}
