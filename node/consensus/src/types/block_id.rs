//! How a block is named: by its header's hash and by the root over its parts.

/// A SHA-256 hash as Tendermint carries it: 32 bytes, or empty (Go's nil).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(Option<[u8; 32]>);

impl Digest {
    /// No hash.
    pub const EMPTY: Digest = Digest(None);

    /// A hash of 32 bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Digest(Some(bytes))
    }

    /// The 32 bytes, or none at all.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |bytes| bytes.as_slice())
    }

    /// Whether there is no hash.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// How many parts a block has, and the Merkle root over them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartSetHeader {
    /// Number of parts.
    pub total: u32,
    /// Merkle root over the parts' bytes.
    pub hash: Digest,
}

/// The name of a block. The default value stands for "no block" (nil).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockId {
    /// The header's hash.
    pub hash: Digest,
    /// The parts that the block was cut into.
    pub part_set_header: PartSetHeader,
}

impl BlockId {
    /// No block: what a vote for nil carries.
    pub const NIL: BlockId =
        BlockId { hash: Digest::EMPTY, part_set_header: PartSetHeader { total: 0, hash: Digest::EMPTY } };

    /// Whether this stands for no block.
    pub fn is_nil(&self) -> bool {
        *self == BlockId::NIL
    }

    /// Whether both hashes and the number of parts are there.
    pub fn is_complete(&self) -> bool {
        !self.hash.is_empty() && self.part_set_header.total > 0 && !self.part_set_header.hash.is_empty()
    }
}
