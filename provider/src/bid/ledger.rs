//! One ledger for all that is promised: open bids and leases alike, so that nothing is promised twice.

use std::collections::BTreeMap;

use welkin_modules::ids::OrderId;
use welkin_modules::matching::Resources;

use super::placement::{Demand, place};
use crate::backend::{Inventory, NodeRoom};

/// Why something is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reservation {
    /// A bid that may still win.
    Bid,
    /// A lease that runs.
    Lease,
}

/// What there is, and what of it is promised to whom. Made anew from the chain's view in every round, so that it cannot
/// drift; what was sent and is not yet seen there is added by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    capacity: Resources,
    reserved: BTreeMap<OrderId, (Reservation, Demand)>,
    nodes: Option<(Vec<NodeRoom>, Inventory)>,
}

impl Ledger {
    /// Nothing promised yet of this.
    pub fn new(capacity: Resources) -> Ledger {
        Ledger {
            capacity,
            reserved: BTreeMap::new(),
            nodes: None,
        }
    }

    /// The same where each copy has to find a node with so much free, and takes so much beside what it is leased.
    #[must_use]
    pub fn on(mut self, nodes: Vec<NodeRoom>, overhead: Inventory) -> Ledger {
        self.nodes = Some((nodes, overhead));
        self
    }

    /// Promises what is demanded to an order. A second promise to the same order replaces the first: a bid becomes its lease.
    pub fn reserve(&mut self, order: OrderId, why: Reservation, demand: impl Into<Demand>) {
        self.reserved.insert(order, (why, demand.into()));
    }

    /// Whether each of these copies finds a node, after all that are promised and have none yet.
    pub fn places(&self, copies: &[Inventory]) -> bool {
        let Some((nodes, overhead)) = &self.nodes else {
            return true;
        };
        let promised = self
            .reserved
            .values()
            .flat_map(|(_, demand)| &demand.copies);
        let promised = place(nodes.clone(), *overhead, promised.copied());
        let all = promised.and_then(|left| place(left, *overhead, copies.iter().copied()));
        all.is_some()
    }

    /// Whether anything is promised to this order.
    pub fn holds(&self, order: OrderId) -> bool {
        self.reserved.contains_key(&order)
    }

    /// What is not promised. Nothing of a kind that is promised beyond what there is.
    pub fn free(&self) -> Resources {
        let promised = self
            .reserved
            .values()
            .fold(Resources::default(), |sum, (_, one)| sum.plus(&one.needed));
        self.capacity.minus(&promised)
    }

    /// How many reservations there are of a kind, and what they hold together.
    pub fn held(&self, why: Reservation) -> (usize, Resources) {
        let of_kind = self.reserved.values().filter(|(kind, _)| *kind == why);
        of_kind.fold((0, Resources::default()), |(count, sum), (_, one)| {
            (count + 1, sum.plus(&one.needed))
        })
    }

    /// What there is in all.
    pub fn capacity(&self) -> Resources {
        self.capacity
    }
}
