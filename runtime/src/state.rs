//! Reading state: the one trait that a full state, a proven part of it and a recorder share.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use borsh::{BorshDeserialize, BorshSerialize};

/// The longest key in bytes, index entries included.
pub const MAX_KEY_BYTES: usize = 128;

/// The largest value in bytes.
pub const MAX_VALUE_BYTES: usize = 64 * 1024;

/// What a block, a call or a genesis changes: a key with its new value, or `None` where it is
/// removed.
pub type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// A key with its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// Why state cannot be read. Neither is the fault of a transaction, so neither may decide one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The proof at hand does not reach this key or range: ask for one that does.
    #[error("the proof does not cover {0}")]
    NotCovered(Read),
    /// That version of the state is not kept: ask for another.
    #[error("state version {0} is not kept")]
    UnknownVersion(u64),
    /// What was read is damaged or cannot be read at all: stop.
    #[error("state cannot be read: {0}")]
    Broken(String),
}

/// State at one moment, ordered by raw key.
pub trait StateRead {
    /// The value under `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError>;

    /// The first `limit` pairs with `from <= key < to`, in the order of their keys.
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError>;
}

/// One reading of state, as a witness has to cover it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[derive(BorshSerialize, BorshDeserialize)]
pub enum Read {
    /// One key, present or absent.
    Key(Vec<u8>),
    /// All keys with `from <= key < to`.
    Range {
        /// The first key of the range.
        from: Vec<u8>,
        /// The first key after the range.
        to: Vec<u8>,
    },
}

impl std::fmt::Display for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Read::Key(key) => write!(f, "key {}", hex::encode(key)),
            Read::Range { from, to } => {
                write!(f, "range {}..{}", hex::encode(from), hex::encode(to))
            }
        }
    }
}

/// Passes reads on and remembers them, so that a proof can be made of exactly what a query saw.
pub struct Recorder<'a> {
    state: &'a dyn StateRead,
    reads: RefCell<BTreeSet<Read>>,
}

impl<'a> Recorder<'a> {
    /// A recorder in front of `state`.
    pub fn new(state: &'a dyn StateRead) -> Self {
        Recorder {
            state,
            reads: RefCell::default(),
        }
    }

    /// What was read, without repetition, in order.
    pub fn into_reads(self) -> Vec<Read> {
        self.reads.into_inner().into_iter().collect()
    }
}

impl StateRead for Recorder<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.reads.borrow_mut().insert(Read::Key(key.to_vec()));
        self.state.get(key)
    }

    /// A range that stopped at its limit was looked at only up to its last key.
    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
        let rows = self.state.range(from, to, limit)?;
        let seen_to = match rows.last() {
            Some((last, _)) if rows.len() >= limit => key_after(last),
            _ => to.to_vec(),
        };
        if limit > 0 && from < seen_to.as_slice() {
            self.reads.borrow_mut().insert(Read::Range {
                from: from.to_vec(),
                to: seen_to,
            });
        }
        Ok(rows)
    }
}

/// The smallest key above `key`.
pub fn key_after(key: &[u8]) -> Vec<u8> {
    let mut after = Vec::with_capacity(key.len() + 1);
    after.extend_from_slice(key);
    after.push(0);
    after
}

/// The smallest key above everything that starts with `prefix`; empty when there is none, which is
/// so only for a prefix of nothing but `0xff`.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// State in a plain map: the naive model in tests, and the state of simulations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MapState(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl MapState {
    /// Makes the changes of a block.
    pub fn apply(&mut self, writes: Writes) {
        for (key, value) in writes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }
}

impl StateRead for MapState {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let rows = self.0.range(from.to_vec()..to.to_vec()).take(limit);
        Ok(rows
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }
}

#[cfg(test)]
mod tests;
