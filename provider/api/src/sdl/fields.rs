//! Takes a tree apart, field by field, and keeps the remarks.
//!
//! What a value may be is what the existing parsers accept: a number or a truth value where text
//! is expected is taken as it was written, an empty value is the same as none, an empty entry of a
//! list is skipped, and `<<` merges mappings.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::diagnostics::{Diagnostic, Position, Severity, Spanned, quoted, suggestion};
use super::yaml::{Kind, Node};

/// What to do about keys that nobody asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// They have no effect: a warning.
    Ignored,
    /// They are not accepted: an error.
    Refused,
}

/// Keys that seem to ask a provider for something that no tenant gets.
const NEVER: &[&str] = &[
    "privileged",
    "cap_add",
    "cap_drop",
    "capabilities",
    "security_opt",
    "securityContext",
    "security_context",
    "seccomp",
    "apparmor",
    "volumes",
    "hostPath",
    "host_path",
    "devices",
    "network_mode",
    "hostNetwork",
    "host_network",
    "hostPID",
    "hostIPC",
    "pid",
    "ipc",
    "hostPort",
    "host_port",
    "sysctls",
    "runtime",
    "runtimeClassName",
    "runtime_class",
    "user",
    "userns_mode",
    "runAsUser",
    "nodeSelector",
    "node_selector",
    "nodeName",
    "tolerations",
    "affinity",
    "priorityClassName",
    "serviceAccountName",
    "automountServiceAccountToken",
    "annotations",
    "labels",
    "extra_hosts",
    "cgroup_parent",
];

/// Remarks on one file. After so many nobody reads on, and finding likenesses takes time.
const MAX_REMARKS: usize = 200;

/// Collects remarks while a file is read.
#[derive(Default)]
pub(super) struct Reader {
    pub items: Vec<Diagnostic>,
}

/// A value with the key that leads to it.
#[derive(Clone, Copy)]
pub(super) struct Field<'n> {
    /// Where the key is.
    pub key_at: Position,
    pub node: &'n Node,
}

impl Field<'_> {
    /// Where to point: at the value, or at the key if there is no value.
    pub fn at(&self) -> Position {
        if self.node.is_null() {
            self.key_at
        } else {
            self.node.at
        }
    }
}

/// A mapping that is being taken apart.
pub(super) struct Fields<'n> {
    /// Where it starts.
    pub at: Position,
    /// The keys that lead to it.
    pub path: String,
    entries: Vec<(&'n str, Field<'n>)>,
}

impl Reader {
    /// Whether the file is refused by what was said so far.
    pub fn failed(&self) -> bool {
        self.items
            .iter()
            .any(|item| item.severity == Severity::Error)
    }

    /// Whether so much was said that more would help nobody.
    pub fn is_full(&self) -> bool {
        self.items.len() >= MAX_REMARKS
    }

    pub fn say(
        &mut self,
        severity: Severity,
        at: Position,
        path: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        // The first of each kind is kept in any case: the verdict depends on it.
        let full = self.is_full();
        if full && self.items.iter().any(|item| item.severity == severity) {
            return;
        }
        let (path, cause, remedy) = (path.to_owned(), cause.into(), remedy.into());
        self.items.push(Diagnostic {
            severity,
            at,
            path,
            cause,
            remedy,
        });
    }

    pub fn error(
        &mut self,
        at: Position,
        path: &str,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.say(Severity::Error, at, path, cause, remedy);
    }

    fn wrong_kind(&mut self, field: &Field<'_>, path: &str, wanted: &str, example: &str) {
        let cause = format!("{wanted} is expected here, not {}", describe(field.node));
        self.error(
            field.at(),
            path,
            cause,
            format!("write it as in `{example}`"),
        );
    }

    /// The fields of a mapping; of nothing, none.
    pub fn fields<'n>(&mut self, field: &Field<'n>, path: &str, example: &str) -> Fields<'n> {
        let mut entries = Vec::new();
        if let Kind::Mapping(pairs) = &field.node.kind {
            self.collect(pairs, path, &mut entries);
        } else if !field.node.is_null() {
            self.wrong_kind(field, path, "a mapping", example);
        }
        Fields {
            at: field.at(),
            path: path.to_owned(),
            entries,
        }
    }

    fn collect<'n>(
        &mut self,
        pairs: &'n [(Rc<Node>, Rc<Node>)],
        path: &str,
        entries: &mut Vec<(&'n str, Field<'n>)>,
    ) {
        let mut seen = BTreeMap::new();
        let mut merges: Vec<&'n Node> = Vec::new();
        for (key, node) in pairs {
            let Kind::Scalar(scalar) = &key.kind else {
                let cause = format!("a key is {}", describe(key));
                self.error(key.at, path, cause, "write keys as plain words");
                continue;
            };
            if scalar.plain && scalar.text == "<<" {
                merges.push(node);
                continue;
            }
            if let Some(first) = seen.insert(scalar.text.as_str(), key.at) {
                let cause = format!(
                    "key {} was given before, at line {}",
                    quoted(&scalar.text),
                    first.line
                );
                self.error(key.at, path, cause, "remove one of the two");
                continue;
            }
            if !scalar.is_null() {
                entries.push((
                    scalar.text.as_str(),
                    Field {
                        key_at: key.at,
                        node,
                    },
                ));
            }
        }
        let mut given = entries.iter().map(|(key, _)| *key).collect();
        for node in merges {
            self.merge(node, path, &mut given, entries);
        }
    }

    fn merge<'n>(
        &mut self,
        node: &'n Node,
        path: &str,
        given: &mut BTreeSet<&'n str>,
        entries: &mut Vec<(&'n str, Field<'n>)>,
    ) {
        match &node.kind {
            Kind::Mapping(pairs) => {
                let mut merged = Vec::new();
                self.collect(pairs, path, &mut merged);
                for (key, field) in merged {
                    if given.insert(key) {
                        entries.push((key, field));
                    }
                }
            }
            Kind::Sequence(items) => {
                for item in items {
                    self.merge(item, path, given, entries);
                }
            }
            Kind::Scalar(_) => {
                let remedy = "give `<<` an alias of a mapping, as in `<<: *common`";
                self.error(node.at, path, "`<<` needs a mapping to merge", remedy);
            }
        }
    }

    /// The entries of a list that hold something.
    pub fn items<'n>(&mut self, field: &Field<'n>, path: &str, example: &str) -> Vec<Field<'n>> {
        match &field.node.kind {
            Kind::Sequence(items) => items
                .iter()
                .filter(|item| !item.is_null())
                .map(|item| Field {
                    key_at: item.at,
                    node: item,
                })
                .collect(),
            _ if field.node.is_null() => Vec::new(),
            _ => {
                self.wrong_kind(field, path, "a list", example);
                Vec::new()
            }
        }
    }

    /// A text; nothing if there is none.
    pub fn text(&mut self, field: &Field<'_>, path: &str) -> Option<Spanned<String>> {
        match &field.node.kind {
            Kind::Scalar(scalar) if scalar.is_null() => None,
            Kind::Scalar(scalar) => Some(Spanned {
                value: scalar.text.clone(),
                at: field.node.at,
            }),
            _ => {
                self.wrong_kind(field, path, "a single value", "key: value");
                None
            }
        }
    }

    /// A text as it was written, where `noun` is expected; nothing if there is none.
    pub fn written<'n>(
        &mut self,
        field: &Field<'n>,
        path: &str,
        noun: &str,
        remedy: &str,
    ) -> Option<&'n str> {
        match &field.node.kind {
            Kind::Scalar(scalar) if scalar.is_null() => None,
            Kind::Scalar(scalar) => Some(&scalar.text),
            _ => {
                let cause = format!("{noun} is expected here, not {}", field.node.noun());
                self.error(field.at(), path, cause, remedy);
                None
            }
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, field: &Field<'_>, path: &str) -> Vec<Spanned<String>> {
        let items = self.items(field, path, "[first, second]");
        let place = |index| format!("{path}[{index}]");
        items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.text(item, &place(index)))
            .collect()
    }

    /// A whole number below 2^32; 0 if there is none.
    pub fn number(&mut self, field: &Field<'_>, path: &str) -> Spanned<u32> {
        let at = field.at();
        if field.node.is_null() {
            return Spanned { value: 0, at };
        }
        if let Kind::Scalar(scalar) = &field.node.kind
            && let Some(value) = scalar.as_u32()
        {
            return Spanned { value, at };
        }
        let cause = format!(
            "a whole number from 0 to 4294967295 is expected, not {}",
            describe(field.node)
        );
        let key = path.rsplit('.').next().unwrap_or(path);
        let example = if matches!(key, "port" | "as") { 80 } else { 1 };
        let remedy = format!("write digits only, without quotes, as in `{key}: {example}`");
        self.error(at, path, cause, remedy);
        // Not 0, so that nothing else complains about it.
        Spanned { value: 1, at }
    }

    /// A truth value; false if there is none.
    pub fn flag(&mut self, field: &Field<'_>, path: &str) -> bool {
        if field.node.is_null() {
            return false;
        }
        if let Kind::Scalar(scalar) = &field.node.kind
            && let Some(value) = scalar.as_bool()
        {
            return value;
        }
        let cause = format!(
            "`true` or `false` is expected, not {}",
            describe(field.node)
        );
        self.error(
            field.at(),
            path,
            cause,
            "write `true` or `false` without quotes",
        );
        false
    }
}

impl<'n> Fields<'n> {
    /// The field with that key.
    pub fn get(&self, key: &str) -> Option<Field<'n>> {
        self.entries
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, field)| *field)
    }

    /// Every field, in the order of the file.
    pub fn all(&self) -> impl Iterator<Item = (&'n str, Field<'n>)> + '_ {
        self.entries.iter().copied()
    }

    /// The path of a field.
    pub fn path_of(&self, key: &str) -> String {
        let shown: String = key.chars().take(60).flat_map(char::escape_debug).collect();
        if self.path.is_empty() {
            shown
        } else {
            format!("{}.{shown}", self.path)
        }
    }

    /// Speaks up about keys other than `known`.
    pub fn expect_only(&self, reader: &mut Reader, known: &[&str], unknown: Unknown) {
        for (key, field) in &self.entries {
            if known.contains(key) {
                continue;
            }
            let place = self.path_of(key);
            let likely = match reader.is_full() {
                true => None,
                false => suggestion(key, known.iter().copied()),
            };
            let remedy = match likely {
                Some(likely) => format!("did you mean `{likely}`?"),
                None if NEVER.contains(key) => {
                    "remove it: what a container may do is up to the provider".to_owned()
                }
                None => format!("remove it, or use one of: {}", known.join(", ")),
            };
            let name = quoted(key);
            match unknown {
                Unknown::Refused => {
                    reader.error(field.key_at, &place, format!("unknown key {name}"), remedy);
                }
                Unknown::Ignored if NEVER.contains(key) => reader.say(
                    Severity::Warning,
                    field.key_at,
                    &place,
                    format!("{name} cannot be asked for and has no effect"),
                    remedy,
                ),
                Unknown::Ignored => reader.say(
                    Severity::Warning,
                    field.key_at,
                    &place,
                    format!("unknown key {name} has no effect"),
                    remedy,
                ),
            }
        }
    }
}

fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar(scalar) if !scalar.is_null() && scalar.plain => quoted(&scalar.text),
        Kind::Scalar(scalar) if !scalar.is_null() => format!("the text {}", quoted(&scalar.text)),
        _ => node.noun().to_owned(),
    }
}
