//! The part of a state that a proof shows.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::state::{Read, StateError, StateRead, key_after};

/// Pairs of keys and values.
type Rows = Vec<(Vec<u8>, Vec<u8>)>;

/// A state of which only a part is known. It answers as the whole would, or says that it does not
/// know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialState {
    shown: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What is not known: from a key on, up to another one; `None` is the end.
    hidden: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl PartialState {
    /// Everything that is shown.
    pub fn shown(&self) -> &BTreeMap<Vec<u8>, Vec<u8>> {
        &self.shown
    }

    pub(super) fn show(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.shown.insert(key, value);
    }

    /// Nothing is known of the value of `key` but that there is one.
    pub(super) fn hide_value(&mut self, key: &[u8]) {
        self.hidden.insert(key.to_vec(), Some(key_after(key)));
    }

    /// Nothing is known of the keys that begin with the first `bits` bits of `key`.
    pub(super) fn hide(&mut self, key: &[u8], bits: usize) {
        let mut from = key[..bits.div_ceil(8)].to_vec();
        let lowest = 1_u8 << ((8 - bits % 8) % 8);
        if let Some(last) = from.last_mut() {
            *last &= !(lowest - 1);
        }
        // The next larger prefix of the same length.
        let mut to = from.clone();
        let mut step = lowest;
        let to = loop {
            let Some(last) = to.last_mut() else {
                break None;
            };
            match last.checked_add(step) {
                Some(sum) => {
                    *last = sum;
                    break Some(to);
                }
                None => {
                    to.pop();
                    step = 1;
                }
            }
        };
        self.hidden.insert(from, to);
    }

    /// Whether every key with `from <= key < to` is known, there or not.
    fn covers(&self, from: &[u8], to: &[u8]) -> bool {
        // What is hidden does not overlap, so the last one that begins before `to` reaches furthest.
        let before = self
            .hidden
            .range::<[u8], _>((Bound::Unbounded, Bound::Excluded(to)));
        match before.into_iter().next_back() {
            Some((_, end)) => end.as_ref().is_some_and(|end| end.as_slice() <= from),
            None => true,
        }
    }
}

impl StateRead for PartialState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        if let Some(value) = self.shown.get(key) {
            return Ok(Some(value.clone()));
        }
        if self.covers(key, &key_after(key)) {
            return Ok(None);
        }
        Err(StateError::NotCovered(Read::Key(key.to_vec())))
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Rows, StateError> {
        if from >= to || limit == 0 {
            return Ok(Vec::new());
        }
        let rows = self
            .shown
            .range::<[u8], _>((Bound::Included(from), Bound::Excluded(to)));
        let rows = rows
            .take(limit)
            .map(|(key, value)| (key.clone(), value.clone()));
        let rows: Rows = rows.collect();
        // A range that is full says nothing about what comes after it.
        let seen_to = match rows.last() {
            Some((last, _)) if rows.len() == limit => key_after(last),
            _ => to.to_vec(),
        };
        if self.covers(from, &seen_to) {
            return Ok(rows);
        }
        let (from, to) = (from.to_vec(), to.to_vec());
        Err(StateError::NotCovered(Read::Range { from, to }))
    }
}
