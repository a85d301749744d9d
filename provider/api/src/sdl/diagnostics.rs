//! What is said about a file: where, what is wrong, what to do.

use std::fmt;

/// A place in the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
}

/// A value and where it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it starts; where its key starts if it was left out or empty.
    pub at: Position,
}

/// How much a remark matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The file is not accepted.
    Error,
    /// The file is accepted as a description, but no manifest can be made of it.
    Blocking,
    /// The file is accepted, but something in it will not have the effect that it seems to have.
    Warning,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Blocking | Severity::Warning => "warning",
        }
    }
}

/// One remark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// Where.
    pub at: Position,
    /// The keys that lead there, `services.web.expose[0].port`.
    pub path: String,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

/// Remarks about one file, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// The name of the file.
    pub file: String,
    /// The remarks.
    pub items: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(file: &str, mut items: Vec<Diagnostic>) -> Diagnostics {
        items.sort_by(|a, b| {
            let key = |item: &Diagnostic| (item.severity != Severity::Error, item.at);
            key(a)
                .cmp(&key(b))
                .then_with(|| (&a.path, &a.cause).cmp(&(&b.path, &b.cause)))
        });
        // A service in two placements is looked at twice.
        items.dedup();
        Diagnostics {
            file: file.to_owned(),
            items,
        }
    }

    /// The most important remark.
    pub fn first(&self) -> Option<&Diagnostic> {
        self.items.first()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, item) in self.items.iter().enumerate() {
            let separator = if number == 0 { "" } else { "\n" };
            let Diagnostic {
                severity,
                at,
                path,
                cause,
                remedy,
            } = item;
            write!(
                f,
                "{separator}{}:{}:{}: {}: ",
                self.file,
                at.line,
                at.column,
                severity.word()
            )?;
            if !path.is_empty() {
                write!(f, "{path}: ")?;
            }
            write!(f, "{cause}\n  help: {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Text from the file as it can be shown: short, and without control characters.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push_str("...");
    }
    format!("`{shown}`")
}

/// The candidate that `text` was most likely meant to be.
pub(super) fn suggestion<'a>(
    text: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = simplified(text);
    if plain.len() > 64 {
        return None;
    }
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 64)
        .map(|candidate| (distance(&plain, &simplified(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Without case and separators, which are what people most often get wrong.
fn simplified(text: &str) -> Vec<char> {
    text.chars()
        .filter(|c| !"-_ ".contains(*c))
        .flat_map(char::to_lowercase)
        .collect()
}

/// How many letters have to be added, removed, changed or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = changed.min(above[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_word_finds_its_likeness_and_a_strange_one_does_not() {
        let keys = ["image", "command", "args", "env", "expose", "read_timeout"];
        assert_eq!(suggestion("comand", keys), Some("command"));
        assert_eq!(suggestion("exopse", keys), Some("expose"));
        assert_eq!(suggestion("Image", keys), Some("image"));
        assert_eq!(suggestion("readTimeout", keys), Some("read_timeout"));
        assert_eq!(suggestion("healthcheck", keys), None);
        assert_eq!(suggestion(&"x".repeat(1000), keys), None);
    }
}
