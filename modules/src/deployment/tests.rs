//! Deployments and groups against a table of states.

use proptest::prelude::*;
use welkin_runtime::{Address, Amount, Event as RawEvent, Hash, Result};

use super::*;
use crate::accounts::fee_collector;
use crate::escrow;
use crate::ids::{DeploymentId, GroupId, OrderId};
use crate::market::{self, Market, OrderState};
use crate::moment::Reason;
use crate::test_support::{WEALTH, World, account, nonce, spec};

fn call(world: &mut World, sender: u32, call: Call) -> Result<Vec<RawEvent>> {
    world.call::<Deployments>(account(sender), call)
}

fn found(world: &World, deployment: DeploymentId) -> Deployment {
    match world.query::<Deployments>(Query::Deployment { deployment }) {
        Answer::Deployment(Some(deployment)) => deployment,
        other => panic!("{other:?}"),
    }
}

fn group(world: &World, group: GroupId) -> Group {
    match world.query::<Deployments>(Query::Group { group }) {
        Answer::Group(Some(group)) => group,
        other => panic!("{other:?}"),
    }
}

fn by_nonce(world: &World, owner: Address, number: u64) -> Option<Deployment> {
    match world.query::<Deployments>(Query::ByNonce {
        owner,
        nonce: nonce(number),
    }) {
        Answer::ByNonce(found) => found,
        other => panic!("{other:?}"),
    }
}

fn order_state(world: &World, order: OrderId) -> Option<OrderState> {
    match world.query::<Market>(market::Query::Order { order }) {
        market::Answer::Order(found) => found.map(|view| view.order.state),
        other => panic!("{other:?}"),
    }
}

fn create(number: u64, names: &[&str]) -> Call {
    let groups = names.iter().map(|name| {
        let mut spec = spec(3_600);
        spec.name = (*name).to_owned();
        spec
    });
    Call::Create {
        groups: groups.collect(),
        commitment: Hash([1; 32]),
        nonce: nonce(number),
        deposit: Amount(500_000),
        award: Award::Tenant,
    }
}

const FIRST: DeploymentId = DeploymentId(1);

fn first_group(group: u32) -> GroupId {
    GroupId {
        deployment: FIRST,
        group,
    }
}

#[test]
fn a_deployment_is_found_by_the_nonce_of_its_creation_and_of_its_version() {
    let mut world = World::new(|_| ());
    call(&mut world, 0, create(1, &["a"])).unwrap();
    let error = call(&mut world, 0, create(1, &["a"])).unwrap_err();
    assert!(error.is(Error::NonceUsed), "{error}");
    // Another owner's nonces are its own.
    call(&mut world, 1, create(1, &["a"])).unwrap();
    assert_eq!(by_nonce(&world, account(1), 1).unwrap().id, DeploymentId(2));

    let update = |number: u8| Call::Update {
        deployment: FIRST,
        commitment: Hash([number; 32]),
        nonce: nonce(u64::from(number)),
    };
    let error = call(&mut world, 0, update(1)).unwrap_err();
    assert!(error.is(Error::SameCommitment), "{error}");
    for number in [2, 3] {
        call(&mut world, 0, update(number)).unwrap();
    }
    for (number, is_known) in [(1, true), (2, false), (3, true)] {
        assert_eq!(
            by_nonce(&world, account(0), number).is_some(),
            is_known,
            "nonce {number}"
        );
    }
    let deployment = found(&world, FIRST);
    assert_eq!(
        (deployment.version, deployment.commitment),
        (3, Hash([3; 32]))
    );
    assert_eq!(
        (deployment.nonce, deployment.version_nonce),
        (nonce(1), nonce(3))
    );
    let error = call(&mut world, 1, update(4)).unwrap_err();
    assert!(error.is(Error::NotOwner), "{error}");
}

#[test]
fn nothing_of_a_refused_deployment_is_left() {
    let mut world = World::new(|_| ());
    let before = world.chain.state.clone();
    let mut poor = create(1, &["a"]);
    if let Call::Create { deposit, .. } = &mut poor {
        *deposit = Amount(1);
    }
    assert!(
        call(&mut world, 0, poor)
            .unwrap_err()
            .is(escrow::Error::DepositTooSmall)
    );
    assert!(
        call(&mut world, 0, create(1, &["a", "a"]))
            .unwrap_err()
            .is(Error::BadGroups)
    );
    assert!(
        call(&mut world, 0, create(1, &[]))
            .unwrap_err()
            .is(Error::BadGroups)
    );
    let mut long = create(1, &["a"]);
    if let Call::Create { award, .. } = &mut long {
        *award = Award::Best {
            bid_window_seconds: u64::MAX,
        };
    }
    assert!(
        call(&mut world, 0, long)
            .unwrap_err()
            .is(Error::BadBidWindow)
    );
    assert_eq!(world.chain.state, before);
}

#[test]
fn closing_a_deployment_closes_all_that_belongs_to_it() {
    let mut world = World::new(|_| ());
    let provider = world.provider(1);
    call(&mut world, 0, create(1, &["a", "b"])).unwrap();
    let (leased, open) = (first_group(1).order(1), first_group(2).order(1));
    let bid = world.bid(provider, leased, 3_600).unwrap();
    world
        .call::<Market>(account(0), market::Call::Accept { bid })
        .unwrap();
    world.bid(provider, open, 3_600).unwrap();
    world.block_after_seconds(60);
    let error = call(&mut world, 1, Call::Close { deployment: FIRST }).unwrap_err();
    assert!(error.is(Error::NotOwner), "{error}");
    call(&mut world, 0, Call::Close { deployment: FIRST }).unwrap();
    assert_eq!(
        found(&world, FIRST).closed.unwrap().reason,
        Reason::DEPLOYMENT_CLOSED
    );
    for order in [leased, open] {
        assert_eq!(order_state(&world, order), Some(OrderState::Closed));
        assert_eq!(group(&world, order.group_id()).state, GroupState::Closed);
    }
    // The bid on the open order is returned by the end of the next block.
    world.block_after_seconds(1);
    let bond = 100_000_000;
    assert_eq!(world.balance(provider), WEALTH.0 - bond + 60);
    assert_eq!(world.balance(account(0)), WEALTH.0 - 60);
    let error = call(&mut world, 0, Call::Close { deployment: FIRST }).unwrap_err();
    assert!(error.is(Error::DeploymentClosed), "{error}");
}

#[test]
fn closing_the_last_group_closes_the_deployment() {
    let mut world = World::new(|_| ());
    call(&mut world, 0, create(1, &["a", "b"])).unwrap();
    call(
        &mut world,
        0,
        Call::PauseGroup {
            group: first_group(1),
        },
    )
    .unwrap();
    call(
        &mut world,
        0,
        Call::CloseGroup {
            group: first_group(2),
        },
    )
    .unwrap();
    assert_eq!(found(&world, FIRST).state, DeploymentState::Active);
    let error = call(
        &mut world,
        0,
        Call::StartGroup {
            group: first_group(2),
        },
    )
    .unwrap_err();
    assert!(error.is(Error::GroupClosed), "{error}");
    call(
        &mut world,
        0,
        Call::CloseGroup {
            group: first_group(1),
        },
    )
    .unwrap();
    assert_eq!(found(&world, FIRST).state, DeploymentState::Closed);
    assert_eq!(world.balance(account(0)), WEALTH.0);
}

#[test]
fn closed_deployments_can_be_queried_for_a_while_and_are_then_removed() {
    let mut world = World::new(|genesis| {
        genesis.deployment.params.prune_delay_seconds = 100;
        genesis.deployment.params.pruned_per_block = 1;
    });
    let empty = world.chain.state.0.len();
    for number in [1, 2, 3] {
        call(&mut world, 0, create(number, &["a", "b"])).unwrap();
        call(
            &mut world,
            0,
            Call::Close {
                deployment: DeploymentId(number),
            },
        )
        .unwrap();
    }
    world.block_after_seconds(99);
    assert!(by_nonce(&world, account(0), 1).is_some());
    // Orders go first, then one deployment in a block.
    for number in [1, 2, 3] {
        let number_is_known = |world: &World| by_nonce(world, account(0), number).is_some();
        while number_is_known(&world) {
            world.block_after_seconds(1);
        }
    }
    let counter = 1;
    assert_eq!(world.chain.state.0.len(), empty + counter);
    // The nonce may be used again, the number is not.
    call(&mut world, 0, create(1, &["a"])).unwrap();
    assert_eq!(by_nonce(&world, account(0), 1).unwrap().id, DeploymentId(4));
}

#[test]
fn the_deployments_of_an_owner_come_in_pages_with_nothing_left_out() {
    let mut world = World::new(|_| ());
    for number in 1..=5 {
        call(&mut world, (number % 2) as u32, create(number, &["a"])).unwrap();
    }
    let page = |start, limit| {
        let owner = account(1);
        match world.query::<Deployments>(Query::ByOwner {
            owner,
            start,
            limit,
        }) {
            Answer::ByOwner { deployments, next } => (
                deployments
                    .iter()
                    .map(|found| found.id.0)
                    .collect::<Vec<_>>(),
                next,
            ),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(page(None, 2), (vec![1, 3], Some(DeploymentId(3))));
    assert_eq!(page(Some(DeploymentId(3)), 2), (vec![5], None));
    assert_eq!(
        page(None, 0),
        (vec![1], Some(DeploymentId(1))),
        "a page holds at least one"
    );
    assert_eq!(page(None, u32::MAX), (vec![1, 3, 5], None));
}

#[test]
fn the_nonce_has_one_text() {
    let text = nonce(0x1f).to_string();
    assert_eq!(text, "0000000000000000000000000000001f");
    assert_eq!(text.parse(), Ok(nonce(0x1f)));
    for text in [
        "",
        "1f",
        "+000000000000000000000000000001f",
        &"g".repeat(32),
    ] {
        assert!(text.parse::<Nonce>().is_err(), "{text}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pause(u32),
    Start(u32),
    Close(u32),
    Lease(u32),
    OwnerCloses(u32),
    ProviderCloses(u32),
    /// Long enough for every open order to expire.
    Expire,
}

fn step() -> impl Strategy<Value = Step> {
    let which = 1..4u32;
    prop_oneof![
        2 => which.clone().prop_map(Step::Pause),
        3 => which.clone().prop_map(Step::Start),
        1 => which.clone().prop_map(Step::Close),
        4 => which.clone().prop_map(Step::Lease),
        2 => which.clone().prop_map(Step::OwnerCloses),
        2 => which.prop_map(Step::ProviderCloses),
        1 => Just(Step::Expire),
    ]
}

/// A group as the rules have it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Row {
    state: GroupState,
    leased: bool,
    orders: u32,
}

/// A world with three groups, and the table of what they should be.
struct Groups {
    world: World,
    provider: Address,
    table: [Row; 4],
}

impl Groups {
    fn new() -> Groups {
        let mut world = World::new(|genesis| {
            genesis.market.params.order_lifetime_seconds = 50;
            genesis.deployment.params.prune_delay_seconds = 1_000_000;
        });
        let provider = world.provider(1);
        call(&mut world, 0, create(1, &["a", "b", "c"])).unwrap();
        let row = Row {
            state: GroupState::Open,
            leased: false,
            orders: 1,
        };
        Groups {
            world,
            provider,
            table: [row; 4],
        }
    }

    fn ended(&self) -> bool {
        self.table[1..]
            .iter()
            .all(|row| row.state == GroupState::Closed)
    }

    /// Does a step, and the same in the table. What the table does not allow must be refused.
    fn run(&mut self, step: Step) {
        match step {
            Step::Pause(number) => {
                let allowed = self.row(number).state == GroupState::Open;
                self.owner(
                    Call::PauseGroup {
                        group: first_group(number),
                    },
                    allowed,
                );
                if allowed {
                    self.set(number, GroupState::Paused, 0);
                }
            }
            Step::Start(number) => {
                let allowed = self.row(number).state == GroupState::Paused;
                self.owner(
                    Call::StartGroup {
                        group: first_group(number),
                    },
                    allowed,
                );
                if allowed {
                    self.set(number, GroupState::Open, 1);
                }
            }
            Step::Close(number) => {
                let allowed = self.row(number).state != GroupState::Closed;
                self.owner(
                    Call::CloseGroup {
                        group: first_group(number),
                    },
                    allowed,
                );
                self.set(number, GroupState::Closed, 0);
            }
            Step::Lease(number) => self.lease(number),
            Step::OwnerCloses(number) => {
                if self.close_lease(number, account(0), Reason::OWNER) {
                    self.set(number, GroupState::Open, 1);
                }
            }
            Step::ProviderCloses(number) => {
                if self.close_lease(number, self.provider, Reason::UNSTABLE) {
                    self.set(number, GroupState::Paused, 0);
                }
            }
            Step::Expire => {
                self.world.block_after_seconds(50);
                for row in &mut self.table {
                    if row.state == GroupState::Open && !row.leased {
                        row.state = GroupState::Paused;
                    }
                }
            }
        }
    }

    fn row(&self, number: u32) -> Row {
        self.table[number as usize]
    }

    fn set(&mut self, number: u32, state: GroupState, more_orders: u32) {
        let row = &mut self.table[number as usize];
        *row = Row {
            state,
            leased: false,
            orders: row.orders + more_orders,
        };
    }

    fn owner(&mut self, request: Call, allowed: bool) {
        let done = call(&mut self.world, 0, request);
        assert_eq!(done.is_ok(), allowed, "{done:?}");
    }

    fn lease(&mut self, number: u32) {
        let row = self.row(number);
        let bid = self
            .world
            .bid(self.provider, first_group(number).order(row.orders), 1);
        assert_eq!(bid.is_ok(), row.state == GroupState::Open && !row.leased);
        if let Ok(bid) = bid {
            let accept = market::Call::Accept { bid };
            self.world.call::<Market>(account(0), accept).unwrap();
            self.table[number as usize].leased = true;
        }
    }

    fn close_lease(&mut self, number: u32, sender: Address, reason: Reason) -> bool {
        let row = self.row(number);
        let lease = first_group(number).order(row.orders);
        let done = self
            .world
            .call::<Market>(sender, market::Call::CloseLease { lease, reason });
        assert_eq!(done.is_ok(), row.leased, "{done:?}");
        done.is_ok()
    }

    fn compare(&self) {
        for number in 1..4 {
            let (group, row) = (group(&self.world, first_group(number)), self.row(number));
            assert_eq!((group.state, group.orders), (row.state, row.orders));
            let order = order_state(&self.world, group.newest_order());
            assert_eq!(order == Some(OrderState::Leased), row.leased);
        }
        let closed = found(&self.world, FIRST).state == DeploymentState::Closed;
        assert_eq!(closed, self.ended());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn groups_follow_the_table(steps in prop::collection::vec(step(), 0..30)) {
        let mut groups = Groups::new();
        for step in steps {
            let ended = groups.ended();
            groups.run(step);
            groups.compare();
            prop_assert!(!ended || groups.ended(), "what is closed stays closed");
        }
        prop_assert_eq!(groups.world.balance(fee_collector()), 0);
    }
}
