//! RFC 6962 Merkle trees over SHA-256.

/// A proof that one leaf is under a root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Number of leaves.
    pub total: u64,
    /// Place of the leaf.
    pub index: u64,
    /// Hash of the leaf.
    pub leaf_hash: [u8; 32],
    /// Hashes beside the way from the leaf to the root, bottom first.
    pub aunts: Vec<[u8; 32]>,
}
