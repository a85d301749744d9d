use super::proposer::tests::named;
use super::*;
use crate::types::PublicKey;
use proptest::collection::vec;
use proptest::prelude::*;

/// Names and powers.
type Members<'a> = &'a [(&'a str, u64)];

/// A new set of validators with addresses of their own choosing.
fn set_of(members: Members) -> ValidatorSet {
    let members = members
        .iter()
        .map(|(name, power)| named(name.as_bytes(), *power))
        .collect();
    let (mut validators, total_voting_power) = merge(&[], members).unwrap();
    let chosen = proposer::increment(&mut validators, total_voting_power, 1);
    let proposer = validators[chosen].clone();
    ValidatorSet {
        validators,
        proposer,
        total_voting_power,
    }
}

fn name(validator: &Validator) -> String {
    String::from_utf8_lossy(&validator.address.0)
        .trim_end_matches('\0')
        .to_owned()
}

/// Merges changes by name into a set of such validators, and returns names and powers.
fn changed(start: &[(&str, u64)], changes: &[(&str, u64)]) -> Result<Vec<(String, u64)>, Invalid> {
    let changes = changes
        .iter()
        .map(|(name, power)| named(name.as_bytes(), *power))
        .collect();
    let (members, total) = merge(&set_of(start).validators, changes)?;
    let centred: i64 = members.iter().map(|v| v.proposer_priority).sum();
    assert!(
        centred.unsigned_abs() < members.len() as u64,
        "priorities are not centred"
    );
    assert_eq!(total, members.iter().map(|v| v.voting_power).sum::<u64>());
    Ok(members.iter().map(|v| (name(v), v.voting_power)).collect())
}

#[test]
fn proposers_follow_each_other_as_in_test_proposer_selection_1() {
    let mut set = set_of(&[("foo", 1000), ("bar", 300), ("baz", 330)]);
    let mut proposers = Vec::new();
    for _ in 0..99 {
        proposers.push(name(set.proposer()));
        set.increment_proposer_priority(1);
    }
    let expected = "foo baz foo bar foo foo baz foo bar foo foo baz foo foo bar foo baz foo foo bar \
        foo foo baz foo bar foo foo baz foo bar foo foo baz foo foo bar foo baz foo foo bar \
        foo baz foo foo bar foo baz foo foo bar foo baz foo foo foo baz bar foo foo foo baz \
        foo bar foo foo baz foo bar foo foo baz foo bar foo foo baz foo bar foo foo baz foo \
        foo bar foo baz foo foo bar foo baz foo foo bar foo baz foo foo";
    assert_eq!(proposers.join(" "), expected);
}

#[test]
fn proposers_follow_each_other_as_in_test_proposer_selection_2() {
    let turns = |powers: [u64; 3], count: usize| {
        let mut set = set_of(&[("a", powers[0]), ("b", powers[1]), ("c", powers[2])]);
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(name(set.proposer()));
            set.increment_proposer_priority(1);
        }
        names
    };
    assert_eq!(turns([100, 100, 100], 6), ["a", "b", "c", "a", "b", "c"]);
    assert_eq!(
        turns([100, 100, 400], 2),
        ["c", "a"],
        "not enough for twice in a row"
    );
    assert_eq!(
        turns([100, 100, 401], 3),
        ["c", "c", "a"],
        "enough for twice in a row"
    );
    let many = turns([4, 5, 3], 120);
    let count = |name| many.iter().filter(|n| *n == name).count();
    assert_eq!([count("a"), count("b"), count("c")], [40, 50, 30]);
}

#[test]
fn changes_give_the_sets_of_test_val_set_updates() {
    let cases: [(Members, Members, Members); 6] = [
        (&[("v1", 10), ("v2", 10)], &[], &[("v1", 10), ("v2", 10)]),
        (
            &[("v1", 10), ("v2", 10)],
            &[("v2", 22), ("v1", 11)],
            &[("v2", 22), ("v1", 11)],
        ),
        (
            &[("v2", 20), ("v1", 10)],
            &[("v4", 40), ("v3", 30)],
            &[("v4", 40), ("v3", 30), ("v2", 20), ("v1", 10)],
        ),
        (
            &[("v3", 20), ("v1", 10)],
            &[("v2", 30)],
            &[("v2", 30), ("v3", 20), ("v1", 10)],
        ),
        (
            &[("v3", 20), ("v2", 10)],
            &[("v1", 30)],
            &[("v1", 30), ("v3", 20), ("v2", 10)],
        ),
        (
            &[("v3", 30), ("v2", 20), ("v1", 10)],
            &[("v2", 0)],
            &[("v3", 30), ("v1", 10)],
        ),
    ];
    for (start, changes, expected) in cases {
        let expected: Vec<_> = expected
            .iter()
            .map(|(n, p)| ((*n).to_owned(), *p))
            .collect();
        assert_eq!(
            changed(start, changes).unwrap(),
            expected,
            "{start:?} {changes:?}"
        );
    }
}

#[test]
fn impossible_changes_are_refused_as_in_test_val_set_updates() {
    const MAX: u64 = MAX_TOTAL_VOTING_POWER;
    let two: Members = &[("v1", 10), ("v2", 10)];
    let cases: [(Members, Members); 13] = [
        (two, &[("v1", 11), ("v1", 22)]),
        (two, &[("v1", 11), ("v2", 22), ("v1", 12)]),
        (two, &[("v1", 0), ("v1", 0)]),
        (two, &[("v1", 0), ("v2", 20), ("v1", 30)]),
        (two, &[("v1", i64::MAX as u64)]),
        (two, &[("v2", u64::MAX)]),
        (&[("v1", MAX)], &[("v2", MAX)]),
        (&[("v1", MAX - 1)], &[("v2", 5)]),
        (&[("v1", MAX / 3), ("v2", MAX / 3)], &[("v3", MAX / 2)]),
        (two, &[("v3", 0)]),
        (two, &[("v1", 0), ("v2", 0)]),
        (two, &[("v1", 0), ("v2", 0), ("v3", 0)]),
        (&[("v1", MAX)], &[("v1", 0)]),
    ];
    for (start, changes) in cases {
        assert!(changed(start, changes).is_err(), "{start:?} {changes:?}");
    }
}

#[test]
fn removals_make_room_for_additions() {
    const MAX: u64 = MAX_TOTAL_VOTING_POWER;
    let start = [("v1", MAX - 10), ("v2", 10)];
    let after = changed(&start, &[("v1", 0), ("v3", MAX - 10)]).unwrap();
    assert_eq!(after, [("v3".to_owned(), MAX - 10), ("v2".to_owned(), 10)]);
}

fn update(seed: u8, power: u64) -> ValidatorUpdate {
    ValidatorUpdate {
        public_key: PublicKey([seed; 32]),
        power,
    }
}

#[test]
fn a_failed_update_changes_nothing_and_a_removed_proposer_is_replaced() {
    let mut set = ValidatorSet::new(&[update(1, 10), update(2, 20)]).unwrap();
    let before = set.clone();
    assert!(set.update(&[update(1, 5), update(9, 0)]).is_err());
    assert_eq!(set, before);
    let gone = set.proposer().public_key;
    set.update(&[ValidatorUpdate {
        public_key: gone,
        power: 0,
    }])
    .unwrap();
    assert_eq!(set.proposer(), &set.validators()[0]);
}

#[test]
fn forged_sets_are_refused() {
    let genuine = ValidatorSet::new(&[update(1, 10), update(2, 20)]).unwrap();
    let [first, second] = genuine.validators() else {
        panic!("two validators")
    };
    let renamed = Validator {
        address: second.address,
        ..first.clone()
    };
    let cases = [
        vec![],
        vec![first.clone(), first.clone()],
        vec![renamed],
        vec![Validator {
            voting_power: 0,
            ..first.clone()
        }],
        vec![
            Validator {
                voting_power: MAX_TOTAL_VOTING_POWER,
                ..first.clone()
            },
            second.clone(),
        ],
    ];
    for validators in cases {
        assert!(
            ValidatorSet::from_validators(validators.clone(), None).is_err(),
            "{validators:?}"
        );
    }
    let stranger = Some(Validator::new(PublicKey([3; 32]), 1));
    assert!(ValidatorSet::from_validators(genuine.validators().to_vec(), stranger).is_err());
}

proptest! {
    #[test]
    fn the_order_of_changes_does_not_matter(
        start in vec(1..1_000u64, 1..8),
        changes in vec((0..12u8, 1..1_000u64), 1..8),
        turns in 0..30u32,
        rotation in 0..8usize,
    ) {
        let members: Vec<_> = (0..).zip(start).map(|(seed, power)| update(seed, power)).collect();
        let mut one = ValidatorSet::new(&members).unwrap();
        one.increment_proposer_priority(turns);
        let mut other = one.clone();
        let mut changes: Vec<_> = changes.iter().map(|(seed, power)| update(*seed, *power)).collect();
        changes.sort();
        changes.dedup_by_key(|change| change.public_key);
        one.update(&changes).unwrap();
        let middle = rotation % changes.len();
        changes.rotate_left(middle);
        changes.reverse();
        other.update(&changes).unwrap();
        prop_assert_eq!(one, other);
    }

    #[test]
    fn turns_are_proportional_to_power(powers in vec(1..40u64, 1..6)) {
        let members: Vec<_> = (0..).zip(&powers).map(|(seed, power)| update(seed, *power)).collect();
        let mut set = ValidatorSet::new(&members).unwrap();
        let total = set.total_voting_power();
        let mut turns = std::collections::BTreeMap::new();
        for _ in 0..total {
            *turns.entry(set.proposer().address).or_insert(0u64) += 1;
            set.increment_proposer_priority(1);
        }
        for validator in set.validators() {
            let had = turns.get(&validator.address).copied().unwrap_or(0);
            prop_assert!(had.abs_diff(validator.voting_power) <= 1, "{had} turns of {validator:?}");
        }
    }

    #[test]
    fn priorities_stay_in_their_window(
        powers in vec(1..1u64 << 50, 1..6),
        changes in vec((0..8u8, 1..1u64 << 50, 1..20u32), 0..10),
    ) {
        let members: Vec<_> = (0..).zip(&powers).map(|(seed, power)| update(seed, *power)).collect();
        let mut set = ValidatorSet::new(&members).unwrap();
        for (seed, power, turns) in changes {
            set.update(&[update(seed, power)]).unwrap();
            set.increment_proposer_priority(turns);
            let priorities = set.validators().iter().map(|v| i128::from(v.proposer_priority));
            let (low, high) = (priorities.clone().min().unwrap(), priorities.clone().max().unwrap());
            prop_assert!(high - low <= 4 * i128::from(set.total_voting_power()));
            prop_assert!(priorities.sum::<i128>().unsigned_abs() < set.len() as u128);
        }
    }
}
