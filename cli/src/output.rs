//! Data goes to stdout in the form that was asked for; everything else goes to stderr.

use std::io::{IsTerminal, Write};

use comfy_table::Table;
use serde::Serialize;

use crate::failure::{Failure, Outcome};

/// The form of what goes to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// One YAML document.
    Yaml,
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "table" => Ok(Format::Table),
            "json" => Ok(Format::Json),
            "yaml" => Ok(Format::Yaml),
            other => Err(format!(
                "{other:?} is no output format: table, json or yaml"
            )),
        }
    }
}

impl Format {
    /// Prints a value; `table` makes the form for people.
    ///
    /// # Errors
    /// Stdout is closed.
    pub fn print<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> String) -> Outcome {
        let text = match self {
            Format::Table => harmless(&table(value)),
            Format::Json => serde_json::to_string_pretty(value)
                .map_err(|error| Failure::new(1, error.to_string()))?,
            Format::Yaml => {
                // Through JSON, so that both forms have the same keys and the same texts.
                let value = serde_json::to_value(value)
                    .map_err(|error| Failure::new(1, error.to_string()))?;
                serde_saphyr::to_string(&value)
                    .map_err(|error| Failure::new(1, error.to_string()))?
            }
        };
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{}", text.trim_end()).and_then(|()| out.flush());
        match written {
            // Whoever read our output has enough of it.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|error| Failure::new(1, format!("stdout: {error}"))),
        }
    }
}

/// A table without lines, which other programs can cut as well.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_header(header);
    for row in rows {
        table.add_row(row);
    }
    table
        .to_string()
        .lines()
        .map(|line| format!("{}\n", line.trim_end()))
        .collect()
}

/// Pairs of a name and a value, one in a line.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    rows.iter()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}

/// Says something to the person at the terminal, on stderr.
pub fn say(text: impl AsRef<str>) {
    eprintln!("{}", harmless(text.as_ref()));
}

/// Says why the program fails, on stderr.
pub fn say_error(text: impl AsRef<str>) {
    let mark = match is_watched() {
        true => "\u{1b}[31merror:\u{1b}[0m",
        false => "error:",
    };
    eprintln!("{mark} {}", harmless(text.as_ref()));
}

/// A text that somebody else wrote, in one line, so that it cannot pass for a line of ours.
pub fn one_line(text: &str) -> String {
    harmless(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// Providers and servers write texts too: none of them may steer the terminal.
pub fn harmless(text: &str) -> String {
    let keep = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars()
        .map(|c| {
            if keep(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}

/// Whether a person sees stderr: only then there is colour.
fn is_watched() -> bool {
    std::io::stderr().is_terminal()
}

/// A word of a command line that can be copied into a shell.
pub fn shell_word(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", one_line(word).replace('\'', r"'\''")),
    }
}

/// An amount for people: whole tokens with six places.
pub fn tokens(uwlk: u64) -> String {
    format!("{}.{:06} wlk", uwlk / 1_000_000, uwlk % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_a_command_survives_the_shell() {
        for (word, expected) in [
            ("a/b-1.yaml", "a/b-1.yaml"),
            ("sp ace'$x.yaml", r"'sp ace'\''$x.yaml'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(word), expected);
        }
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        assert_eq!(
            harmless("a\tb\u{1b}[2J\r\u{7}\nc é"),
            "a\tb\u{fffd}[2J\u{fffd}\u{fffd}\nc é"
        );
    }
}
