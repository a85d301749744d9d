//! Writes that can be undone.
//!
//! One map holds the newest value of every key that the block changed; a journal holds what was
//! there before. Undoing a layer replays its part of the journal backwards, keeping a layer costs
//! nothing, and a read looks in one map however deep the nesting is.

use crate::state::{Pair, StateError, StateRead, Writes, key_after};

/// What a journal entry puts back: the earlier write of that key, or none.
type Earlier = Option<Option<Vec<u8>>>;

#[derive(Default)]
pub(crate) struct Overlay {
    writes: Writes,
    /// Empty while no layer is open.
    journal: Vec<(Vec<u8>, Earlier)>,
    depth: usize,
}

/// The start of a layer. Layers end in the reverse order of their beginning.
pub(crate) struct Mark(usize);

impl Overlay {
    /// The write of `key`, if there is one.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Option<Vec<u8>>> {
        self.writes.get(key)
    }

    /// Writes or, with `None`, removes.
    pub(crate) fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) {
        if self.depth == 0 {
            self.writes.insert(key, value);
            return;
        }
        let earlier = match self.writes.get_mut(&key) {
            Some(current) => Some(std::mem::replace(current, value)),
            None => {
                self.writes.insert(key.clone(), value);
                None
            }
        };
        self.journal.push((key, earlier));
    }

    /// How many layers are open.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Opens a layer.
    pub(crate) fn open(&mut self) -> Mark {
        self.depth += 1;
        Mark(self.journal.len())
    }

    /// Ends the newest layer and keeps its writes.
    pub(crate) fn keep(&mut self, _mark: Mark) {
        self.depth -= 1;
        if self.depth == 0 {
            self.journal.clear();
        }
    }

    /// Ends the newest layer and undoes its writes.
    pub(crate) fn undo(&mut self, mark: Mark) {
        self.depth -= 1;
        while self.journal.len() > mark.0 {
            let Some((key, earlier)) = self.journal.pop() else {
                return;
            };
            match earlier {
                Some(value) => self.writes.insert(key, value),
                None => self.writes.remove(&key),
            };
        }
    }

    /// All writes.
    pub(crate) fn into_writes(self) -> Writes {
        self.writes
    }

    /// The first `limit` pairs of the range as they are after the writes.
    pub(crate) fn range(
        &self,
        base: &dyn StateRead,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<Pair>, StateError> {
        let mut rows = Vec::new();
        let mut start = from.to_vec();
        let mut wanted = limit;
        while rows.len() < limit && start.as_slice() < to {
            let below = base.range(&start, to, wanted)?;
            // A full answer may have more behind it: only what lies before its end is known.
            let next = match below.last() {
                Some((last, _)) if below.len() >= wanted => key_after(last),
                _ => to.to_vec(),
            };
            self.merge(below, &start, &next, &mut rows);
            start = next;
            // What was removed since stands together more often than not, as what was due does: each
            // look is twice as far, and few suffice.
            wanted = wanted.saturating_mul(2);
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// Appends the pairs of `below`, a complete answer for `from..to`, with the writes over it.
    fn merge(&self, below: Vec<Pair>, from: &[u8], to: &[u8], rows: &mut Vec<Pair>) {
        let mut below = below.into_iter().peekable();
        let bounds = (
            std::ops::Bound::Included(from),
            std::ops::Bound::Excluded(to),
        );
        for (key, value) in self.writes.range::<[u8], _>(bounds) {
            while let Some(row) = below.next_if(|(lower, _)| lower < key) {
                rows.push(row);
            }
            below.next_if(|(lower, _)| lower == key);
            if let Some(value) = value {
                rows.push((key.clone(), value.clone()));
            }
        }
        rows.extend(below);
    }
}

#[cfg(test)]
mod tests;
