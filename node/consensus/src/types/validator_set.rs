//! Validator sets.

use super::commit::MAX_VOTES;
use super::{Digest, Validator, ValidatorAddress, ValidatorUpdate, proposer};
use crate::error::{DecodeError, Invalid, ensure};
use crate::merkle;
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most voting power that a set may have, so that no sum of priorities overflows.
pub const MAX_TOTAL_VOTING_POWER: u64 = i64::MAX.cast_unsigned() / 8;

/// A validator set: never empty, no power 0, sorted by power (descending), then address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "JsonValidatorSet")]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    proposer: Validator,
    #[serde(skip)]
    total_voting_power: u64,
}

impl ValidatorSet {
    /// A new set, at the first proposer's turn (`NewValidatorSet` of CometBFT v0.38).
    pub fn new(members: &[ValidatorUpdate]) -> Result<Self, Invalid> {
        ensure(
            members.iter().all(|m| m.power > 0),
            "a new validator has no voting power",
        )?;
        let (mut validators, total) = merge(&[], members.iter().map(from_update).collect())?;
        let chosen = proposer::increment(&mut validators, total, 1);
        let proposer = validators[chosen].clone();
        Ok(ValidatorSet {
            validators,
            proposer,
            total_voting_power: total,
        })
    }

    /// A set whose priorities are already known, for example read from a disk of one's own.
    /// Priorities from elsewhere must not be used to choose a proposer: no hash covers them.
    /// Without a proposer, it is the one with the highest priority.
    pub fn from_validators(
        mut validators: Vec<Validator>,
        proposer: Option<Validator>,
    ) -> Result<Self, Invalid> {
        for validator in validators.iter().chain(&proposer) {
            let own = validator.public_key.address() == validator.address;
            ensure(own, "a validator's address is not that of its key")?;
            ensure(
                validator.voting_power > 0,
                "a validator has no voting power",
            )?;
        }
        sort(&mut validators);
        let total_voting_power = checked_total(&validators)?;
        ensure_distinct(&validators)?;
        let proposer = match proposer {
            None => validators[proposer::foremost(&validators)].clone(),
            Some(proposer) => {
                let member = validators.iter().any(|v| v.address == proposer.address);
                ensure(member, "the proposer is not in the validator set")?;
                proposer
            }
        };
        Ok(ValidatorSet {
            validators,
            proposer,
            total_voting_power,
        })
    }

    /// The validators in order.
    pub fn validators(&self) -> &[Validator] {
        &self.validators
    }

    /// Number of validators.
    pub fn len(&self) -> usize {
        self.validators.len()
    }

    /// Always false: a set has at least one validator.
    pub fn is_empty(&self) -> bool {
        self.validators.is_empty()
    }

    /// The validator at `index`.
    pub fn get(&self, index: u32) -> Option<&Validator> {
        self.validators.get(usize::try_from(index).ok()?)
    }

    /// The validator with this address, and its place.
    pub fn by_address(&self, address: &ValidatorAddress) -> Option<(u32, &Validator)> {
        (0..)
            .zip(&self.validators)
            .find(|(_, validator)| validator.address == *address)
    }

    /// Sum of all voting powers.
    pub fn total_voting_power(&self) -> u64 {
        self.total_voting_power
    }

    /// Whose turn it is.
    pub fn proposer(&self) -> &Validator {
        &self.proposer
    }

    /// Merkle root over keys and powers, without addresses and priorities.
    pub fn hash(&self) -> Digest {
        let leaves: Vec<_> = self.validators.iter().map(Validator::hash_leaf).collect();
        Digest::new(merkle::root(&leaves))
    }

    /// Passes the turn `times` times, at once. This is not the same as passing it one by one:
    /// priorities are rescaled and centred once a call.
    pub fn increment_proposer_priority(&mut self, times: u32) {
        if times > 0 {
            let total = self.total_voting_power;
            let chosen = proposer::increment(&mut self.validators, total, times);
            self.proposer = self.validators[chosen].clone();
        }
    }

    /// The set as it stands in `round` of its height. The cost grows with the round, so the
    /// caller only asks for rounds that it has reached or that many others have.
    pub fn at_round(&self, round: u32) -> ValidatorSet {
        let mut set = self.clone();
        set.increment_proposer_priority(round);
        set
    }

    /// Applies changes (`UpdateWithChangeSet` of CometBFT v0.38). Their order does not matter. On
    /// an error the set is unchanged. The turn is not passed on, unless whose turn it was is gone.
    pub fn update(&mut self, changes: &[ValidatorUpdate]) -> Result<(), Invalid> {
        if changes.is_empty() {
            return Ok(());
        }
        let changes = changes.iter().map(from_update).collect();
        (self.validators, self.total_voting_power) = merge(&self.validators, changes)?;
        if self.by_address(&self.proposer.address).is_none() {
            self.proposer = self.validators[proposer::foremost(&self.validators)].clone();
        }
        Ok(())
    }
}

fn from_update(update: &ValidatorUpdate) -> Validator {
    Validator::new(update.public_key, update.power)
}

/// The members after `changes` (power 0 removes), and their total power.
fn merge(old: &[Validator], changes: Vec<Validator>) -> Result<(Vec<Validator>, u64), Invalid> {
    let mut members: BTreeMap<_, _> = old.iter().map(|v| (v.address, v.clone())).collect();
    let mut changed = BTreeMap::new();
    for change in changes {
        let power = change.voting_power;
        ensure(
            power <= MAX_TOTAL_VOTING_POWER,
            "a voting power is too large",
        )?;
        let known = members.contains_key(&change.address);
        ensure(
            known || power > 0,
            "a validator to remove is not in the set",
        )?;
        let twice = changed.insert(change.address, change).is_some();
        ensure(!twice, "a validator is changed twice")?;
    }
    let removed = changed
        .values()
        .filter(|v| v.voting_power == 0)
        .map(|v| &members[&v.address]);
    let removed = sum(removed);
    let unchanged = members
        .values()
        .filter(|v| !changed.contains_key(&v.address));
    let after_removals = sum(unchanged) + sum(changed.values());
    let bounded = after_removals <= u128::from(MAX_TOTAL_VOTING_POWER);
    ensure(bounded, "the total voting power is too large")?;
    let before_removals = u64::try_from(after_removals + removed).expect("both are bounded");
    let behind = proposer::newcomer_priority(before_removals);

    for (address, mut change) in changed {
        if change.voting_power == 0 {
            members.remove(&address);
        } else {
            change.proposer_priority = members
                .get(&address)
                .map_or(behind, |v| v.proposer_priority);
            members.insert(address, change);
        }
    }
    let mut members: Vec<_> = members.into_values().collect();
    let total = checked_total(&members)?;
    proposer::rescale_and_centre(&mut members, total);
    sort(&mut members);
    Ok((members, total))
}

fn sum<'a>(validators: impl Iterator<Item = &'a Validator>) -> u128 {
    validators
        .map(|validator| u128::from(validator.voting_power))
        .sum()
}

fn checked_total(validators: &[Validator]) -> Result<u64, Invalid> {
    ensure(!validators.is_empty(), "a validator set would be empty")?;
    ensure(
        validators.len() <= MAX_VOTES,
        "a validator set has more than 10,000 members",
    )?;
    let total = u64::try_from(sum(validators.iter())).unwrap_or(u64::MAX);
    ensure(
        total <= MAX_TOTAL_VOTING_POWER,
        "the total voting power is too large",
    )?;
    Ok(total)
}

fn ensure_distinct(validators: &[Validator]) -> Result<(), Invalid> {
    let addresses: std::collections::BTreeSet<_> = validators.iter().map(|v| v.address).collect();
    ensure(
        addresses.len() == validators.len(),
        "a validator is in the set twice",
    )
}

fn sort(validators: &mut [Validator]) {
    validators.sort_by(|a, b| {
        b.voting_power
            .cmp(&a.voting_power)
            .then_with(|| a.address.cmp(&b.address))
    });
}

/// As CometBFT, the total power is not written: whoever reads computes it.
impl Message for ValidatorSet {
    fn write(&self, to: &mut Writer) {
        for validator in &self.validators {
            to.message(1, validator);
        }
        to.message(2, &self.proposer);
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("ValidatorSet", bytes);
        let (mut validators, mut proposer) = (Vec::new(), None);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 if validators.len() == MAX_VOTES => {
                    return Err(DecodeError::TooMany("validators"));
                }
                1 => validators.push(value.message()?),
                2 => proposer = Some(value.message()?),
                _ => return Err(reader.unknown(field)),
            }
        }
        let proposer = proposer.ok_or(DecodeError::Missing("a proposer"))?;
        Ok(ValidatorSet::from_validators(validators, Some(proposer))?)
    }
}

/// A validator set as JSON has it. The order is not trusted.
#[derive(Deserialize)]
struct JsonValidatorSet {
    validators: Vec<Validator>,
    #[serde(default)]
    proposer: Option<Validator>,
}

impl TryFrom<JsonValidatorSet> for ValidatorSet {
    type Error = Invalid;

    fn try_from(json: JsonValidatorSet) -> Result<Self, Invalid> {
        ValidatorSet::from_validators(json.validators, json.proposer)
    }
}

#[cfg(test)]
#[path = "validator_set_tests.rs"]
mod tests;
