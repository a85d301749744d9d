//! Checking what the store holds against the root.

use crate::crypto::blake3_hash;

use super::error::TreeError;
use super::hash::{fold, leaf_hash};
use super::page::Slot;
use super::path::Path;
use super::records::View;
use super::update::{JOIN_UP_TO, SPLIT_ABOVE};

/// How much is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every key: what a start after an unclean stop needs. About 2 s a million keys.
    Full,
    /// Every page, and the keys of one bucket in so many, beginning with one that the caller
    /// picks: what every start can afford.
    OneIn {
        /// Of so many buckets one is read; 0 is taken as 1.
        buckets: u64,
        /// How many are passed over before the first.
        first: u64,
    },
}

struct Verifier<'a> {
    view: &'a View<'a>,
    extent: Extent,
    /// How many buckets were met.
    met: u64,
}

/// Checks a version.
pub fn verify(view: &View<'_>, extent: Extent) -> Result<(), TreeError> {
    let mut verifier = Verifier {
        view,
        extent,
        met: 0,
    };
    if let Some(root) = view.root_slot() {
        verifier.slot(&Path::root(), root)?;
    }
    if extent == Extent::Full {
        // All keys that belong there are; so one too many is one that does not.
        let mut count = 0;
        let mut from = Vec::new();
        loop {
            let pairs = view.pairs(&from, &[], 1_000)?;
            let Some((last, _)) = pairs.last() else { break };
            from = crate::state::key_after(last);
            count += pairs.len() as u64;
        }
        if count != view.count() {
            return Err(damaged(
                &Path::root(),
                "there are keys that the root does not know",
            ));
        }
    }
    Ok(())
}

fn damaged(at: &Path, what: &str) -> TreeError {
    TreeError::Damaged(format!(
        "at {}/{}: {what}",
        hex::encode(at.packed()),
        at.nibbles()
    ))
}

impl Verifier<'_> {
    fn slot(&mut self, at: &Path, slot: &Slot) -> Result<(), TreeError> {
        match &slot.page {
            Some(path) => self.page(at, path, slot),
            None => self.bucket(at, slot),
        }
    }

    fn page(&mut self, at: &Path, path: &Path, slot: &Slot) -> Result<(), TreeError> {
        let page = self.view.page(path)?;
        if path.common_nibbles(at.packed()) < at.nibbles() {
            return Err(damaged(at, "a page of another place"));
        }
        if page.count() != slot.count || slot.count <= JOIN_UP_TO {
            return Err(damaged(path, "a page with a wrong number of keys"));
        }
        if page.hash(path) != Some(slot.hash) {
            return Err(damaged(path, "a page with another hash"));
        }
        for (nibble, slot) in page.slots.iter().enumerate() {
            if let Some(slot) = slot {
                self.slot(&path.child(nibble), slot)?;
            }
        }
        Ok(())
    }

    fn bucket(&mut self, at: &Path, slot: &Slot) -> Result<(), TreeError> {
        let index = self.met;
        self.met += 1;
        if let Extent::OneIn { buckets, first } = self.extent
            && (index < first || !(index - first).is_multiple_of(buckets.max(1)))
        {
            return Ok(());
        }
        let (from, to) = at.bounds();
        // One more than there may be is enough to see that there are too many.
        let pairs = self.view.pairs(&from, &to, SPLIT_ABOVE + 1)?;
        if pairs.len() as u64 != slot.count || pairs.len() > SPLIT_ABOVE {
            return Err(damaged(at, "a key is missing, or there is one too many"));
        }
        let leaf = |(key, value): &(Vec<u8>, Vec<u8>)| leaf_hash(key, &blake3_hash(value));
        let leaves: Vec<_> = pairs
            .iter()
            .map(|pair| (pair.0.as_slice(), leaf(pair)))
            .collect();
        if leaves.is_empty() || fold(&leaves) != slot.hash {
            return Err(damaged(at, "values with another hash"));
        }
        Ok(())
    }
}
