//! A bounded tree of a YAML file in which every node knows its place.
//!
//! The parser below gives events; this builds the tree, follows aliases, and gives up before a
//! file costs more than it should: in bytes, in depth, and in nodes counted as if every alias had
//! been written out.

use std::collections::BTreeMap;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::diagnostics::{Diagnostic, Position, Severity};

/// The longest file.
pub const MAX_BYTES: usize = 1024 * 1024;
/// The most nodes, aliases written out.
pub const MAX_NODES: usize = 100_000;
/// The deepest nesting, aliases written out.
pub const MAX_DEPTH: usize = 64;
/// The longest key.
const MAX_KEY_BYTES: usize = 1_024;

/// A node of the tree.
#[derive(Debug)]
pub(super) struct Node {
    pub at: Position,
    pub kind: Kind,
    size: usize,
    height: usize,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Kind {
    Scalar(Scalar),
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

/// A piece of text.
#[derive(Debug)]
pub(super) struct Scalar {
    pub text: String,
    /// Whether its text may stand for something else: `8`, `true`, `~`.
    pub plain: bool,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Tree {
    /// The first document; none if the file is empty.
    pub root: Option<Rc<Node>>,
    /// Where a second document starts, which nobody reads.
    pub second: Option<Position>,
}

/// Reads a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Tree, Diagnostic> {
    if bytes.len() > MAX_BYTES {
        return Err(refuse(
            START,
            format!("the file has more than {MAX_BYTES} bytes, and an SDL file has at most those"),
            "move large data out of the file, into the image or a volume",
        ));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = good.matches('\n').count() + 1;
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let cause = "the file is not text in UTF-8".to_owned();
        refuse(Position { line, column }, cause, "save the file as UTF-8")
    })?;
    let mut options = granit_parser::options! {
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    options.set_emit_comments(false);
    let mut builder = Builder::default();
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = match event {
            Ok(pair) => pair,
            // What comes after the first document is not read, well-formed or not.
            Err(_) if builder.ended => break,
            Err(error) => return Err(syntax_error(&error)),
        };
        let at = position(&span);
        if builder.ended && matches!(event, Event::DocumentStart(..)) {
            builder.second = Some(at);
            break;
        }
        builder.take(event, at)?;
    }
    Ok(Tree {
        root: builder.root,
        second: builder.second,
    })
}

const START: Position = Position { line: 1, column: 1 };

fn position(span: &Span) -> Position {
    Position {
        line: span.start.line().max(1),
        column: span.start.col() + 1,
    }
}

fn refuse(at: Position, cause: String, remedy: &str) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        at,
        path: String::new(),
        cause,
        remedy: remedy.to_owned(),
    }
}

fn syntax_error(error: &granit_parser::ScanError) -> Diagnostic {
    let mark = error.marker();
    let at = Position {
        line: mark.line().max(1),
        column: mark.col() + 1,
    };
    let what = error.info();
    if what.contains("nest") && what.contains("limit") || what.contains("recursion") {
        return too_deep(at);
    }
    refuse(
        at,
        format!("this is not YAML: {what}"),
        "look at the indentation, and for a missing colon, quote or `---` at or above this place",
    )
}

fn too_deep(at: Position) -> Diagnostic {
    refuse(
        at,
        format!("more than {MAX_DEPTH} levels of nesting"),
        "no key of an SDL file needs that depth; remove the nested value",
    )
}

/// A collection that is not complete yet.
struct Open {
    at: Position,
    anchor: usize,
    mapping: bool,
    items: Vec<Rc<Node>>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: BTreeMap<usize, Rc<Node>>,
    nodes: usize,
    root: Option<Rc<Node>>,
    ended: bool,
    second: Option<Position>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, at: Position) -> Result<(), Diagnostic> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let scalar = scalar(text.into_owned(), style, tag.as_deref());
                self.add(
                    Node {
                        at,
                        kind: Kind::Scalar(scalar),
                        size: 1,
                        height: 1,
                    },
                    anchor,
                )
            }
            Event::SequenceStart(_, anchor, _) => self.begin(at, anchor, false),
            Event::MappingStart(_, anchor, _) => self.begin(at, anchor, true),
            Event::SequenceEnd | Event::MappingEnd => self.finish(),
            Event::Alias(anchor) => {
                let Some(target) = self.anchors.get(&anchor).cloned() else {
                    return Err(refuse(
                        at,
                        "an alias inside the value that it stands for".to_owned(),
                        "write the value out",
                    ));
                };
                self.count(target.size, at)?;
                self.place(target, at)
            }
            Event::DocumentEnd => {
                self.ended = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self, at: Position, anchor: usize, mapping: bool) -> Result<(), Diagnostic> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(at));
        }
        self.open.push(Open {
            at,
            anchor,
            mapping,
            items: Vec::new(),
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Diagnostic> {
        let Some(Open {
            at,
            anchor,
            mapping,
            items,
        }) = self.open.pop()
        else {
            return Ok(());
        };
        let size = 1 + items.iter().map(|item| item.size).sum::<usize>();
        let height = 1 + items.iter().map(|item| item.height).max().unwrap_or(0);
        let kind = if mapping {
            let mut pairs = Vec::with_capacity(items.len() / 2);
            let mut items = items.into_iter();
            while let (Some(key), Some(value)) = (items.next(), items.next()) {
                check_key(&key)?;
                pairs.push((key, value));
            }
            Kind::Mapping(pairs)
        } else {
            Kind::Sequence(items)
        };
        self.add(
            Node {
                at,
                kind,
                size,
                height,
            },
            anchor,
        )
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        let at = node.at;
        let node = Rc::new(node);
        self.count(1, at)?;
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node, at)
    }

    fn place(&mut self, node: Rc<Node>, at: Position) -> Result<(), Diagnostic> {
        if self.open.len() + node.height > MAX_DEPTH {
            return Err(too_deep(at));
        }
        match self.open.last_mut() {
            Some(parent) => parent.items.push(node),
            None if self.root.is_none() => self.root = Some(node),
            None => {}
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, at: Position) -> Result<(), Diagnostic> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        Err(refuse(
            at,
            format!("more than {MAX_NODES} values, counting what aliases stand for"),
            "use fewer aliases and fewer entries",
        ))
    }
}

fn check_key(key: &Node) -> Result<(), Diagnostic> {
    match &key.kind {
        Kind::Scalar(scalar) if scalar.text.len() > MAX_KEY_BYTES => Err(refuse(
            key.at,
            format!(
                "a key of {} bytes; at most {MAX_KEY_BYTES} are read",
                scalar.text.len()
            ),
            "look for a missing line break or quote",
        )),
        _ => Ok(()),
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Scalar {
    let tag = tag.filter(|tag| tag.is_yaml_core_schema()).map(Tag::suffix);
    let plain = match tag {
        Some("str") => false,
        Some(_) => true,
        None => style == ScalarStyle::Plain,
    };
    Scalar { text, plain }
}

impl Node {
    /// The name of what it is, for messages.
    pub fn noun(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) if scalar.is_null() => "nothing",
            Kind::Scalar(_) => "a single value",
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
        }
    }

    /// Whether it is empty, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(scalar) if scalar.is_null())
    }
}

impl Scalar {
    /// Whether it stands for nothing.
    pub fn is_null(&self) -> bool {
        self.plain && matches!(self.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
    }

    /// What it is as a truth value: YAML 1.2's words, and 1.1's where they are used on purpose.
    pub fn as_bool(&self) -> Option<bool> {
        match self.text.as_str() {
            "true" | "True" | "TRUE" if self.plain => Some(true),
            "false" | "False" | "FALSE" if self.plain => Some(false),
            "y" | "Y" | "yes" | "on" => Some(true),
            "n" | "N" | "no" | "off" => Some(false),
            _ => None,
        }
    }

    /// What it is as a whole number below 2^32. Quoted numbers are text; a fraction is cut off.
    pub fn as_u32(&self) -> Option<u32> {
        if !self.plain {
            return None;
        }
        let text: String = self.text.chars().filter(|c| *c != '_').collect();
        integer(&text)
            .or_else(|| fraction(&text))
            .and_then(|number| u32::try_from(number).ok())
    }
}

/// Decimal, or with a prefix: `0x`, `0o`, `0b`, or just `0` for octal.
fn integer(text: &str) -> Option<u64> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let lower = digits.to_ascii_lowercase();
    let parsed = match lower.as_bytes() {
        [b'0', b'x', ..] => u64::from_str_radix(&lower[2..], 16),
        [b'0', b'o', ..] => u64::from_str_radix(&lower[2..], 8),
        [b'0', b'b', ..] => u64::from_str_radix(&lower[2..], 2),
        [b'0', _, ..] => u64::from_str_radix(&lower[1..], 8),
        _ => lower.parse(),
    };
    parsed.ok()
}

fn fraction(text: &str) -> Option<u64> {
    super::quantity::Decimal::parse(text)
        .ok()
        .and_then(|number| number.whole())
}
