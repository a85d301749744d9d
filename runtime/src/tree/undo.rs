//! What a version replaced: the way back to the version before it.

use std::collections::BTreeMap;

use crate::store::{MAX_VALUE_BYTES, Store};

use super::error::TreeError;
use super::layout;

/// Records by key, each as it was before, `None` where there was none. Slots of pages stand by
/// themselves here ([`layout::slot`]), so that a page with one change costs one slot.
pub type Replaced = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What one version replaced, in memory or in the store.
#[derive(Debug)]
pub struct Undo {
    version: u64,
    /// The first key in each of the parts in the store.
    parts: Vec<Vec<u8>>,
    /// Everything, as long as the version is young.
    memory: Option<Replaced>,
    size_bytes: usize,
}

impl Undo {
    /// What `version` replaced, and the records that keep it.
    pub fn new(version: u64, replaced: Replaced) -> (Undo, Vec<Vec<u8>>) {
        let mut parts = Vec::new();
        let mut records: Vec<Vec<u8>> = Vec::new();
        for (key, old) in &replaced {
            let size = 4 + key.len() + old.as_ref().map_or(0, Vec::len);
            if records
                .last()
                .is_none_or(|record| record.len() + size > MAX_VALUE_BYTES)
            {
                parts.push(key.clone());
                records.push(Vec::with_capacity(MAX_VALUE_BYTES));
            }
            let record = records
                .last_mut()
                .expect("one was just made if there was none");
            encode(key, old.as_deref(), record);
        }
        let size_bytes = records.iter().map(Vec::len).sum();
        (
            Undo {
                version,
                parts,
                memory: Some(replaced),
                size_bytes,
            },
            records,
        )
    }

    /// A version whose parts are all in the store; `records` are these parts in order.
    pub fn stored(version: u64, records: &[Vec<u8>]) -> Result<Undo, TreeError> {
        let first = |record: &Vec<u8>| Ok(decode(record)?.0.0.to_vec());
        let parts = records
            .iter()
            .map(first)
            .collect::<Result<_, TreeError>>()?;
        Ok(Undo {
            version,
            parts,
            memory: None,
            size_bytes: 0,
        })
    }

    /// The same without what is also in the store.
    pub fn without_memory(&self) -> Undo {
        Undo {
            version: self.version,
            parts: self.parts.clone(),
            memory: None,
            size_bytes: 0,
        }
    }

    /// The keys under which its parts are stored.
    pub fn keys(&self) -> impl Iterator<Item = Vec<u8>> {
        (0..)
            .zip(&self.parts)
            .map(|(index, _)| layout::undo(self.version, index))
    }

    /// Roughly how much memory it takes.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// What was under `key` before; the outer `None` says that the version left it alone.
    pub fn get(&self, store: &dyn Store, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, TreeError> {
        if let Some(memory) = &self.memory {
            return Ok(memory.get(key).cloned());
        }
        let after = self.parts.partition_point(|first| first.as_slice() <= key);
        let Some(index) = after.checked_sub(1) else {
            return Ok(None);
        };
        let mut found = None;
        self.part(store, index, &mut |at, old| {
            if at == key {
                found = Some(old.map(<[u8]>::to_vec));
            }
        })?;
        Ok(found)
    }

    /// Shows what was replaced under the keys with `from <= key < to`, in order.
    pub fn range(
        &self,
        store: &dyn Store,
        from: &[u8],
        to: &[u8],
        visit: &mut dyn FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), TreeError> {
        if let Some(memory) = &self.memory {
            for (key, old) in memory.range(from.to_vec()..to.to_vec()) {
                visit(key, old.as_deref());
            }
            return Ok(());
        }
        let first = self
            .parts
            .partition_point(|first| first.as_slice() <= from)
            .saturating_sub(1);
        let end = self.parts.partition_point(|first| first.as_slice() < to);
        for index in first..end {
            self.part(store, index, &mut |key, old| {
                if from <= key && key < to {
                    visit(key, old);
                }
            })?;
        }
        Ok(())
    }

    fn part(
        &self,
        store: &dyn Store,
        index: usize,
        visit: &mut dyn FnMut(&[u8], Option<&[u8]>),
    ) -> Result<(), TreeError> {
        let index = u32::try_from(index).map_err(|_| damaged())?;
        let record = store
            .get(&layout::undo(self.version, index))?
            .ok_or_else(damaged)?;
        let mut rest = record.as_slice();
        while !rest.is_empty() {
            let ((key, old), after) = decode(rest)?;
            visit(key, old);
            rest = after;
        }
        Ok(())
    }
}

fn damaged() -> TreeError {
    TreeError::Damaged("what a version replaced cannot be read".into())
}

/// `u16` length and key, then 0 for nothing, or one more than the length of the record, and it.
fn encode(key: &[u8], old: Option<&[u8]>, record: &mut Vec<u8>) {
    let length = |count: usize| u16::try_from(count).expect("records have at most 3,900 bytes");
    record.extend_from_slice(&length(key.len()).to_be_bytes());
    record.extend_from_slice(key);
    record.extend_from_slice(&old.map_or(0, |old| length(old.len() + 1)).to_be_bytes());
    record.extend_from_slice(old.unwrap_or_default());
}

type Entry<'a> = (&'a [u8], Option<&'a [u8]>);

fn decode(input: &[u8]) -> Result<(Entry<'_>, &[u8]), TreeError> {
    let length = |input: &[u8]| -> Option<usize> {
        Some(usize::from(u16::from_be_bytes(
            input.get(..2)?.try_into().ok()?,
        )))
    };
    let entry = || {
        let (key, rest) = input.get(2..)?.split_at_checked(length(input)?)?;
        let (old, rest) = match length(rest)? {
            0 => (None, rest.get(2..)?),
            more => {
                let (old, rest) = rest.get(2..)?.split_at_checked(more - 1)?;
                (Some(old), rest)
            }
        };
        Some(((key, old), rest))
    };
    entry().ok_or_else(damaged)
}
