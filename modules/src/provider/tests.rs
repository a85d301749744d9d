//! Providers against a table of who is what and has locked how much.

use proptest::prelude::*;
use welkin_runtime::{Amount, Event as RawEvent, Result};

use super::*;
use crate::deployment::Award;
use crate::ids::GroupId;
use crate::market::{self, Market};
use crate::moment::Reason;
use crate::spec::Attributes;
use crate::test_support::{WEALTH, World, account, profile, spec};

fn call(world: &mut World, number: u32, call: Call) -> Result<Vec<RawEvent>> {
    world.call::<Providers>(account(number), call)
}

fn status(world: &World, number: u32) -> Option<ProviderView> {
    match world.query::<Providers>(Query::Provider {
        address: account(number),
    }) {
        Answer::Provider(found) => found,
        other => panic!("another answer: {other:?}"),
    }
}

fn attributes(key: &str, value: &str) -> Attributes {
    Attributes::from([(key.to_owned(), value.to_owned())])
}

fn quick(genesis: &mut crate::genesis::AppState) {
    genesis.provider.params.bond = Amount(1_000);
    genesis.provider.params.attestation_deposit = Amount(7);
    genesis.provider.params.prune_delay_seconds = 100;
    genesis.provider.params.pruned_per_block = 2;
}

#[test]
fn the_bond_is_locked_until_the_last_lease_has_ended() {
    let mut world = World::new(quick);
    let provider = world.provider(1);
    assert_eq!(world.balance(provider), WEALTH.0 - 1_000);
    let lease = world.lease(account(0), provider, 3_600, 1_000_000).unwrap();
    call(&mut world, 1, Call::Deactivate {}).unwrap();
    let view = status(&world, 1).unwrap();
    assert_eq!(
        (view.provider.status, view.engagements),
        (Status::Leaving, 1)
    );
    assert_eq!(view.provider.bond, Amount(1_000));
    let order = world
        .create(account(0), vec![spec(10)], 500_000, Award::Tenant)
        .unwrap();
    let order = GroupId {
        deployment: order,
        group: 1,
    }
    .order(1);
    let error = world.bid(provider, order, 1).unwrap_err();
    assert!(error.is(Error::NotActive), "{error}");
    let close = market::Call::CloseLease {
        lease,
        reason: Reason::DECOMMISSIONED,
    };
    world.call::<Market>(provider, close).unwrap();
    let view = status(&world, 1).unwrap();
    assert_eq!(
        (view.provider.status, view.provider.bond),
        (Status::Retired, Amount(0))
    );
    assert_eq!(world.balance(provider), WEALTH.0);
}

#[test]
fn a_leaving_provider_can_stay_and_a_retired_one_come_back() {
    let mut world = World::new(quick);
    let provider = world.provider(1);
    world.lease(account(0), provider, 3_600, 1_000_000).unwrap();
    let locked = world.balance(provider);
    call(&mut world, 1, Call::Deactivate {}).unwrap();
    call(&mut world, 1, Call::Register(profile())).unwrap();
    assert_eq!(world.balance(provider), locked, "the bond never left");
    let error = call(&mut world, 1, Call::Register(profile())).unwrap_err();
    assert!(error.is(Error::AlreadyRegistered), "{error}");

    let other = world.provider(2);
    call(&mut world, 2, Call::Deactivate {}).unwrap();
    assert_eq!(world.balance(other), WEALTH.0);
    let error = call(&mut world, 2, Call::Update(profile())).unwrap_err();
    assert!(error.is(Error::NotActive), "{error}");
    call(&mut world, 2, Call::Register(profile())).unwrap();
    assert_eq!(world.balance(other), WEALTH.0 - 1_000);
}

#[test]
fn an_update_names_what_was_dropped_and_reaches_no_live_lease() {
    let mut world = World::new(quick);
    let provider = world.provider(1);
    let mut picky = spec(3_600);
    picky.requirements.attributes = attributes("region", "eu");
    let deployment = world
        .create(account(0), vec![picky], 1_000_000, Award::Tenant)
        .unwrap();
    let lease = GroupId {
        deployment,
        group: 1,
    }
    .order(1);
    let bid = world.bid(provider, lease, 3_600).unwrap();
    world
        .call::<Market>(account(0), market::Call::Accept { bid })
        .unwrap();
    let mut other = profile();
    other.attributes = attributes("region", "us");
    let events = call(&mut world, 1, Call::Update(other)).unwrap();
    let event: Event = borsh::from_slice(&events[0].data).unwrap();
    assert_eq!(
        event,
        Event::Updated {
            provider,
            dropped: vec!["region".to_owned()]
        }
    );
    match world.query::<Market>(market::Query::Lease { lease }) {
        market::Answer::Lease(Some(lease)) => assert_eq!(lease.state, market::LeaseState::Active),
        other => panic!("{other:?}"),
    }
}

#[test]
fn profiles_are_bounded() {
    let mut world = World::new(quick);
    type Change = fn(&mut Profile);
    let changes: [(Change, Error); 8] = [
        (|p| p.peer_id = "short".to_owned(), Error::BadPeerId),
        (|p| p.peer_id = "0".repeat(52), Error::BadPeerId),
        (
            |p| p.addresses = vec!["127.0.0.1:80".to_owned()],
            Error::BadAddress,
        ),
        (
            |p| p.addresses = vec!["/ip4/127.0.0.1".to_owned(); 9],
            Error::BadAddress,
        ),
        (
            |p| p.attributes = attributes("a b", "c"),
            Error::BadAttributes,
        ),
        (
            |p| p.attributes = attributes("a*", "c"),
            Error::BadAttributes,
        ),
        (
            |p| p.attributes = attributes("a", &"c".repeat(129)),
            Error::BadAttributes,
        ),
        (|p| p.website = "\n".to_owned(), Error::BadText),
    ];
    for (change, expected) in changes {
        let mut profile = profile();
        change(&mut profile);
        let error = call(&mut world, 1, Call::Register(profile)).unwrap_err();
        assert!(error.is(expected), "{error}");
    }
    assert!(status(&world, 1).is_none());
}

#[test]
fn attestations_last_until_they_are_revoked_or_the_provider_is_gone() {
    let mut world = World::new(quick);
    let provider = world.provider(1);
    for auditor in 2..8 {
        let attributes = attributes("region", "eu");
        call(
            &mut world,
            auditor,
            Call::Attest {
                provider,
                attributes,
            },
        )
        .unwrap();
    }
    let again = Call::Attest {
        provider,
        attributes: attributes("tier", "gold"),
    };
    call(&mut world, 2, again).unwrap();
    assert_eq!(
        world.balance(account(2)),
        WEALTH.0 - 7,
        "one deposit for one attestation"
    );
    let page = |world: &World, start, limit| match world.query::<Providers>(Query::Attestations {
        provider,
        start,
        limit,
    }) {
        Answer::Attestations { attestations, next } => (attestations, next),
        other => panic!("{other:?}"),
    };
    let (first, next) = page(&world, None, 4);
    assert_eq!(first[0].attributes, attributes("tier", "gold"));
    let (rest, end) = page(&world, next, 4);
    assert_eq!((first.len(), rest.len(), end), (4, 2, None));

    call(&mut world, 2, Call::Revoke { provider }).unwrap();
    assert_eq!(world.balance(account(2)), WEALTH.0);
    let error = call(&mut world, 2, Call::Revoke { provider }).unwrap_err();
    assert!(error.is(Error::UnknownAttestation), "{error}");

    call(&mut world, 1, Call::Deactivate {}).unwrap();
    world.block_after_seconds(99);
    assert!(status(&world, 1).is_some());
    // Five attestations and the provider itself, two in a block.
    for left in [3, 1, 0] {
        world.block_after_seconds(1);
        assert_eq!(page(&world, None, 100).0.len(), left);
    }
    assert!(status(&world, 1).is_none());
    assert_eq!(world.balance(account(7)), WEALTH.0);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Register(u32),
    Update(u32),
    Deactivate(u32),
    Bid(u32),
    CloseBid(u32),
    Block,
}

fn step() -> impl Strategy<Value = Step> {
    let who = 1..4u32;
    prop_oneof![
        who.clone().prop_map(Step::Register),
        who.clone().prop_map(Step::Update),
        who.clone().prop_map(Step::Deactivate),
        who.clone().prop_map(Step::Bid),
        who.prop_map(Step::CloseBid),
        Just(Step::Block),
    ]
}

/// What the table knows of a provider.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Row {
    known: bool,
    active: bool,
    bond: u64,
    bids: u64,
}

impl Row {
    fn settle(&mut self) {
        if self.known && !self.active && self.bids == 0 && self.bond > 0 {
            self.bond = 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bonds_and_status_follow_the_table(steps in prop::collection::vec(step(), 0..40)) {
        let mut world = World::new(|genesis| {
            quick(genesis);
            genesis.market.params.min_bid_deposit = Amount(1);
        });
        let deployment = world.create(account(0), vec![spec(10)], 500_000, Award::Tenant).unwrap();
        let order = GroupId { deployment, group: 1 }.order(1);
        let mut table = [Row::default(); 4];
        for step in steps {
            match step {
                Step::Register(number) => {
                    let row = &mut table[number as usize];
                    let done = call(&mut world, number, Call::Register(profile())).is_ok();
                    prop_assert_eq!(done, !row.active);
                    *row = Row { known: true, active: true, bond: 1_000, ..*row };
                }
                Step::Update(number) => {
                    let row = table[number as usize];
                    let done = call(&mut world, number, Call::Update(profile())).is_ok();
                    prop_assert_eq!(done, row.bond > 0);
                }
                Step::Deactivate(number) => {
                    let row = &mut table[number as usize];
                    let done = call(&mut world, number, Call::Deactivate {}).is_ok();
                    prop_assert_eq!(done, row.active);
                    row.active = false;
                }
                Step::Bid(number) => {
                    let row = &mut table[number as usize];
                    let done = world.bid(account(number), order, 1).is_ok();
                    prop_assert_eq!(done, row.active && row.bids == 0);
                    row.bids += u64::from(done);
                }
                Step::CloseBid(number) => {
                    let row = &mut table[number as usize];
                    let close = market::Call::CloseBid { order, reason: Reason::UNSPECIFIED };
                    let done = world.call::<Market>(account(number), close).is_ok();
                    prop_assert_eq!(done, row.bids > 0);
                    row.bids = 0;
                }
                Step::Block => drop(world.block_after_seconds(1)),
            }
            for number in 1..4u32 {
                let row = &mut table[number as usize];
                row.settle();
                let view = status(&world, number);
                prop_assert_eq!(view.is_some(), row.known);
                prop_assert_eq!(view.map_or(0, |view| view.provider.bond.0), row.bond);
                let locked = row.bond + row.bids * 500_000;
                prop_assert_eq!(world.balance(account(number)), WEALTH.0 - locked);
            }
        }
    }
}
