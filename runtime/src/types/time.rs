//! Block time.

use std::fmt;
use std::str::FromStr;

use borsh::{BorshDeserialize, BorshSerialize};

use super::amount::{NumberError, parse_digits};
use super::as_text;

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Nanoseconds in an hour, the unit of rates.
pub const NANOS_PER_HOUR: u64 = 3_600 * NANOS_PER_SECOND;

/// A moment on the chain: nanoseconds since the Unix epoch. Text form: decimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Time(pub u64);

impl Time {
    /// The moment so many nanoseconds later; the end of time if there is none.
    #[must_use]
    pub fn saturating_add(self, nanos: u64) -> Time {
        Time(self.0.saturating_add(nanos))
    }

    /// The moment so many nanoseconds later, unless it overflows.
    #[must_use]
    pub fn checked_add(self, nanos: u64) -> Option<Time> {
        self.0.checked_add(nanos).map(Time)
    }

    /// Nanoseconds since `earlier`; 0 if that is not earlier.
    #[must_use]
    pub fn nanos_since(self, earlier: Time) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

impl FromStr for Time {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Time, NumberError> {
        parse_digits(text).map(Time)
    }
}

as_text!(
    Time,
    "Time",
    "nanoseconds",
    "Nanoseconds since the Unix epoch, as decimal digits."
);
