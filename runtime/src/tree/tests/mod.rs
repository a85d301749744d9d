//! The tree against a naive model: a map per version, hashed by the definition.

mod golden;
mod history;
mod pipeline;
mod proofs;
mod shapes;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::crypto::blake3_hash;
use crate::state::Writes;
use crate::store::conformance::Dice;
use crate::store::{MemoryStore, Store};
use crate::types::Hash;

use super::{StateTree, TreeConfig};

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// The root by the definition: bit strings as vectors, nothing shared with the tree but BLAKE3.
fn naive_root(model: &Model) -> Hash {
    let bits = |key: &Vec<u8>| -> Vec<u8> {
        key.iter()
            .flat_map(|byte| (0..8).map(move |at| byte >> (7 - at) & 1))
            .collect()
    };
    let leaves: Vec<_> = model
        .iter()
        .map(|(key, value)| (bits(key), key, value))
        .collect();
    if leaves.is_empty() {
        return blake3_hash(b"");
    }
    naive(
        &leaves
            .iter()
            .map(|(bits, key, value)| (bits.as_slice(), *key, *value))
            .collect::<Vec<_>>(),
    )
}

fn naive(leaves: &[(&[u8], &Vec<u8>, &Vec<u8>)]) -> Hash {
    if let [(_, key, value)] = leaves {
        let length = (key.len() as u16).to_be_bytes();
        return blake3_hash(&[&[0], &length[..], key, &blake3_hash(value).0].concat());
    }
    let shared = (0..)
        .find(|at| leaves.iter().any(|leaf| leaf.0[*at] != leaves[0].0[*at]))
        .unwrap();
    let (left, right): (Vec<_>, Vec<_>) = leaves.iter().partition(|leaf| leaf.0[shared] == 0);
    let prefix: Vec<u8> = leaves[0].0[..shared]
        .chunks(8)
        .map(|bits| {
            bits.iter()
                .enumerate()
                .map(|(at, bit)| bit << (7 - at))
                .sum()
        })
        .collect();
    let length = (shared as u16).to_be_bytes();
    blake3_hash(
        &[
            &[1],
            &length[..],
            &prefix,
            &naive(&left).0,
            &naive(&right).0,
        ]
        .concat(),
    )
}

/// A random key. The first byte fixes the length, so no key begins with another. Some kinds are
/// dense, some sparse, some share a hundred bytes.
fn random_key(dice: &mut Dice) -> Vec<u8> {
    match dice.below(6) {
        0 => vec![1, dice.below(256) as u8],
        1 | 2 => [&[2, 0][..], &dice.below(400).to_be_bytes()].concat(),
        3 => [
            &[3, 1][..],
            &blake3_hash(&dice.below(500).to_be_bytes()).0[..20],
        ]
        .concat(),
        4 => [&[4; 120][..], &dice.below(1 << 40).to_be_bytes()].concat(),
        _ => [&[0xff; 100][..], &dice.below(60).to_be_bytes()].concat(),
    }
}

fn random_value(dice: &mut Dice) -> Vec<u8> {
    let size = match dice.below(60) {
        0 => dice.below(64 * 1024 + 1),
        1 => 3_898 + dice.below(4),
        2 => 0,
        _ => dice.below(60),
    };
    let byte = dice.below(256) as u8;
    let mut value = vec![byte; size as usize];
    value.extend(dice.bytes(usize::from(size < 100)));
    value
}

/// Changes of a block: mostly a few, sometimes many, sometimes a whole kind goes away.
fn random_writes(dice: &mut Dice, model: &Model) -> Writes {
    let mut writes = Writes::new();
    let count = match dice.below(10) {
        0 => 0,
        1 => dice.below(400),
        _ => dice.below(30),
    };
    for _ in 0..count {
        let value = random_value(dice);
        writes.insert(random_key(dice), (dice.below(3) > 0).then_some(value));
    }
    if dice.below(8) == 0 {
        let kind = [1, 2, 3, 4, 0xff][dice.below(5) as usize];
        let doomed = model
            .keys()
            .filter(|key| key[0] == kind && dice.below(10) > 0);
        writes.extend(doomed.map(|key| (key.clone(), None)).collect::<Vec<_>>());
    }
    writes
}

fn apply(model: &mut Model, writes: &Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(key),
        };
    }
}

fn config(keep_versions: usize) -> TreeConfig {
    // Caches so small that they are full all the time.
    TreeConfig {
        keep_versions,
        leaf_cache_bytes: 20_000,
        recent_cache_bytes: 20_000,
        undo_cache_bytes: 4_000,
    }
}

/// A tree over memory, and the store below it.
fn empty_tree(keep_versions: usize) -> (StateTree, Arc<dyn Store>) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    (
        StateTree::open(Arc::clone(&store), config(keep_versions)).unwrap(),
        store,
    )
}

/// Commits and applies at once.
fn commit(tree: &StateTree, store: &dyn Store, version: u64, writes: &Writes) -> Hash {
    let (root, batch) = tree.commit(version, writes).unwrap();
    store.commit(batch, version).unwrap();
    tree.applied(version);
    root
}
