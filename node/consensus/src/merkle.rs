//! RFC 6962 Merkle trees over SHA-256 (CometBFT v0.38 `crypto/merkle`).

use crate::error::{DecodeError, Invalid, ensure};
use crate::proto::{Message, Reader, Writer};
use sha2::{Digest as _, Sha256};

/// Most hashes that a proof may have; enough for 2^100 leaves.
pub const MAX_AUNTS: usize = 100;

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

/// The root over `leaves`; of no leaves it is the SHA-256 of nothing.
pub fn root<L: AsRef<[u8]>>(leaves: &[L]) -> [u8; 32] {
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
    root_of_hashes(&hashes)
}

/// The root over `leaves`, and a proof for each of them.
pub fn root_and_proofs<L: AsRef<[u8]>>(leaves: &[L]) -> ([u8; 32], Vec<Proof>) {
    let hashes: Vec<_> = leaves.iter().map(|leaf| leaf_hash(leaf.as_ref())).collect();
    let mut aunts = vec![Vec::new(); hashes.len()];
    let root = collect_aunts(&hashes, &mut aunts);
    let total = hashes.len() as u64;
    let proofs = hashes.into_iter().zip(aunts).zip(0..);
    let proofs = proofs.map(|((leaf_hash, aunts), index)| Proof {
        total,
        index,
        leaf_hash,
        aunts,
    });
    (root, proofs.collect())
}

impl Proof {
    /// Whether `leaf` is at this place under `root`.
    pub fn verify(&self, root: &[u8; 32], leaf: &[u8]) -> Result<(), Invalid> {
        ensure(self.total > 0, "a Merkle proof for an empty tree")?;
        ensure(
            self.index < self.total,
            "a Merkle proof for a leaf beyond the last",
        )?;
        ensure(
            self.aunts.len() <= MAX_AUNTS,
            "a Merkle proof has too many hashes",
        )?;
        ensure(
            self.leaf_hash == leaf_hash(leaf),
            "a Merkle proof is for another leaf",
        )?;
        let computed = climb(self.index, self.total, self.leaf_hash, &self.aunts);
        ensure(
            computed.as_ref() == Some(root),
            "a Merkle proof leads to another root",
        )
    }
}

impl Message for Proof {
    fn write(&self, to: &mut Writer) {
        to.uint(1, self.total);
        to.uint(2, self.index);
        to.bytes(3, &self.leaf_hash);
        for aunt in &self.aunts {
            to.repeated_bytes(4, aunt);
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Proof", bytes);
        let (mut total, mut index, mut leaf_hash, mut aunts) = (0, 0, None, Vec::new());
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => total = value.natural("a proof's total")?,
                2 => index = value.natural("a proof's index")?,
                3 => leaf_hash = Some(value.array("a proof's leaf hash")?),
                4 if aunts.len() == MAX_AUNTS => {
                    return Err(DecodeError::TooMany("hashes in a proof"));
                }
                4 => aunts.push(value.array("a proof's hash")?),
                _ => return Err(reader.unknown(field)),
            }
        }
        let leaf_hash = leaf_hash.ok_or(DecodeError::Missing("a proof's leaf hash"))?;
        Ok(Proof {
            total,
            index,
            leaf_hash,
            aunts,
        })
    }
}

/// Hash of a leaf.
fn leaf_hash(leaf: &[u8]) -> [u8; 32] {
    Sha256::new()
        .chain_update([0])
        .chain_update(leaf)
        .finalize()
        .into()
}

fn inner_hash(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

fn root_of_hashes(hashes: &[[u8; 32]]) -> [u8; 32] {
    match hashes {
        [] => Sha256::digest([]).into(),
        [only] => *only,
        _ => {
            let (left, right) = hashes.split_at(split_point(hashes.len() as u64) as usize);
            inner_hash(&root_of_hashes(left), &root_of_hashes(right))
        }
    }
}

/// The root over `hashes`; each leaf's aunts are appended to its entry, bottom first.
fn collect_aunts(hashes: &[[u8; 32]], aunts: &mut [Vec<[u8; 32]>]) -> [u8; 32] {
    if hashes.len() < 2 {
        return root_of_hashes(hashes);
    }
    let split = split_point(hashes.len() as u64) as usize;
    let (left_aunts, right_aunts) = aunts.split_at_mut(split);
    let left = collect_aunts(&hashes[..split], left_aunts);
    let right = collect_aunts(&hashes[split..], right_aunts);
    left_aunts
        .iter_mut()
        .for_each(|of_leaf| of_leaf.push(right));
    right_aunts
        .iter_mut()
        .for_each(|of_leaf| of_leaf.push(left));
    inner_hash(&left, &right)
}

/// The root that a leaf and its aunts lead to; none if there are too few or too many aunts.
fn climb(index: u64, total: u64, leaf: [u8; 32], aunts: &[[u8; 32]]) -> Option<[u8; 32]> {
    if total == 1 {
        return aunts.is_empty().then_some(leaf);
    }
    let (last, below) = aunts.split_last()?;
    let left = split_point(total);
    if index < left {
        Some(inner_hash(&climb(index, left, leaf, below)?, last))
    } else {
        Some(inner_hash(
            last,
            &climb(index - left, total - left, leaf, below)?,
        ))
    }
}

/// The largest power of two below `total`, which is at least 2.
fn split_point(total: u64) -> u64 {
    1 << (total - 1).ilog2()
}

#[cfg(test)]
#[path = "merkle_tests.rs"]
mod tests;
