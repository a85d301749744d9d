use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::ctx::{BlockInfo, Ctx};
use crate::state::{MapState, StateRead};
use crate::struct_key;
use crate::types::Address;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Id {
    deployment: u64,
    group: u32,
}
struct_key!(Id {
    deployment: u64,
    group: u32
});
impl KeyPrefix<Id> for u64 {}

fn encoded<K: KeyCodec>(key: &K) -> Vec<u8> {
    let mut bytes = Vec::new();
    key.encode(&mut bytes);
    bytes
}

/// Same order, same width (so no key is a prefix of another), and readable.
fn behaves<K: KeyCodec + std::fmt::Debug>(one: &K, other: &K) {
    let (a, b) = (encoded(one), encoded(other));
    assert_eq!(a.cmp(&b), one.cmp(other), "{one:?} {other:?}");
    assert_eq!(a.len(), K::WIDTH);
    let mut rest = a.as_slice();
    assert_eq!(K::decode(&mut rest).as_ref(), Some(one));
    assert!(rest.is_empty());
    for length in 0..a.len() {
        assert_eq!(K::decode(&mut &a[..length]), None);
    }
}

proptest! {
    #[test]
    fn keys_sort_as_their_bytes_and_none_is_a_prefix_of_another(
        a in any::<(u8, u16, u32, u64)>(),
        b in any::<(u8, u16, u32, u64)>(),
        x in any::<(u128, bool, [u8; 3])>(),
        y in any::<(u128, bool, [u8; 3])>(),
    ) {
        behaves(&a, &b);
        behaves(&x, &y);
        behaves(&(a.0, x.1), &(a.0, y.1));
        behaves(&((a.0, b.1), x), &((b.0, a.1), x));
        let id = |parts: (u8, u16, u32, u64)| Id { deployment: parts.3, group: parts.2 };
        behaves(&id(a), &id(b));
        behaves(&Address([a.0; 20]), &Address([b.0; 20]));
    }
}

#[test]
fn a_struct_key_is_the_tuple_of_its_fields() {
    let id = Id {
        deployment: 258,
        group: 7,
    };
    assert_eq!(encoded(&id), encoded(&(258u64, 7u32)));
    assert_eq!(encoded(&id), [0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 7]);
    assert_eq!(bool::decode(&mut [2u8].as_slice()), None);
}

#[test]
fn a_text_is_hashed_before_it_is_a_key() {
    assert_eq!(encoded(&TextKey::of("a")).len(), 32);
    assert_ne!(TextKey::of("a"), TextKey::of("a\0"));
}

const BY_PARITY: Index<Id, u8, bool> =
    Index::new("demo/by_parity", [7, 2], "Values by parity.", |_, value| {
        Some(value % 2 == 1)
    });
const BY_VALUE_IF_SMALL: Index<Id, u8, u8> =
    Index::new("demo/by_value", [7, 3], "Small values.", |_, value| {
        Some(*value).filter(|v| *v < 9)
    });
const VALUES: IndexedMap<Id, u8> = IndexedMap::new(
    "demo/value",
    [7, 1],
    "Values.",
    &[&BY_PARITY, &BY_VALUE_IF_SMALL],
);
const LISTED: &[Prefix] = &[[7, 1], [7, 2], [7, 3], [7, 4]];

#[derive(Clone, Debug)]
enum Step {
    Insert(Id, u8),
    Remove(Id),
}

fn step() -> impl Strategy<Value = Step> {
    let id = (0u64..4, 0u32..4).prop_map(|(deployment, group)| Id { deployment, group });
    prop_oneof![
        2 => (id.clone(), 0u8..16).prop_map(|(id, value)| Step::Insert(id, value)),
        1 => id.prop_map(Step::Remove),
    ]
}

fn apply(ctx: &mut Ctx, model: &mut BTreeMap<Id, u8>, steps: &[Step]) {
    for step in steps {
        match step {
            Step::Insert(id, value) => {
                VALUES.insert(ctx, id, value).unwrap();
                model.insert(id.clone(), *value);
            }
            Step::Remove(id) => {
                VALUES.remove(ctx, id).unwrap();
                model.remove(id);
            }
        }
    }
}

/// Everything that can be asked, against a plain map.
fn agrees(ctx: &Ctx, model: &BTreeMap<Id, u8>, limit: usize) {
    let all: Vec<_> = model
        .iter()
        .map(|(id, value)| (id.clone(), *value))
        .collect();
    assert_eq!(VALUES.page(ctx, None, 100).unwrap(), all);
    for (position, (id, value)) in all.iter().enumerate() {
        assert_eq!(VALUES.get(ctx, id).unwrap(), Some(*value));
        let next: Vec<_> = all[position + 1..].iter().take(limit).cloned().collect();
        assert_eq!(VALUES.page(ctx, Some(id), limit).unwrap(), next);
    }
    for deployment in 0..4u64 {
        let of: Vec<_> = all
            .iter()
            .filter(|row| row.0.deployment == deployment)
            .cloned()
            .collect();
        let first: Vec<_> = of.iter().take(limit).cloned().collect();
        assert_eq!(
            VALUES.page_of(ctx, &deployment, None, limit).unwrap(),
            first
        );
        let after = Id {
            deployment,
            group: 1,
        };
        let rest: Vec<_> = of.into_iter().filter(|row| row.0 > after).collect();
        assert_eq!(
            VALUES.page_of(ctx, &deployment, Some(&after), 9).unwrap(),
            rest
        );
    }
    for odd in [false, true] {
        let ids: Vec<_> = all
            .iter()
            .filter(|row| (row.1 % 2 == 1) == odd)
            .map(|row| row.0.clone())
            .collect();
        assert_eq!(BY_PARITY.page_at(ctx, &odd, None, 100).unwrap(), ids);
        if let [first, rest @ ..] = ids.as_slice() {
            assert_eq!(
                BY_PARITY.page_at(ctx, &odd, Some(first), 100).unwrap(),
                rest
            );
        }
    }
    let mut small: Vec<_> = all.iter().map(|(id, value)| (*value, id.clone())).collect();
    small.retain(|(value, _)| *value < 9);
    small.sort();
    assert_eq!(BY_VALUE_IF_SMALL.page(ctx, None, 100).unwrap(), small);
    small.retain(|(value, _)| *value <= 5);
    assert_eq!(BY_VALUE_IF_SMALL.up_to(ctx, &5, 100).unwrap(), small);
    small.truncate(limit);
    assert_eq!(BY_VALUE_IF_SMALL.up_to(ctx, &5, limit).unwrap(), small);
}

proptest! {
    #[test]
    fn maps_and_indexes_agree_with_a_plain_map(
        below in proptest::collection::vec(step(), 0..30),
        above in proptest::collection::vec(step(), 0..30),
        undone in proptest::collection::vec(step(), 0..30),
        limit in 1usize..5,
    ) {
        let block = BlockInfo::default();
        let mut state = MapState::default();
        let mut model = BTreeMap::new();
        let empty = MapState::default();
        let mut ctx = Ctx::new(&empty, &block, LISTED);
        apply(&mut ctx, &mut model, &below);
        state.apply(ctx.finish().writes);

        let mut ctx = Ctx::new(&state, &block, LISTED);
        apply(&mut ctx, &mut model, &above);
        let failed: Result<()> = ctx.atomic(|ctx| {
            apply(ctx, &mut model.clone(), &undone);
            Err(RuntimeError::MalformedCall.into())
        });
        prop_assert!(failed.is_err());
        agrees(&ctx, &model, limit);
        state.apply(ctx.finish().writes);
        agrees(&Ctx::new(&state, &block, LISTED), &model, limit);
    }
}

#[test]
fn an_item_holds_one_value() {
    const NUMBER: Item<u64> = Item::new("demo/number", [7, 4], "A number.");
    let (state, block) = (MapState::default(), BlockInfo::default());
    let mut ctx = Ctx::new(&state, &block, LISTED);
    assert_eq!(NUMBER.get(&ctx).unwrap(), None);
    assert_eq!(NUMBER.get_or_default(&ctx).unwrap(), 0);
    NUMBER.set(&mut ctx, &5).unwrap();
    assert_eq!(NUMBER.get(&ctx).unwrap(), Some(5));
    NUMBER.remove(&mut ctx).unwrap();
    assert_eq!(NUMBER.get(&ctx).unwrap(), None);
    NUMBER.set(&mut ctx, &6).unwrap();
    let writes = ctx.finish().writes;
    assert_eq!(
        writes,
        BTreeMap::from([(vec![7, 4], Some(vec![6, 0, 0, 0, 0, 0, 0, 0]))])
    );
}

#[test]
fn a_value_above_64_kib_is_refused() {
    const TEXT: Item<String> = Item::new("demo/text", [7, 4], "A text.");
    let (state, block) = (MapState::default(), BlockInfo::default());
    let mut ctx = Ctx::new(&state, &block, LISTED);
    TEXT.set(&mut ctx, &"a".repeat(65_532)).unwrap();
    let error = TEXT.set(&mut ctx, &"a".repeat(65_533)).unwrap_err();
    assert!(error.is(RuntimeError::ValueTooLarge), "{error}");
}

#[test]
fn damaged_state_stops_everything_and_names_the_item() {
    const NUMBER: Item<u64> = Item::new("demo/number", [7, 4], "A number.");
    let state = MapState(BTreeMap::from([(vec![7, 4], vec![1, 2])]));
    let block = BlockInfo::default();
    let ctx = Ctx::new(&state, &block, LISTED);
    let error = NUMBER.get(&ctx).unwrap_err();
    assert!(error.is(RuntimeError::StateUnavailable));
    assert!(matches!(ctx.sound(), Err(StateError::Broken(_))));
    assert!(error.message.contains("demo/number"), "{error}");
    assert_eq!(state.get(&[7, 4]), Ok(Some(vec![1, 2])));
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "demo/number is written but not in its module's STORAGE list")]
fn writing_an_item_that_is_not_listed_is_caught() {
    const NUMBER: Item<u64> = Item::new("demo/number", [7, 9], "A number.");
    let (state, block) = (MapState::default(), BlockInfo::default());
    let mut ctx = Ctx::new(&state, &block, LISTED);
    let _ = NUMBER.set(&mut ctx, &5);
}
