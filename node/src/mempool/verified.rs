//! Which signatures were found right, so that each is verified once on its way from the wire
//! through the mempool into a block.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use welkin_runtime::Hash;
use welkin_runtime::execute::SignatureCache;

/// Ids of a generation. Two are kept: some 5 MiB in all.
const GENERATION: usize = 32_768;

/// Ids of transactions that are signed well. Old ones are forgotten a generation at a time; to
/// forget costs one verification, nothing else.
#[derive(Debug, Default)]
pub struct Verified {
    ids: Mutex<Generations>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashSet<Hash>,
    old: HashSet<Hash>,
}

impl Verified {
    fn ids(&self) -> MutexGuard<'_, Generations> {
        // Nothing under this lock can leave the sets half changed.
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SignatureCache for Verified {
    fn contains(&self, id: &Hash) -> bool {
        let ids = self.ids();
        ids.young.contains(id) || ids.old.contains(id)
    }

    fn insert(&self, id: Hash) {
        let mut ids = self.ids();
        if ids.young.len() >= GENERATION {
            ids.old = std::mem::take(&mut ids.young);
        }
        ids.young.insert(id);
    }
}

/// Takes every signature for right: for the checks that come before the signature's.
pub struct Unjudged;

impl SignatureCache for Unjudged {
    fn contains(&self, _id: &Hash) -> bool {
        true
    }

    fn insert(&self, _id: Hash) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Hash {
        welkin_runtime::crypto::sha256(&number.to_le_bytes())
    }

    #[test]
    fn the_newest_generation_is_remembered_and_the_oldest_forgotten() {
        let verified = Verified::default();
        (0..3 * GENERATION).for_each(|number| verified.insert(id(number)));
        assert!(verified.contains(&id(3 * GENERATION - 1)));
        assert!(verified.contains(&id(2 * GENERATION)));
        assert!(!verified.contains(&id(0)));
    }
}
