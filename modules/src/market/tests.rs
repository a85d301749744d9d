//! Orders, bids and leases, case by case, and the award against a naive sort.

use proptest::prelude::*;
use welkin_runtime::types::NANOS_PER_SECOND;
use welkin_runtime::{Address, Amount, Event as RawEvent, Result};

use super::*;
use crate::deployment::{self, Award, Deployments, GroupState};
use crate::ids::{BidId, GroupId, OrderId};
use crate::moment::Reason;
use crate::provider::{self, Providers};
use crate::spec::{Attributes, UnitOffer};
use crate::test_support::{World, account, profile, spec};

const BEST: Award = Award::Best {
    bid_window_seconds: 30,
};

fn call(world: &mut World, sender: Address, call: Call) -> Result<Vec<RawEvent>> {
    world.call::<Market>(sender, call)
}

fn order_of(world: &mut World, award: Award) -> OrderId {
    let deployment = world
        .create(account(0), vec![spec(1_000)], 1_000_000, award)
        .unwrap();
    GroupId {
        deployment,
        group: 1,
    }
    .order(1)
}

fn order(world: &World, order: OrderId) -> Order {
    match world.query::<Market>(Query::Order { order }) {
        Answer::Order(Some(view)) => view.order,
        other => panic!("{other:?}"),
    }
}

fn bid(world: &World, bid: BidId) -> Bid {
    match world.query::<Market>(Query::Bid { bid }) {
        Answer::Bid(Some(bid)) => bid,
        other => panic!("{other:?}"),
    }
}

fn lease(world: &World, lease: OrderId) -> Option<Lease> {
    match world.query::<Market>(Query::Lease { lease }) {
        Answer::Lease(lease) => lease,
        other => panic!("{other:?}"),
    }
}

fn group_state(world: &World, order: OrderId) -> GroupState {
    let query = deployment::Query::Group {
        group: order.group_id(),
    };
    match world.query::<Deployments>(query) {
        deployment::Answer::Group(Some(group)) => group.state,
        other => panic!("{other:?}"),
    }
}

fn providers(world: &mut World, count: u32) -> Vec<Address> {
    (1..=count).map(|number| world.provider(number)).collect()
}

#[test]
fn the_tenant_accepts_whichever_bid_it_likes_and_the_losers_get_their_deposits_back() {
    let mut world = World::new(|_| ());
    let providers = providers(&mut world, 3);
    let before: Vec<u64> = providers
        .iter()
        .map(|provider| world.balance(*provider))
        .collect();
    let id = order_of(&mut world, Award::Tenant);
    let bids: Vec<BidId> = providers
        .iter()
        .map(|provider| world.bid(*provider, id, 500).unwrap())
        .collect();
    assert_eq!(world.balance(providers[0]), before[0] - 500_000);
    let stranger = call(&mut world, account(9), Call::Accept { bid: bids[1] }).unwrap_err();
    assert!(stranger.is(Error::NotOwner), "{stranger}");
    call(&mut world, account(0), Call::Accept { bid: bids[1] }).unwrap();
    assert_eq!(lease(&world, id).unwrap().provider, providers[1]);
    let again = call(&mut world, account(0), Call::Accept { bid: bids[0] }).unwrap_err();
    assert!(again.is(Error::OrderNotOpen), "{again}");
    world.block(0);
    for loser in [0, 2] {
        let bid = bid(&world, bids[loser]);
        assert_eq!(
            (bid.state, bid.closed.unwrap().reason),
            (BidState::Lost, Reason::NOT_CHOSEN)
        );
        assert_eq!(world.balance(providers[loser]), before[loser]);
    }
    assert_eq!(
        bid(&world, bids[1]).deposit,
        Amount(500_000),
        "locked as long as the lease"
    );
}

#[test]
fn lost_deposits_return_as_fast_as_there_is_room() {
    let mut world = World::new(|genesis| genesis.market.params.work_per_block = 2);
    let providers = providers(&mut world, 6);
    let id = order_of(&mut world, Award::Tenant);
    for provider in &providers {
        world.bid(*provider, id, 500).unwrap();
    }
    call(
        &mut world,
        account(0),
        Call::Accept {
            bid: id.bid(providers[0]),
        },
    )
    .unwrap();
    for (left, due_work) in [(3, true), (1, true), (0, false)] {
        let output = world.chain.next_block(1, &[]).unwrap();
        assert_eq!(order(&world, id).open_bids, left);
        assert_eq!(output.due_work, due_work);
    }
}

#[test]
fn bids_that_do_not_fit_are_refused_with_the_reason() {
    let mut world = World::new(|_| ());
    let provider = world.provider(1);
    let id = order_of(&mut world, Award::Tenant);
    let terms = |rate, deposit, offer| Call::Bid {
        order: id,
        rate_uwlk_per_hour: Amount(rate),
        offer,
        deposit: Amount(deposit),
    };
    let fewer = UnitOffer {
        id: 1,
        cpu_millis: 99,
        memory_bytes: 64 << 20,
        gpu: Default::default(),
        storage: spec(1).resources[0].storage.clone(),
        count: 1,
    };
    for (terms, expected) in [
        (terms(0, 500_000, Vec::new()), Error::BadRate),
        (terms(1_001, 500_000, Vec::new()), Error::BadRate),
        (terms(1, 499_999, Vec::new()), Error::DepositTooSmall),
        (terms(1, 500_000, vec![fewer]), Error::BadOffer),
    ] {
        let error = call(&mut world, provider, terms).unwrap_err();
        assert!(error.is(expected), "{error}");
    }
    let good = terms(1_000, 500_000, Vec::new());
    let error = call(&mut world, account(9), good.clone()).unwrap_err();
    assert!(error.is(provider::Error::UnknownProvider), "{error}");
    call(&mut world, provider, good.clone()).unwrap();
    let error = call(&mut world, provider, good).unwrap_err();
    assert!(error.is(Error::BidExists), "{error}");

    world
        .call::<Providers>(account(0), provider::Call::Register(profile()))
        .unwrap();
    let error = world.bid(account(0), id, 1).unwrap_err();
    assert!(error.is(Error::OwnOrder), "{error}");
    let unknown = OrderId { order: 2, ..id };
    let error = world.bid(provider, unknown, 1).unwrap_err();
    assert!(error.is(Error::UnknownOrder), "{error}");
}

#[test]
fn what_is_required_must_hold_at_the_bid_and_when_it_wins() {
    let mut world = World::new(|_| ());
    let provider = world.provider(1);
    let auditor = account(7);
    let mut picky = spec(1_000);
    picky.requirements.attributes = Attributes::from([("region".to_owned(), "eu".to_owned())]);
    picky.requirements.signed_by.all_of = vec![auditor];
    let deployment = world
        .create(account(0), vec![picky], 1_000_000, Award::Tenant)
        .unwrap();
    let id = GroupId {
        deployment,
        group: 1,
    }
    .order(1);
    let error = world.bid(provider, id, 1).unwrap_err();
    assert!(error.is(Error::NoMatch), "{error}");
    assert!(error.message.contains("has not signed"), "{error}");
    let attributes = profile().attributes;
    let attest = provider::Call::Attest {
        provider,
        attributes,
    };
    world.call::<Providers>(auditor, attest).unwrap();
    let bid = world.bid(provider, id, 1).unwrap();
    world
        .call::<Providers>(auditor, provider::Call::Revoke { provider })
        .unwrap();
    let error = call(&mut world, account(0), Call::Accept { bid }).unwrap_err();
    assert!(error.is(Error::NoMatch), "{error}");
}

#[test]
fn a_lower_bid_takes_the_place_of_the_highest_on_a_full_order() {
    let mut world = World::new(|genesis| genesis.market.params.max_open_bids = 2);
    let providers = providers(&mut world, 4);
    let id = order_of(&mut world, Award::Tenant);
    for (provider, rate) in [(0, 300), (1, 500)] {
        world.bid(providers[provider], id, rate).unwrap();
    }
    let error = world.bid(providers[2], id, 500).unwrap_err();
    assert!(error.is(Error::OrderFull), "{error}");
    world.bid(providers[2], id, 499).unwrap();
    let outbid = bid(&world, id.bid(providers[1]));
    assert_eq!(
        (outbid.state, outbid.closed.unwrap().reason),
        (BidState::Lost, Reason::OUTBID)
    );
    assert_eq!(order(&world, id).open_bids, 2);
    // Who was outbid may try again.
    world.bid(providers[1], id, 100).unwrap();
    assert_eq!(bid(&world, id.bid(providers[2])).state, BidState::Lost);
}

#[test]
fn the_best_bid_wins_by_itself_and_only_when_the_window_ends() {
    let mut world = World::new(|_| ());
    let providers = providers(&mut world, 3);
    let id = order_of(&mut world, BEST);
    for (provider, rate) in [(0, 700), (1, 400), (2, 400)] {
        world.bid(providers[provider], id, rate).unwrap();
    }
    let accept = Call::Accept {
        bid: id.bid(providers[0]),
    };
    let error = call(&mut world, account(0), accept).unwrap_err();
    assert!(error.is(Error::NotTenantsChoice), "{error}");
    world.block(30 * NANOS_PER_SECOND - 1);
    assert_eq!(lease(&world, id), None);
    world.block(1);
    assert_eq!(
        lease(&world, id).unwrap().provider,
        providers[1],
        "of equal ones the earliest"
    );
    assert_eq!(order(&world, id).open_bids, 0);
}

#[test]
fn who_cannot_win_leaves_the_place_to_the_next() {
    let mut world = World::new(|_| ());
    let providers = providers(&mut world, 2);
    let id = order_of(&mut world, BEST);
    world.bid(providers[0], id, 1).unwrap();
    world.bid(providers[1], id, 2).unwrap();
    world
        .call::<Providers>(providers[0], provider::Call::Deactivate {})
        .unwrap();
    world.block_after_seconds(30);
    assert_eq!(lease(&world, id).unwrap().provider, providers[1]);
}

#[test]
fn an_order_that_nobody_won_expires_and_pauses_its_group() {
    for award in [Award::Tenant, BEST] {
        let mut world = World::new(|genesis| {
            genesis.market.params.order_lifetime_seconds = 30;
            genesis.market.params.bid_lifetime_seconds = 20;
        });
        let provider = world.provider(1);
        let before = world.balance(provider);
        let id = order_of(&mut world, award);
        if award == Award::Tenant {
            world.bid(provider, id, 1).unwrap();
            world.block_after_seconds(20);
            assert_eq!(bid(&world, id.bid(provider)).state, BidState::Expired);
            assert_eq!(world.balance(provider), before);
            world.bid(provider, id, 1).unwrap();
            world.block_after_seconds(10);
            let late = bid(&world, id.bid(provider));
            assert_eq!((late.state, late.deposit), (BidState::Expired, Amount(0)));
        } else {
            world.block_after_seconds(30);
        }
        let closed = order(&world, id).closed.unwrap();
        assert_eq!(closed.reason, Reason::EXPIRED);
        assert_eq!(group_state(&world, id), GroupState::Paused);
        assert_eq!(world.balance(provider), before);
        let error = world.bid(provider, id, 1).unwrap_err();
        assert!(error.is(Error::OrderNotOpen), "{error}");
        let start = deployment::Call::StartGroup {
            group: id.group_id(),
        };
        world.call::<Deployments>(account(0), start).unwrap();
        assert_eq!(
            order(&world, OrderId { order: 2, ..id }).state,
            OrderState::Open
        );
    }
}

#[test]
fn an_order_takes_no_bid_at_the_end_of_its_time_even_if_no_block_said_so() {
    let mut world = World::new(|genesis| genesis.market.params.work_per_block = 1);
    let provider = world.provider(1);
    let ids: Vec<OrderId> = (0..3).map(|_| order_of(&mut world, BEST)).collect();
    world.block_after_seconds(30);
    let open = ids
        .iter()
        .filter(|id| order(&world, **id).state == OrderState::Open);
    assert_eq!(open.count(), 2, "one of three was handled");
    let error = world.bid(provider, ids[2], 1).unwrap_err();
    assert!(error.is(Error::OrderNotOpen), "{error}");
}

#[test]
fn who_closes_a_lease_says_why_and_decides_what_follows() {
    let mut world = World::new(|_| ());
    let provider = world.provider(1);
    let owner = account(0);
    let bonded = world.balance(provider);
    let first = world.lease(owner, provider, 3_600, 1_000_000).unwrap();
    let close = |lease, reason| Call::CloseLease { lease, reason };
    for (sender, reason, expected) in [
        (owner, Reason::UNSTABLE, Error::BadReason),
        (provider, Reason::OWNER, Error::BadReason),
        (owner, Reason::INSUFFICIENT_FUNDS, Error::BadReason),
        (provider, Reason(0), Error::BadReason),
        (account(9), Reason::OWNER, Error::NotParty),
    ] {
        let error = call(&mut world, sender, close(first, reason)).unwrap_err();
        assert!(error.is(expected), "{error}");
    }
    world.block_after_seconds(10);
    call(&mut world, owner, close(first, Reason(42))).unwrap();
    assert_eq!(
        lease(&world, first).unwrap().closed.unwrap().reason,
        Reason(42)
    );
    assert_eq!(world.balance(provider), bonded + 10, "deposit and income");
    let second = OrderId { order: 2, ..first };
    assert_eq!(
        order(&world, second).state,
        OrderState::Open,
        "asked again at once"
    );
    let error = call(&mut world, owner, close(first, Reason::OWNER)).unwrap_err();
    assert!(error.is(Error::LeaseNotActive), "{error}");

    let bid = world.bid(provider, second, 3_600).unwrap();
    let error = close_bid_error(&mut world, provider, second, Reason::OWNER);
    assert!(error.is(Error::BadReason), "{error}");
    call(&mut world, owner, Call::Accept { bid }).unwrap();
    let error = close_bid_error(&mut world, provider, second, Reason::UNSPECIFIED);
    assert!(error.is(Error::BidNotOpen), "{error}");
    call(&mut world, provider, close(second, Reason::NO_MANIFEST)).unwrap();
    assert_eq!(group_state(&world, second), GroupState::Paused);
}

fn close_bid_error(
    world: &mut World,
    provider: Address,
    order: OrderId,
    reason: Reason,
) -> welkin_runtime::ModuleError {
    call(world, provider, Call::CloseBid { order, reason }).unwrap_err()
}

/// Five leases of two providers in turn, the first of them closed by its provider.
fn five_leases(world: &mut World) -> (Vec<Address>, Vec<OrderId>) {
    let providers = providers(world, 2);
    let mut leases = Vec::new();
    for number in 0..5 {
        let provider = providers[number % 2];
        leases.push(world.lease(account(0), provider, 3_600, 1_000_000).unwrap());
    }
    let (lease, reason) = (leases[0], Reason::UNSTABLE);
    call(world, providers[0], Call::CloseLease { lease, reason }).unwrap();
    (providers, leases)
}

#[test]
fn leases_are_listed_by_state_owner_and_provider_with_nothing_left_out() {
    let mut world = World::new(|_| ());
    let (providers, leases) = five_leases(&mut world);
    let by = |state, start, limit| {
        let provider = providers[0];
        match world.query::<Market>(Query::LeasesBy {
            provider,
            state,
            start,
            limit,
        }) {
            Answer::LeasesBy(page) => (
                page.leases.iter().map(|lease| lease.id).collect::<Vec<_>>(),
                page.next,
            ),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(by(LeaseState::Closed, None, 100), (vec![leases[0]], None));
    assert_eq!(
        by(LeaseState::Active, None, 1),
        (vec![leases[2]], Some(leases[2]))
    );
    assert_eq!(
        by(LeaseState::Active, Some(leases[2]), 1),
        (vec![leases[4]], None)
    );
    let (owner, state) = (account(0), LeaseState::Active);
    match world.query::<Market>(Query::LeasesOf {
        owner,
        state,
        start: None,
        limit: 100,
    }) {
        Answer::LeasesOf(page) => assert_eq!(page.leases.len(), 4),
        other => panic!("{other:?}"),
    }
}

#[test]
fn orders_and_bids_are_listed_by_state_order_and_provider() {
    let mut world = World::new(|_| ());
    let (providers, leases) = five_leases(&mut world);
    let (start, limit) = (None, 9);
    let orders = |state| match world.query::<Market>(Query::Orders {
        state,
        start,
        limit,
    }) {
        Answer::Orders(page) => page.orders.len(),
        other => panic!("{other:?}"),
    };
    let counts = [OrderState::Open, OrderState::Leased, OrderState::Closed].map(orders);
    assert_eq!(counts, [0, 4, 1]);
    let deployment = leases[1].deployment;
    match world.query::<Market>(Query::OrdersOf {
        deployment,
        start,
        limit,
    }) {
        Answer::OrdersOf(page) => assert_eq!(page.orders[0].spec, spec(3_600)),
        other => panic!("{other:?}"),
    }
    let (provider, state) = (providers[1], BidState::Won);
    match world.query::<Market>(Query::BidsBy {
        provider,
        state,
        start,
        limit,
    }) {
        Answer::BidsBy { bids, .. } => assert_eq!(bids.len(), 2),
        other => panic!("{other:?}"),
    }
    match world.query::<Market>(Query::BidsOn {
        order: leases[1],
        start: None,
        limit,
    }) {
        Answer::BidsOn { bids, next } => assert_eq!((bids.len(), next), (1, None)),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Bids come, some are closed, some providers leave; the award is what a sort of all bids says.
    #[test]
    fn the_award_is_the_lowest_rate_then_the_earliest_bid(
        rates in prop::collection::vec(1..6u64, 0..8),
        closed in prop::collection::vec(any::<bool>(), 8),
        left in prop::collection::vec(prop::bool::weighted(0.2), 8),
    ) {
        let mut world = World::new(|_| ());
        let providers = providers(&mut world, 8);
        let id = order_of(&mut world, BEST);
        let mut bids = Vec::new();
        for (number, rate) in rates.iter().enumerate() {
            world.bid(providers[number], id, *rate).unwrap();
            world.block_after_seconds(1);
            if closed[number] {
                let close = Call::CloseBid { order: id, reason: Reason::UNSPECIFIED };
                call(&mut world, providers[number], close).unwrap();
            } else if left[number] {
                world.call::<Providers>(providers[number], provider::Call::Deactivate {}).unwrap();
            } else {
                bids.push((*rate, number));
            }
        }
        let best = bids.iter().min().map(|(_, number)| providers[*number]);
        world.block_after_seconds(30);
        prop_assert_eq!(lease(&world, id).map(|lease| lease.provider), best);
        // Whoever did not win has its deposit back, and whoever left its bond.
        for provider in providers.into_iter().take(rates.len()) {
            let bid = bid(&world, id.bid(provider));
            let won = Some(provider) == best;
            prop_assert_eq!(bid.deposit, Amount(if won { 500_000 } else { 0 }));
        }
    }
}
