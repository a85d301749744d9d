//! Who signed a commit: the three ways of CometBFT v0.38 (`types/validation.go`), and its time.
//!
//! | | checks | counts | stops early |
//! | --- | --- | --- | --- |
//! | full | every signature, nil votes too | votes for the block | no |
//! | light | votes for the block | votes for the block | at more than 2/3 |
//! | trusting | votes of members of an older set | the same | at more than the trust level |
//!
//! Full is for blocks, light and trusting are for light clients. Evidence uses the latter two
//! without stopping early: whoever is blamed must have signed.

use crate::error::VerifyError;
use crate::types::{
    BlockId, Commit, CommitSig, CommitVote, PublicKey, Timestamp, Validator, ValidatorSet,
};
use std::collections::BTreeSet;
use welkin_runtime::crypto::BatchVerifier;

/// A fraction of voting power, between 1/3 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustLevel {
    numerator: u64,
    denominator: u64,
}

/// How many of the signatures that count are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// As many as it takes to have enough power.
    Enough,
    /// All of them.
    All,
}

impl TrustLevel {
    /// One third: at least one correct validator signed.
    pub const ONE_THIRD: TrustLevel = TrustLevel {
        numerator: 1,
        denominator: 3,
    };

    /// A trust level between 1/3 and 1.
    pub fn new(numerator: u64, denominator: u64) -> Result<Self, VerifyError> {
        let at_least_a_third = numerator.checked_mul(3).is_some_and(|n| n >= denominator);
        if !at_least_a_third || numerator > denominator || denominator == 0 {
            return Err(VerifyError::TrustLevel);
        }
        Ok(TrustLevel {
            numerator,
            denominator,
        })
    }

    fn of(&self, power: u64) -> u64 {
        let share = u128::from(power) * u128::from(self.numerator) / u128::from(self.denominator);
        u64::try_from(share).expect("a share is at most the whole")
    }
}

/// Whether more than 2/3 of `validators` voted for `block_id` at `height`, and whether every
/// signature in the commit, also of votes for nil, is right. This is for whoever executes blocks:
/// what else is in the commit decides the next block's time and who is counted as present.
pub fn verify_commit_full(
    chain_id: &str,
    validators: &ValidatorSet,
    block_id: &BlockId,
    height: u64,
    commit: &Commit,
) -> Result<(), VerifyError> {
    check_frame(validators, block_id, height, commit)?;
    let mut tally = Tally::new(
        chain_id,
        commit,
        two_thirds(validators.total_voting_power()),
    );
    for (index, entry, validator) in entries(validators, commit) {
        let Some(cast) = entry.cast() else { continue };
        check_address(index, cast, validator)?;
        let counted = if matches!(entry, CommitSig::Commit(_)) {
            validator.voting_power
        } else {
            0
        };
        tally.add(index, &validator.public_key, cast, counted);
    }
    tally.finish()
}

/// Whether more than 2/3 of `validators` voted for `block_id` at `height`. Votes for nil are not
/// looked at.
pub fn verify_commit_light(
    chain_id: &str,
    validators: &ValidatorSet,
    block_id: &BlockId,
    height: u64,
    commit: &Commit,
    coverage: Coverage,
) -> Result<(), VerifyError> {
    check_frame(validators, block_id, height, commit)?;
    let mut tally = Tally::new(
        chain_id,
        commit,
        two_thirds(validators.total_voting_power()),
    );
    for (index, entry, validator) in entries(validators, commit) {
        let CommitSig::Commit(cast) = entry else {
            continue;
        };
        check_address(index, cast, validator)?;
        tally.add(index, &validator.public_key, cast, validator.voting_power);
        if coverage == Coverage::Enough && tally.is_enough() {
            break;
        }
    }
    tally.finish()
}

/// Whether more than the trust level of `trusted`, a set that need not be the one that signed,
/// voted for the commit's block.
pub fn verify_commit_trusting(
    chain_id: &str,
    trusted: &ValidatorSet,
    commit: &Commit,
    trust_level: TrustLevel,
    coverage: Coverage,
) -> Result<(), VerifyError> {
    let mut tally = Tally::new(
        chain_id,
        commit,
        trust_level.of(trusted.total_voting_power()),
    );
    let mut seen = BTreeSet::new();
    for (index, entry) in commit.signatures.iter().enumerate() {
        let CommitSig::Commit(cast) = entry else {
            continue;
        };
        let address = cast.validator_address;
        let Some((_, validator)) = trusted.by_address(&address) else {
            continue;
        };
        if !seen.insert(address) {
            return Err(VerifyError::DoubleCount { index, address });
        }
        tally.add(index, &validator.public_key, cast, validator.voting_power);
        if coverage == Coverage::Enough && tally.is_enough() {
            break;
        }
    }
    tally.finish()
}

/// The time of the block after `commit`: the median of the votes' times, weighted by power. Votes
/// for nil count, as in CometBFT up to v0.38 (`MedianTime` in `state/state.go`). `validators` are
/// those of the commit's height; a commit without votes gives Go's zero time.
pub fn bft_time(commit: &Commit, validators: &ValidatorSet) -> Timestamp {
    let cast = commit.signatures.iter().filter_map(CommitSig::cast);
    let mut weighted: Vec<_> = cast
        .filter_map(|cast| {
            let (_, validator) = validators.by_address(&cast.validator_address)?;
            Some((cast.timestamp, validator.voting_power))
        })
        .collect();
    weighted.sort();
    let total = weighted
        .iter()
        .map(|(_, power)| *power)
        .fold(0, u64::saturating_add);
    let mut median = total / 2;
    for (timestamp, power) in weighted {
        if median <= power {
            return timestamp;
        }
        median -= power;
    }
    Timestamp::ZERO
}

/// What more than 2/3 is more than.
pub fn two_thirds(power: u64) -> u64 {
    let share = u128::from(power) * 2 / 3;
    u64::try_from(share).expect("a share is at most the whole")
}

fn check_frame(
    validators: &ValidatorSet,
    block_id: &BlockId,
    height: u64,
    commit: &Commit,
) -> Result<(), VerifyError> {
    let (got, expected) = (commit.signatures.len(), validators.len());
    if got != expected {
        return Err(VerifyError::Entries {
            got,
            validators: expected,
        });
    }
    if commit.height != height {
        return Err(VerifyError::Height {
            got: commit.height,
            expected: height,
        });
    }
    if commit.block_id != *block_id {
        return Err(VerifyError::BlockId);
    }
    Ok(())
}

fn entries<'a>(
    validators: &'a ValidatorSet,
    commit: &'a Commit,
) -> impl Iterator<Item = (usize, &'a CommitSig, &'a Validator)> {
    let pairs = commit
        .signatures
        .iter()
        .zip(validators.validators())
        .enumerate();
    pairs.map(|(index, (entry, validator))| (index, entry, validator))
}

/// The address is in no signature, yet block time is weighted by it (GHSA-c32p-wcqj-j677): it must
/// be that of the key.
fn check_address(
    index: usize,
    cast: &CommitVote,
    validator: &Validator,
) -> Result<(), VerifyError> {
    let got = cast.validator_address;
    if got == validator.address {
        Ok(())
    } else {
        Err(VerifyError::Address { index, got })
    }
}

/// Counts power and collects signatures, which are then verified together. The answer is the same
/// as one by one (ZIP-215), so it does not matter who batches what.
struct Tally<'a> {
    chain_id: &'a str,
    commit: &'a Commit,
    needed: u64,
    power: u64,
    batch: BatchVerifier,
    indices: Vec<usize>,
}

impl<'a> Tally<'a> {
    fn new(chain_id: &'a str, commit: &'a Commit, needed: u64) -> Self {
        let (batch, indices) = (BatchVerifier::new(), Vec::new());
        Tally {
            chain_id,
            commit,
            needed,
            power: 0,
            batch,
            indices,
        }
    }

    fn add(&mut self, index: usize, key: &PublicKey, cast: &CommitVote, counted: u64) {
        let place = u32::try_from(index).ok();
        let vote = place
            .and_then(|index| self.commit.vote(index))
            .expect("the entry holds a vote");
        self.batch
            .push(&key.0, &vote.sign_bytes(self.chain_id), &cast.signature.0);
        self.indices.push(index);
        self.power = self.power.saturating_add(counted);
    }

    fn is_enough(&self) -> bool {
        self.power > self.needed
    }

    /// Power is compared first: it is cheap, and a wrong signature cannot repair it.
    fn finish(self) -> Result<(), VerifyError> {
        if !self.is_enough() {
            return Err(VerifyError::NotEnoughPower {
                got: self.power,
                needed: self.needed,
            });
        }
        let wrong = |place: usize| VerifyError::Signature {
            index: self.indices[place],
        };
        self.batch.verify().map_err(wrong)
    }
}
