//! Light client steps over a chain with valid signatures, and over one with liars.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that helpers are tests"
)]

mod common;

use common::chain::{Step, Validators};
use welkin_consensus::light::{
    LightError, Options, verify, verify_adjacent, verify_backwards, verify_non_adjacent,
};
use welkin_consensus::types::*;
use welkin_consensus::verify::TrustLevel;

const HOUR_NS: u64 = 3_600_000_000_000;

fn options() -> Options {
    Options {
        trusting_period_ns: HOUR_NS,
        max_clock_drift_ns: 10_000_000_000,
        trust_level: TrustLevel::ONE_THIRD,
    }
}

/// Ten blocks; the power moves from validators 0 to 2 over to 3 to 5 in blocks 3 to 5.
fn chain() -> Vec<Step> {
    let validators = Validators::new(6);
    let (mut state, mut commit) = (validators.state(&[10; 3]), Commit::default());
    let mut steps: Vec<Step> = Vec::new();
    for height in 1..=10 {
        let updates = match height {
            number @ 3..=5 => vec![
                validators.update(number, 10),
                validators.update(number - 3, 0),
            ],
            _ => Vec::new(),
        };
        let step = validators.advance(&state, commit, updates);
        (state, commit) = (step.next.clone(), step.commit.clone());
        steps.push(step);
    }
    steps
}

fn header(steps: &[Step], height: usize) -> &Header {
    &steps[height - 1].block.header
}

fn next_validators(steps: &[Step], height: usize) -> &ValidatorSet {
    &steps[height - 1].next.validators
}

fn now(steps: &[Step]) -> Timestamp {
    header(steps, 10).time.plus_nanos(1)
}

#[test]
fn every_next_header_is_believed() {
    let steps = chain();
    for height in 1..10 {
        let (trusted, block) = (header(&steps, height), steps[height].light_block());
        assert_eq!(
            verify_adjacent(trusted, &block, &options(), now(&steps)),
            Ok(()),
            "{height}"
        );
        assert_eq!(
            verify_backwards(header(&steps, height + 1), trusted),
            Ok(())
        );
    }
}

#[test]
fn headers_are_skipped_while_enough_of_the_old_set_signs() {
    let steps = chain();
    let skip = |from: usize, to: usize| {
        let next = next_validators(&steps, from);
        let block = steps[to - 1].light_block();
        verify(header(&steps, from), next, &block, &options(), now(&steps))
    };
    assert_eq!(skip(1, 5), Ok(()), "two of three are still there");
    assert!(
        matches!(skip(1, 6), Err(LightError::NotEnoughTrust(_))),
        "one of three is not enough"
    );
    assert!(
        matches!(skip(1, 10), Err(LightError::NotEnoughTrust(_))),
        "nobody is left"
    );
    assert_eq!(skip(7, 10), Ok(()));
}

#[test]
fn steps_of_the_wrong_kind_are_refused() {
    let steps = chain();
    let (next, at) = (next_validators(&steps, 3), now(&steps));
    let block = |height: usize| steps[height - 1].light_block();
    let trusted = header(&steps, 3);
    let heights = |result| matches!(result, Err(LightError::Heights { .. }));
    assert!(heights(verify_adjacent(trusted, &block(5), &options(), at)));
    assert!(heights(verify_non_adjacent(
        trusted,
        next,
        &block(4),
        &options(),
        at
    )));
    assert!(
        heights(verify(trusted, next, &block(3), &options(), at)),
        "the same height"
    );
    assert!(
        heights(verify(trusted, next, &block(2), &options(), at)),
        "a lower height"
    );
    let other = next_validators(&steps, 6);
    let wrong = verify_non_adjacent(trusted, other, &block(5), &options(), at);
    assert!(
        matches!(wrong, Err(LightError::Refused(_))),
        "validators that were not trusted"
    );
}

#[test]
fn trust_ends_with_the_trusting_period_and_clocks_may_differ_a_little() {
    let steps = chain();
    let (trusted, block) = (header(&steps, 1), steps[1].light_block());
    let at =
        |nanos: i128| verify_adjacent(trusted, &block, &options(), trusted.time.plus_nanos(nanos));
    assert_eq!(at(i128::from(HOUR_NS) - 1), Ok(()));
    assert!(matches!(
        at(i128::from(HOUR_NS)),
        Err(LightError::Expired { .. })
    ));
    let ahead = header(&steps, 2).time.unix_nanos() - trusted.time.unix_nanos();
    assert_eq!(at(ahead - 9_999_999_999), Ok(()));
    assert!(
        matches!(at(ahead - 10_000_000_000), Err(LightError::Refused(_))),
        "from the future"
    );
}

#[test]
fn changed_blocks_are_refused() {
    let steps = chain();
    let trusted = header(&steps, 2);
    type Change = (&'static str, fn(&mut LightBlock));
    let changes: [Change; 7] = [
        ("another chain", |block| {
            block.signed_header.header.chain_id.push('x')
        }),
        ("another app hash", |block| {
            block.signed_header.header.app_hash.0[0] ^= 1
        }),
        ("an earlier time", |block| {
            block.signed_header.header.time = Timestamp::default()
        }),
        ("a commit of another height", |block| {
            block.signed_header.commit.height += 1
        }),
        ("a commit for another block", |block| {
            block.signed_header.commit.block_id.hash = Digest::new([1; 32]);
        }),
        ("a signature less", |block| {
            block.signed_header.commit.signatures[0] = CommitSig::Absent
        }),
        ("other validators", |block| {
            block
                .validator_set
                .update(&[ValidatorUpdate {
                    public_key: PublicKey(common::random::real_key([99; 32])),
                    power: 1,
                }])
                .unwrap();
        }),
    ];
    for (what, change) in changes {
        let mut block = steps[2].light_block();
        assert_eq!(
            verify_adjacent(trusted, &block, &options(), now(&steps)),
            Ok(())
        );
        change(&mut block);
        let result = verify_adjacent(trusted, &block, &options(), now(&steps));
        assert!(
            matches!(result, Err(LightError::Refused(_))),
            "{what} was accepted: {result:?}"
        );
    }
}

/// A whole set of the attacker's own, in order in itself, is not the set that the chain named.
#[test]
fn a_forged_validator_set_gets_nowhere() {
    let steps = chain();
    let forger = Validators::new(9);
    let mut state = forger.state(&[1, 1, 1, 1, 1, 1, 1, 1, 100]);
    let mut commit = Commit::default();
    let mut forged = Vec::new();
    for _ in 0..4 {
        let step = forger.advance(&state, commit, Vec::new());
        (state, commit) = (step.next.clone(), step.commit.clone());
        forged.push(step.light_block());
    }
    let trusted = header(&steps, 1);
    let adjacent = verify_adjacent(trusted, &forged[1], &options(), now(&steps));
    assert!(matches!(adjacent, Err(LightError::Refused(_))));
    let mut strangers = forged[3].clone();
    strangers.signed_header.commit.signatures.truncate(1);
    let skipped = verify(
        trusted,
        next_validators(&steps, 1),
        &strangers,
        &options(),
        now(&steps),
    );
    assert!(skipped.is_err());
}
