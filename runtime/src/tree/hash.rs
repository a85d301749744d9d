//! How the trie is hashed, and the bits it is made of.
//!
//! The trie is binary and path-compressed: a branch stands wherever two keys part, and nowhere
//! else, so it is a function of the keys and values alone. `u16` is big-endian, a bit string is
//! padded with zeros to whole bytes.
//!
//! ```text
//!   leaf   = BLAKE3(0x00 | u16 key bytes | key | BLAKE3(value))
//!   branch = BLAKE3(0x01 | u16 prefix bits | prefix | left | right)
//!   empty  = BLAKE3("")
//! ```
//!
//! The prefix of a branch is all that its keys have in common, from the root on, so a branch says
//! which keys cannot be below it. That is what makes absence and complete ranges provable.

use crate::crypto::blake3_hash;
use crate::state::MAX_KEY_BYTES;
use crate::types::Hash;

/// The root of a tree without keys.
pub fn empty_root() -> Hash {
    blake3_hash(b"")
}

/// The hash of a leaf, by its key and the hash of its value.
pub fn leaf_hash(key: &[u8], value_hash: &Hash) -> Hash {
    let mut preimage = [0; 3 + MAX_KEY_BYTES + 32];
    let end = 3 + key.len();
    preimage[1..3].copy_from_slice(&length(key.len()));
    preimage[3..end].copy_from_slice(key);
    preimage[end..end + 32].copy_from_slice(&value_hash.0);
    blake3_hash(&preimage[..end + 32])
}

/// The hash of a branch whose prefix is the first `bits` bits of `key`.
pub fn branch_hash(key: &[u8], bits: usize, left: &Hash, right: &Hash) -> Hash {
    let mut preimage = [0; 3 + MAX_KEY_BYTES + 64];
    let bytes = bits.div_ceil(8);
    let end = 3 + bytes;
    preimage[0] = 1;
    preimage[1..3].copy_from_slice(&length(bits));
    preimage[3..end].copy_from_slice(&key[..bytes]);
    if !bits.is_multiple_of(8) {
        preimage[end - 1] &= !(0xff >> (bits % 8));
    }
    preimage[end..end + 32].copy_from_slice(&left.0);
    preimage[end + 32..end + 64].copy_from_slice(&right.0);
    blake3_hash(&preimage[..end + 64])
}

fn length(count: usize) -> [u8; 2] {
    u16::try_from(count)
        .expect("keys have at most 128 bytes")
        .to_be_bytes()
}

/// The bit number `index` of `key`, counted from its most significant one.
pub fn bit(key: &[u8], index: usize) -> bool {
    key[index / 8] & (0x80 >> (index % 8)) != 0
}

/// How many leading bits two keys share.
pub fn common_bits(a: &[u8], b: &[u8]) -> usize {
    let shorter = a.len().min(b.len());
    match a.iter().zip(b).position(|(a, b)| a != b) {
        Some(at) => at * 8 + (a[at] ^ b[at]).leading_zeros() as usize,
        None => shorter * 8,
    }
}

/// Something that hangs below branches: it has a key below them, and a hash.
pub trait Leaf {
    /// The key.
    fn key(&self) -> &[u8];
    /// The hash of the leaf.
    fn hash(&self) -> Hash;
}

impl Leaf for (&[u8], Hash) {
    fn key(&self) -> &[u8] {
        self.0
    }

    fn hash(&self) -> Hash {
        self.1
    }
}

/// Where several leaves in the order of their keys part: the length of what they share in bits,
/// and how many stand on the left.
pub fn parting<L: Leaf>(leaves: &[L]) -> (usize, usize) {
    let bits = common_bits(leaves[0].key(), leaves[leaves.len() - 1].key());
    (bits, leaves.partition_point(|leaf| !bit(leaf.key(), bits)))
}

/// The hash of the trie over leaves in the order of their keys; there is at least one, and no key
/// begins with another.
pub fn fold<L: Leaf>(leaves: &[L]) -> Hash {
    if let [leaf] = leaves {
        return leaf.hash();
    }
    let (bits, middle) = parting(leaves);
    let (left, right) = leaves.split_at(middle);
    branch_hash(leaves[0].key(), bits, &fold(left), &fold(right))
}
