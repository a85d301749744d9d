//! The language of subscriptions: conditions joined by AND over keys like `tm.event` or `market.bid_placed.order`.

use std::collections::BTreeMap;

/// Longest query, in bytes (CometBFT's limit).
pub(super) const MAX_BYTES: usize = 512;

/// The keys of an event with all their values.
pub(super) type Keys = BTreeMap<String, Vec<String>>;

/// A subscription's query.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    conditions: Vec<Condition>,
}

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    key: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Exists,
    Contains(String),
    Equals(String),
    Compares(Comparison, i128),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Query {
    /// Reads a query; the error says what was expected and where.
    pub(super) fn parse(text: &str) -> Result<Query, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("a query has at most {MAX_BYTES} bytes"));
        }
        let mut words = Words { text, at: 0 };
        let mut conditions = Vec::new();
        loop {
            conditions.push(words.condition()?);
            match words.next_word() {
                None => return Ok(Query { conditions }),
                Some("AND") => {}
                Some(other) => return Err(format!("expected AND at {}, not {other:?}", words.at)),
            }
        }
    }

    /// Whether every condition holds for some value of its key.
    pub(super) fn matches(&self, keys: &Keys) -> bool {
        self.conditions.iter().all(|condition| {
            keys.get(&condition.key)
                .is_some_and(|values| values.iter().any(|value| condition.test.holds(value)))
        })
    }
}

impl Test {
    fn holds(&self, value: &str) -> bool {
        match self {
            Test::Exists => true,
            Test::Contains(part) => value.contains(part),
            Test::Equals(text) => value == text,
            Test::Compares(comparison, number) => {
                let Some(value) = numeric_prefix(value) else {
                    return false;
                };
                match comparison {
                    Comparison::Equal => value == *number,
                    Comparison::Less => value < *number,
                    Comparison::LessOrEqual => value <= *number,
                    Comparison::Greater => value > *number,
                    Comparison::GreaterOrEqual => value >= *number,
                }
            }
        }
    }
}

/// The whole number that a value begins with: `8uwlk` compares as 8.
fn numeric_prefix(value: &str) -> Option<i128> {
    let digits = value.strip_prefix('-').unwrap_or(value);
    let length = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    value[..value.len() - digits.len() + length].parse().ok()
}

struct Words<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    fn rest(&mut self) -> &'a str {
        let rest = &self.text[self.at..];
        let trimmed = rest.trim_start();
        self.at += rest.len() - trimmed.len();
        trimmed
    }

    /// A run of characters that are neither space, quote nor operator, or one operator.
    fn next_word(&mut self) -> Option<&'a str> {
        let rest = self.rest();
        if rest.is_empty() {
            return None;
        }
        let operator = ["<=", ">=", "<", ">", "="]
            .into_iter()
            .find(|operator| rest.starts_with(operator));
        let end = match operator {
            Some(operator) => operator.len(),
            None => rest
                .find([' ', '\t', '<', '>', '=', '\''])
                .unwrap_or(rest.len())
                .max(1),
        };
        let end = (end..=rest.len())
            .find(|end| rest.is_char_boundary(*end))
            .unwrap_or(rest.len());
        self.at += end;
        Some(&rest[..end])
    }

    fn quoted(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let inner = rest
            .strip_prefix('\'')
            .ok_or_else(|| format!("expected a text in single quotes at {}", self.at))?;
        let end = inner
            .find('\'')
            .ok_or_else(|| format!("the quote at {} is not closed", self.at))?;
        self.at += end + 2;
        Ok(inner[..end].to_owned())
    }

    fn condition(&mut self) -> Result<Condition, String> {
        let key = self.next_word().ok_or("expected a key like tm.event")?;
        let fits = |c: char| c.is_alphanumeric() || "._-/".contains(c);
        if !key.chars().all(fits) {
            return Err(format!("expected a key like tm.event, not {key:?}"));
        }
        let operator = self
            .next_word()
            .ok_or_else(|| format!("expected an operator after {key}"))?;
        let comparison = match operator {
            "EXISTS" => {
                return Ok(Condition {
                    key: key.to_owned(),
                    test: Test::Exists,
                });
            }
            "CONTAINS" => {
                return Ok(Condition {
                    key: key.to_owned(),
                    test: Test::Contains(self.quoted()?),
                });
            }
            "=" if self.rest().starts_with('\'') => {
                return Ok(Condition {
                    key: key.to_owned(),
                    test: Test::Equals(self.quoted()?),
                });
            }
            "=" => Comparison::Equal,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            other => {
                return Err(format!(
                    "expected =, <, <=, >, >=, CONTAINS or EXISTS after {key}, not {other:?}"
                ));
            }
        };
        let operand = self
            .next_word()
            .ok_or_else(|| format!("expected a number after {operator}"))?;
        let number = operand
            .parse()
            .map_err(|_| format!("expected a whole number after {operator}, not {operand:?}"))?;
        Ok(Condition {
            key: key.to_owned(),
            test: Test::Compares(comparison, number),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        let pairs = [
            ("tm.event", "Tx"),
            ("tx.height", "12"),
            ("a.b", "8uwlk"),
            ("a.b", "x-y"),
        ];
        let mut keys = Keys::new();
        for (key, value) in pairs {
            keys.entry(key.to_owned())
                .or_default()
                .push(value.to_owned());
        }
        keys
    }

    #[test]
    fn conditions_hold_for_any_value_of_their_key() {
        for (query, expected) in [
            ("tm.event='Tx'", true),
            ("tm.event = 'NewBlock'", false),
            ("tm.event='Tx' AND tx.height=12", true),
            ("tx.height<12", false),
            ("tx.height <= 12 AND tx.height>11", true),
            ("a.b = 8", true),
            ("a.b CONTAINS '-y'", true),
            ("a.b EXISTS", true),
            ("nothing EXISTS", false),
        ] {
            assert_eq!(
                Query::parse(query).unwrap().matches(&keys()),
                expected,
                "{query}"
            );
        }
    }

    #[test]
    fn what_is_no_query_is_refused_with_its_place() {
        let long = format!("a.b='{}'", "x".repeat(MAX_BYTES));
        for query in [
            "",
            "tm.event",
            "tm.event=",
            "tm.event='Tx",
            "a OR b",
            "a=1 b=2",
            "a == 1",
            "a='x' AND",
            "é<ü",
            &long,
        ] {
            assert!(Query::parse(query).is_err(), "{query}");
        }
    }
}
