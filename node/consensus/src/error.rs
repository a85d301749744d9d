//! What can be wrong with bytes, values and signatures from outside.

use crate::types::ValidatorAddress;

/// Bytes that no honest encoder writes. The caller refuses them and may penalise their sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of a field.
    #[error("the bytes end in the middle of a field")]
    Truncated,
    /// A variable-length integer is longer than it may be.
    #[error("a variable-length integer is longer than 64 bits")]
    Varint,
    /// A field or a way to write it that this message does not have.
    #[error("unknown field {field} of {message}")]
    UnknownField {
        /// The message being read.
        message: &'static str,
        /// The number of the field.
        field: u32,
    },
    /// A field is there, but not as the type that it must have.
    #[error("a field has the wrong wire type")]
    WireType,
    /// A value outside the range of its field.
    #[error("{0} is out of range")]
    OutOfRange(&'static str),
    /// A field that must be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// Bytes of the wrong length for what they stand for.
    #[error("{what} has {got} bytes")]
    Length {
        /// What was read.
        what: &'static str,
        /// Its length.
        got: usize,
    },
    /// More entries than allowed.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The value was readable, but the encoder would have written it differently.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// A value that breaks a rule of its type.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

/// A value that is readable but breaks a rule. The caller refuses it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// A rule that was broken, in words.
    pub fn new(why: impl Into<String>) -> Self {
        Invalid(why.into())
    }
}

/// Returns `Err(Invalid)` with the words unless the rule holds.
pub(crate) fn ensure(rule: bool, why: &str) -> Result<(), Invalid> {
    if rule { Ok(()) } else { Err(Invalid::new(why)) }
}

/// Why a commit, a vote or a header was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The commit has not one entry for each validator.
    #[error("the commit has {got} entries for {validators} validators")]
    Entries {
        /// Entries of the commit.
        got: usize,
        /// Size of the set.
        validators: usize,
    },
    /// The commit is for another height.
    #[error("the commit is for height {got}, not {expected}")]
    Height {
        /// Height of the commit.
        got: u64,
        /// The height that was asked for.
        expected: u64,
    },
    /// The commit is for another block.
    #[error("the commit is for another block")]
    BlockId,
    /// An entry names another validator than the one at its place.
    #[error("entry {index} names validator {got}, not the one at that place")]
    Address {
        /// Place of the entry.
        index: usize,
        /// The address that it carries.
        got: ValidatorAddress,
    },
    /// Two entries name one validator.
    #[error("entry {index} counts validator {address} a second time")]
    DoubleCount {
        /// Place of the second entry.
        index: usize,
        /// The validator.
        address: ValidatorAddress,
    },
    /// A signature is wrong.
    #[error("the signature of entry {index} is wrong")]
    Signature {
        /// Place of the entry.
        index: usize,
    },
    /// Not enough voting power signed.
    #[error("not enough voting power signed: {got}, more than {needed} needed")]
    NotEnoughPower {
        /// Power that signed.
        got: u64,
        /// It must be more than this.
        needed: u64,
    },
    /// A trust level outside 1/3 to 1.
    #[error("the trust level must be between 1/3 and 1")]
    TrustLevel,
    /// A value that breaks a rule of its type.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}
