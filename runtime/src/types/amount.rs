//! Money.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use super::as_text;

/// An amount of money in micro-tokens (`uwlk`). There is only checked arithmetic on it.
///
/// Text form: decimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Amount(pub u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);

    /// Micro-tokens in a token.
    pub const PER_TOKEN: u64 = 1_000_000;

    /// The sum, unless it overflows.
    #[must_use]
    pub fn checked_add(self, other: Amount) -> Option<Amount> {
        self.0.checked_add(other.0).map(Amount)
    }

    /// The difference, unless there is not enough.
    #[must_use]
    pub fn checked_sub(self, other: Amount) -> Option<Amount> {
        self.0.checked_sub(other.0).map(Amount)
    }

    /// The product, unless it overflows.
    #[must_use]
    pub fn checked_mul(self, factor: u64) -> Option<Amount> {
        self.0.checked_mul(factor).map(Amount)
    }

    /// The sum of all, unless it overflows.
    #[must_use]
    pub fn checked_sum(amounts: impl IntoIterator<Item = Amount>) -> Option<Amount> {
        amounts
            .into_iter()
            .try_fold(Amount::ZERO, Amount::checked_add)
    }

    /// Whether this is nothing.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}uwlk", self.0)
    }
}

/// A text is no whole number below 2^64.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a whole number from 0 to 18446744073709551615")]
pub struct NumberError(pub(super) String);

/// Decimal digits and nothing else: no sign, no space, no leading zero.
pub(super) fn parse_digits(text: &str) -> Result<u64, NumberError> {
    let digits_only = text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = text == "0" || !text.starts_with('0');
    match text.parse() {
        Ok(number) if digits_only && canonical => Ok(number),
        _ => Err(NumberError(text.chars().take(32).collect())),
    }
}

impl FromStr for Amount {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Amount, NumberError> {
        parse_digits(text).map(Amount)
    }
}

as_text!(
    Amount,
    "Amount",
    "uwlk",
    "An amount in micro-tokens (uwlk), as decimal digits."
);
