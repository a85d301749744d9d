//! Canonical JSON (RFC 8785), so that a genesis has one hash however its file is laid out.
//!
//! Only what a genesis may contain: RFC 8785 writes numbers as JavaScript would, which needs
//! floats. A number that is not an integer of at most 53 bits is refused instead; CometBFT's
//! format writes larger ones as strings anyway.

use crate::error::Invalid;
use serde_json::{Map, Number, Value};

/// Largest integer that every JSON reader keeps exactly (2^53 - 1).
const MAX_SAFE_INTEGER: u64 = (1 << 53) - 1;

/// The canonical text of a value.
pub fn to_canonical_json(value: &Value) -> Result<String, Invalid> {
    let mut out = String::new();
    write_value(value, &mut out)?;
    Ok(out)
}

fn write_value(value: &Value, out: &mut String) -> Result<(), Invalid> {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::Number(number) => write_number(number, out)?,
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                out.push(if index == 0 { '[' } else { ',' });
                write_value(item, out)?;
            }
            out.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => write_object(members, out)?,
    }
    Ok(())
}

/// Members are sorted by their names as UTF-16, which differs from the order of their bytes for
/// characters beyond the basic plane.
fn write_object(members: &Map<String, Value>, out: &mut String) -> Result<(), Invalid> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    for (index, (name, value)) in sorted.iter().enumerate() {
        out.push(if index == 0 { '{' } else { ',' });
        write_string(name, out);
        out.push(':');
        write_value(value, out)?;
    }
    out.push_str(if members.is_empty() { "{}" } else { "}" });
    Ok(())
}

fn write_number(number: &Number, out: &mut String) -> Result<(), Invalid> {
    let magnitude = number.as_u64().or(number.as_i64().map(i64::unsigned_abs));
    if magnitude.is_none_or(|magnitude| magnitude > MAX_SAFE_INTEGER) {
        let why = "is not an integer below 2^53: write it as a string";
        return Err(Invalid::new(format!("the number {number} {why}")));
    }
    out.push_str(&number.to_string());
    Ok(())
}

/// serde_json escapes what RFC 8785 escapes, in the same way.
fn write_string(text: &str, out: &mut String) {
    out.push_str(&Value::String(text.to_owned()).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> String {
        to_canonical_json(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn names_are_sorted_by_utf16_as_in_rfc_8785_section_3_2_3() {
        let input = r#"{ "\u20ac": "Euro Sign", "\r": "Carriage Return",
            "\ufb33": "Hebrew Letter Dalet With Dagesh", "1": "One",
            "\ud83d\ude00": "Emoji: Grinning Face", "\u0080": "Control",
            "\u00f6": "Latin Small Letter O With Diaeresis" }"#;
        let positions = [
            "Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew",
        ]
        .map(|word| canonical(input).find(word).unwrap());
        assert!(positions.is_sorted(), "{positions:?}");
    }

    #[test]
    fn strings_are_escaped_as_in_rfc_8785_section_3_2_4() {
        let input = r#"{"string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
            "literals": [null, true, false], "empty": [[], {}], "negative": -9007199254740991}"#;
        let expected = concat!(
            r#"{"empty":[[],{}],"literals":[null,true,false],"negative":-9007199254740991,"#,
            r#""string":"€$\u000f\nA'B\"\\\\\"/"}"#
        );
        assert_eq!(canonical(input), expected);
    }

    #[test]
    fn numbers_that_readers_would_round_are_refused() {
        for number in [
            "9007199254740992",
            "-9007199254740992",
            "1.5",
            "1e3",
            "-0",
            "1e400",
        ] {
            let parsed = serde_json::from_str::<Value>(number);
            assert!(
                parsed.is_err() || to_canonical_json(&parsed.unwrap()).is_err(),
                "{number}"
            );
        }
    }
}
