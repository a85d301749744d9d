//! Shapes of the trie that random keys seldom have, and input that is refused.

use super::super::{Extent, TreeError, load, update};
use super::*;
use crate::store::Batch;

fn put_all(keys: impl IntoIterator<Item = Vec<u8>>) -> Writes {
    keys.into_iter().map(|key| (key, Some(vec![7]))).collect()
}

fn check(writes: &[Writes]) {
    let (tree, store) = empty_tree(5);
    let mut model = Model::new();
    for (version, writes) in (0..).zip(writes) {
        apply(&mut model, writes);
        assert_eq!(commit(&tree, &*store, version, writes), naive_root(&model));
        tree.verify(version, Extent::Full).unwrap();
    }
}

#[test]
fn an_empty_tree_has_the_hash_of_nothing() {
    let (tree, store) = empty_tree(5);
    assert_eq!((tree.newest(), tree.kept()), (None, None));
    assert_eq!(commit(&tree, &*store, 7, &Writes::new()), blake3_hash(b""));
    assert_eq!(tree.kept(), Some(7..=7));
    tree.verify(7, Extent::Full).unwrap();
}

#[test]
fn a_bucket_becomes_a_page_and_a_page_a_bucket() {
    let keys = |range: std::ops::Range<u8>| range.map(|byte| vec![9, byte]);
    let remove = |range| keys(range).map(|key| (key, None)).collect::<Writes>();
    let above = update::SPLIT_ABOVE as u8 + 1;
    check(&[
        put_all(keys(0..above - 1)),
        put_all(keys(above - 1..above)),
        remove(0..above - update::JOIN_UP_TO as u8 - 1),
        remove(0..above - update::JOIN_UP_TO as u8),
        put_all(keys(0..200)),
        remove(16..200),
        remove(0..200),
    ]);
}

#[test]
fn pages_appear_and_vanish_above_others() {
    let deep = |first: u8| (0..100_u8).map(move |last| [&[first; 40][..], &[last]].concat());
    let shallow = |length: usize, byte: u8| [&vec![8; length][..], &[byte]].concat();
    let gone = |keys: Writes| keys.into_keys().map(|key| (key, None)).collect::<Writes>();
    check(&[
        put_all(deep(8)),
        put_all([shallow(20, 0x90)]),
        put_all([shallow(21, 0x09), shallow(3, 0x88)]),
        put_all([vec![0x80]]),
        gone(put_all([shallow(20, 0x90), vec![0x80]])),
        put_all(deep(9)),
        gone(put_all(deep(8))),
        gone(put_all([shallow(21, 0x09), shallow(3, 0x88)])),
    ]);
}

#[test]
fn a_change_that_changes_nothing_writes_nothing() {
    let (tree, store) = empty_tree(5);
    let long = vec![5; 60_000];
    let writes = Writes::from([(vec![1, 1], Some(vec![])), (vec![1, 2], Some(long))]);
    let root = commit(&tree, &*store, 0, &writes);
    let mut again = writes.clone();
    again.insert(vec![1, 3], None);
    let (same, batch) = tree.commit(1, &again).unwrap();
    assert_eq!(root, same);
    assert_eq!(
        batch.len(),
        1,
        "the version itself, and nothing else: {batch:?}"
    );
}

#[test]
fn keys_and_values_beyond_the_limits_are_refused_and_nothing_changes() {
    let (tree, store) = empty_tree(5);
    let writes = put_all([vec![1; 128], vec![2, 1], vec![2, 2]]);
    let root = commit(&tree, &*store, 0, &writes);
    let refused = |key: Vec<u8>, value: usize| {
        let writes = Writes::from([(vec![2, 1], Some(vec![1])), (key, Some(vec![0; value]))]);
        tree.commit(1, &writes).unwrap_err()
    };
    assert_eq!(refused(vec![], 0), TreeError::KeyLength(0));
    assert_eq!(refused(vec![1; 129], 0), TreeError::KeyLength(129));
    assert_eq!(refused(vec![3], 65_537), TreeError::ValueLength(65_537));
    assert!(
        matches!(refused(vec![2], 0), TreeError::NotPrefixFree(_)),
        "below other keys"
    );
    assert!(
        matches!(refused(vec![2, 1, 0], 0), TreeError::NotPrefixFree(_)),
        "above another key"
    );
    assert_eq!(
        tree.commit(2, &writes).unwrap_err(),
        TreeError::NotNext {
            given: 2,
            newest: 0
        }
    );
    assert_eq!(
        tree.commit(0, &writes).unwrap_err(),
        TreeError::NotNext {
            given: 0,
            newest: 0
        }
    );
    assert_eq!((tree.newest(), tree.root(0)), (Some(0), Ok(root)));
    tree.verify(0, Extent::Full).unwrap();
}

#[test]
fn a_key_that_ends_where_others_go_on_is_refused_at_every_depth() {
    let (tree, store) = empty_tree(5);
    let mut keys: Vec<Vec<u8>> = Vec::new();
    for first in 0..3_u8 {
        keys.extend((0..=255).map(|last| vec![first, 9, 9, last, 1]));
    }
    commit(&tree, &*store, 0, &put_all(keys.clone()));
    for length in 1..5 {
        let error = tree
            .commit(1, &put_all([keys[300][..length].to_vec()]))
            .unwrap_err();
        assert!(
            matches!(error, TreeError::NotPrefixFree(_)),
            "{length} bytes: {error}"
        );
    }
    let longer = [&keys[300][..], &[0]].concat();
    assert!(matches!(
        tree.commit(1, &put_all([longer])),
        Err(TreeError::NotPrefixFree(_))
    ));
}

#[test]
fn verification_finds_every_kind_of_damage() {
    let (tree, store) = empty_tree(3);
    let mut dice = Dice(3);
    let mut model = Model::new();
    for version in 0..6 {
        let mut writes = random_writes(&mut dice, &model);
        writes.extend(put_all((0..100_u8).map(|byte| vec![1, byte])));
        writes.insert(vec![2, 0, 0, 0, 0, 0, 0, 0, 0, 9], Some(vec![9; 9_000]));
        apply(&mut model, &writes);
        commit(&tree, &*store, version, &writes);
    }
    let sound = crate::store::conformance::contents(&*store);
    let extra = (super::super::layout::value(&[0xfe, 1]), vec![0, 1]);
    for (key, record) in sound.iter().chain([(&extra.0, &extra.1)]) {
        if key[1] == b'u' || key[1] == b'r' {
            continue;
        }
        let mut damaged = sound.clone();
        if sound.contains_key(key) && dice.below(2) == 0 {
            damaged.remove(key);
        } else {
            let mut record = record.clone();
            let at = dice.below(record.len() as u64) as usize;
            record[at] ^= if sound.contains_key(key) {
                1 << dice.below(8)
            } else {
                0
            };
            damaged.insert(key.clone(), record);
        }
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let mut batch = Batch::default();
        damaged
            .into_iter()
            .for_each(|(key, record)| batch.put(key, record));
        store.commit(batch, 5).unwrap();
        let tree = StateTree::open(store, config(3)).unwrap();
        let result = tree.verify(5, Extent::Full);
        assert!(
            matches!(result, Err(TreeError::Damaged(_))),
            "{}: {result:?}",
            hex::encode(key)
        );
    }
}

#[test]
fn a_whole_state_is_loaded_into_an_empty_store() {
    let mut model = Model::new();
    let mut dice = Dice(8);
    // More than one part.
    while model.len() < 2 * load::PART_PAIRS {
        model.insert(random_key(&mut dice), dice.bytes(3));
        model.insert(
            [&[5][..], &dice.bytes(10)].concat(),
            random_value(&mut dice),
        );
    }
    let root = naive_root(&model);
    let rows = || model.clone().into_iter().map(Ok::<_, TreeError>);
    let empty = || Arc::new(MemoryStore::new()) as Arc<dyn Store>;
    let tree = StateTree::load(empty(), config(3), 17, root, rows()).unwrap();
    assert_eq!((tree.kept(), tree.root(17)), (Some(17..=17), Ok(root)));
    tree.verify(17, Extent::Full).unwrap();

    let store = empty();
    let fewer = rows().skip(1);
    let result = StateTree::load(Arc::clone(&store), config(3), 17, root, fewer);
    assert!(
        matches!(result.err(), Some(TreeError::Damaged(_))),
        "another root"
    );
    let again = StateTree::load(Arc::clone(&store), config(3), 17, root, rows());
    assert!(
        matches!(again.err(), Some(TreeError::Damaged(_))),
        "not an empty store"
    );
    assert!(matches!(
        StateTree::open(store, config(3)).err(),
        Some(TreeError::Damaged(_))
    ));
}
