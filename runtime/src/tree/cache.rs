//! What is remembered beside the store, within a bound of memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::types::Hash;

/// What an entry takes beside its key and its value, in round figures.
const ENTRY_BYTES: usize = 100;

/// Values by key. When it is full a hand goes round through the keys and takes away what was not
/// used since it last came by.
#[derive(Debug)]
pub struct Clock<V> {
    budget_bytes: usize,
    bytes: usize,
    hand: Vec<u8>,
    entries: BTreeMap<Vec<u8>, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    used: AtomicBool,
}

impl<V> Clock<V> {
    /// An empty one that takes about `budget_bytes` at most.
    pub fn new(budget_bytes: usize) -> Clock<V> {
        Clock {
            budget_bytes,
            bytes: 0,
            hand: Vec::new(),
            entries: BTreeMap::new(),
        }
    }

    /// What is remembered under `key`.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let entry = self.entries.get(key)?;
        entry.used.store(true, Ordering::Relaxed);
        Some(&entry.value)
    }

    /// Remembers a value of so many bytes.
    pub fn put(&mut self, key: Vec<u8>, value: V, bytes: usize) {
        let bytes = ENTRY_BYTES + key.len() + bytes;
        self.bytes += bytes;
        // Who is new has to be used once more to stay longer than a round.
        let entry = Entry {
            value,
            bytes,
            used: AtomicBool::new(false),
        };
        if let Some(replaced) = self.entries.insert(key, entry) {
            self.bytes -= replaced.bytes;
        }
        while self.bytes > self.budget_bytes {
            self.advance();
        }
    }

    fn advance(&mut self) {
        let ahead = (Bound::Excluded(self.hand.as_slice()), Bound::Unbounded);
        let Some((key, entry)) = self.entries.range::<[u8], _>(ahead).next() else {
            // Round again. No key is empty, so nothing is passed over.
            return self.hand.clear();
        };
        self.hand = key.clone();
        if !entry.used.swap(false, Ordering::Relaxed)
            && let Some(gone) = self.entries.remove(&self.hand)
        {
            self.bytes -= gone.bytes;
        }
    }
}

/// The leaves of one bucket in order, packed: how long a key is, the key, the hash.
///
/// A bucket stores nothing but its common hash, so a change in it needs the hashes of its other
/// leaves. Read from the store that costs some ten microseconds a bucket.
#[derive(Debug)]
pub struct Leaves {
    packed: Vec<u8>,
    count: usize,
}

/// The leaves of buckets by position.
pub type LeafCache = Clock<Arc<Leaves>>;

impl Leaves {
    /// Packs leaves, which are in order.
    pub fn pack(leaves: &[(&[u8], Hash)]) -> Leaves {
        let size = leaves.iter().map(|(key, _)| 1 + key.len() + 32).sum();
        let mut packed = Vec::with_capacity(size);
        for (key, hash) in leaves {
            packed.push(u8::try_from(key.len()).expect("keys have at most 128 bytes"));
            packed.extend_from_slice(key);
            packed.extend_from_slice(&hash.0);
        }
        Leaves {
            packed,
            count: leaves.len(),
        }
    }

    /// The leaves in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Hash)> {
        let mut rest = self.packed.as_slice();
        std::iter::from_fn(move || {
            let (length, more) = rest.split_first()?;
            let (key, more) = more.split_at(usize::from(*length));
            let (hash, more) = more.split_first_chunk()?;
            rest = more;
            Some((key, Hash(*hash)))
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.count
    }

    /// How much memory they take.
    pub fn size_bytes(&self) -> usize {
        self.packed.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut clock = Clock::new(10 * (ENTRY_BYTES + 2));
        for key in 1..=200_u8 {
            clock.put(vec![key], key, 1);
            assert_eq!(clock.get(&[1]), Some(&1), "used all the time");
            assert!(clock.bytes <= clock.budget_bytes);
            assert_eq!(clock.bytes, clock.entries.len() * (ENTRY_BYTES + 2));
        }
        assert_eq!(clock.entries.len(), 10);
        assert_eq!(clock.get(&[100]), None);
        clock.put(vec![7], 7, 10_000);
        assert_eq!(
            clock.get(&[7]),
            None,
            "what is larger than all of it is not kept"
        );
    }

    #[test]
    fn leaves_come_back_as_they_were_packed() {
        let leaves = [
            (&[1_u8, 2][..], Hash([1; 32])),
            (&[9; 128][..], Hash([2; 32])),
        ];
        let packed = Leaves::pack(&leaves);
        assert_eq!(packed.iter().collect::<Vec<_>>(), leaves);
        assert_eq!(packed.len(), 2);
    }
}
