//! Money and time, case by case. Random histories against a naive model are in `crate::tests`.

use proptest::prelude::*;
use welkin_runtime::types::{NANOS_PER_HOUR, NANOS_PER_SECOND};
use welkin_runtime::{Amount, Event as RawEvent, Result, Time};

use super::*;
use crate::accounts::fee_collector;
use crate::deployment::{self, Award, Deployments};
use crate::genesis::AppState;
use crate::ids::{GroupId, LeaseId};
use crate::market::{self, Market};
use crate::moment::{Moment, Reason};
use crate::test_support::{GENESIS_TIME, WEALTH, World, account, escrow_account, spec};

/// One micro-token in a second.
const RATE: u64 = 3_600;

/// Deposits from 10 uwlk, 60 s of grace, 10 s of runway.
fn small(genesis: &mut AppState) {
    genesis.escrow.params = Params {
        min_deposit: Amount(10),
        closing_deposit: Amount(3),
        grace_seconds: 60,
        min_runway_seconds: 10,
        work_per_block: 256,
    };
}

/// A leased deployment with so much money, at one micro-token in a second.
fn leased(world: &mut World, deposit: u64) -> LeaseId {
    let (owner, provider) = (account(0), account(1));
    if world.balance(provider) == WEALTH.0 {
        world.provider(1);
    }
    world.lease(owner, provider, RATE, deposit).unwrap()
}

fn deposit(world: &mut World, lease: LeaseId, amount: u64) -> Result<Vec<RawEvent>> {
    let call = Call::Deposit {
        deployment: lease.deployment,
        amount: Amount(amount),
    };
    world.call::<Escrow>(account(5), call)
}

fn withdraw(world: &mut World, lease: LeaseId) -> Result<Vec<RawEvent>> {
    world.call::<Escrow>(account(1), Call::Withdraw { lease })
}

fn settle(world: &mut World, lease: LeaseId) -> Result<Vec<RawEvent>> {
    world.call::<Escrow>(
        account(6),
        Call::Settle {
            deployment: lease.deployment,
        },
    )
}

fn state(world: &World, lease: LeaseId) -> AccountState {
    escrow_account(world, lease.deployment).account.state
}

fn names(events: &[RawEvent]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_ref()).collect()
}

#[test]
fn whole_micro_tokens_are_paid_and_the_rest_is_kept() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 1_000);
    let before = world.balance(account(1));
    world.block(NANOS_PER_SECOND * 5 / 2);
    withdraw(&mut world, lease).unwrap();
    assert_eq!(world.balance(account(1)), before + 2);
    let error = withdraw(&mut world, lease).unwrap_err();
    assert!(error.is(Error::NothingEarned), "{error}");
    // Half a micro-token was kept: half a second more makes it whole.
    world.block(NANOS_PER_SECOND / 2);
    withdraw(&mut world, lease).unwrap();
    assert_eq!(world.balance(account(1)), before + 3);
}

#[test]
fn the_last_covered_instant_is_the_first_that_exhausts() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    let view = escrow_account(&world, lease.deployment);
    let due = GENESIS_TIME.saturating_add(100 * NANOS_PER_SECOND);
    assert_eq!(view.account.due, Some(due));
    assert!(world.block(100 * NANOS_PER_SECOND - 1).is_empty());
    assert_eq!(state(&world, lease), AccountState::Open);
    let events = world.block(1);
    assert_eq!(names(&events), ["exhausted"]);
    let view = escrow_account(&world, lease.deployment);
    assert_eq!(view.account.exhausted_at, Some(due));
    assert_eq!(
        view.account.closes_at,
        Some(due.saturating_add(60 * NANOS_PER_SECOND))
    );
    assert_eq!(view.free_uwlk, Amount(0));
    assert_eq!(view.earned_uwlk, Amount(100));
}

#[test]
fn nothing_is_earned_in_grace_and_what_was_earned_stays() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    world.block_after_seconds(130);
    let before = world.balance(account(1));
    withdraw(&mut world, lease).unwrap();
    assert_eq!(
        world.balance(account(1)),
        before + 100,
        "not the 30 seconds past due"
    );
    world.block_after_seconds(20);
    let error = withdraw(&mut world, lease).unwrap_err();
    assert!(error.is(Error::NothingEarned), "{error}");
}

#[test]
fn a_top_up_resumes_only_if_it_lasts_for_the_runway() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    world.block_after_seconds(110);
    deposit(&mut world, lease, 9).unwrap();
    assert_eq!(state(&world, lease), AccountState::Exhausted);
    let events = deposit(&mut world, lease, 1).unwrap();
    assert_eq!(names(&events), ["deposited", "resumed"]);
    let view = escrow_account(&world, lease.deployment);
    assert_eq!(view.account.state, AccountState::Open);
    assert_eq!(
        view.account.due,
        Some(world.chain.time().saturating_add(10 * NANOS_PER_SECOND))
    );
    assert_eq!(
        view.grace_left_nanos,
        60 * NANOS_PER_SECOND,
        "it was exhausted by this very block"
    );
}

#[test]
fn topping_up_one_micro_token_at_a_time_buys_no_free_hours() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    let mut topped_up = 0;
    let mut seconds = 0;
    // A micro-token in each second is the price of a second, and yet the grace runs.
    while state(&world, lease) != AccountState::Closed {
        world.block_after_seconds(1);
        seconds += 1;
        if state(&world, lease) == AccountState::Exhausted && deposit(&mut world, lease, 1).is_ok()
        {
            topped_up += 1;
        }
        assert!(seconds < 1_000, "it ends");
    }
    let account = escrow_account(&world, lease.deployment).account;
    let served = 60 + account.paid.0;
    assert!(
        seconds <= served + 1,
        "{seconds} s alive, {} paid for, 60 of grace",
        account.paid
    );
    assert_eq!(account.deposited.0, 100 + topped_up);
    assert_eq!(account.paid.0 + account.refunded.0, account.deposited.0);
}

#[test]
fn grace_adds_up_over_the_life_of_an_account() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    world.block_after_seconds(100);
    world.block_after_seconds(40);
    deposit(&mut world, lease, 50).unwrap();
    let view = escrow_account(&world, lease.deployment);
    assert_eq!(view.account.state, AccountState::Open);
    assert_eq!(view.grace_left_nanos, 20 * NANOS_PER_SECOND);
    world.block_after_seconds(50);
    assert_eq!(state(&world, lease), AccountState::Exhausted);
    let events = world.block_after_seconds(20);
    assert!(names(&events).contains(&"lease_closed"));
    assert_eq!(state(&world, lease), AccountState::Closed);
}

#[test]
fn an_end_by_the_chain_costs_the_prepayment_and_pays_everybody() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    world.block_after_seconds(100);
    // Too little to go on: it goes back to the owner, though somebody else gave it.
    deposit(&mut world, lease, 7).unwrap();
    let (owner, provider) = (world.balance(account(0)), world.balance(account(1)));
    let bid_deposit = 500_000;
    world.block_after_seconds(60);
    assert_eq!(state(&world, lease), AccountState::Closed);
    assert_eq!(world.balance(account(0)), owner + 7);
    assert_eq!(world.balance(account(1)), provider + 100 + bid_deposit);
    assert_eq!(world.balance(fee_collector()), 3);
    let query = deployment::Query::Deployment {
        deployment: lease.deployment,
    };
    let answer = world.query::<Deployments>(query);
    let deployment::Answer::Deployment(Some(deployment)) = answer else {
        panic!("it is gone")
    };
    assert_eq!(
        deployment.closed.unwrap().reason,
        Reason::INSUFFICIENT_FUNDS
    );
}

#[test]
fn an_end_by_a_transaction_returns_the_prepayment() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    world.block(NANOS_PER_SECOND * 21 / 2);
    let (owner, provider) = (world.balance(account(0)), world.balance(account(1)));
    let close = deployment::Call::Close {
        deployment: lease.deployment,
    };
    world.call::<Deployments>(account(0), close).unwrap();
    assert_eq!(
        world.balance(account(1)),
        provider + 10 + 500_000,
        "the half goes to the owner"
    );
    assert_eq!(world.balance(account(0)), owner + 90 + 3);
    assert_eq!(world.balance(fee_collector()), 0);
    let error = deposit(&mut world, lease, 1).unwrap_err();
    assert!(error.is(Error::AccountClosed), "{error}");
}

#[test]
fn a_halt_of_the_chain_uses_no_grace_before_the_first_block_after_it() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    world.block_after_seconds(5 * 3_600);
    let account = escrow_account(&world, lease.deployment).account;
    assert_eq!(account.state, AccountState::Exhausted);
    assert_eq!(account.exhausted_at, Some(world.chain.time()));
    // A halt within the grace uses it up: time is time.
    world.block_after_seconds(3_600);
    assert_eq!(state(&world, lease), AccountState::Closed);
    let account = escrow_account(&world, lease.deployment).account;
    assert_eq!(account.paid, Amount(100), "nobody was paid past due");
}

#[test]
fn without_grace_the_first_block_past_due_is_the_end() {
    let mut world = World::new(|genesis| {
        small(genesis);
        genesis.escrow.params.grace_seconds = 0;
    });
    let lease = leased(&mut world, 100);
    world.block_after_seconds(100);
    assert_eq!(state(&world, lease), AccountState::Closed);
}

#[test]
fn a_lease_needs_money_for_the_runway_of_all_leases_together() {
    let mut world = World::new(small);
    world.provider(1);
    let error = world
        .lease(account(0), account(1), 2 * RATE, 19)
        .unwrap_err();
    assert!(error.is(Error::RunwayTooShort), "{error}");
    let mut second = spec(RATE);
    second.name = "second".to_owned();
    let groups = vec![spec(RATE), second];
    let deployment = world.create(account(0), groups, 19, Award::Tenant).unwrap();
    let order = |group| GroupId { deployment, group }.order(1);
    for group in [1, 2] {
        world.bid(account(1), order(group), RATE).unwrap();
    }
    let accept = |group| market::Call::Accept {
        bid: order(group).bid(account(1)),
    };
    world.call::<Market>(account(0), accept(1)).unwrap();
    let error = world.call::<Market>(account(0), accept(2)).unwrap_err();
    assert!(error.is(Error::RunwayTooShort), "{error}");
    world.block_after_seconds(19);
    assert_eq!(state(&world, order(1)), AccountState::Exhausted);
    let error = world.call::<Market>(account(0), accept(2)).unwrap_err();
    assert!(error.is(Error::Exhausted), "{error}");
}

#[test]
fn an_account_goes_on_when_the_leases_that_it_could_not_pay_are_gone() {
    let mut world = World::new(small);
    let lease = leased(&mut world, 100);
    world.block_after_seconds(120);
    let close = market::Call::CloseLease {
        lease,
        reason: Reason::UNSTABLE,
    };
    let events = world.call::<Market>(account(1), close).unwrap();
    assert!(names(&events).contains(&"resumed"));
    let account = escrow_account(&world, lease.deployment).account;
    assert_eq!((account.state, account.due), (AccountState::Open, None));
    world.block_after_seconds(3_600);
    assert_eq!(
        state(&world, lease),
        AccountState::Open,
        "nothing is due without a lease"
    );
}

#[test]
fn accounts_that_a_block_had_no_room_for_lose_and_gain_nothing() {
    let mut world = World::new(|genesis| {
        small(genesis);
        genesis.escrow.params.work_per_block = 1;
    });
    let leases: Vec<LeaseId> = (0..3).map(|_| leased(&mut world, 100)).collect();
    let block = |world: &mut World, seconds: u64| {
        let output = world
            .chain
            .next_block(seconds * NANOS_PER_SECOND, &[])
            .unwrap();
        (output.events.len(), output.due_work)
    };
    assert_eq!(
        block(&mut world, 100),
        (1, true),
        "one of three, and more is due"
    );
    let first = world.chain.time();
    assert_eq!(block(&mut world, 7), (1, true));
    assert_eq!(block(&mut world, 7), (1, false));
    for lease in &leases {
        let account = escrow_account(&world, lease.deployment).account;
        assert_eq!(
            account.exhausted_at,
            Some(first),
            "the first block at or past due, for all"
        );
        assert_eq!(account.earned.whole(), Amount(100));
    }
}

#[test]
fn past_its_end_an_account_is_closing_until_a_block_or_settle_closes_it() {
    let mut world = World::new(|genesis| {
        small(genesis);
        genesis.escrow.params.work_per_block = 1;
    });
    let leases: Vec<LeaseId> = (0..3).map(|_| leased(&mut world, 100)).collect();
    for _ in 0..3 {
        world.block_after_seconds(34);
    }
    // All grace is used up; this block has room for one of them.
    world.block_after_seconds(60);
    let closing = leases[2];
    assert!(escrow_account(&world, closing.deployment).closing);
    let error = deposit(&mut world, closing, 1_000).unwrap_err();
    assert!(error.is(Error::Closing), "{error}");
    let error = withdraw(&mut world, closing).unwrap_err();
    assert!(error.is(Error::Closing), "{error}");
    let close = market::Call::CloseLease {
        lease: closing,
        reason: Reason::UNSTABLE,
    };
    let error = world.call::<Market>(account(1), close).unwrap_err();
    assert!(error.is(Error::Closing), "{error}");
    let close = deployment::Call::Close {
        deployment: closing.deployment,
    };
    let error = world.call::<Deployments>(account(0), close).unwrap_err();
    assert!(error.is(Error::Closing), "{error}");

    let (owner, fees) = (world.balance(account(0)), world.balance(fee_collector()));
    settle(&mut world, closing).unwrap();
    assert_eq!(state(&world, closing), AccountState::Closed);
    assert_eq!(
        world.balance(account(0)),
        owner + 3,
        "a transaction did the work"
    );
    assert_eq!(world.balance(fee_collector()), fees);
}

#[test]
fn a_queue_of_cheap_accounts_does_not_hold_up_who_settles() {
    let mut world = World::new(|genesis| {
        small(genesis);
        genesis.escrow.params.work_per_block = 1;
    });
    let cheap: Vec<LeaseId> = (0..4).map(|_| leased(&mut world, 50)).collect();
    let honest = leased(&mut world, 60);
    world.block_after_seconds(70);
    assert_eq!(
        state(&world, cheap[3]),
        AccountState::Exhausted,
        "as queries see it"
    );
    let events = settle(&mut world, honest).unwrap();
    assert_eq!(names(&events), ["exhausted"]);
    assert!(deposit(&mut world, honest, 10).is_ok());
    assert_eq!(state(&world, honest), AccountState::Open);
}

#[test]
fn rules_that_make_no_sense_are_refused_at_genesis() {
    for change in [
        (|params: &mut Params| params.min_runway_seconds = 0) as fn(&mut Params),
        |params| params.work_per_block = 0,
    ] {
        let mut genesis = AppState::default();
        change(&mut genesis.escrow.params);
        let error = crate::RUNTIME
            .genesis(&genesis.to_json(), GENESIS_TIME)
            .unwrap_err();
        assert!(error.to_string().contains("bad params"), "{error}");
    }
}

fn base() -> Account {
    Account {
        owner: account(0),
        state: AccountState::Open,
        balance: Amount(0),
        prepaid: Amount(0),
        settled_at: Time(0),
        covered_nanos: 0,
        rate_uwlk_per_hour: Amount(0),
        earned: Numerator::default(),
        open_payments: 1,
        due: None,
        exhausted_at: None,
        closes_at: None,
        grace_used_nanos: 0,
        deposited: Amount(0),
        paid: Amount(0),
        refunded: Amount(0),
        opened: Moment {
            height: 1,
            time: Time(0),
        },
        closed: None,
    }
}

fn extreme() -> impl Strategy<Value = Account> {
    let edges = || prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>()];
    (edges(), edges(), edges(), edges()).prop_map(|(balance, rate, settled_at, used)| Account {
        balance: Amount(balance),
        rate_uwlk_per_hour: Amount(rate),
        settled_at: Time(settled_at),
        grace_used_nanos: used,
        ..base()
    })
}

proptest! {
    /// At the ends of all numbers: no panic, nobody short, due is the last covered instant.
    #[test]
    fn due_is_the_last_instant_that_is_fully_covered(account in extreme(), step in any::<u64>()) {
        let mut account = account;
        account.replan(account.settled_at, u64::MAX).unwrap();
        let rate = u128::from(account.rate_uwlk_per_hour.0);
        let money = u128::from(account.balance.0) * u128::from(NANOS_PER_HOUR);
        if let Some(due) = account.due {
            let nanos = u128::from(due.0 - account.settled_at.0);
            prop_assert!(rate * nanos <= money);
            prop_assert!(rate * (nanos + 1) > money);
        } else {
            // Nothing is paid, or the money lasts beyond the end of time.
            let left = u128::from(u64::MAX - account.settled_at.0);
            prop_assert!(money.checked_div(rate).is_none_or(|nanos| nanos > left));
        }
        let before = account.due;
        account.accrue(account.settled_at.saturating_add(step)).unwrap();
        prop_assert!(account.earned.0 <= money);
        prop_assert_eq!(account.compute_due().unwrap(), before, "settling does not move it");
        account.exhaust(account.settled_at, step);
        prop_assert!(account.closes_at.unwrap() >= account.settled_at);
    }

    /// However a life is cut into settlements, the same is earned.
    #[test]
    fn settling_often_or_seldom_is_the_same(
        cuts in prop::collection::vec(1..10_000_000_000u64, 1..20),
    ) {
        let account = |rate| Account {
            balance: Amount(1_000_000),
            rate_uwlk_per_hour: Amount(rate),
            settled_at: Time(0),
            ..base()
        };
        let (mut often, mut seldom) = (account(7_919), account(7_919));
        let mut now = Time(0);
        for cut in &cuts {
            now = now.saturating_add(*cut);
            often.accrue(now).unwrap();
        }
        seldom.accrue(now).unwrap();
        prop_assert_eq!(often, seldom);
    }
}
