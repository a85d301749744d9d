//! Who signed a commit, and what time that makes it.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that helpers are tests"
)]

mod common;

use common::chain::{CHAIN_ID, Conduct, Validators};
use proptest::collection::vec;
use proptest::prelude::*;
use welkin_consensus::error::VerifyError;
use welkin_consensus::types::*;
use welkin_consensus::verify::*;

use Conduct::{Absent, Commit as For, Nil};

const HEIGHT: u64 = 3;

fn block_id(byte: u8) -> BlockId {
    let hash = Digest::new([byte; 32]);
    BlockId {
        hash,
        part_set_header: PartSetHeader { total: 1, hash },
    }
}

struct Fixture {
    validators: Validators,
    set: ValidatorSet,
}

impl Fixture {
    /// Four validators of power 10.
    fn new() -> Self {
        let validators = Validators::new(4);
        let set = validators.state(&[10; 4]).validators;
        Fixture { validators, set }
    }

    fn commit(&self, conduct: &[Conduct]) -> Commit {
        let start = Timestamp {
            seconds: 1_000,
            nanos: 0,
        };
        self.validators
            .commit(&self.set, HEIGHT, block_id(1), start, conduct)
    }

    fn full(&self, commit: &Commit) -> Result<(), VerifyError> {
        verify_commit_full(CHAIN_ID, &self.set, &block_id(1), HEIGHT, commit)
    }

    fn light(&self, commit: &Commit, coverage: Coverage) -> Result<(), VerifyError> {
        verify_commit_light(CHAIN_ID, &self.set, &block_id(1), HEIGHT, commit, coverage)
    }

    fn trusting(&self, commit: &Commit, coverage: Coverage) -> Result<(), VerifyError> {
        verify_commit_trusting(CHAIN_ID, &self.set, commit, TrustLevel::ONE_THIRD, coverage)
    }
}

fn cast(commit: &mut Commit, index: usize) -> &mut CommitVote {
    match &mut commit.signatures[index] {
        CommitSig::Commit(cast) | CommitSig::Nil(cast) => cast,
        CommitSig::Absent => panic!("entry {index} is absent"),
    }
}

#[test]
fn more_than_two_thirds_is_needed_and_votes_for_nil_do_not_count() {
    let fixture = Fixture::new();
    let enough = fixture.commit(&[For, For, For, Absent]);
    assert_eq!(fixture.full(&enough), Ok(()));
    assert_eq!(fixture.light(&enough, Coverage::Enough), Ok(()));
    for short in [[For, For, Absent, Absent], [For, For, Nil, Nil], [Nil; 4]] {
        let commit = fixture.commit(&short);
        assert!(matches!(
            fixture.full(&commit),
            Err(VerifyError::NotEnoughPower { needed: 26, .. })
        ));
        assert!(
            fixture.light(&commit, Coverage::Enough).is_err(),
            "{short:?}"
        );
    }
}

#[test]
fn exactly_two_thirds_is_not_enough() {
    let validators = Validators::new(3);
    let set = validators.genesis(&[10; 3]).validator_set().unwrap();
    let start = Timestamp {
        seconds: 1_000,
        nanos: 0,
    };
    let commit = validators.commit(&set, HEIGHT, block_id(1), start, &[For, For, Absent]);
    let result = verify_commit_full(CHAIN_ID, &set, &block_id(1), HEIGHT, &commit);
    assert_eq!(
        result,
        Err(VerifyError::NotEnoughPower {
            got: 20,
            needed: 20
        })
    );
}

#[test]
fn a_commit_for_something_else_is_refused() {
    let fixture = Fixture::new();
    let commit = fixture.commit(&[For; 4]);
    let verify = |chain: &str, block, height| {
        verify_commit_full(chain, &fixture.set, &block_id(block), height, &commit)
    };
    assert_eq!(verify(CHAIN_ID, 1, HEIGHT), Ok(()));
    assert!(matches!(
        verify("other", 1, HEIGHT),
        Err(VerifyError::Signature { index: 0 })
    ));
    assert_eq!(verify(CHAIN_ID, 2, HEIGHT), Err(VerifyError::BlockId));
    let height = VerifyError::Height {
        got: HEIGHT,
        expected: HEIGHT + 1,
    };
    assert_eq!(verify(CHAIN_ID, 1, HEIGHT + 1), Err(height));
    let mut short = commit.clone();
    short.signatures.pop();
    assert!(matches!(
        fixture.full(&short),
        Err(VerifyError::Entries {
            got: 3,
            validators: 4
        })
    ));
    let mut swapped = commit.clone();
    swapped.signatures.swap(0, 1);
    assert!(matches!(
        fixture.full(&swapped),
        Err(VerifyError::Address { index: 0, .. })
    ));
}

/// "False Witness" (Tendermint v0.33.6) and GHSA-c32p-wcqj-j677: what is not needed to reach 2/3
/// is nevertheless checked before a block is executed, addresses too.
#[test]
fn the_full_check_leaves_nothing_unchecked() {
    let fixture = Fixture::new();
    for last in [For, Nil] {
        let genuine = fixture.commit(&[For, For, For, last]);
        assert_eq!(fixture.full(&genuine), Ok(()));
        let mut forged = genuine.clone();
        cast(&mut forged, 3).signature.0[0] ^= 1;
        assert_eq!(
            fixture.full(&forged),
            Err(VerifyError::Signature { index: 3 })
        );
        let mut late = genuine.clone();
        cast(&mut late, 3).timestamp.seconds += 1;
        assert_eq!(
            fixture.full(&late),
            Err(VerifyError::Signature { index: 3 })
        );
        let mut renamed = genuine.clone();
        cast(&mut renamed, 3).validator_address = cast(&mut genuine.clone(), 0).validator_address;
        assert!(matches!(
            fixture.full(&renamed),
            Err(VerifyError::Address { index: 3, .. })
        ));
    }
}

#[test]
fn light_checks_stop_when_they_have_enough_unless_they_must_not() {
    let fixture = Fixture::new();
    let mut commit = fixture.commit(&[For; 4]);
    cast(&mut commit, 3).signature.0[0] ^= 1;
    assert_eq!(fixture.light(&commit, Coverage::Enough), Ok(()));
    assert_eq!(fixture.trusting(&commit, Coverage::Enough), Ok(()));
    let wrong = Err(VerifyError::Signature { index: 3 });
    assert_eq!(fixture.light(&commit, Coverage::All), wrong);
    assert_eq!(fixture.trusting(&commit, Coverage::All), wrong);
}

#[test]
fn trusting_needs_more_than_the_trust_level_of_the_old_set() {
    let fixture = Fixture::new();
    // 20 of 40 are above 13; 10 of 40 are not.
    let trusting = |conduct: &[Conduct]| fixture.trusting(&fixture.commit(conduct), Coverage::All);
    assert_eq!(trusting(&[For, For, Absent, Absent]), Ok(()));
    let short = Err(VerifyError::NotEnoughPower {
        got: 10,
        needed: 13,
    });
    assert_eq!(trusting(&[For, Absent, Absent, Absent]), short);
    assert_eq!(trusting(&[For, Nil, Nil, Nil]), short);
}

/// ISA-2025-003: one validator is counted once, however often it is named.
#[test]
fn nobody_is_counted_twice() {
    let fixture = Fixture::new();
    let mut commit = fixture.commit(&[For, Absent, Absent, Absent]);
    commit.signatures[1] = commit.signatures[0];
    let address = cast(&mut commit, 0).validator_address;
    let twice = Err(VerifyError::DoubleCount { index: 1, address });
    assert_eq!(fixture.trusting(&commit, Coverage::All), twice);
    assert!(matches!(
        fixture.full(&commit),
        Err(VerifyError::Address { index: 1, .. })
    ));
}

#[test]
fn trust_levels_are_between_one_third_and_one() {
    for (numerator, denominator) in [(1, 3), (2, 3), (1, 1), (1, 2)] {
        assert!(
            TrustLevel::new(numerator, denominator).is_ok(),
            "{numerator}/{denominator}"
        );
    }
    for (numerator, denominator) in [(0, 1), (1, 4), (4, 3), (0, 0), (u64::MAX, 3), (1, u64::MAX)] {
        assert!(
            TrustLevel::new(numerator, denominator).is_err(),
            "{numerator}/{denominator}"
        );
    }
}

#[test]
fn the_time_is_the_median_weighted_by_power() {
    let validators = Validators::new(3);
    let time = |seconds| Timestamp { seconds, nanos: 0 };
    // The three of `TestBlockTime`-like weights: the heavy one decides.
    let set = validators.genesis(&[10, 1, 1]).validator_set().unwrap();
    let mut commit = validators.commit(&set, HEIGHT, block_id(1), time(100), &[For; 3]);
    assert_eq!(set.get(0).unwrap().voting_power, 10);
    cast(&mut commit, 0).timestamp = time(500);
    cast(&mut commit, 1).timestamp = time(1);
    cast(&mut commit, 2).timestamp = time(900);
    assert_eq!(bft_time(&commit, &set), time(500));
    // Votes for nil count, absent validators do not.
    let set = validators.genesis(&[10; 3]).validator_set().unwrap();
    let commit = validators.commit(&set, HEIGHT, block_id(1), time(100), &[Absent, Nil, For]);
    assert_eq!(
        bft_time(&commit, &set),
        time(101),
        "of 101 and 102, weight 20, the first reaches 10"
    );
    assert_eq!(bft_time(&Commit::default(), &set), Timestamp::ZERO);
}

proptest! {
    #![proptest_config(common::config(64))]

    /// Fewer than a third of the power cannot move the time beyond what honest clocks show.
    #[test]
    fn a_third_cannot_choose_the_time(
        powers in vec(21..30u64, 4),
        times in vec(0..1_000_000i64, 4),
        liar in 0..4usize,
    ) {
        let validators = Validators::new(4);
        let set = validators.genesis(&powers).validator_set().unwrap();
        prop_assert!(set.validators()[liar].voting_power * 3 < set.total_voting_power());
        let mut commit =
            validators.commit(&set, HEIGHT, block_id(1), Timestamp::default(), &[For; 4]);
        for (index, seconds) in times.iter().enumerate() {
            cast(&mut commit, index).timestamp = Timestamp { seconds: *seconds, nanos: 0 };
        }
        let honest = (0..4).filter(|index| *index != liar).map(|index| times[index]);
        let (low, high) = (honest.clone().min().unwrap(), honest.max().unwrap());
        for lie in [0, 1_000_000_000] {
            cast(&mut commit, liar).timestamp = Timestamp { seconds: lie, nanos: 0 };
            let time = bft_time(&commit, &set).seconds;
            prop_assert!((low..=high).contains(&time), "{time} outside {low}..={high}");
        }
    }
}
