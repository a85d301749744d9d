//! Numbers as people write them in a file: exactly, without floating point.

use std::fmt;

/// Parts of one that a [`Decimal`] distinguishes: 10^18.
const ATTOS: u128 = 1_000_000_000_000_000_000;
/// Digits after the point that a [`Decimal`] keeps.
const PLACES: usize = 18;

/// A number from 0 to 2^64, exact to 18 digits after the point; what comes after them is cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(u128);

/// Why a text is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberError {
    NotANumber,
    Negative,
    TooLarge,
    TooFine,
}

impl NumberError {
    /// The end of a sentence that starts with the text; `noun` is what was expected.
    pub fn cause(self, noun: &str) -> String {
        match self {
            NumberError::NotANumber => format!("is not {noun}"),
            NumberError::Negative => "is negative".to_owned(),
            NumberError::TooLarge => "is too large".to_owned(),
            NumberError::TooFine => format!("has more than {PLACES} digits after the point"),
        }
    }
}

impl Decimal {
    /// A whole number.
    pub fn from_whole(number: u64) -> Decimal {
        Decimal(u128::from(number) * ATTOS)
    }

    /// `12`, `1.5`, `.5`, `2e3`.
    pub(super) fn parse(text: &str) -> Result<Decimal, NumberError> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(NumberError::NotANumber);
        }
        let number = place(&digits, whole.len() as i64 + exponent)?;
        if negative && number.0 > 0 {
            return Err(NumberError::Negative);
        }
        Ok(number)
    }

    /// `12` or `1.5`, with at most 18 digits after the point: an amount of money.
    pub(super) fn parse_amount(text: &str) -> Result<Decimal, NumberError> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(NumberError::NotANumber);
        }
        if fraction.len() > PLACES {
            return Err(NumberError::TooFine);
        }
        Decimal::parse(text)
    }

    /// This many times `factor`, rounded down.
    pub fn times(self, factor: u64) -> u128 {
        let factor = u128::from(factor);
        // At most 2^64 x 2^64, and 10^18 x 2^64: both fit.
        (self.0 / ATTOS) * factor + (self.0 % ATTOS) * factor / ATTOS
    }

    /// The whole part.
    pub(super) fn whole(self) -> Option<u64> {
        u64::try_from(self.0 / ATTOS).ok()
    }

    /// Whether this is 0.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:018}", self.0 % ATTOS);
        match fraction.trim_end_matches('0') {
            "" => write!(f, "{}", self.0 / ATTOS),
            fraction => write!(f, "{}.{fraction}", self.0 / ATTOS),
        }
    }
}

fn parse_exponent(text: &str) -> Result<i64, NumberError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NumberError::NotANumber);
    }
    // Beyond four digits only the sign matters.
    let size = digits.parse::<i64>().unwrap_or(9_999).min(9_999);
    Ok(if text.starts_with('-') { -size } else { size })
}

/// The number with these digits and the point after the first `point` of them.
fn place(digits: &str, point: i64) -> Result<Decimal, NumberError> {
    let significant = digits.trim_start_matches('0');
    let point = point - (digits.len() - significant.len()) as i64;
    if significant.is_empty() || point < -(PLACES as i64) {
        return Ok(Decimal(0));
    }
    if point > 20 {
        return Err(NumberError::TooLarge);
    }
    // Between 0 and 38 digits remain: 20 before the point and 18 after it.
    let wanted = usize::try_from(point + PLACES as i64).unwrap_or(0);
    let mut attos: u128 = 0;
    for index in 0..wanted {
        let digit = significant
            .as_bytes()
            .get(index)
            .map_or(0, |byte| byte - b'0');
        attos = attos * 10 + u128::from(digit);
    }
    if attos >= (1 << 64) * ATTOS {
        return Err(NumberError::TooLarge);
    }
    Ok(Decimal(attos))
}

/// What a size may end with.
const SUFFIXES: [(&str, u64); 12] = [
    ("Ki", 1 << 10),
    ("Mi", 1 << 20),
    ("Gi", 1 << 30),
    ("Ti", 1 << 40),
    ("Pi", 1 << 50),
    ("Ei", 1 << 60),
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("T", 1_000_000_000_000),
    ("P", 1_000_000_000_000_000),
    ("E", 1_000_000_000_000_000_000),
];

/// A size in bytes: a number and a suffix, `512Mi`; a fraction of a byte is cut off.
pub(super) fn parse_bytes(text: &str) -> Result<u64, NumberError> {
    let (number, unit) = SUFFIXES
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, *unit)))
        .unwrap_or((text, 1));
    u64::try_from(Decimal::parse(number)?.times(unit)).map_err(|_| NumberError::TooLarge)
}

/// A size for GPU memory: only the suffixes that are powers of 1024.
pub(super) fn parse_binary_bytes(text: &str) -> Result<u64, NumberError> {
    if text.ends_with(|c: char| c.is_ascii_alphabetic() && c != 'i') {
        return Err(NumberError::NotANumber);
    }
    parse_bytes(text)
}

/// Thousandths of a core: `100m`, or cores as in `0.5`; a fraction of a thousandth is cut off.
pub(super) fn parse_cpu(text: &str) -> Result<u64, NumberError> {
    let Some(millis) = text.strip_suffix('m') else {
        let millis = Decimal::parse(text)?.times(1_000);
        return u64::try_from(millis).map_err(|_| NumberError::TooLarge);
    };
    if millis.starts_with('-') {
        return Err(NumberError::Negative);
    }
    if millis.is_empty() || !millis.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NumberError::NotANumber);
    }
    millis
        .parse::<u32>()
        .map(u64::from)
        .map_err(|_| NumberError::TooLarge)
}

/// Sizes that memory and volumes may both have.
const USUAL_BYTES: std::ops::RangeInclusive<u64> = 5 << 20..=2 << 40;

/// How a size should have been written, if that can be guessed.
pub(super) fn size_hint(text: &str) -> String {
    let end = text
        .find(|c: char| c.is_ascii_alphabetic())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number.trim();
    let letter = unit.chars().next().map(|c| c.to_ascii_uppercase());
    let likely = letter.map(|letter| format!("{number}{letter}i"));
    // A hint that would be refused as well helps nobody.
    let is_usual = |text: &String| parse_bytes(text).is_ok_and(|size| USUAL_BYTES.contains(&size));
    match likely.filter(is_usual) {
        Some(likely) => format!("write a number and a suffix, `{likely}` (powers of 1024)"),
        _ => "write a number and one of the suffixes k, Ki, M, Mi, G, Gi, T, Ti, P, Pi, E, Ei, \
              as in `512Mi`"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_exact_and_case_matters() {
        assert_eq!(parse_bytes("512Mi"), Ok(512 << 20));
        assert_eq!(parse_bytes("1.5k"), Ok(1_500));
        assert_eq!(parse_bytes("0.1Gi"), Ok(107_374_182));
        assert_eq!(parse_bytes("1e9"), Ok(1_000_000_000));
        assert_eq!(parse_bytes("2E"), Ok(2_000_000_000_000_000_000));
        assert_eq!(parse_bytes("16Ei"), Err(NumberError::TooLarge));
        assert_eq!(parse_bytes("1e308"), Err(NumberError::TooLarge));
        assert_eq!(parse_bytes("-1Gi"), Err(NumberError::Negative));
        for text in [
            "", "Gi", "1 Gi", "15Gb", "4GB", "8gb", "500mi", "NaN", "inf", "0x10", "1e",
        ] {
            assert_eq!(parse_bytes(text), Err(NumberError::NotANumber), "{text}");
        }
    }

    #[test]
    fn processor_time_is_in_thousandths() {
        assert_eq!(parse_cpu("100m"), Ok(100));
        assert_eq!(parse_cpu("0.29"), Ok(290));
        assert_eq!(parse_cpu("1.9999"), Ok(1_999));
        assert_eq!(parse_cpu("16"), Ok(16_000));
        assert_eq!(parse_cpu("1e-3"), Ok(1));
        assert_eq!(parse_cpu("0.5m"), Err(NumberError::NotANumber));
        assert_eq!(parse_cpu("-1"), Err(NumberError::Negative));
        assert_eq!(parse_cpu("99999999999m"), Err(NumberError::TooLarge));
    }

    #[test]
    fn an_amount_has_at_most_18_places_and_no_exponent() {
        let third = Decimal::parse_amount("0.333333333333333333").unwrap();
        assert_eq!(third.times(600), 199);
        assert_eq!(Decimal::parse_amount("1000").unwrap().times(600), 600_000);
        assert_eq!(Decimal::parse_amount("-1"), Err(NumberError::Negative));
        let fine = Decimal::parse_amount("0.1234567890123456789");
        assert_eq!(fine, Err(NumberError::TooFine));
        for text in ["", ".5", "5.", "1e3", "+1", "1_0"] {
            assert_eq!(
                Decimal::parse_amount(text),
                Err(NumberError::NotANumber),
                "{text}"
            );
        }
        assert_eq!(Decimal::parse_amount("1.50").unwrap().to_string(), "1.5");
    }

    #[test]
    fn a_wrong_suffix_gets_the_right_one() {
        assert!(size_hint("15Gb").contains("`15Gi`"));
        assert!(size_hint("500mi").contains("`500Mi`"));
        assert!(size_hint("big").contains("512Mi"));
    }

    #[test]
    fn no_hint_is_a_size_that_would_be_refused_as_well() {
        for text in ["16Ei", "9999Ebytes", "0mb", "-1Gi", "1mb", "1e9gb", "512qb"] {
            assert!(
                size_hint(text).contains("`512Mi`"),
                "{text}: {}",
                size_hint(text)
            );
        }
        assert!(size_hint("-512mb").contains("as in `512Mi`"));
    }
}
