//! The bid engine: whether to bid on an order, and at what rate. Pure.
//!
//! ```text
//!   group, own attributes, attestations ── matching ──────────┐
//!   ledger: capacity − bids − leases; a node for each copy ───┼──> Bid at a rate | Pass, with every reason
//!   price table ───────────────────────── rate? ──────────────┘
//! ```
//!
//! Matching is the chain's own code. A quote is the same decision about groups that nobody ordered yet. Not here: sending the bid, and what the machine really has.

mod ledger;
mod placement;
mod price;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use welkin_modules::matching::{Mismatch, capacity_mismatches, provider_mismatches};
use welkin_modules::spec::{Attributes, Endpoint, EndpointKind, GroupSpec};
use welkin_runtime::{Address, Amount};

use crate::backend::Offers;
use crate::workload::{GPUS, LEASED_IP, lacking_storage};

pub use ledger::{Ledger, Reservation};
pub use placement::Demand;
pub use price::PriceTable;

/// What a provider is, for matching.
#[derive(Clone, Debug, Default)]
pub struct Offering {
    /// Its attributes as registered.
    pub attributes: Attributes,
    /// What auditors vouch for.
    pub attestations: BTreeMap<Address, Attributes>,
    /// What its back end can do.
    pub offers: Offers,
}

/// What to do about a group that is ordered, or would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Bid at this rate for the whole group.
    Bid(Amount),
    /// Do not bid, for these reasons.
    Pass(Vec<Reason>),
}

/// Why there is no bid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The provider is not what the order asks for, or has not enough free.
    Mismatch(Mismatch),
    /// The back end cannot do this.
    Cannot {
        /// What it cannot do.
        what: String,
    },
    /// There is enough free in all, and not on one node for each copy.
    Crowded,
    /// The order pays less than it would cost.
    TooCheap {
        /// The most that the order pays for an hour.
        maximum: Amount,
        /// What this provider would ask.
        asked: Amount,
    },
    /// The rate does not fit the chain's numbers.
    Priceless,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Mismatch(mismatch) => mismatch.fmt(f),
            Reason::Cannot { what } => write!(f, "this provider has no {what}"),
            Reason::Crowded => f.write_str(
                "enough is free in all, but no node has room for each copy; smaller copies may fit",
            ),
            Reason::TooCheap { maximum, asked } => {
                write!(
                    f,
                    "it pays at most {maximum} uwlk an hour, and would cost {asked}"
                )
            }
            Reason::Priceless => f.write_str("its price is larger than any amount"),
        }
    }
}

/// Whether to bid on a group that pays at most `maximum` an hour, with what is free, at these prices.
pub fn decide(
    spec: &GroupSpec,
    maximum: Amount,
    offering: &Offering,
    ledger: &Ledger,
    prices: &PriceTable,
) -> Decision {
    let mut reasons: Vec<Reason> =
        provider_mismatches(spec, &offering.attributes, &offering.attestations)
            .into_iter()
            .chain(capacity_mismatches(spec, &ledger.free()))
            .map(Reason::Mismatch)
            .collect();
    reasons.extend(beyond_the_back_end(spec, offering.offers));
    // Where the sum does not suffice, that is said, and enough.
    if reasons.is_empty() && !ledger.places(&Demand::of(spec).copies) {
        reasons.push(Reason::Crowded);
    }
    match prices.rate(spec) {
        None => reasons.push(Reason::Priceless),
        Some(asked) if asked > maximum => reasons.push(Reason::TooCheap { maximum, asked }),
        Some(asked) if reasons.is_empty() => return Decision::Bid(asked),
        Some(_) => {}
    }
    Decision::Pass(reasons)
}

/// What would be decided about each of these groups if it were ordered now, the others going to other providers.
pub fn quote(
    groups: &[GroupSpec],
    offering: &Offering,
    ledger: &Ledger,
    prices: &PriceTable,
) -> Vec<Decision> {
    let alone = |spec: &GroupSpec| {
        // A sum that overflows is no group that the chain takes; it pays as much as there can be.
        let maximum = spec.max_rate().unwrap_or(Amount(u64::MAX));
        decide(spec, maximum, offering, ledger, prices)
    };
    groups.iter().map(alone).collect()
}

/// What the back end cannot give, whatever the operator's attributes say.
fn beyond_the_back_end(spec: &GroupSpec, offers: Offers) -> Vec<Reason> {
    let mut lacks: Vec<&str> = Vec::new();
    for unit in &spec.resources {
        let leased_ip = |endpoint: &Endpoint| endpoint.kind == EndpointKind::LeasedIp;
        lacks.extend((unit.gpu.count > 0).then_some(GPUS));
        lacks.extend(unit.endpoints.iter().any(leased_ip).then_some(LEASED_IP));
        lacks.extend(
            unit.storage
                .iter()
                .filter_map(|volume| lacking_storage(&volume.attributes, offers)),
        );
    }
    lacks.sort_unstable();
    lacks.dedup();
    lacks
        .into_iter()
        .map(|what| Reason::Cannot {
            what: what.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests;
