//! The suite that every store passes: what it does, and what a crash leaves of it.
//!
//! A store is tested through a [`Subject`], which knows how to open it and how to let the power
//! fail.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Batch, MAX_KEY_BYTES, MAX_VALUE_BYTES, Store, StoreError};

/// A kind of store, at one place.
pub trait Subject {
    /// Opens what is there, or makes it. The store opened before was closed or dropped.
    fn open(&mut self) -> Arc<dyn Store>;

    /// Cuts the power: what was not synced may be lost, in whole or in part, as `seed` has it.
    /// The store opened before has been dropped by everybody else.
    fn cut_power(&mut self, store: Arc<dyn Store>, seed: u64);
}

type Model = BTreeMap<Vec<u8>, Vec<u8>>;

/// Runs the whole suite. `new` makes an empty subject each time.
pub fn run<S: Subject>(mut new: impl FnMut() -> S) {
    it_is_empty_at_first(&mut new());
    a_batch_puts_and_deletes(&mut new());
    the_limits_hold_and_nothing_is_written_beyond_them(&mut new());
    ranges_are_ordered_and_end_where_told(&mut new());
    what_was_closed_is_there_again(&mut new());
    a_random_history_agrees_with_a_map(&mut new());
    readers_see_every_key_that_stays(&mut new());
    for seed in 0..8 {
        a_power_cut_leaves_a_whole_batch(&mut new(), seed);
    }
}

/// Random numbers from a seed (splitmix64), so that every run is the same.
pub struct Dice(pub u64);

impl Dice {
    /// The next number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// So many random bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }

    /// A random batch over a few hundred keys, with values of all sizes.
    fn batch(&mut self) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..1 + self.below(40) {
            let key = [b"key/".as_slice(), &self.below(300).to_be_bytes()[6..]].concat();
            let size = match self.below(20) {
                0 => MAX_VALUE_BYTES as u64,
                1 => 0,
                2..5 => self.below(MAX_VALUE_BYTES as u64),
                _ => self.below(100),
            };
            if self.below(4) == 0 {
                batch.delete(key);
            } else {
                batch.put(key, self.bytes(size as usize));
            }
        }
        batch
    }
}

/// Everything that the store holds.
pub fn contents(store: &dyn Store) -> Model {
    let mut model = Model::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        assert!(
            model.insert(key.to_vec(), value.to_vec()).is_none(),
            "a key came twice"
        );
        ControlFlow::Continue(())
    };
    store
        .range(&[], &[], &mut visit)
        .expect("the store can be read");
    model
}

fn apply(model: &mut Model, batch: &Batch) {
    for (key, value) in batch.iter() {
        match value {
            Some(value) => model.insert(key.to_vec(), value.to_vec()),
            None => model.remove(key),
        };
    }
}

fn keys(store: &dyn Store, from: &[u8], to: &[u8]) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut visit = |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        ControlFlow::Continue(())
    };
    store
        .range(from, to, &mut visit)
        .expect("the store can be read");
    keys
}

fn it_is_empty_at_first(subject: &mut impl Subject) {
    let store = subject.open();
    assert_eq!(store.height(), None);
    assert_eq!(store.get(b"key"), Ok(None));
    assert!(contents(&*store).is_empty());
}

fn a_batch_puts_and_deletes(subject: &mut impl Subject) {
    let store = subject.open();
    let mut batch = Batch::default();
    batch.put(b"a", b"1");
    batch.put(b"b", b"");
    batch.put([0xff; 3], b"last");
    batch.put([0], b"first");
    store.commit(batch, 0).expect("height 0 is a height");
    assert_eq!(store.height(), Some(0));
    assert_eq!(store.get(b"a"), Ok(Some(b"1".to_vec())));
    assert_eq!(
        store.get(b"b"),
        Ok(Some(Vec::new())),
        "an empty value is a value"
    );

    let mut first = Batch::default();
    first.put(b"a", b"2");
    first.put(b"c", b"3");
    let mut second = Batch::default();
    second.delete(b"c");
    second.delete(b"never there");
    second.put(b"b", b"4");
    first.append(second);
    store.commit(first, 7).expect("heights may leap");
    assert_eq!(store.height(), Some(7));
    assert_eq!(store.get(b"a"), Ok(Some(b"2".to_vec())));
    assert_eq!(store.get(b"c"), Ok(None), "the later of two batches wins");
    assert_eq!(keys(&*store, &[], &[]), [&[0][..], b"a", b"b", &[0xff; 3]]);
    store
        .commit(Batch::default(), 8)
        .expect("an empty batch sets the height");
    assert_eq!(store.height(), Some(8));
    assert!(store.size_bytes().is_ok());
}

fn the_limits_hold_and_nothing_is_written_beyond_them(subject: &mut impl Subject) {
    let store = subject.open();
    let mut batch = Batch::default();
    batch.put([1; MAX_KEY_BYTES], [2; MAX_VALUE_BYTES]);
    store
        .commit(batch, 5)
        .expect("the limits themselves are allowed");

    let refused = |key: Vec<u8>, value: Vec<u8>, height| {
        let mut batch = Batch::default();
        batch.put(b"beside", b"");
        batch.put(key, value);
        let result = store.commit(batch, height);
        assert!(matches!(result, Err(StoreError::Refused(_))), "{result:?}");
    };
    refused(vec![1; MAX_KEY_BYTES + 1], Vec::new(), 6);
    refused(Vec::new(), Vec::new(), 6);
    refused(vec![1], vec![2; MAX_VALUE_BYTES + 1], 6);
    refused(vec![1], Vec::new(), 4);
    assert_eq!(store.height(), Some(5));
    assert_eq!(store.get(b"beside"), Ok(None));
    store
        .commit(Batch::default(), 5)
        .expect("a second batch of the same height");
}

fn ranges_are_ordered_and_end_where_told(subject: &mut impl Subject) {
    let store = subject.open();
    let mut batch = Batch::default();
    for key in [&b"a"[..], b"aa", b"ab", b"b", b"c"] {
        batch.put(key, key);
    }
    store.commit(batch, 1).expect("a sound batch");
    assert_eq!(keys(&*store, b"a", b"b"), [&b"a"[..], b"aa", b"ab"]);
    assert_eq!(keys(&*store, b"aa", b"aa"), Vec::<Vec<u8>>::new());
    assert_eq!(keys(&*store, b"b", b"a"), Vec::<Vec<u8>>::new());
    assert_eq!(keys(&*store, b"ab", &[]), [&b"ab"[..], b"b", b"c"]);
    let mut seen = 0;
    let mut visit = |_: &[u8], _: &[u8]| {
        seen += 1;
        if seen == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    store
        .range(b"a", b"z", &mut visit)
        .expect("the store can be read");
    assert_eq!(seen, 2);
}

fn what_was_closed_is_there_again(subject: &mut impl Subject) {
    let store = subject.open();
    let mut batch = Batch::default();
    batch.put(b"a", b"1");
    store.commit(batch, 3).expect("a sound batch");
    store.close().expect("it can be closed");
    assert_eq!(store.get(b"a"), Err(StoreError::Closed));
    assert_eq!(store.commit(Batch::default(), 4), Err(StoreError::Closed));
    assert_eq!(store.sync(), Err(StoreError::Closed));
    assert_eq!(
        store.range(&[], &[], &mut |_, _| ControlFlow::Continue(())),
        Err(StoreError::Closed)
    );
    let again = subject.open();
    assert_eq!(again.height(), Some(3));
    assert_eq!(again.get(b"a"), Ok(Some(b"1".to_vec())));
}

fn a_random_history_agrees_with_a_map(subject: &mut impl Subject) {
    let mut dice = Dice(1);
    let mut model = Model::new();
    let mut store = subject.open();
    for height in 1..=120 {
        let batch = dice.batch();
        apply(&mut model, &batch);
        store.commit(batch, height).expect("a sound batch");
        if dice.below(4) == 0 {
            store.sync().expect("it can be synced");
        }
        if dice.below(30) == 0 {
            store.close().expect("it can be closed");
            drop(store);
            store = subject.open();
        }
        let key = [b"key/".as_slice(), &dice.below(300).to_be_bytes()[6..]].concat();
        assert_eq!(store.get(&key).expect("readable"), model.get(&key).cloned());
        if height % 10 == 0 {
            assert_eq!(contents(&*store), model, "at height {height}");
        }
    }
    assert_eq!(store.height(), Some(120));
}

fn readers_see_every_key_that_stays(subject: &mut impl Subject) {
    let store = subject.open();
    let mut batch = Batch::default();
    for stays in 0..200_u8 {
        batch.put([stays, 1], [stays]);
    }
    store.commit(batch, 1).expect("a sound batch");
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut dice = Dice(2);
            for height in 2..60 {
                let mut batch = Batch::default();
                for _ in 0..50 {
                    let key = [dice.below(200) as u8, 2 + dice.below(3) as u8];
                    if dice.below(2) == 0 {
                        batch.put(key, [0; 300])
                    } else {
                        batch.delete(key)
                    }
                }
                store.commit(batch, height).expect("a sound batch");
            }
        });
        loop {
            let last = writer.is_finished();
            let seen = keys(&*store, &[], &[]);
            assert!(seen.is_sorted(), "the order of the keys");
            assert_eq!(seen.iter().filter(|key| key[1] == 1).count(), 200);
            if last {
                break;
            }
        }
    });
}

/// Everything up to the last sync is there, and of what came after it whole batches, in order.
fn a_power_cut_leaves_a_whole_batch(subject: &mut impl Subject, seed: u64) {
    let mut dice = Dice(seed);
    let mut states = vec![(None, Model::new())];
    let mut store = subject.open();
    for round in 0..6 {
        let mut synced = states.len() - 1;
        for _ in 0..1 + dice.below(12) {
            let (height, mut model) = states[states.len() - 1].clone();
            let height = height.map_or(1, |height: u64| height + 1);
            let batch = dice.batch();
            apply(&mut model, &batch);
            store.commit(batch, height).expect("a sound batch");
            states.push((Some(height), model));
            if dice.below(3) == 0 {
                store.sync().expect("it can be synced");
                synced = states.len() - 1;
            }
        }
        subject.cut_power(store, dice.below(u64::MAX));
        store = subject.open();
        let found = (store.height(), contents(&*store));
        let at = states.iter().position(|state| *state == found);
        let at = at.unwrap_or_else(|| {
            panic!("seed {seed}, round {round}: no state before the cut is like that after it")
        });
        assert!(
            at >= synced,
            "seed {seed}, round {round}: synced batches were lost"
        );
        states.truncate(at + 1);
    }
}
