//! Validators.

use super::{PublicKey, ValidatorAddress};

/// One member of a validator set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator {
    /// Address of the key.
    pub address: ValidatorAddress,
    /// The key that it votes with.
    pub public_key: PublicKey,
    /// Voting power.
    pub voting_power: u64,
    /// State of the proposer selection; in no hash.
    pub proposer_priority: i64,
}

/// A change of the validator set; power 0 removes the validator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValidatorUpdate {
    /// The validator's key.
    pub public_key: PublicKey,
    /// The new power; 0 removes it.
    pub power: u64,
}
