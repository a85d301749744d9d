//! What is remembered beside the store, within a bound of memory.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicBool, Ordering};

use super::bucket::Bucket;

/// What an entry takes beside its key and its value, in round figures.
const ENTRY_BYTES: usize = 100;

/// Values by key. When it is full a hand goes round and takes away what was not used since it last
/// came by.
///
/// Entries are found by a short hash of their key, because comparing keys that lie all over memory
/// costs more than reading the store. Of two keys with one hash only the later is remembered: who
/// makes such keys on purpose makes himself slower.
#[derive(Debug)]
pub struct Clock<V> {
    budget_bytes: usize,
    bytes: usize,
    hand: u64,
    entries: BTreeMap<u64, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    key: Box<[u8]>,
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
            hand: 0,
            entries: BTreeMap::new(),
        }
    }

    /// What is remembered under `key`.
    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let entry = self
            .entries
            .get(&short_hash(key))
            .filter(|entry| *entry.key == *key)?;
        entry.used.store(true, Ordering::Relaxed);
        Some(&entry.value)
    }

    /// Remembers a value of so many bytes.
    pub fn put(&mut self, key: &[u8], value: V, bytes: usize) {
        let bytes = ENTRY_BYTES + key.len() + bytes;
        self.bytes += bytes;
        // Who is new has to be used once more to stay longer than a round.
        let used = AtomicBool::new(false);
        let entry = Entry {
            key: key.into(),
            value,
            bytes,
            used,
        };
        if let Some(replaced) = self.entries.insert(short_hash(key), entry) {
            self.bytes -= replaced.bytes;
        }
        while self.bytes > self.budget_bytes {
            self.advance();
        }
    }

    /// Takes what is remembered under `key` away.
    pub fn take(&mut self, key: &[u8]) -> Option<V> {
        let hash = short_hash(key);
        self.entries.get(&hash).filter(|entry| *entry.key == *key)?;
        let entry = self.entries.remove(&hash)?;
        self.bytes -= entry.bytes;
        Some(entry.value)
    }

    fn advance(&mut self) {
        let mut ahead = self
            .entries
            .range((Bound::Excluded(self.hand), Bound::Unbounded));
        let next = ahead.next().or_else(|| self.entries.first_key_value());
        let Some((hash, entry)) = next else {
            return self.bytes = 0;
        };
        self.hand = *hash;
        if !entry.used.swap(false, Ordering::Relaxed)
            && let Some(gone) = self.entries.remove(&self.hand)
        {
            self.bytes -= gone.bytes;
        }
    }
}

/// Mixes a key into 64 bits, eight bytes at a time.
fn short_hash(key: &[u8]) -> u64 {
    let mut hash = key.len() as u64;
    for part in key.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..part.len()].copy_from_slice(part);
        hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        hash ^= hash >> 32;
    }
    hash
}

/// The leaves of buckets by position.
pub type LeafCache = Clock<Bucket>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_what_is_not_goes() {
        let mut clock = Clock::new(10 * (ENTRY_BYTES + 2));
        for key in 1..=200_u8 {
            clock.put(&[key], key, 1);
            assert_eq!(clock.get(&[1]), Some(&1), "used all the time");
            assert!(clock.bytes <= clock.budget_bytes);
            assert_eq!(clock.bytes, clock.entries.len() * (ENTRY_BYTES + 2));
        }
        assert_eq!(clock.entries.len(), 10);
        assert_eq!(clock.get(&[100]), None);
        assert_eq!((clock.take(&[1]), clock.take(&[1])), (Some(1), None));
        assert_eq!(clock.bytes, clock.entries.len() * (ENTRY_BYTES + 2));
        clock.put(&[7], 7, 10_000);
        assert_eq!(
            clock.get(&[7]),
            None,
            "what is larger than all of it is not kept"
        );
    }
}
