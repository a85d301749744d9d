//! The leaves of one bucket in memory, with the hashes of the branches above them.
//!
//! A bucket stores nothing but its common hash, so a change in it needs the hashes of its other
//! leaves; read from the store that costs some ten microseconds. Most changes only give a key a
//! new value, and then only the branches above that leaf are hashed again.

use crate::types::Hash;

use super::hash::{branch_hash, parting};

/// A leaf by its key and its hash.
pub type LeafRef<'a> = (&'a [u8], Hash);

/// A changed key with the hash of its new leaf, `None` where it is removed.
pub type Change<'w> = (&'w [u8], Option<Hash>);

/// Some leaves, in order.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// The keys, one after the other.
    keys: Vec<u8>,
    /// Where each key ends.
    ends: Vec<u16>,
    leaves: Vec<Hash>,
    /// Each branch before what is left of it, that before what is right of it.
    branches: Vec<Branch>,
}

#[derive(Clone, Copy, Debug)]
struct Branch {
    /// The length of its prefix.
    bits: u16,
    /// How many leaves are left of it.
    left: u16,
    hash: Hash,
}

impl Bucket {
    /// The bucket of these leaves, which are in order; there is at least one, no key begins with
    /// another, and they are few.
    pub fn of(leaves: &[LeafRef<'_>]) -> Bucket {
        let mut bucket = Bucket {
            keys: Vec::with_capacity(leaves.iter().map(|(key, _)| key.len()).sum()),
            ends: Vec::with_capacity(leaves.len()),
            leaves: leaves.iter().map(|(_, hash)| *hash).collect(),
            branches: Vec::with_capacity(leaves.len().saturating_sub(1)),
        };
        for (key, _) in leaves {
            bucket.keys.extend_from_slice(key);
            bucket.ends.push(small(bucket.keys.len()));
        }
        bucket.add_branches(leaves);
        bucket
    }

    fn add_branches(&mut self, leaves: &[LeafRef<'_>]) -> Hash {
        if let [(_, hash)] = leaves {
            return *hash;
        }
        let (bits, middle) = parting(leaves);
        let index = self.branches.len();
        let unknown = Branch {
            bits: small(bits),
            left: small(middle),
            hash: Hash::default(),
        };
        self.branches.push(unknown);
        let (left, right) = leaves.split_at(middle);
        let (left, right) = (self.add_branches(left), self.add_branches(right));
        let hash = branch_hash(leaves[0].0, bits, &left, &right);
        self.branches[index].hash = hash;
        hash
    }

    /// The leaves in order.
    pub fn iter(&self) -> impl Iterator<Item = LeafRef<'_>> {
        (0..self.len()).map(|index| (self.key(index), self.leaves[index]))
    }

    /// How many leaves.
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// The hash of all.
    pub fn hash(&self) -> Hash {
        self.branches
            .first()
            .map_or(self.leaves[0], |branch| branch.hash)
    }

    /// How much memory it takes.
    pub fn size_bytes(&self) -> usize {
        self.keys.len() + self.leaves.len() * 70
    }

    fn key(&self, index: usize) -> &[u8] {
        let start = index
            .checked_sub(1)
            .map_or(0, |before| usize::from(self.ends[before]));
        &self.keys[start..usize::from(self.ends[index])]
    }

    /// Gives keys that are there new values, and says yes; or changes nothing and says no, if one
    /// is not there or is removed. The changes are in order.
    pub fn update(&mut self, changes: &[Change<'_>]) -> bool {
        let mut found = Vec::with_capacity(changes.len());
        let mut from = 0;
        for (key, change) in changes {
            let index = (from..self.len()).find(|index| self.key(*index) >= *key);
            match (index, change) {
                (Some(index), Some(hash)) if self.key(index) == *key => {
                    found.push((index, *hash));
                    from = index + 1;
                }
                _ => return false,
            }
        }
        for (index, hash) in &found {
            self.leaves[*index] = *hash;
        }
        self.hash_again(0, 0, self.len(), &found);
        true
    }

    /// The hash of `count` leaves from `first` on, whose branches begin at `branch`, after the
    /// leaves in `changed` have changed.
    fn hash_again(
        &mut self,
        branch: usize,
        first: usize,
        count: usize,
        changed: &[(usize, Hash)],
    ) -> Hash {
        if count == 1 {
            return self.leaves[first];
        }
        if changed.is_empty() {
            return self.branches[branch].hash;
        }
        let Branch { bits, left, .. } = self.branches[branch];
        let left = usize::from(left);
        let (lower, upper) =
            changed.split_at(changed.partition_point(|(index, _)| *index < first + left));
        let lower = self.hash_again(branch + 1, first, left, lower);
        // As many branches as leaves but one are on the left.
        let upper = self.hash_again(branch + left, first + left, count - left, upper);
        let hash = branch_hash(self.key(first), usize::from(bits), &lower, &upper);
        self.branches[branch].hash = hash;
        hash
    }
}

fn small(number: usize) -> u16 {
    u16::try_from(number).expect("a bucket holds a few keys of at most 128 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::blake3_hash;
    use crate::store::conformance::Dice;
    use crate::tree::hash::fold;

    #[test]
    fn a_bucket_that_changes_is_the_bucket_of_the_changed_leaves() {
        let mut dice = Dice(4);
        for count in 1..33 {
            let mut keys: Vec<Vec<u8>> = (0..count).map(|_| dice.bytes(6)).collect();
            keys.sort();
            keys.dedup();
            let leaf =
                |key: &Vec<u8>, value: u64| blake3_hash(&[key, &value.to_be_bytes()[..]].concat());
            let mut leaves: Vec<LeafRef<'_>> = keys
                .iter()
                .map(|key| (key.as_slice(), leaf(key, 0)))
                .collect();
            let mut bucket = Bucket::of(&leaves);
            for value in 1..20 {
                let mut changes = Vec::new();
                for (index, key) in keys.iter().enumerate() {
                    if dice.below(4) == 0 {
                        leaves[index].1 = leaf(key, value);
                        changes.push((key.as_slice(), Some(leaves[index].1)));
                    }
                }
                assert!(bucket.update(&changes));
                assert_eq!(bucket.hash(), fold(&leaves));
                assert_eq!(bucket.iter().collect::<Vec<_>>(), leaves);
            }
            let stranger = [&keys[0][..], &[0]].concat();
            for (key, hash) in [(&stranger, Some(Hash([1; 32]))), (&keys[0], None)] {
                assert!(!bucket.update(&[(key, hash)]));
                assert_eq!(bucket.hash(), fold(&leaves), "nothing has changed");
            }
        }
    }
}
