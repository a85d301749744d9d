//! Deployment files: SDL 2.0 and 2.1.
//!
//! ```text
//!   bytes --yaml--> bounded tree with places --fields, read--> Document (typed, as written)
//!         --groups, check--> Sdl: groups with resource units, services, prices
//!         --manifest::build--> what is sent (GroupManifest) and what goes on chain (GroupSpec)
//! ```
//!
//! # What always holds
//!
//! - Every remark has a place, a cause and a remedy. All errors of a stage are told at once.
//! - What the parsers that people use today accept is accepted, what they reject is rejected. Where
//!   they are silent about something that has no effect, there is a warning.
//! - Reading costs at most what [`MAX_BYTES`], [`MAX_NODES`] and [`MAX_DEPTH`] allow, aliases
//!   written out.
//! - Nothing that a file says reaches a manifest unless a rule here lets it through.
//!
//! # What is not here, on purpose
//!
//! Denominations (a file may price in any; [`Sdl::check_denomination`] is asked before money is
//! spent), and who could run it (that needs the chain).

mod check;
mod diagnostics;
mod document;
mod exposes;
mod fields;
mod groups;
mod quantity;
mod read;
mod storage;
mod yaml;

use welkin_modules::spec::{Attributes, Endpoint};

use crate::manifest::{Resources, Service};

pub use diagnostics::{Diagnostic, Diagnostics, Position, Severity, Spanned};
pub use document::Version;
pub use quantity::Decimal;
pub use yaml::{MAX_BYTES, MAX_DEPTH, MAX_NODES};

/// The denomination of this chain's money.
pub const DENOMINATION: &str = "uwlk";

/// A price in a file is for a block of 6 seconds; an hour has 600 of them.
pub const BLOCKS_PER_HOUR: u64 = 600;

/// What to do about warnings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strictness {
    /// Tell them and go on.
    Lenient,
    /// Refuse the file.
    Strict,
}

/// A file that was accepted.
#[derive(Clone, Debug)]
pub struct Sdl {
    /// The name of the file, for messages.
    pub file: String,
    /// Which rules it follows.
    pub version: Version,
    /// Its groups, in the order of their names.
    pub groups: Vec<Group>,
    /// What its prices are in.
    pub denomination: Spanned<String>,
    /// How long before a provider takes the resources back the tenant wants to know.
    pub reclamation_seconds: Option<u64>,
    /// What will not have the effect that it seems to have.
    pub warnings: Diagnostics,
}

/// What goes to one provider as a whole.
#[derive(Clone, Debug)]
pub struct Group {
    /// The name of its placement profile.
    pub name: String,
    /// Where that is.
    pub at: Position,
    /// Attributes that the provider must have.
    pub attributes: Attributes,
    /// Auditors who must all have signed them.
    pub signed_by_all_of: Vec<Spanned<String>>,
    /// Auditors of whom one must have signed them.
    pub signed_by_any_of: Vec<Spanned<String>>,
    /// What it needs.
    pub units: Vec<Unit>,
    /// What it runs, in the order of the names.
    pub services: Vec<Service>,
}

/// A resource unit and its price.
#[derive(Clone, Debug)]
pub struct Unit {
    /// Its number in the group, from 1.
    pub id: u32,
    /// What each copy gets.
    pub resources: Resources,
    /// How its services can be reached from outside.
    pub endpoints: Vec<Endpoint>,
    /// Copies.
    pub count: u32,
    /// The most that a copy may cost for a block of 6 seconds, in the file's denomination.
    pub price: Spanned<Decimal>,
}

impl Unit {
    /// The most that a copy may cost for an hour, rounded down.
    pub fn price_per_hour(&self) -> u128 {
        self.price.value.times(BLOCKS_PER_HOUR)
    }
}

/// Reads a file. `file` is its name, for messages.
pub fn parse(file: &str, bytes: &[u8], strictness: Strictness) -> Result<Sdl, Diagnostics> {
    let mut reader = fields::Reader::default();
    let outcome = read(&mut reader, bytes);
    let failed = reader
        .items
        .iter()
        .any(|item| item.severity == Severity::Error);
    match outcome {
        Some(mut sdl) if !failed => {
            if strictness == Strictness::Strict && !reader.items.is_empty() {
                for item in &mut reader.items {
                    item.severity = Severity::Error;
                }
                return Err(Diagnostics::new(file, reader.items));
            }
            sdl.file = file.to_owned();
            sdl.warnings = Diagnostics::new(file, reader.items);
            Ok(sdl)
        }
        _ => Err(Diagnostics::new(file, reader.items)),
    }
}

fn read(reader: &mut fields::Reader, bytes: &[u8]) -> Option<Sdl> {
    let tree = match yaml::parse(bytes) {
        Ok(tree) => tree,
        Err(diagnostic) => {
            reader.items.push(diagnostic);
            return None;
        }
    };
    let Some(root) = tree.root else {
        let start = Position { line: 1, column: 1 };
        reader.error(
            start,
            "",
            "the file is empty",
            "start it with `version: \"2.0\"`",
        );
        return None;
    };
    if let Some(at) = tree.second {
        let cause = "a second document starts here; it is not read";
        reader.say(
            Severity::Warning,
            at,
            "",
            cause,
            "put it into a file of its own",
        );
    }
    let document = read::document(reader, &root)?;
    // What could not be read would only make the checks of the whole complain again.
    if reader
        .items
        .iter()
        .any(|item| item.severity == Severity::Error)
    {
        return None;
    }
    check::whole(reader, document)
}

impl Sdl {
    /// Fails if the file's prices are in another money than this chain's, unless the tenant said
    /// to take the numbers as `uwlk` (`--price-as-uwlk`).
    pub fn check_denomination(&self, price_as_uwlk: bool) -> Result<(), Diagnostics> {
        if price_as_uwlk || self.denomination.value == DENOMINATION {
            return Ok(());
        }
        let item = Diagnostic {
            severity: Severity::Error,
            at: self.denomination.at,
            path: "profiles.placement".to_owned(),
            cause: format!(
                "prices are in {}; this chain's money is {DENOMINATION}",
                diagnostics::quoted(&self.denomination.value)
            ),
            remedy: format!(
                "write `denom: {DENOMINATION}` and a price in it, or give --price-as-uwlk to take \
                 the numbers as {DENOMINATION}"
            ),
        };
        Err(Diagnostics::new(&self.file, vec![item]))
    }
}

#[cfg(test)]
mod tests;
