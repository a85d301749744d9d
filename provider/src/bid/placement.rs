//! Whether copies find a node each. Pure.
//!
//! A sum says little of a cluster: what is free on ten nodes together may fit none of them. Copies are put where the least
//! is left over, the largest first, which finds a place for nearly all that has one, and promises nothing that has none.

use welkin_modules::matching::Resources;
use welkin_modules::spec::GroupSpec;

use crate::backend::{Inventory, NodeRoom};

/// What an order needs: in all, and of each copy that has no node yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// All copies together.
    pub needed: Resources,
    /// Those that are still to find a node.
    pub copies: Vec<Inventory>,
}

impl From<Resources> for Demand {
    fn from(needed: Resources) -> Demand {
        Demand {
            needed,
            copies: Vec::new(),
        }
    }
}

impl Demand {
    /// What a group needs.
    pub fn of(spec: &GroupSpec) -> Demand {
        let copies = spec.resources.iter().flat_map(|unit| {
            let copy = Inventory {
                cpu_millis: unit.cpu_millis,
                memory_bytes: unit.memory_bytes,
            };
            (0..unit.count).map(move |_| copy)
        });
        Demand {
            needed: Resources::needed(spec),
            copies: copies.collect(),
        }
    }

    /// The same, without the copies that have their node.
    #[must_use]
    pub fn without(mut self, placed: &[Inventory]) -> Demand {
        for one in placed {
            if let Some(at) = self.copies.iter().position(|copy| copy == one) {
                self.copies.swap_remove(at);
            }
        }
        self
    }
}

/// The nodes after all copies found their place; none where one does not.
pub fn place(
    mut nodes: Vec<NodeRoom>,
    overhead: Inventory,
    copies: impl IntoIterator<Item = Inventory>,
) -> Option<Vec<NodeRoom>> {
    let mut copies: Vec<Inventory> = copies.into_iter().map(|copy| copy.plus(overhead)).collect();
    copies.sort_by_key(|copy| std::cmp::Reverse((copy.memory_bytes, copy.cpu_millis)));
    for copy in copies {
        let fitting = nodes.iter_mut().filter(|node| takes(node, copy));
        let tightest = fitting.min_by_key(|node| (node.free.memory_bytes, node.free.cpu_millis))?;
        tightest.free.cpu_millis -= copy.cpu_millis;
        tightest.free.memory_bytes -= copy.memory_bytes;
        tightest.copies -= 1;
    }
    Some(nodes)
}

fn takes(node: &NodeRoom, copy: Inventory) -> bool {
    node.copies > 0
        && node.free.cpu_millis >= copy.cpu_millis
        && node.free.memory_bytes >= copy.memory_bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn inventory(cpu_millis: u64, memory_bytes: u64) -> Inventory {
        Inventory {
            cpu_millis,
            memory_bytes,
        }
    }

    fn node(cpu_millis: u64, memory_bytes: u64) -> NodeRoom {
        NodeRoom {
            free: inventory(cpu_millis, memory_bytes),
            copies: 10,
        }
    }

    #[test]
    fn what_fits_the_sum_and_no_node_has_no_place() {
        let nodes = vec![node(1_000, 100), node(1_000, 100)];
        let none = Inventory::default();
        assert!(place(nodes.clone(), none, [inventory(1_000, 100); 2]).is_some());
        assert_eq!(place(nodes.clone(), none, [inventory(1_500, 10)]), None);
        assert_eq!(place(nodes.clone(), none, [inventory(10, 150)]), None);
        assert_eq!(place(nodes.clone(), none, [inventory(600, 10); 3]), None);
        // A sandbox of its own makes the difference.
        assert_eq!(place(nodes, inventory(1, 0), [inventory(1_000, 100)]), None);
    }

    #[test]
    fn a_node_has_places_for_so_many_copies() {
        let mut small = node(1_000, 1_000);
        small.copies = 2;
        let none = Inventory::default();
        assert!(place(vec![small], none, [inventory(1, 1); 2]).is_some());
        assert_eq!(place(vec![small], none, [inventory(1, 1); 3]), None);
    }

    #[test]
    fn copies_that_have_their_node_need_no_other() {
        let (one, two) = (inventory(1, 1), inventory(2, 2));
        let demand = Demand {
            needed: Resources::default(),
            copies: vec![one, two, one],
        };
        let left = |placed: &[Inventory]| demand.clone().without(placed).copies;
        assert_eq!(left(&[one, two]), [one]);
        // What runs of an earlier version, or beyond what was leased, takes nobody's place.
        assert_eq!(left(&[inventory(9, 9), two, two]), [one, one]);
    }

    proptest! {
        #[test]
        fn what_is_taken_from_each_node_is_what_was_put_there_and_never_more_than_it_has(
            nodes in proptest::collection::vec((0u64..50, 0u64..50, 0u64..5), 1..6),
            copies in proptest::collection::vec((0u64..20, 0u64..20), 0..12),
        ) {
            let nodes: Vec<NodeRoom> = nodes
                .into_iter()
                .map(|(cpu, memory, copies)| NodeRoom { copies, ..node(cpu, memory) })
                .collect();
            let copies: Vec<Inventory> = copies.into_iter().map(|(cpu, memory)| inventory(cpu, memory)).collect();
            let sum = |nodes: &[NodeRoom]| nodes.iter().fold((0, 0, 0), |sum, node| {
                (sum.0 + node.free.cpu_millis, sum.1 + node.free.memory_bytes, sum.2 + node.copies)
            });
            let wanted = copies.iter().fold((0, 0, 0), |sum, one| {
                (sum.0 + one.cpu_millis, sum.1 + one.memory_bytes, sum.2 + 1)
            });
            if let Some(after) = place(nodes.clone(), Inventory::default(), copies) {
                let (before, left) = (sum(&nodes), sum(&after));
                prop_assert_eq!((before.0 - left.0, before.1 - left.1, before.2 - left.2), wanted);
                let has_less = |(had, has): (&NodeRoom, &NodeRoom)| {
                    has.free.cpu_millis <= had.free.cpu_millis && has.free.memory_bytes <= had.free.memory_bytes
                };
                prop_assert!(nodes.iter().zip(&after).all(has_less));
            }
        }
    }
}
