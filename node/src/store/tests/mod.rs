//! Both stores under the runtime's suite, and what only stores with a folder can get wrong.

mod power;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use welkin_runtime::store::conformance::{Dice, Subject, contents, run};
use welkin_runtime::store::{Batch, MemoryStore, Store, StoreError};
use welkin_runtime::tree::{StateTree, TreeConfig};

use super::*;

const ENGINES: [Engine; 2] = [Engine::Sled, Engine::Redb];

fn config(engine: Engine) -> StoreConfig {
    StoreConfig {
        engine,
        cache_bytes: 4 << 20,
        min_free_bytes: 0,
    }
}

fn open_in(folder: &Path, engine: Engine) -> Opened {
    open(folder, &config(engine)).unwrap()
}

/// A store in files, for which a cut of power is no worse than being killed.
struct InFiles {
    folder: TempDir,
    engine: Engine,
}

impl Subject for InFiles {
    fn open(&mut self) -> Arc<dyn Store> {
        open_in(self.folder.path(), self.engine).store
    }

    fn cut_power(&mut self, store: Arc<dyn Store>, _seed: u64) {
        let image = power::Image::of(self.folder.path());
        drop(store);
        image.write(self.folder.path());
    }
}

#[test]
fn sled_conforms() {
    run(|| InFiles {
        folder: TempDir::new().unwrap(),
        engine: Engine::Sled,
    });
}

#[test]
fn redb_conforms() {
    run(|| InFiles {
        folder: TempDir::new().unwrap(),
        engine: Engine::Redb,
    });
}

fn put(store: &dyn Store, height: u64) {
    let mut batch = Batch::default();
    for key in 0..100_u8 {
        batch.put([key], [height as u8; 200]);
    }
    store.commit(batch, height).unwrap();
}

#[test]
fn how_a_store_was_left_is_known_when_it_is_opened() {
    for engine in ENGINES {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("data/state");
        let opened = open_in(&path, engine);
        assert_eq!(opened.condition, Condition::New);
        put(&*opened.store, 1);
        opened.store.close().unwrap();
        let opened = open_in(&path, engine);
        assert_eq!(opened.condition, Condition::Closed);
        drop(opened);
        let opened = open_in(&path, engine);
        assert_eq!(opened.condition, Condition::Crashed);
        assert_eq!(opened.store.height(), Some(1));
        opened.store.close().unwrap();
        drop(opened);
        erase(&path).unwrap();
        assert_eq!(open_in(&path, engine).condition, Condition::New);
    }
}

#[test]
fn a_store_that_is_in_use_is_left_alone() {
    for engine in ENGINES {
        let folder = TempDir::new().unwrap();
        let first = open_in(folder.path(), engine);
        put(&*first.store, 1);
        let second = open(folder.path(), &config(engine)).map(|opened| opened.condition);
        assert_eq!(second, Err(StoreError::InUse(folder.path().to_owned())));
        put(&*first.store, 2);
        assert_eq!(contents(&*first.store).len(), 100);
    }
}

/// What a store makes of damage is its own affair, and may be silent loss; that it opens is ours.
#[test]
fn a_damaged_store_opens_or_is_set_aside() {
    let mut set_aside = 0;
    for (engine, seed) in ENGINES
        .into_iter()
        .flat_map(|engine| (0..5).map(move |at| (engine, at)))
    {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("state");
        let opened = open_in(&path, engine);
        for height in 0..10 {
            put(&*opened.store, height);
        }
        opened.store.sync().unwrap();
        drop(opened);
        let file = path.join(if engine == Engine::Sled {
            "db"
        } else {
            "state.redb"
        });
        let mut bytes = fs::read(&file).unwrap();
        let mut dice = Dice(seed);
        for _ in 0..2_u32.pow(2 * seed as u32) {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at] ^= 0x55;
        }
        fs::write(&file, bytes).unwrap();

        let opened = open_in(&path, engine);
        match opened.condition {
            Condition::Crashed => assert!(opened.store.height() <= Some(9)),
            Condition::Quarantined(aside) => {
                set_aside += 1;
                assert_eq!(aside, folder.path().join("state.damaged-1"));
                assert!(aside.is_dir());
                assert_eq!(
                    (opened.store.height(), contents(&*opened.store).len()),
                    (None, 0)
                );
            }
            other => panic!("{other:?}"),
        }
        put(&*opened.store, 10);
    }
    assert!(
        set_aside > 0,
        "none of this was damage that a store noticed"
    );
}

/// A store that panics on files that are called `bad`, and fails on those half made.
fn delicate(folder: &Path, _: &StoreConfig) -> Result<MemoryStore, StoreError> {
    assert!(!folder.join("bad").exists(), "these files are bad");
    if folder.join("snap.1.generating").exists() {
        return Err(StoreError::Damaged("half made".into()));
    }
    if folder.join("locked").exists() {
        return Err(StoreError::InUse(folder.to_owned()));
    }
    Ok(MemoryStore::new())
}

#[test]
fn what_cannot_be_opened_is_set_aside_and_what_may_not_be_is_not() {
    let home = TempDir::new().unwrap();
    let path = home.path().join("state");
    let config = config(Engine::Sled);
    let with = |name: &str| {
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(name), b"").unwrap();
        folder::open(&path, &config, delicate).map(|opened| opened.condition)
    };
    assert_eq!(
        with("snap.1.generating"),
        Ok(Condition::Crashed),
        "the second try"
    );
    assert_eq!(with("locked"), Err(StoreError::InUse(path.clone())));
    fs::remove_file(path.join("locked")).unwrap();
    for number in 1..3 {
        let aside = home.path().join(format!("state.damaged-{number}"));
        assert_eq!(with("bad"), Ok(Condition::Quarantined(aside.clone())));
        assert!(aside.join("bad").exists());
    }
}

#[test]
fn a_full_disk_is_said_before_anything_is_touched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("state");
    let config = StoreConfig {
        min_free_bytes: u64::MAX,
        ..StoreConfig::default()
    };
    let error = open(&path, &config)
        .map(|opened| opened.condition)
        .unwrap_err();
    assert!(matches!(error, StoreError::NoRoom { .. }), "{error}");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[test]
fn the_state_tree_runs_on_every_store() {
    let mut roots = Vec::new();
    for engine in ENGINES {
        let folder = TempDir::new().unwrap();
        let opened = open_in(folder.path(), engine);
        let config = TreeConfig {
            keep_versions: 3,
            ..TreeConfig::default()
        };
        let tree = StateTree::open(Arc::clone(&opened.store), config.clone()).unwrap();
        for version in 0..10_u8 {
            let key = |at: u8| vec![1, at.wrapping_mul(version + 1), 0];
            let writes = (0..200).map(|at| (key(at), Some(vec![version; 100 + usize::from(at)])));
            let (root, batch) = tree.commit(version.into(), &writes.collect()).unwrap();
            opened.store.commit(batch, version.into()).unwrap();
            tree.applied(version.into());
            roots.push(root);
        }
        opened.store.close().unwrap();
        drop((opened, tree));
        let tree = StateTree::open(open_in(folder.path(), engine).store, config).unwrap();
        assert_eq!(tree.kept(), Some(7..=9));
        for version in 7..=9 {
            tree.verify(version, welkin_runtime::tree::Extent::Full)
                .unwrap();
        }
    }
    assert_eq!(roots[..10], roots[10..]);
}
