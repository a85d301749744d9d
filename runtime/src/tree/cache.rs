//! The leaves of buckets, remembered between commits.
//!
//! A bucket stores nothing but its common hash, so a change in it needs the hashes of its other
//! leaves. Read from the store that costs some ten microseconds a bucket; this remembers them
//! within a bound of memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::types::Hash;

use super::path::Path;

/// The leaves of one bucket in order, packed.
#[derive(Debug)]
pub struct Leaves {
    keys: Vec<u8>,
    ends: Vec<u32>,
    hashes: Vec<Hash>,
}

impl Leaves {
    /// Packs leaves, which are in order.
    pub fn pack(leaves: &[(&[u8], Hash)]) -> Leaves {
        let mut keys = Vec::with_capacity(leaves.iter().map(|(key, _)| key.len()).sum());
        let mut ends = Vec::with_capacity(leaves.len());
        for (key, _) in leaves {
            keys.extend_from_slice(key);
            ends.push(u32::try_from(keys.len()).expect("a bucket holds a few keys"));
        }
        Leaves { keys, ends, hashes: leaves.iter().map(|(_, hash)| *hash).collect() }
    }

    /// The leaves in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Hash)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let keys = starts.zip(&self.ends).map(|(start, end)| &self.keys[start as usize..*end as usize]);
        keys.zip(self.hashes.iter().copied())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    fn size_bytes(&self) -> usize {
        // What the allocator and the map around it take, in round figures.
        self.keys.len() + self.hashes.len() * 36 + 200
    }
}

/// Buckets by position; what was not used for longest is forgotten first, half of all at a time.
#[derive(Debug)]
pub struct LeafCache {
    budget_bytes: usize,
    young_bytes: usize,
    young: BTreeMap<Path, Arc<Leaves>>,
    old: BTreeMap<Path, Arc<Leaves>>,
}

impl LeafCache {
    /// An empty cache that takes at most about `budget_bytes`.
    pub fn new(budget_bytes: usize) -> LeafCache {
        let (young, old) = (BTreeMap::new(), BTreeMap::new());
        LeafCache { budget_bytes, young_bytes: 0, young, old }
    }

    /// The leaves at `at`, if they are remembered.
    pub fn get(&mut self, at: &Path) -> Option<Arc<Leaves>> {
        if let Some(leaves) = self.young.get(at) {
            return Some(Arc::clone(leaves));
        }
        let leaves = self.old.remove(at)?;
        self.put(at.clone(), Arc::clone(&leaves));
        Some(leaves)
    }

    /// Remembers the leaves at `at`.
    pub fn put(&mut self, at: Path, leaves: Arc<Leaves>) {
        self.young_bytes += leaves.size_bytes();
        if let Some(replaced) = self.young.insert(at, leaves) {
            self.young_bytes -= replaced.size_bytes();
        }
        if self.young_bytes > self.budget_bytes / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}
