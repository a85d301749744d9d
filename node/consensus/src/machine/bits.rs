//! A set of places in the validator set or in a part set.

use crate::error::DecodeError;
use crate::proto::{Message, Reader, Writer};

/// Most places: as many as validators may be (more than parts).
const MAX_PLACES: u32 = 10_000;

/// A set of numbers below a fixed limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BitSet {
    bytes: Vec<u8>,
}

impl BitSet {
    /// The empty set.
    pub fn new() -> Self {
        BitSet::default()
    }

    /// Adds a place; whether it was missing. Places from 10,000 on are never added.
    pub fn insert(&mut self, place: u32) -> bool {
        if place >= MAX_PLACES || self.contains(place) {
            return false;
        }
        let byte = place as usize / 8;
        if self.bytes.len() <= byte {
            self.bytes.resize(byte + 1, 0);
        }
        self.bytes[byte] |= 1 << (place % 8);
        true
    }

    /// Whether the place is in the set.
    pub fn contains(&self, place: u32) -> bool {
        self.bytes
            .get(place as usize / 8)
            .is_some_and(|byte| byte >> (place % 8) & 1 == 1)
    }

    /// Number of places in the set.
    pub fn count(&self) -> u32 {
        self.bytes.iter().map(|byte| byte.count_ones()).sum()
    }
}

impl FromIterator<u32> for BitSet {
    fn from_iter<I: IntoIterator<Item = u32>>(places: I) -> Self {
        let mut set = BitSet::new();
        for place in places {
            set.insert(place);
        }
        set
    }
}

impl Message for BitSet {
    fn write(&self, to: &mut Writer) {
        to.bytes(1, &self.bytes);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("BitSet", bytes);
        let mut set = BitSet::new();
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 if value.bytes()?.len() > MAX_PLACES as usize / 8 => {
                    return Err(DecodeError::TooMany("places in a set"));
                }
                1 => set.bytes = value.bytes()?.to_vec(),
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(set)
    }
}
