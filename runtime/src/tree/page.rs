//! Pages: four levels of the binary trie in one record.
//!
//! A page stands where keys part within one nibble and enough of them are below. Its sixteen slots
//! say what is below each value of that nibble: nothing, a *bucket* (few keys; nothing is stored
//! but their common hash, the rest is worked out from the values when it is needed), or a further
//! page.

use crate::state::MAX_KEY_BYTES;
use crate::types::Hash;

use super::error::TreeError;
use super::hash::branch_hash;
use super::path::Path;

/// What is below one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// How many keys.
    pub count: u64,
    /// Their hash.
    pub hash: Hash,
    /// Where their page is; a bucket has none.
    pub page: Option<Path>,
}

/// The sixteen slots of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// By nibble.
    pub slots: [Option<Slot>; 16],
}

impl Page {
    /// How many keys are below.
    pub fn count(&self) -> u64 {
        self.slots.iter().flatten().map(|slot| slot.count).sum()
    }

    /// How many slots hold something.
    pub fn occupied(&self) -> usize {
        self.slots.iter().flatten().count()
    }

    /// The hash of all that is below, `None` when that is nothing.
    pub fn hash(&self, path: &Path) -> Option<Hash> {
        self.fold(path, 0, 16)
    }

    /// The hash of what is below `width` slots from `first` on: 16, 8, 4, 2 or 1.
    pub fn fold(&self, path: &Path, first: usize, width: usize) -> Option<Hash> {
        if width == 1 {
            return self.slots[first].as_ref().map(|slot| slot.hash);
        }
        let half = width / 2;
        match (
            self.fold(path, first, half),
            self.fold(path, first + half, half),
        ) {
            (Some(left), Some(right)) => {
                let (key, bits) = position(path, first, width);
                Some(branch_hash(&key, bits, &left, &right))
            }
            (one, other) => one.or(other),
        }
    }

    /// Its record: which slots are there as big-endian `u16`, then those slots.
    pub fn encode(&self, path: &Path) -> Vec<u8> {
        let occupied = self.slots.iter().map(|slot| u16::from(slot.is_some()));
        let bitmap = occupied.fold(0, |bitmap: u16, bit| bitmap << 1 | bit);
        let mut record = bitmap.to_be_bytes().to_vec();
        for (nibble, slot) in self.slots.iter().enumerate() {
            if let Some(slot) = slot {
                slot.encode(path, nibble, &mut record);
            }
        }
        record
    }

    /// The page of a record.
    pub fn decode(path: &Path, mut record: &[u8]) -> Result<Page, TreeError> {
        let input = &mut record;
        let bitmap = u16::from_be_bytes([byte(input)?, byte(input)?]);
        let mut page = Page::default();
        for nibble in (0..16).filter(|nibble| bitmap & (0x8000 >> nibble) != 0) {
            page.slots[nibble] = Some(Slot::decode(path, nibble, input)?);
        }
        if !input.is_empty() {
            return Err(damaged());
        }
        Ok(page)
    }
}

/// The prefix of the branch over `width` slots from `first` on: a key that begins with it, and its
/// length in bits.
pub fn position(path: &Path, first: usize, width: usize) -> ([u8; MAX_KEY_BYTES], usize) {
    let mut key = [0; MAX_KEY_BYTES];
    key[..path.packed().len()].copy_from_slice(path.packed());
    let nibble = u8::try_from(first).expect("a page has 16 slots");
    let shift = if path.nibbles().is_multiple_of(2) {
        4
    } else {
        0
    };
    key[path.nibbles() / 2] |= nibble << shift;
    let depth = 4 - width.trailing_zeros() as usize;
    (key, path.nibbles() * 4 + depth)
}

impl Slot {
    /// Appends the slot at `nibble` of the page at `path`: count, hash, then 0 for a bucket, or
    /// one more than the number of nibbles between the slot and its page, and those nibbles.
    pub fn encode(&self, path: &Path, nibble: usize, record: &mut Vec<u8>) {
        self.encode_at(&|| path.child(nibble), record);
    }

    /// Takes the slot at `nibble` of the page at `path` from the front of a record.
    pub fn decode(path: &Path, nibble: usize, input: &mut &[u8]) -> Result<Slot, TreeError> {
        Slot::decode_at(&|| path.child(nibble), input)
    }

    /// The record of the slot at `at` alone.
    pub fn to_record(&self, at: &Path) -> Vec<u8> {
        let mut record = Vec::with_capacity(40);
        self.encode_at(&|| at.clone(), &mut record);
        record
    }

    /// The slot at `at` of a record that holds nothing else.
    pub fn from_record(at: &Path, mut record: &[u8]) -> Result<Slot, TreeError> {
        let slot = Slot::decode_at(&|| at.clone(), &mut record)?;
        if record.is_empty() {
            Ok(slot)
        } else {
            Err(damaged())
        }
    }

    /// Most slots are buckets, for which nobody has to know where they are: so `at` is worked out
    /// only when it is needed.
    fn encode_at(&self, at: &dyn Fn() -> Path, record: &mut Vec<u8>) {
        put_number(self.count, record);
        record.extend_from_slice(&self.hash.0);
        let Some(page) = &self.page else {
            return put_number(0, record);
        };
        let at = at();
        put_number((page.nibbles() - at.nibbles()) as u64 + 1, record);
        record.extend_from_slice(&page.packed()[skipped_from(&at, page.nibbles())..]);
    }

    fn decode_at(at: &dyn Fn() -> Path, input: &mut &[u8]) -> Result<Slot, TreeError> {
        let count = number(input)?;
        let hash = Hash(take(input, 32)?.try_into().map_err(|_| damaged())?);
        let page = match number(input)? {
            0 => None,
            more => {
                let at = at();
                let skipped = usize::try_from(more - 1).map_err(|_| damaged())?;
                let nibbles = at.nibbles().saturating_add(skipped);
                // A page has slots one nibble below itself.
                if nibbles >= 2 * MAX_KEY_BYTES {
                    return Err(damaged());
                }
                let from = skipped_from(&at, nibbles);
                let rest = take(input, nibbles.div_ceil(2) - from)?;
                let page = Path::of(&[&at.packed()[..from], rest].concat(), nibbles);
                if page.common_nibbles(at.packed()) < at.nibbles() {
                    return Err(damaged());
                }
                Some(page)
            }
        };
        Ok(Slot { count, hash, page })
    }
}

/// Where in the packed path of a page of so many nibbles those after `at` begin: whole bytes, from
/// the one with the first of them on.
fn skipped_from(at: &Path, nibbles: usize) -> usize {
    if nibbles == at.nibbles() {
        nibbles.div_ceil(2)
    } else {
        at.nibbles() / 2
    }
}

fn damaged() -> TreeError {
    TreeError::Damaged("a page cannot be read".into())
}

fn take<'a>(input: &mut &'a [u8], count: usize) -> Result<&'a [u8], TreeError> {
    let (taken, rest) = input.split_at_checked(count).ok_or_else(damaged)?;
    *input = rest;
    Ok(taken)
}

fn byte(input: &mut &[u8]) -> Result<u8, TreeError> {
    Ok(take(input, 1)?[0])
}

/// Seven bits a byte, the lowest first; the top bit says that more follow.
fn put_number(mut number: u64, record: &mut Vec<u8>) {
    while number >= 0x80 {
        record.push(number as u8 | 0x80);
        number >>= 7;
    }
    record.push(number as u8);
}

fn number(input: &mut &[u8]) -> Result<u64, TreeError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = byte(input)?;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(damaged())
}
