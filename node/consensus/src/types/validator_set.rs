//! Validator sets, and whose turn it is to propose.

use super::{Validator, ValidatorAddress};

/// A validator set: sorted by power (descending), then address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorSet {
    validators: Vec<Validator>,
    proposer: ValidatorAddress,
    total_voting_power: u64,
}

impl ValidatorSet {
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
        let place = self.validators.iter().position(|v| v.address == *address)?;
        Some((u32::try_from(place).ok()?, &self.validators[place]))
    }

    /// Sum of all voting powers.
    pub fn total_voting_power(&self) -> u64 {
        self.total_voting_power
    }

    /// Whose turn it is.
    pub fn proposer(&self) -> &Validator {
        self.by_address(&self.proposer).map(|(_, v)| v).expect("the proposer is a member of the set")
    }
}
