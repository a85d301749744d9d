use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::state::MapState;

type Plain = BTreeMap<Vec<u8>, Vec<u8>>;

#[derive(Clone, Debug)]
enum Step {
    Put(u8, Option<u8>),
    Open,
    Keep,
    Undo,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..24, proptest::option::of(any::<u8>())).prop_map(|(k, v)| Step::Put(k, v)),
        2 => Just(Step::Open),
        1 => Just(Step::Keep),
        1 => Just(Step::Undo),
    ]
}

/// The naive way: a whole copy for every layer.
struct Model(Vec<Plain>);

impl Model {
    fn step(&mut self, step: &Step) {
        let top = self.0.last().unwrap().clone();
        match step {
            Step::Put(key, Some(value)) => {
                self.0.last_mut().unwrap().insert(vec![*key], vec![*value]);
            }
            Step::Put(key, None) => {
                self.0.last_mut().unwrap().remove(&vec![*key]);
            }
            Step::Open => self.0.push(top),
            Step::Keep if self.0.len() > 1 => {
                self.0.pop();
                *self.0.last_mut().unwrap() = top;
            }
            Step::Undo if self.0.len() > 1 => {
                self.0.pop();
            }
            Step::Keep | Step::Undo => {}
        }
    }
}

proptest! {
    #[test]
    fn layers_agree_with_whole_copies(
        base in proptest::collection::btree_map(0u8..24, any::<u8>(), 0..24),
        steps in proptest::collection::vec(step(), 0..60),
        bounds in (0u8..26, 0u8..26),
        limit in 0usize..8,
    ) {
        let base: Plain = base.into_iter().map(|(key, value)| (vec![key], vec![value])).collect();
        let mut model = Model(vec![base.clone()]);
        let base = MapState(base);
        let mut overlay = Overlay::default();
        let mut marks = Vec::new();
        for step in &steps {
            model.step(step);
            match step {
                Step::Put(key, value) => overlay.put(vec![*key], value.map(|value| vec![value])),
                Step::Open => marks.push(overlay.open()),
                Step::Keep => marks.pop().into_iter().for_each(|mark| overlay.keep(mark)),
                Step::Undo => marks.pop().into_iter().for_each(|mark| overlay.undo(mark)),
            }
            prop_assert_eq!(overlay.depth(), marks.len());
        }
        let top = MapState(model.0.pop().unwrap());
        let (from, to) = ([bounds.0], [bounds.1]);
        prop_assert_eq!(overlay.range(&base, &from, &to, limit), top.range(&from, &to, limit));
        for key in 0..24 {
            let value = match overlay.get(&[key]) {
                Some(written) => written.clone(),
                None => base.get(&[key]).unwrap(),
            };
            prop_assert_eq!(Ok(value), top.get(&[key]));
        }
        if marks.is_empty() {
            prop_assert!(overlay.journal.is_empty());
            let mut after = base;
            after.apply(overlay.into_writes());
            prop_assert_eq!(after, top);
        }
    }
}

/// Counts how often it is asked for a range.
struct Counted(MapState, std::cell::Cell<usize>);

impl StateRead for Counted {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.0.get(key)
    }

    fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>, StateError> {
        self.1.set(self.1.get() + 1);
        self.0.range(from, to, limit)
    }
}

#[test]
fn a_range_that_begins_with_many_removed_rows_takes_few_looks() {
    let base = (0..=255u8).map(|key| (vec![key], vec![key]));
    let base = Counted(MapState(base.collect()), std::cell::Cell::new(0));
    let mut overlay = Overlay::default();
    (0..255u8).for_each(|key| overlay.put(vec![key], None));
    let found = overlay.range(&base, &[0], &[255, 0], 1).unwrap();
    assert_eq!(found, [(vec![255], vec![255])]);
    assert!(base.1.get() <= 9, "{} looks", base.1.get());
}
