//! The worked examples of CometBFT's `types/validator_set_test.go`.

use super::*;
use crate::types::{PublicKey, ValidatorAddress};

/// A validator with an address of its own choosing, as CometBFT's tests have them.
pub(in crate::types) fn named(name: &[u8], power: u64) -> Validator {
    let mut address = [0; 20];
    address[..name.len()].copy_from_slice(name);
    Validator {
        address: ValidatorAddress(address),
        public_key: PublicKey([0; 32]),
        voting_power: power,
        proposer_priority: 0,
    }
}

fn with_priorities(priorities: &[i64]) -> Vec<Validator> {
    let validators = (0u8..).zip(priorities).map(|(number, priority)| Validator {
        proposer_priority: *priority,
        ..named(&[b'a' + number], 0)
    });
    validators.collect()
}

fn priorities(validators: &[Validator]) -> Vec<i64> {
    validators
        .iter()
        .map(|validator| validator.proposer_priority)
        .collect()
}

#[test]
fn averages_are_those_of_test_avg_proposer_priority() {
    let cases: [(&[i64], i64); 6] = [
        (&[0, 0, 0], 0),
        (&[i64::MAX, 0, 0], i64::MAX / 3),
        (&[i64::MAX, 0], i64::MAX / 2),
        (&[i64::MAX, i64::MAX], i64::MAX),
        (&[i64::MIN, i64::MIN], i64::MIN),
        (&[-1, 0], -1),
    ];
    for (given, expected) in cases {
        assert_eq!(average(&with_priorities(given)), expected, "{given:?}");
    }
}

#[test]
fn centring_is_that_of_test_averaging_in_increment() {
    let cases: [(&[i64], u32, i64); 3] = [
        (&[1, 2, 3], 1, 2),
        (&[10, -10, 1], 11, 0),
        (&[100, -10, 1], 1, 91 / 3),
    ];
    for (given, times, average) in cases {
        let mut validators = with_priorities(given);
        increment(&mut validators, 0, times);
        let expected: Vec<_> = given.iter().map(|priority| priority - average).collect();
        assert_eq!(priorities(&validators), expected, "{given:?}");
    }
}

#[test]
fn powers_add_up_as_in_test_averaging_with_voting_power() {
    let start = [named(&[0], 10), named(&[1], 1), named(&[2], 1)];
    // After so many turns: the priorities, and whose turn it is.
    let expected: [([i64; 3], usize); 11] = [
        ([-2, 1, 1], 0),
        ([-4, 2, 2], 0),
        ([-6, 3, 3], 0),
        ([-8, 4, 4], 0),
        ([2, -7, 5], 1),
        ([0, -6, 6], 0),
        ([-2, -5, 7], 0),
        ([-4, -4, 8], 0),
        ([6, -3, -3], 2),
        ([4, -2, -2], 0),
        ([2, -1, -1], 0),
    ];
    for (times, (priority, proposer)) in (1..).zip(expected) {
        let mut validators = start.clone();
        assert_eq!(
            increment(&mut validators, 12, times),
            proposer,
            "after {times}"
        );
        assert_eq!(priorities(&validators), priority, "after {times}");
    }
}

#[test]
fn sums_saturate_and_wide_gaps_are_scaled_as_go_would() {
    let mut validators = with_priorities(&[i64::MAX, i64::MIN]);
    validators
        .iter_mut()
        .for_each(|validator| validator.voting_power = 1);
    // Go's difference wraps to -1, so nothing is scaled; the average is -1, and sums are clipped.
    increment(&mut validators, 2, 1);
    assert_eq!(priorities(&validators), [i64::MAX - 2, i64::MIN + 2]);
    assert_eq!(newcomer_priority(1_000), -1_125);

    let mut validators = with_priorities(&[-7, 0, 13]);
    rescale(&mut validators, 4);
    assert_eq!(
        priorities(&validators),
        [-1, 0, 2],
        "divided by 5, towards zero"
    );
}
