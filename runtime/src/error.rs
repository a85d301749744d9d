//! Errors as they travel: (module, code, message).
//!
//! A module lists its errors in a plain enum with explicit numbers; everything in between carries
//! [`ModuleError`], so `?` works across modules and the first cause keeps its own name and code.

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::names;
use crate::state::StateError;

/// What functions of modules return.
pub type Result<T, E = ModuleError> = std::result::Result<T, E>;

/// A module's list of errors: an enum without fields whose variants have explicit numbers and doc
/// comments. The doc comment is the general description in the metadata; what was wrong this time
/// is told by [`Coded::because`].
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use welkin_runtime::{Coded, ModuleError};
///
/// #[derive(Clone, Copy, Debug, Serialize, Deserialize, schemars::JsonSchema)]
/// #[serde(rename_all = "snake_case")]
/// enum Error {
///     /// The sender holds less than that.
///     InsufficientFunds = 1,
/// }
///
/// impl Coded for Error {
///     const MODULE: &'static str = "accounts";
///     fn code(self) -> u32 {
///         self as u32
///     }
/// }
///
/// let error = Error::InsufficientFunds.because("needs 5, holds 3");
/// assert!(error.is(Error::InsufficientFunds));
/// assert_eq!(error.to_string(), "accounts: insufficient funds: needs 5, holds 3");
/// ```
pub trait Coded: Copy + Serialize + DeserializeOwned + JsonSchema {
    /// The name of the module, which is the `codespace` of a failed transaction.
    const MODULE: &'static str;

    /// The number of this error, at least 1 and never given to another one.
    fn code(self) -> u32;

    /// This error, with what was wrong this time.
    fn because(self, detail: impl std::fmt::Display) -> ModuleError {
        let name = names::variant(&self).replace('_', " ");
        ModuleError {
            module: Self::MODULE.to_owned(),
            code: self.code(),
            message: format!("{name}: {detail}"),
        }
    }
}

/// An error of a module as everybody else sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(
    Serialize,
    Deserialize,
    JsonSchema,
    BorshSerialize,
    BorshDeserialize,
    thiserror::Error
)]
#[error("{module}: {message}")]
pub struct ModuleError {
    /// The module that refused.
    pub module: String,
    /// The number of the error in that module, at least 1.
    pub code: u32,
    /// What was wrong, for people.
    pub message: String,
}

impl ModuleError {
    /// Whether this is that error of that module.
    pub fn is<E: Coded>(&self, error: E) -> bool {
        self.module == E::MODULE && self.code == error.code()
    }
}

impl<E: Coded> From<E> for ModuleError {
    fn from(error: E) -> Self {
        ModuleError {
            module: E::MODULE.to_owned(),
            code: error.code(),
            message: names::variant(&error).replace('_', " "),
        }
    }
}

/// What the frame itself refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeError {
    /// The bytes are not a transaction in its only valid encoding.
    MalformedTransaction = 1,
    /// The transaction is larger than 64 KiB.
    TransactionTooLarge = 2,
    /// The transaction was signed for another chain or another genesis.
    WrongChain = 3,
    /// The sender's address is not the address of the key, or the key is unfit for an account.
    WrongKey = 4,
    /// The signature does not verify.
    BadSignature = 5,
    /// The block is above the transaction's expiry height.
    Expired = 6,
    /// The sequence number was used before.
    SequenceUsed = 7,
    /// Sequence numbers before this one are missing in the block.
    SequenceGap = 8,
    /// The fee is below what the gas limit costs at least.
    FeeTooLow = 9,
    /// The sender does not hold the fees of its transactions.
    FeeNotCovered = 10,
    /// The gas limit is zero, or above what a block allows.
    BadGasLimit = 11,
    /// The transaction has no call, or more than 64.
    BadCallCount = 12,
    /// No module has this number or name.
    UnknownModule = 13,
    /// The bytes are not a call or query of that module in its only valid encoding.
    MalformedCall = 14,
    /// The calls touched more state than the gas limit pays for.
    OutOfGas = 15,
    /// A value is larger than 64 KiB.
    ValueTooLarge = 16,
    /// Only an account may do this.
    NotAnAccount = 17,
    /// State cannot be read here; a transaction never fails with this.
    StateUnavailable = 18,
    /// The transactions of the block are larger in sum than a block may be.
    BlockTooLarge = 19,
    /// The gas limits of the block's transactions sum to more than a block may use.
    BlockGasExceeded = 20,
}

impl Coded for RuntimeError {
    const MODULE: &'static str = "runtime";

    fn code(self) -> u32 {
        self as u32
    }
}

impl From<StateError> for ModuleError {
    fn from(error: StateError) -> Self {
        RuntimeError::StateUnavailable.because(error)
    }
}
