//! Making proofs.
//!
//! A position is opened when a read looks for keys there, else it becomes a stub. "There" is all
//! that the branch above leaves open: where the keys below have more in common than that, it is
//! the opened branch which shows that nothing else is there.

use crate::crypto::blake3_hash;
use crate::state::{Read, key_after};
use crate::types::Hash;

use super::error::TreeError;
use super::hash::{Leaf, fold, leaf_hash, parting};
use super::page::{Page, Slot, position};
use super::path::Path;
use super::proof::{MAX_PROOF_BYTES, Node, Proof};
use super::records::View;

/// Bytes of a node beside what it holds, at most.
const NODE_BYTES: usize = 12;

/// A key with its value, and the hash of the two.
struct Entry {
    key: Vec<u8>,
    value: Vec<u8>,
    hash: Hash,
}

impl Leaf for Entry {
    fn key(&self) -> &[u8] {
        &self.key
    }

    fn hash(&self) -> Hash {
        self.hash
    }
}

/// Keys that share a bit prefix: all of a position, or one side of a branch.
struct Region {
    from: Vec<u8>,
    /// `None` for the end of all keys.
    to: Option<Vec<u8>>,
}

impl Region {
    fn everything() -> Region {
        Region {
            from: Vec::new(),
            to: None,
        }
    }

    /// The keys that begin with the first `bits` bits of `key` and then a zero, and those that
    /// begin with them and a one.
    fn halves(key: &[u8], bits: usize) -> (Region, Region) {
        let mut from = key[..bits.div_ceil(8)].to_vec();
        if !bits.is_multiple_of(8) {
            from[bits / 8] &= !(0xff >> (bits % 8));
        }
        let mut middle = from.clone();
        middle.resize(bits / 8 + 1, 0);
        middle[bits / 8] |= 0x80 >> (bits % 8);
        let to = prefix_after(&from, bits);
        (
            Region {
                from,
                to: Some(middle.clone()),
            },
            Region { from: middle, to },
        )
    }
}

/// The first key after all those that begin with these bits.
fn prefix_after(prefix: &[u8], bits: usize) -> Option<Vec<u8>> {
    let last_one = (0..bits)
        .rev()
        .find(|index| !super::hash::bit(prefix, *index))?;
    let mut after = prefix[..=last_one / 8].to_vec();
    after[last_one / 8] |= 0x80 >> (last_one % 8);
    after[last_one / 8] &= !((0x80 >> (last_one % 8)) - 1);
    Some(after)
}

/// What is looked for: ranges in order that do not touch.
struct Wanted(Vec<(Vec<u8>, Vec<u8>)>);

impl Wanted {
    fn of(reads: &[Read]) -> Wanted {
        let range = |read: &Read| match read {
            Read::Key(key) => (key.clone(), key_after(key)),
            Read::Range { from, to } => (from.clone(), to.clone()),
        };
        let mut ranges: Vec<_> = reads
            .iter()
            .map(range)
            .filter(|(from, to)| from < to)
            .collect();
        ranges.sort();
        let mut wanted: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for (from, to) in ranges {
            match wanted.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(std::mem::take(end)),
                _ => wanted.push((from, to)),
            }
        }
        Wanted(wanted)
    }

    /// Whether anything in the region is looked for.
    fn touches(&self, region: &Region) -> bool {
        let first = self.0.partition_point(|(_, to)| *to <= region.from);
        let before_end = |from: &Vec<u8>| region.to.as_ref().is_none_or(|to| from < to);
        self.0.get(first).is_some_and(|(from, _)| before_end(from))
    }

    fn has(&self, key: &[u8]) -> bool {
        let first = self.0.partition_point(|(_, to)| to.as_slice() <= key);
        self.0
            .get(first)
            .is_some_and(|(from, _)| from.as_slice() <= key)
    }
}

struct Prover<'a> {
    view: &'a View<'a>,
    wanted: Wanted,
    nodes: Vec<Node>,
    size_bytes: usize,
}

/// A proof of what these reads see.
pub fn prove(view: &View<'_>, reads: &[Read]) -> Result<Proof, TreeError> {
    let mut prover = Prover {
        view,
        wanted: Wanted::of(reads),
        nodes: Vec::new(),
        size_bytes: 4,
    };
    if let Some(root) = view.root_slot() {
        prover.slot(&Path::root(), root, 0, &Region::everything())?;
    }
    Ok(Proof::of(prover.nodes))
}

impl Prover<'_> {
    fn push(&mut self, node: Node) -> Result<(), TreeError> {
        self.size_bytes += NODE_BYTES
            + match &node {
                Node::Stub(_) => 32,
                Node::Leaf { key, value } => key.len() + value.len(),
                Node::Neighbour { key, .. } => key.len() + 32,
                Node::Branch { bits, .. } => bits.len(),
            };
        if self.size_bytes > MAX_PROOF_BYTES {
            return Err(TreeError::ProofTooLarge(MAX_PROOF_BYTES));
        }
        self.nodes.push(node);
        Ok(())
    }

    /// A branch whose keys share `bits` bits, below a position that tells `known` of them.
    fn branch(&mut self, key: &[u8], bits: usize, known: usize) -> Result<(), TreeError> {
        let mut skipped = vec![0; (bits - known).div_ceil(8)];
        for index in known..bits {
            if super::hash::bit(key, index) {
                skipped[(index - known) / 8] |= 0x80 >> ((index - known) % 8);
            }
        }
        let skip = u16::try_from(bits - known).expect("keys have at most 1,024 bits");
        self.push(Node::Branch {
            skip,
            bits: skipped,
        })
    }

    /// What hangs in the slot at `at`, where `known` bits and `region` are what the branches above
    /// leave open.
    fn slot(
        &mut self,
        at: &Path,
        slot: &Slot,
        known: usize,
        region: &Region,
    ) -> Result<(), TreeError> {
        if !self.wanted.touches(region) {
            return self.push(Node::Stub(slot.hash));
        }
        if let Some(path) = &slot.page {
            let page = self.view.page(path)?;
            return self.page(path, &page, (0, 16), known, region);
        }
        let (from, to) = at.bounds();
        let pairs = self.view.pairs(&from, &to, usize::MAX)?;
        if pairs.len() as u64 != slot.count {
            return Err(TreeError::Damaged(
                "a key is missing, or there is one too many".into(),
            ));
        }
        let entry = |(key, value): (Vec<u8>, Vec<u8>)| {
            let hash = leaf_hash(&key, &blake3_hash(&value));
            Entry { key, value, hash }
        };
        let entries: Vec<Entry> = pairs.into_iter().map(entry).collect();
        self.bucket(entries, known, region)
    }

    /// What hangs in `width` slots of a page from `first` on; there is something.
    fn page(
        &mut self,
        path: &Path,
        page: &Page,
        (first, width): (usize, usize),
        known: usize,
        region: &Region,
    ) -> Result<(), TreeError> {
        if width == 1 {
            let slot = page.slots[first].as_ref().expect("callers look before");
            return self.slot(&path.child(first), slot, known, region);
        }
        let half = width / 2;
        let sides = (
            page.fold(path, first, half),
            page.fold(path, first + half, half),
        );
        let (left, right) = match sides {
            (Some(left), Some(right)) => (left, right),
            (Some(_), None) => return self.page(path, page, (first, half), known, region),
            (None, _) => return self.page(path, page, (first + half, half), known, region),
        };
        let (key, bits) = position(path, first, width);
        self.branch(&key, bits, known)?;
        let (zero, one) = Region::halves(&key, bits);
        for (first, hash, region) in [(first, left, zero), (first + half, right, one)] {
            if self.wanted.touches(&region) {
                self.page(path, page, (first, half), bits + 1, &region)?;
            } else {
                self.push(Node::Stub(hash))?;
            }
        }
        Ok(())
    }

    /// These leaves, in order; there is at least one.
    fn bucket(
        &mut self,
        mut leaves: Vec<Entry>,
        known: usize,
        region: &Region,
    ) -> Result<(), TreeError> {
        if !self.wanted.touches(region) {
            return self.push(Node::Stub(fold(&leaves)));
        }
        if leaves.len() > 1 {
            let (bits, middle) = parting(&leaves);
            let (zero, one) = Region::halves(&leaves[0].key, bits);
            self.branch(&leaves[0].key, bits, known)?;
            let right = leaves.split_off(middle);
            self.bucket(leaves, bits + 1, &zero)?;
            return self.bucket(right, bits + 1, &one);
        }
        let Some(Entry { key, value, .. }) = leaves.pop() else {
            return Ok(());
        };
        if self.wanted.has(&key) {
            self.push(Node::Leaf { key, value })
        } else {
            self.push(Node::Neighbour {
                value_hash: blake3_hash(&value),
                key,
            })
        }
    }
}
