//! From the tree to the document: types, keys and numbers, each on its own.

mod compute;
mod placement;
mod service;

use super::diagnostics::{Position, Spanned, quoted};
use super::document::{Document, Named, Version};
use super::fields::{Field, Fields, Reader, Unknown};
use super::yaml::Node;

/// Reads the document; remarks go to the reader. None if it cannot be told what the file is.
pub(super) fn document(reader: &mut Reader, root: &Node) -> Option<Document> {
    let start = Position { line: 1, column: 1 };
    let field = Field {
        key_at: start,
        node: root,
    };
    let top = reader.fields(&field, "", "version: \"2.0\"");
    let version = version(reader, &top)?;
    top.expect_only(
        reader,
        &[
            "version",
            "services",
            "profiles",
            "deployment",
            "endpoints",
            "reclamation",
            "include",
        ],
        Unknown::Refused,
    );
    if let Some(include) = top.get("include")
        && !reader.texts(&include, "include").is_empty()
    {
        let cause = "other files are not included; this has no effect";
        let at = include.at();
        reader.say(
            super::Severity::Warning,
            at,
            "include",
            cause,
            "put everything into this file",
        );
    }
    let services = named(reader, top.get("services"), "services", service::service);
    let (compute, placement) = match top.get("profiles") {
        None => (Named::new(), Named::new()),
        Some(field) => profiles(reader, &field),
    };
    let deployment_field = top.get("deployment");
    let deployment = named(reader, deployment_field, "deployment", placement::placed);
    let endpoints = named(reader, top.get("endpoints"), "endpoints", endpoint);
    let reclamation = top
        .get("reclamation")
        .map(|field| reclamation(reader, &field));
    Some(Document {
        version,
        services,
        compute,
        placement,
        deployment,
        endpoints,
        reclamation,
        deployment_at: deployment_field.map_or(start, |field| field.key_at),
    })
}

/// A mapping from names that the tenant chooses.
fn named<T>(
    reader: &mut Reader,
    field: Option<Field<'_>>,
    path: &str,
    mut read: impl FnMut(&mut Reader, &Field<'_>, &str) -> T,
) -> Named<T> {
    let Some(field) = field else {
        return Named::new();
    };
    let fields = reader.fields(&field, path, "name: {...}");
    fields
        .all()
        .map(|(name, entry)| {
            let value = read(reader, &entry, &fields.path_of(name));
            (
                name.to_owned(),
                Spanned {
                    value,
                    at: entry.key_at,
                },
            )
        })
        .collect()
}

fn version(reader: &mut Reader, top: &Fields<'_>) -> Option<Version> {
    let Some(field) = top.get("version") else {
        let remedy = "start the file with `version: \"2.0\"`";
        reader.error(top.at, "", "the file names no version", remedy);
        return None;
    };
    let remedy = "write `version: \"2.0\"` or `\"2.1\"`";
    let text = reader
        .written(&field, "version", "a version", remedy)
        .unwrap_or_default();
    let numbers = version_numbers(text);
    let version = numbers.and_then(rules_of);
    let at = field.at();
    match numbers {
        Some(Numbers { release, .. }) if version.is_some() && release >= (2, 2, 0) => {
            let cause = format!(
                "version {} is not known; the file is read by the rules of 2.1",
                quoted(text)
            );
            reader.say(super::Severity::Warning, at, "version", cause, remedy);
        }
        _ if version.is_none() => {
            let cause = format!("version {} is not supported", quoted(text));
            reader.error(at, "version", cause, remedy);
        }
        _ => {}
    }
    version
}

/// A version as it was written.
#[derive(Clone, Copy)]
struct Numbers {
    release: (u32, u32, u32),
    /// Whether it comes before that release: `2.1-rc1`.
    early: bool,
}

/// 2.0 by its own rules, everything from 2.1 on by those of 2.1.
fn rules_of(Numbers { release, early }: Numbers) -> Option<Version> {
    match release {
        (2, 0, 0) if !early => Some(Version::V2_0),
        (2, 1, 0) if early => None,
        release if release >= (2, 1, 0) => Some(Version::V2_1),
        _ => None,
    }
}

fn version_numbers(text: &str) -> Option<Numbers> {
    let text = text.trim();
    let text = text.strip_prefix('v').unwrap_or(text);
    // What follows `+` does not count; what follows `-` makes it an earlier version.
    let (text, _) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, early) = match text.split_once('-') {
        Some((numbers, _)) => (numbers, true),
        None => (text, false),
    };
    let mut parts = numbers.split('.').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if digits {
            part.parse::<u32>().ok()
        } else {
            None
        }
    });
    let major = parts.next()??;
    let minor = parts.next().unwrap_or(Some(0))?;
    let patch = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() {
        return None;
    }
    Some(Numbers {
        release: (major, minor, patch),
        early,
    })
}

fn profiles(
    reader: &mut Reader,
    field: &Field<'_>,
) -> (
    Named<super::document::Compute>,
    Named<super::document::Placement>,
) {
    let fields = reader.fields(field, "profiles", "compute: {...}");
    fields.expect_only(reader, &["compute", "placement"], Unknown::Ignored);
    let compute = named(
        reader,
        fields.get("compute"),
        "profiles.compute",
        compute::compute,
    );
    let placement = named(
        reader,
        fields.get("placement"),
        "profiles.placement",
        placement::placement,
    );
    (compute, placement)
}

fn endpoint(reader: &mut Reader, field: &Field<'_>, path: &str) -> Spanned<String> {
    let fields = reader.fields(field, path, "kind: ip");
    fields.expect_only(reader, &["kind"], Unknown::Ignored);
    optional_text(reader, &fields, "kind").unwrap_or(Spanned {
        value: String::new(),
        at: field.key_at,
    })
}

fn reclamation(reader: &mut Reader, field: &Field<'_>) -> Spanned<String> {
    let fields = reader.fields(field, "reclamation", "min_window: 24h");
    fields.expect_only(reader, &["min_window"], Unknown::Ignored);
    optional_text(reader, &fields, "min_window").unwrap_or(Spanned {
        value: String::new(),
        at: field.key_at,
    })
}

/// The text of a field, if it is there and not empty.
fn optional_text(reader: &mut Reader, fields: &Fields<'_>, key: &str) -> Option<Spanned<String>> {
    let field = fields.get(key)?;
    reader.text(&field, &fields.path_of(key))
}

/// The text of a field; empty, at the given place, if it is not there.
fn text_or_empty(reader: &mut Reader, fields: &Fields<'_>, key: &str) -> Spanned<String> {
    let missing = Spanned {
        value: String::new(),
        at: fields.at,
    };
    optional_text(reader, fields, key).unwrap_or(missing)
}

/// A number; 0, at the place of the mapping, if it is not there.
fn number_or_zero(reader: &mut Reader, fields: &Fields<'_>, key: &str) -> Spanned<u32> {
    match fields.get(key) {
        Some(field) => reader.number(&field, &fields.path_of(key)),
        None => Spanned {
            value: 0,
            at: fields.at,
        },
    }
}

/// A list of texts; empty if it is not there.
fn texts_or_none(reader: &mut Reader, fields: &Fields<'_>, key: &str) -> Vec<Spanned<String>> {
    match fields.get(key) {
        Some(field) => reader.texts(&field, &fields.path_of(key)),
        None => Vec::new(),
    }
}

/// A mapping from texts to texts.
fn text_map(
    reader: &mut Reader,
    fields: &Fields<'_>,
) -> std::collections::BTreeMap<String, Spanned<String>> {
    fields
        .all()
        .map(|(key, field)| {
            let empty = Spanned {
                value: String::new(),
                at: field.key_at,
            };
            let value = reader.text(&field, &fields.path_of(key)).unwrap_or(empty);
            (key.to_owned(), value)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_version(text: &str) -> Option<Version> {
        version_numbers(text).and_then(rules_of)
    }

    #[test]
    fn versions_are_read_tolerantly_and_2_0_is_exact() {
        for text in ["2.0", "2", "v2.0", "2.0.0", " 2.00 ", "2.0+build"] {
            assert_eq!(parse_version(text), Some(Version::V2_0), "{text}");
        }
        for text in ["2.1", "2.1.0", "2.2", "3", "2.10"] {
            assert_eq!(parse_version(text), Some(Version::V2_1), "{text}");
        }
        for text in [
            "", "two", "1.0", "2.0.1", "2.0-beta", "2.1-rc1", "2.0.0.0", "-2",
        ] {
            assert_eq!(parse_version(text), None, "{text}");
        }
    }
}
