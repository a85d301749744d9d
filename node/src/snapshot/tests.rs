use std::path::Path;
use std::sync::Arc;

use welkin_runtime::state::Writes;
use welkin_runtime::store::MemoryStore;
use welkin_runtime::store::conformance::Dice;
use welkin_runtime::tree::Extent;

use super::*;
use crate::disk::{Fault, ModelDisk};

const FOLDER: &str = "/data/snapshots";

fn open(disk: &ModelDisk) -> Snapshots {
    Snapshots::open(Arc::new(disk.clone()), FOLDER, 2).unwrap()
}

fn empty() -> Arc<dyn Store> {
    Arc::new(MemoryStore::new())
}

/// A tree with four versions, some of whose values are long.
fn tree() -> StateTree {
    let store = empty();
    let tree = StateTree::open(Arc::clone(&store), TreeConfig::default()).unwrap();
    let mut dice = Dice(1);
    for version in 0..4 {
        let mut writes = Writes::new();
        for _ in 0..150 {
            let key = [&[1][..], &dice.below(500).to_be_bytes()].concat();
            let size = if dice.below(10) == 0 { 20_000 } else { 30 };
            writes.insert(key, (dice.below(5) > 0).then(|| vec![version as u8; size]));
        }
        let (_, batch) = tree.commit(version, &writes).unwrap();
        store.commit(batch, version).unwrap();
        tree.applied(version);
    }
    tree
}

fn write(snapshots: &Snapshots, tree: &StateTree, version: u64) -> Result<(), SnapshotError> {
    snapshots.write(version, &tree.view(version).unwrap(), &[version as u8; 9])
}

/// Loads a snapshot and compares it with the tree it was made of.
fn check(snapshots: &Snapshots, tree: &StateTree, version: u64) {
    let head = snapshots.head(version).unwrap();
    let root = tree.root(version).unwrap();
    assert_eq!(
        (head.version, head.root, head.attachment),
        (version, root, vec![version as u8; 9])
    );
    let loaded = snapshots
        .load(version, root, empty(), TreeConfig::default())
        .unwrap();
    assert_eq!(loaded.kept(), Some(version..=version));
    loaded.verify(version, Extent::Full).unwrap();
    let all = |tree: &StateTree| tree.range(version, &[], &[2], usize::MAX).unwrap();
    assert_eq!(all(&loaded), all(tree));
}

#[test]
fn a_snapshot_of_any_kept_version_becomes_a_tree_again() {
    let (disk, tree) = (ModelDisk::default(), tree());
    let snapshots = open(&disk);
    for version in 0..4 {
        write(&snapshots, &tree, version).unwrap();
        check(&snapshots, &tree, version);
    }
    assert_eq!(snapshots.versions().unwrap(), [3, 2], "the last two stay");
}

#[test]
fn an_empty_state_has_a_snapshot_too() {
    let disk = ModelDisk::default();
    let tree = StateTree::open(empty(), TreeConfig::default()).unwrap();
    tree.commit(0, &Writes::new()).unwrap();
    write(&open(&disk), &tree, 0).unwrap();
    check(&open(&disk), &tree, 0);
}

#[test]
fn a_power_cut_leaves_whole_snapshots_or_none() {
    let tree = tree();
    for seed in 0..200 {
        let mut dice = Dice(seed);
        let disk = ModelDisk::default();
        let snapshots = open(&disk);
        let done = dice.below(3);
        for version in 0..done {
            write(&snapshots, &tree, version).unwrap();
        }
        // The cut comes in the middle of one more, at a write, a sync or a change of a name.
        disk.fail(
            [Fault::Full, Fault::Write, Fault::Sync][dice.below(3) as usize],
            dice.below(6) as u32,
        );
        let finished = write(&snapshots, &tree, done).is_ok();
        let left = disk.power_cut(dice.below(u64::MAX));
        let snapshots = open(&left);
        let versions = snapshots.versions().unwrap();
        let newest = if finished {
            Some(done)
        } else {
            done.checked_sub(1)
        };
        assert!(
            versions.first().copied() >= newest,
            "seed {seed}: {versions:?}, {newest:?}"
        );
        for version in versions {
            check(&snapshots, &tree, version);
        }
        let names = left.list(Path::new(FOLDER)).unwrap();
        assert!(
            names.iter().all(|name| !name.ends_with(".tmp")),
            "seed {seed}: {names:?}"
        );
    }
}

#[test]
fn damage_is_found_before_a_row_reaches_the_store() {
    let (disk, tree) = (ModelDisk::default(), tree());
    let snapshots = open(&disk);
    write(&snapshots, &tree, 3).unwrap();
    let root = tree.root(3).unwrap();
    let path = snapshots.path(3);
    let sound = disk.bytes(&path).unwrap();
    let mut dice = Dice(5);
    for round in 0..300 {
        disk.damage(&path, |bytes| match round % 3 {
            0 => bytes.truncate(dice.below(sound.len() as u64) as usize),
            1 => bytes.extend(dice.bytes(1 + round % 5)),
            _ => bytes[dice.below(sound.len() as u64) as usize] ^= 1 << dice.below(8),
        });
        let store = Arc::new(MemoryStore::new());
        let result = snapshots.load(3, root, store.clone(), TreeConfig::default());
        assert!(result.is_err(), "round {round}");
        assert_eq!(store.size_bytes(), Ok(0));
        disk.damage(&path, |bytes| *bytes = sound.clone());
    }
    check(&snapshots, &tree, 3);
}

#[test]
fn the_root_is_the_callers_and_not_the_files() {
    let (disk, tree) = (ModelDisk::default(), tree());
    let snapshots = open(&disk);
    write(&snapshots, &tree, 3).unwrap();
    let other = tree.root(2).unwrap();
    let result = snapshots.load(3, other, empty(), TreeConfig::default());
    assert!(matches!(
        result.err(),
        Some(SnapshotError::Tree(TreeError::Damaged(_)))
    ));
    assert!(
        matches!(snapshots.head(2), Err(SnapshotError::Disk(_))),
        "there is none"
    );
}

#[test]
fn a_version_that_is_pruned_meanwhile_leaves_no_file() {
    let disk = ModelDisk::default();
    let snapshots = open(&disk);
    let config = TreeConfig {
        keep_versions: 1,
        ..TreeConfig::default()
    };
    let tree = StateTree::open(empty(), config).unwrap();
    tree.commit(0, &Writes::from([(vec![1], Some(vec![1]))]))
        .unwrap();
    let view = tree.view(0).unwrap();
    tree.commit(1, &Writes::new()).unwrap();
    let result = snapshots.write(0, &view, &[]);
    assert!(matches!(
        result,
        Err(SnapshotError::Tree(TreeError::UnknownVersion(0)))
    ));
    assert!(disk.list(Path::new(FOLDER)).unwrap().is_empty());
}
