//! Positions in the trie, in steps of four bits.

use crate::state::prefix_end;

use super::hash::common_bits;

/// The first nibbles of keys: their number as big-endian `u16`, then the nibbles, two a byte and
/// padded with a zero. This is also how a path stands in a storage key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(Vec<u8>);

impl Path {
    /// The path of no nibbles.
    pub fn root() -> Path {
        Path(vec![0, 0])
    }

    /// The first `nibbles` nibbles of `key`.
    pub fn of(key: &[u8], nibbles: usize) -> Path {
        let count = u16::try_from(nibbles).expect("keys have at most 256 nibbles");
        let mut bytes = Vec::with_capacity(2 + nibbles.div_ceil(2));
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(&key[..nibbles.div_ceil(2)]);
        if nibbles % 2 == 1 {
            *bytes.last_mut().expect("an odd path has a byte") &= 0xf0;
        }
        Path(bytes)
    }

    /// This path and one nibble more.
    pub fn child(&self, nibble: usize) -> Path {
        let nibbles = self.nibbles() + 1;
        let count = u16::try_from(nibbles).expect("keys have at most 256 nibbles");
        let nibble = u8::try_from(nibble).expect("a nibble is below 16");
        let mut bytes = Vec::with_capacity(self.0.len() + 1);
        bytes.extend_from_slice(&count.to_be_bytes());
        bytes.extend_from_slice(self.packed());
        match nibbles % 2 {
            1 => bytes.push(nibble << 4),
            _ => *bytes.last_mut().expect("an odd path has a byte") |= nibble,
        }
        Path(bytes)
    }

    /// How many nibbles it has.
    pub fn nibbles(&self) -> usize {
        usize::from(u16::from_be_bytes([self.0[0], self.0[1]]))
    }

    /// The nibbles, two a byte.
    pub fn packed(&self) -> &[u8] {
        &self.0[2..]
    }

    /// As it stands in a storage key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many leading nibbles it shares with `key`.
    pub fn common_nibbles(&self, key: &[u8]) -> usize {
        (common_bits(self.packed(), key) / 4).min(self.nibbles())
    }

    /// The first key that may be below this path, and the first one after all that may; the latter
    /// is empty where there is none.
    pub fn bounds(&self) -> (Vec<u8>, Vec<u8>) {
        let from = self.packed().to_vec();
        let to = match self.nibbles() % 2 {
            0 => prefix_end(&from),
            _ => match from.split_last() {
                Some((last, rest)) if *last >= 0xf0 => prefix_end(rest),
                Some((last, rest)) => [rest, &[last + 0x10]].concat(),
                None => Vec::new(),
            },
        };
        (from, to)
    }
}

/// The nibble number `index` of `key`, if it is that long.
pub fn nibble(key: &[u8], index: usize) -> Option<usize> {
    let byte = *key.get(index / 2)?;
    Some(usize::from(if index.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 0x0f
    }))
}
