//! Points in time as Tendermint carries them: to the nanosecond, in UTC.

use crate::error::{DecodeError, Invalid, ensure};
use crate::proto::{Message, Reader, Writer};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use welkin_runtime::Time;

/// A point in time: seconds and nanoseconds since the Unix epoch, in UTC.
///
/// The default is the Unix epoch. Go's zero time, which absent commit signatures carry, is
/// [`Timestamp::ZERO`]. Text and JSON are RFC 3339 with as many fractional digits as needed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds since the Unix epoch; negative before it.
    pub seconds: i64,
    /// Nanoseconds within the second, 0 to 999,999,999.
    pub nanos: i32,
}

/// 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
const MAX_SECONDS: i64 = 253_402_300_799;
const NANOS_PER_SECOND: i128 = 1_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

impl Timestamp {
    /// Go's zero time, 0001-01-01T00:00:00Z.
    pub const ZERO: Timestamp = Timestamp {
        seconds: -62_135_596_800,
        nanos: 0,
    };

    /// Whether this is Go's zero time.
    pub fn is_zero(&self) -> bool {
        *self == Timestamp::ZERO
    }

    /// Nanoseconds since the Unix epoch.
    pub fn unix_nanos(&self) -> i128 {
        i128::from(self.seconds) * NANOS_PER_SECOND + i128::from(self.nanos)
    }

    /// From nanoseconds since the Unix epoch; times outside the years 1 to 9999 are clipped.
    pub fn from_unix_nanos(nanos: i128) -> Self {
        let seconds = nanos.div_euclid(NANOS_PER_SECOND);
        let nanos = nanos.rem_euclid(NANOS_PER_SECOND);
        match i64::try_from(seconds) {
            Ok(seconds) if (Self::ZERO.seconds..=MAX_SECONDS).contains(&seconds) => Timestamp {
                seconds,
                nanos: nanos as i32,
            },
            _ if seconds < 0 => Self::ZERO,
            _ => Timestamp {
                seconds: MAX_SECONDS,
                nanos: 999_999_999,
            },
        }
    }

    /// This time plus `nanos` nanoseconds, which may be negative; clipped as in `from_unix_nanos`.
    pub fn plus_nanos(&self, nanos: i128) -> Self {
        Self::from_unix_nanos(self.unix_nanos().saturating_add(nanos))
    }

    /// The runtime's form; none before 1970 or after the year 2554.
    pub fn to_runtime(&self) -> Option<Time> {
        u64::try_from(self.unix_nanos()).ok().map(Time)
    }

    /// From the runtime's form.
    pub fn from_runtime(time: Time) -> Self {
        Self::from_unix_nanos(i128::from(time.0))
    }

    fn checked(seconds: i64, nanos: i32) -> Result<Self, Invalid> {
        ensure(
            (0..1_000_000_000).contains(&nanos),
            "nanoseconds outside a second",
        )?;
        let years = Self::ZERO.seconds..=MAX_SECONDS;
        ensure(
            years.contains(&seconds),
            "a time outside the years 1 to 9999",
        )?;
        Ok(Timestamp { seconds, nanos })
    }
}

impl Message for Timestamp {
    fn write(&self, to: &mut Writer) {
        to.int(1, self.seconds);
        to.int(2, i64::from(self.nanos));
    }

    fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("Timestamp", bytes);
        let (mut seconds, mut nanos) = (0, 0);
        while let Some((field, value)) = reader.next_field()? {
            match field {
                1 => seconds = value.int()?,
                2 => {
                    let wide = value.int()?;
                    nanos = i32::try_from(wide).map_err(|_| DecodeError::OutOfRange("nanos"))?;
                }
                _ => return Err(reader.unknown(field)),
            }
        }
        Ok(Timestamp::checked(seconds, nanos)?)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil_from_days(self.seconds.div_euclid(SECONDS_PER_DAY));
        let second = self.seconds.rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
        )?;
        if self.nanos != 0 {
            let digits = format!("{:09}", self.nanos);
            write!(f, ".{}", digits.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse_rfc3339(text).ok_or_else(|| Invalid::new(format!("`{text}` is not an RFC 3339 time")))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let (date, rest) = text.split_at_checked(10)?;
    let (clock, rest) = rest.strip_prefix('T')?.split_at_checked(8)?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    if civil_from_days(days) != (year, month, day) {
        return None;
    }
    let (nanos, zone) = match rest.strip_prefix('.') {
        Some(fraction) => {
            let length = fraction.find(|c: char| !c.is_ascii_digit())?;
            let (digits, zone) = fraction.split_at(length);
            if digits.is_empty() || digits.len() > 9 {
                return None;
            }
            (format!("{digits:0<9}").parse().ok()?, zone)
        }
        None => (0, rest),
    };
    let seconds =
        days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second - offset_seconds(zone)?;
    Timestamp::checked(seconds, nanos).ok()
}

/// `Z`, `+hh:mm` or `-hh:mm` as seconds east of UTC.
fn offset_seconds(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, clock) = match zone.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let [hour, minute] = numbers(clock, ':', [2, 2])?;
    (hour <= 23 && minute <= 59).then_some(sign * (hour * 3600 + minute * 60))
}

/// `N` runs of digits of the given lengths.
fn numbers<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[i64; N]> {
    let mut found = [0; N];
    let mut fields = text.split(separator);
    for (place, length) in found.iter_mut().zip(lengths) {
        let digits = fields.next()?;
        if digits.len() != length || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *place = digits.parse().ok()?;
    }
    fields.next().is_none().then_some(found)
}

/// Days since 1970-01-01 of a date of the Gregorian calendar. March counts as the first month, so
/// that the leap day is the last one of the year; an era is 400 years, or 146,097 days.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse of [`days_from_civil`]: year, month, day.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
#[path = "time_tests.rs"]
mod tests;
