//! Prices and reservations against what they must never do: promise twice, ask less than they cost.

use super::*;
use proptest::prelude::*;
use welkin_modules::ids::{DeploymentId, OrderId};
use welkin_modules::matching::Resources;
use welkin_modules::spec::{Endpoint, Gpu, ResourceUnit, Volume};

use crate::backend::{Inventory, NodeRoom};

const GIB: u64 = 1 << 30;

fn unit(cpu_millis: u64, memory_bytes: u64, disk_bytes: u64, count: u32) -> ResourceUnit {
    let volume = Volume {
        name: "default".to_owned(),
        bytes: disk_bytes,
        attributes: Attributes::new(),
    };
    ResourceUnit {
        id: 1,
        cpu_millis,
        memory_bytes,
        gpu: Gpu::default(),
        storage: vec![volume],
        endpoints: Vec::new(),
        count,
        max_rate_uwlk_per_hour: Amount(1),
    }
}

fn group(units: Vec<ResourceUnit>) -> GroupSpec {
    GroupSpec {
        name: "g".to_owned(),
        requirements: Default::default(),
        resources: units,
    }
}

fn id(number: u64) -> OrderId {
    OrderId {
        deployment: DeploymentId(number),
        group: 1,
        order: 1,
    }
}

fn machine() -> Ledger {
    Ledger::new(Resources {
        cpu_millis: 2_000,
        memory_bytes: 4 * GIB,
        gpus: 0,
        storage_bytes: 10 * GIB,
    })
}

#[test]
fn an_hour_costs_the_sum_of_its_parts_rounded_up() {
    let prices = PriceTable {
        cpu_uwlk_per_core_hour: 1_000,
        memory_uwlk_per_gib_hour: 100,
        storage_uwlk_per_gib_hour: 10,
        endpoint_uwlk_per_hour: 7,
        minimum_uwlk_per_hour: 1,
    };
    let mut one = unit(1_500, GIB + 1, GIB, 2);
    one.endpoints = vec![Endpoint {
        kind: EndpointKind::SharedHttp,
        sequence: 0,
    }];
    // 3 cores, a little over 2 GiB, 2 GiB of disk, 1 endpoint.
    assert_eq!(
        prices.rate(&group(vec![one])),
        Some(Amount(3_000 + 201 + 20 + 7))
    );
    assert_eq!(prices.rate(&group(vec![unit(0, 0, 0, 1)])), Some(Amount(1)));
    let dear = PriceTable {
        cpu_uwlk_per_core_hour: u64::MAX,
        ..prices
    };
    assert_eq!(dear.rate(&group(vec![unit(u64::MAX, 0, 0, 1)])), None);
}

#[test]
fn it_bids_what_it_costs_and_says_every_reason_when_it_does_not() {
    let prices = PriceTable::default();
    let fits = group(vec![unit(1_000, GIB, GIB, 1)]);
    let asked = prices.rate(&fits).unwrap();
    let decide = |spec: GroupSpec, maximum: u64| {
        let (offering, maximum) = (Offering::default(), Amount(maximum));
        super::decide(&spec, maximum, &offering, &machine(), &prices)
    };
    assert_eq!(decide(fits.clone(), asked.0), Decision::Bid(asked));
    let maximum = Amount(asked.0 - 1);
    assert_eq!(
        decide(fits, maximum.0),
        Decision::Pass(vec![Reason::TooCheap { maximum, asked }])
    );

    let mut greedy = unit(9_000, 9 * GIB, GIB, 1);
    greedy.gpu.count = 1;
    greedy.storage[0]
        .attributes
        .insert("persistent".to_owned(), "true".to_owned());
    let mut memory = greedy.storage[0].clone();
    memory.name = "memory".to_owned();
    memory.attributes = [("class".to_owned(), "ram".to_owned())].into();
    greedy.storage.push(memory);
    greedy.endpoints = vec![Endpoint {
        kind: EndpointKind::LeasedIp,
        sequence: 1,
    }];
    let Decision::Pass(reasons) = decide(group(vec![greedy]), u64::MAX) else {
        panic!("it bid on what it does not have");
    };
    let said = reasons
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ");
    for word in [
        "graphics processors",
        "persistent storage",
        "an address of its own",
        "storage in memory",
    ] {
        assert!(said.contains(word), "{word:?} is not in {said:?}");
    }
    assert!(
        reasons
            .iter()
            .filter(|r| matches!(r, Reason::Mismatch(Mismatch::Lacking { .. })))
            .count()
            >= 2
    );
}

#[test]
fn a_bid_that_becomes_a_lease_is_counted_once() {
    let mut ledger = machine();
    let needed = Resources {
        cpu_millis: 1_500,
        ..Resources::default()
    };
    ledger.reserve(id(1), Reservation::Bid, needed);
    ledger.reserve(id(1), Reservation::Lease, needed);
    assert_eq!(ledger.free().cpu_millis, 500);
    assert_eq!(ledger.held(Reservation::Bid).0, 0);
    assert_eq!(ledger.held(Reservation::Lease).0, 1);
}

#[test]
fn a_copy_that_no_node_has_room_for_is_not_bid_on_though_the_sum_would_do() {
    let node = NodeRoom {
        free: Inventory {
            cpu_millis: 1_000,
            memory_bytes: 2 * GIB,
        },
        copies: 10,
    };
    let prices = PriceTable::default();
    let cluster = || machine().on(vec![node; 2], Inventory::default());
    let decide = |ledger: &Ledger, cpu, count| {
        let spec = group(vec![unit(cpu, GIB, GIB, count)]);
        decide(
            &spec,
            Amount(u64::MAX),
            &Offering::default(),
            ledger,
            &prices,
        )
    };
    assert!(matches!(decide(&cluster(), 1_000, 2), Decision::Bid(_)));
    assert_eq!(
        decide(&cluster(), 1_500, 1),
        Decision::Pass(vec![Reason::Crowded])
    );
    // What is promised and does not run yet will take its place; what runs has taken it.
    let promised = Demand::of(&group(vec![unit(600, GIB, GIB, 1)]));
    let mut ledger = cluster();
    ledger.reserve(id(1), Reservation::Bid, promised.clone());
    assert!(matches!(decide(&ledger, 1_000, 1), Decision::Bid(_)));
    ledger.reserve(id(2), Reservation::Bid, promised.clone());
    assert_eq!(
        decide(&ledger, 500, 1),
        Decision::Pass(vec![Reason::Crowded])
    );
    ledger.reserve(
        id(2),
        Reservation::Lease,
        promised.clone().without(&promised.copies),
    );
    assert!(matches!(decide(&ledger, 500, 1), Decision::Bid(_)));
}

#[test]
fn a_quote_names_the_rate_that_the_group_would_have_to_pay() {
    let prices = PriceTable::default();
    let mut cheap = unit(500, GIB, GIB, 2);
    let asked = prices.rate(&group(vec![cheap.clone()])).unwrap();
    let quoted = |unit: &ResourceUnit| {
        let groups = [group(vec![unit.clone()])];
        quote(&groups, &Offering::default(), &machine(), &prices).remove(0)
    };
    cheap.max_rate_uwlk_per_hour = Amount(asked.0.div_ceil(2));
    assert_eq!(quoted(&cheap), Decision::Bid(asked));
    cheap.max_rate_uwlk_per_hour = Amount(asked.0 / 2 - 1);
    let maximum = Amount(2 * (asked.0 / 2 - 1));
    assert_eq!(
        quoted(&cheap),
        Decision::Pass(vec![Reason::TooCheap { maximum, asked }])
    );
}

proptest! {
    #[test]
    fn a_quote_is_what_would_be_bid_on_each_group_if_it_were_the_only_one(
        held in 0u64..2_000,
        wishes in proptest::collection::vec((1u64..1_500, 1u64..3 * GIB, 1u64..6 * GIB, 1u32..3, 0u64..60_000), 1..8),
    ) {
        let (prices, offering) = (PriceTable::default(), Offering::default());
        let mut ledger = machine();
        let leased = Resources { cpu_millis: held, ..Resources::default() };
        ledger.reserve(id(1_000), Reservation::Lease, leased);
        let groups: Vec<GroupSpec> = wishes
            .into_iter()
            .map(|(cpu, memory, disk, count, rate)| {
                let max_rate_uwlk_per_hour = Amount(rate);
                group(vec![ResourceUnit { max_rate_uwlk_per_hour, ..unit(cpu, memory, disk, count) }])
            })
            .collect();
        let together = quote(&groups, &offering, &ledger, &prices);
        for (spec, quoted) in groups.iter().zip(together) {
            let alone = decide(spec, spec.max_rate().unwrap(), &offering, &ledger, &prices);
            prop_assert_eq!(quoted, alone);
        }
    }

    #[test]
    fn whatever_it_bids_on_in_turn_it_can_run_all_at_once(
        wishes in proptest::collection::vec((1u64..3_000, 1u64..5 * GIB, 1u64..12 * GIB, 1u32..4), 1..20),
    ) {
        let prices = PriceTable::default();
        let mut ledger = machine();
        let mut promised = Resources::default();
        for (n, (cpu, memory, disk, count)) in wishes.into_iter().enumerate() {
            let spec = group(vec![unit(cpu, memory, disk, count)]);
            let needed = Resources::needed(&spec);
            let decision = decide(&spec, Amount(u64::MAX), &Offering::default(), &ledger, &prices);
            if let Decision::Bid(_) = decision {
                ledger.reserve(id(n as u64), Reservation::Bid, needed);
                promised = promised.plus(&needed);
            }
        }
        let capacity = machine().capacity();
        prop_assert!(promised.cpu_millis <= capacity.cpu_millis);
        prop_assert!(promised.memory_bytes <= capacity.memory_bytes);
        prop_assert!(promised.storage_bytes <= capacity.storage_bytes);
    }
}
