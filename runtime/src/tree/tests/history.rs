//! Random histories.

use std::collections::VecDeque;

use super::super::{Extent, TreeError};
use super::*;
use crate::state::{StateError, StateRead};
use crate::store::Batch;

/// A tree, the batches that have not reached its store yet, and what every version should hold.
struct Trial {
    dice: Dice,
    keep: usize,
    store: Arc<MemoryStore>,
    tree: StateTree,
    waiting: VecDeque<(u64, Batch)>,
    versions: Vec<Model>,
    roots: Vec<Hash>,
}

impl Trial {
    fn new(seed: u64) -> Trial {
        let mut dice = Dice(seed);
        let keep = 1 + dice.below(12) as usize;
        let store = Arc::new(MemoryStore::new());
        let tree = open(&store, keep);
        Trial {
            dice,
            keep,
            store,
            tree,
            waiting: VecDeque::new(),
            versions: vec![],
            roots: vec![],
        }
    }

    fn step(&mut self) {
        let version = self.versions.len() as u64;
        let mut model = self.versions.last().cloned().unwrap_or_default();
        let writes = random_writes(&mut self.dice, &model);
        apply(&mut model, &writes);
        let (root, batch) = self.tree.commit(version, &writes).unwrap();
        assert_eq!(root, naive_root(&model), "the root of version {version}");
        self.roots.push(root);
        self.waiting.push_back((version, batch));
        self.versions.push(model);
        match self.dice.below(12) {
            0..7 => self.write_waiting(1),
            7..9 => self.write_waiting(self.waiting.len()),
            9 => self.reopen(),
            10 => self.cut_power(),
            11 => self.store.sync().unwrap(),
            _ => {}
        }
    }

    /// Writes so many waiting batches, as one.
    fn write_waiting(&mut self, count: usize) {
        let mut joined = Batch::default();
        let mut height = None;
        for (version, batch) in self.waiting.drain(..count.min(self.waiting.len())) {
            joined.append(batch);
            height = Some(version);
        }
        if let Some(height) = height {
            self.store.commit(joined, height).unwrap();
            self.tree.applied(height);
        }
    }

    fn reopen(&mut self) {
        self.write_waiting(self.waiting.len());
        self.tree = open(&self.store, self.keep);
        self.tree
            .verify(self.tree.newest().unwrap(), Extent::Full)
            .unwrap();
    }

    /// What waited or was not synced is lost; the versions come again from elsewhere.
    fn cut_power(&mut self) {
        self.waiting.clear();
        self.store.cut_power();
        self.tree = open(&self.store, self.keep);
        let newest = self.tree.newest();
        let left = newest.map_or(0, |newest| newest as usize + 1);
        self.versions.truncate(left);
        self.roots.truncate(left);
        if let Some(newest) = newest {
            self.tree.verify(newest, Extent::Full).unwrap();
        }
    }

    fn check(&mut self) {
        let newest = self.versions.len() as u64;
        let Some(newest) = newest.checked_sub(1) else {
            return;
        };
        assert_eq!(self.tree.newest(), Some(newest));
        let kept = self.tree.kept().unwrap();
        assert!(newest - kept.start() < self.keep as u64);
        if let Some(gone) = kept.start().checked_sub(1) {
            assert_eq!(self.tree.root(gone), Err(TreeError::UnknownVersion(gone)));
        }
        for version in kept {
            let model = &self.versions[version as usize];
            let view = self.tree.view(version).unwrap();
            assert_eq!(view.root(), self.roots[version as usize]);
            assert_eq!(view.count(), model.len() as u64);
            for _ in 0..4 {
                let key = random_key(&mut self.dice);
                assert_eq!(view.get(&key).unwrap().as_ref(), model.get(&key));
                let (from, to) = (random_key(&mut self.dice), random_key(&mut self.dice));
                let limit = self.dice.below(40) as usize;
                let rows = StateRead::range(&view, &from, &to, limit).unwrap();
                assert_eq!(rows, naive_range(model, &from, &to, limit));
            }
        }
    }
}

fn open(store: &Arc<MemoryStore>, keep: usize) -> StateTree {
    StateTree::open(Arc::clone(store) as Arc<dyn Store>, config(keep)).unwrap()
}

fn naive_range(model: &Model, from: &[u8], to: &[u8], limit: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
    let inside = model
        .iter()
        .filter(|(key, _)| key.as_slice() >= from && key.as_slice() < to);
    inside
        .take(limit)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[test]
fn random_histories_agree_with_the_model_at_every_kept_version() {
    for seed in 0..8 {
        let mut trial = Trial::new(seed);
        for _ in 0..50 {
            trial.step();
            trial.check();
        }
    }
}

#[test]
fn every_version_of_a_history_verifies_in_full() {
    let mut trial = Trial::new(99);
    for _ in 0..40 {
        trial.step();
        for version in trial.tree.kept().into_iter().flatten() {
            trial.tree.verify(version, Extent::Full).unwrap();
            trial
                .tree
                .verify(
                    version,
                    Extent::OneIn {
                        buckets: 3,
                        first: 1,
                    },
                )
                .unwrap();
        }
    }
}

#[test]
fn the_store_holds_nothing_of_versions_that_were_pruned() {
    let (tree, store) = empty_tree(3);
    let mut dice = Dice(5);
    let mut model = Model::new();
    for version in 0..40 {
        let writes = random_writes(&mut dice, &model);
        apply(&mut model, &writes);
        commit(&tree, &*store, version, &writes);
    }
    let doomed: Writes = model.keys().map(|key| (key.clone(), None)).collect();
    commit(&tree, &*store, 40, &doomed);
    for version in 41..45 {
        commit(&tree, &*store, version, &Writes::new());
    }
    let left: Vec<Vec<u8>> = crate::store::conformance::contents(&*store)
        .into_keys()
        .collect();
    let roots = (42..45).map(super::super::layout::root);
    assert_eq!(
        left,
        roots.collect::<Vec<_>>(),
        "an empty tree keeps its versions and nothing else"
    );
}

#[test]
fn a_view_of_a_version_that_is_gone_says_so() {
    let (tree, store) = empty_tree(2);
    let put = |value: u8| Writes::from([(vec![1, 1], Some(vec![value]))]);
    commit(&tree, &*store, 0, &put(0));
    let view = tree.view(0).unwrap();
    commit(&tree, &*store, 1, &put(1));
    assert_eq!(view.get(&[1, 1]), Ok(Some(vec![0])), "one version back");
    commit(&tree, &*store, 2, &put(2));
    assert_eq!(view.get(&[1, 1]), Err(TreeError::UnknownVersion(0)));
    let error = StateRead::range(&view, &[0], &[9], 9).unwrap_err();
    assert_eq!(error, StateError::UnknownVersion(0));
}
