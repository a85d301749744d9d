//! Random histories over the whole runtime: calls of tenants, providers and strangers, clock steps
//! and halts. After every step all invariants hold (the test chain checks them) and escrow agrees
//! with its naive model; at the end everything is closed, refunded and pruned.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use welkin_runtime::testing::TestChain;
use welkin_runtime::{Address, Amount, Event, Hash, Module, Result};

use super::ledger::{Actor, Ledger};
use crate::accounts::{self, Accounts, fee_collector, module_address};
use crate::deployment::{self, Award, Deployments};
use crate::escrow::{self, Escrow};
use crate::genesis::AppState;
use crate::ids::{DeploymentId, GroupId, OrderId};
use crate::market::{self, Market};
use crate::moment::Reason;
use crate::provider::{self, Providers};
use crate::test_support::{World, account, nonce, profile, spec};

const TENANTS: [u32; 2] = [0, 1];
const PROVIDERS: [u32; 3] = [2, 3, 4];
const AUDITOR: u32 = 5;
const STRANGER: u32 = 6;

/// One step of a history. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Op {
    Block(u64),
    Create {
        tenant: usize,
        groups: usize,
        rate: u64,
        deposit: u64,
        best: bool,
    },
    Update {
        deployment: u64,
    },
    CloseDeployment {
        deployment: u64,
    },
    PauseGroup {
        group: usize,
    },
    StartGroup {
        group: usize,
    },
    CloseGroup {
        group: usize,
    },
    Bid {
        provider: usize,
        group: usize,
        rate: u64,
    },
    Accept {
        provider: usize,
        group: usize,
    },
    CloseBid {
        provider: usize,
        group: usize,
    },
    CloseLease {
        group: usize,
        by_owner: bool,
    },
    Deposit {
        deployment: u64,
        amount: u64,
    },
    Settle {
        deployment: u64,
    },
    Withdraw {
        group: usize,
    },
    Register {
        provider: usize,
    },
    UpdateProfile {
        provider: usize,
        with_region: bool,
    },
    Deactivate {
        provider: usize,
    },
    Attest {
        provider: usize,
    },
    Revoke {
        provider: usize,
    },
    Transfer {
        amount: u64,
    },
}

const SECOND: u64 = 1_000_000_000;

/// Mostly small steps; sometimes the chain halts for hours.
fn clock() -> impl Strategy<Value = u64> {
    prop_oneof![
        2 => 0..3u64,
        8 => 1..20 * SECOND,
        3 => (1..90u64).prop_map(|seconds| seconds * SECOND),
        1 => 3_600 * SECOND..40_000 * SECOND,
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let amount = prop_oneof![Just(1), 1..30u64, 30..400u64];
    let rate = prop_oneof![Just(1), 1..4_000u64, 1_000..40_000u64];
    prop_oneof![
        10 => clock().prop_map(Op::Block),
        5 => (0..2usize, 1..3usize, rate, 40..300u64, prop::bool::weighted(0.3)).prop_map(
            |(tenant, groups, rate, deposit, best)| {
                Op::Create { tenant, groups, rate, deposit, best }
            }
        ),
        1 => any::<u64>().prop_map(|deployment| Op::Update { deployment }),
        1 => any::<u64>().prop_map(|deployment| Op::CloseDeployment { deployment }),
        1 => any::<usize>().prop_map(|group| Op::PauseGroup { group }),
        2 => any::<usize>().prop_map(|group| Op::StartGroup { group }),
        1 => any::<usize>().prop_map(|group| Op::CloseGroup { group }),
        12 => (any::<usize>(), any::<usize>(), 1..4_000u64)
            .prop_map(|(provider, group, rate)| Op::Bid { provider, group, rate }),
        10 => (any::<usize>(), any::<usize>())
            .prop_map(|(provider, group)| Op::Accept { provider, group }),
        1 => (any::<usize>(), any::<usize>())
            .prop_map(|(provider, group)| Op::CloseBid { provider, group }),
        2 => (any::<usize>(), any::<bool>())
            .prop_map(|(group, by_owner)| Op::CloseLease { group, by_owner }),
        4 => (any::<u64>(), amount)
            .prop_map(|(deployment, amount)| Op::Deposit { deployment, amount }),
        2 => any::<u64>().prop_map(|deployment| Op::Settle { deployment }),
        4 => any::<usize>().prop_map(|group| Op::Withdraw { group }),
        2 => any::<usize>().prop_map(|provider| Op::Register { provider }),
        1 => (any::<usize>(), any::<bool>())
            .prop_map(|(provider, with_region)| Op::UpdateProfile { provider, with_region }),
        1 => any::<usize>().prop_map(|provider| Op::Deactivate { provider }),
        1 => any::<usize>().prop_map(|provider| Op::Attest { provider }),
        1 => any::<usize>().prop_map(|provider| Op::Revoke { provider }),
        1 => (0..100u64).prop_map(|amount| Op::Transfer { amount }),
    ]
}

/// Small amounts, short times and hardly any room in a block.
fn tight(genesis: &mut AppState) {
    genesis.provider.params.bond = Amount(1_000);
    genesis.provider.params.attestation_deposit = Amount(7);
    genesis.provider.params.prune_delay_seconds = 500;
    genesis.provider.params.pruned_per_block = 2;
    genesis.deployment.params.prune_delay_seconds = 500;
    genesis.deployment.params.pruned_per_block = 2;
    genesis.market.params.max_open_bids = 2;
    genesis.market.params.order_lifetime_seconds = 300;
    genesis.market.params.bid_lifetime_seconds = 100;
    genesis.market.params.work_per_block = 2;
    genesis.market.params.pruned_per_block = 3;
    genesis.escrow.params.min_deposit = Amount(10);
    genesis.escrow.params.closing_deposit = Amount(3);
    genesis.escrow.params.grace_seconds = 100;
    genesis.escrow.params.min_runway_seconds = 10;
    genesis.escrow.params.work_per_block = 2;
}

struct History {
    world: World,
    ledger: Ledger,
    groups: Vec<GroupId>,
    deployments: u64,
    nonces: u64,
    /// Names of events that were seen, by module.
    seen: BTreeSet<(String, String)>,
}

impl History {
    fn new() -> History {
        let mut world = World::new(tight);
        for number in PROVIDERS {
            world.provider(number);
        }
        let ledger = Ledger::new(&world);
        let (groups, seen) = (Vec::new(), BTreeSet::new());
        History {
            world,
            ledger,
            groups,
            deployments: 0,
            nonces: 1_000,
            seen,
        }
    }

    fn tell(&mut self, events: &[Event], actor: Actor) {
        self.ledger.tell(events, actor);
        for event in events {
            self.seen
                .insert((event.module.to_string(), event.name.to_string()));
        }
    }

    fn block(&mut self, nanos: u64) {
        let events = self.world.block(nanos);
        self.ledger.block(self.world.chain.time());
        self.tell(&events, Actor::Chain);
    }

    /// Calls of random parties are mostly refused; only what they change is looked at.
    fn call<M: Module>(&mut self, sender: Address, call: M::Call) {
        let done: Result<Vec<Event>> = self.world.call::<M>(sender, call);
        if let Ok(events) = done {
            self.tell(&events, Actor::Transaction);
        }
    }

    fn deployment(&self, number: u64) -> DeploymentId {
        DeploymentId(number % self.deployments.max(1) + 1)
    }

    fn owner(&self, deployment: DeploymentId) -> Address {
        let query = deployment::Query::Deployment { deployment };
        match self.world.query::<Deployments>(query) {
            deployment::Answer::Deployment(Some(deployment)) => deployment.owner,
            _ => account(TENANTS[0]),
        }
    }

    fn group(&self, number: usize) -> GroupId {
        let none = GroupId {
            deployment: DeploymentId(1),
            group: 1,
        };
        *self
            .groups
            .get(number % self.groups.len().max(1))
            .unwrap_or(&none)
    }

    fn newest_order(&self, number: usize) -> OrderId {
        let group = self.group(number);
        match self
            .world
            .query::<Deployments>(deployment::Query::Group { group })
        {
            deployment::Answer::Group(Some(group)) => group.newest_order(),
            _ => group.order(1),
        }
    }

    fn provider_of(&self, lease: OrderId) -> Address {
        match self.world.query::<Market>(market::Query::Lease { lease }) {
            market::Answer::Lease(Some(lease)) => lease.provider,
            _ => account(STRANGER),
        }
    }

    fn create(&mut self, tenant: usize, groups: usize, rate: u64, deposit: u64, best: bool) {
        let mut specs = vec![spec(rate); groups];
        for (number, spec) in specs.iter_mut().enumerate() {
            spec.name = format!("group {number}");
            if number == 1 {
                spec.requirements.attributes = profile().attributes;
            }
        }
        let award = if best {
            Award::Best {
                bid_window_seconds: 30,
            }
        } else {
            Award::Tenant
        };
        self.nonces += 1;
        let call = deployment::Call::Create {
            groups: specs,
            commitment: Hash([1; 32]),
            nonce: nonce(self.nonces),
            deposit: Amount(deposit),
            award,
        };
        let events = self
            .world
            .call::<Deployments>(account(TENANTS[tenant]), call)
            .unwrap();
        self.tell(&events, Actor::Transaction);
        self.deployments += 1;
        let deployment = DeploymentId(self.deployments);
        self.groups
            .extend((1..=groups as u32).map(|group| GroupId { deployment, group }));
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Block(nanos) => self.block(nanos),
            Op::Create {
                tenant,
                groups,
                rate,
                deposit,
                best,
            } => {
                self.create(tenant, groups, rate, deposit, best);
            }
            Op::Bid { .. } | Op::Accept { .. } | Op::CloseBid { .. } | Op::CloseLease { .. } => {
                self.run_market(op);
            }
            Op::Deposit { .. } | Op::Settle { .. } | Op::Withdraw { .. } | Op::Transfer { .. } => {
                self.run_money(op);
            }
            Op::Register { .. }
            | Op::UpdateProfile { .. }
            | Op::Deactivate { .. }
            | Op::Attest { .. }
            | Op::Revoke { .. } => self.run_provider(op),
            _ => self.run_deployment(op),
        }
        self.ledger.compare(&self.world);
    }

    fn run_deployment(&mut self, op: &Op) {
        let deployment = match *op {
            Op::Update { deployment } | Op::CloseDeployment { deployment } => {
                self.deployment(deployment)
            }
            Op::PauseGroup { group } | Op::StartGroup { group } | Op::CloseGroup { group } => {
                self.group(group).deployment
            }
            _ => unreachable!("no call of this module"),
        };
        self.nonces += 1;
        let call = match *op {
            Op::Update { .. } => deployment::Call::Update {
                deployment,
                commitment: Hash([self.nonces as u8; 32]),
                nonce: nonce(self.nonces),
            },
            Op::CloseDeployment { .. } => deployment::Call::Close { deployment },
            Op::PauseGroup { group } => deployment::Call::PauseGroup {
                group: self.group(group),
            },
            Op::StartGroup { group } => deployment::Call::StartGroup {
                group: self.group(group),
            },
            Op::CloseGroup { group } => deployment::Call::CloseGroup {
                group: self.group(group),
            },
            _ => unreachable!("no call of this module"),
        };
        self.call::<Deployments>(self.owner(deployment), call);
    }

    fn run_market(&mut self, op: &Op) {
        let provider = |number: usize| account(PROVIDERS[number % PROVIDERS.len()]);
        let (sender, call) = match *op {
            Op::Bid {
                provider: number,
                group,
                rate,
            } => {
                let call = market::Call::Bid {
                    order: self.newest_order(group),
                    rate_uwlk_per_hour: Amount(rate),
                    offer: Vec::new(),
                    deposit: Amount(500_000 + rate),
                };
                (provider(number), call)
            }
            Op::Accept {
                provider: number,
                group,
            } => {
                let order = self.newest_order(group);
                let call = market::Call::Accept {
                    bid: order.bid(provider(number)),
                };
                (self.owner(order.deployment), call)
            }
            Op::CloseBid {
                provider: number,
                group,
            } => {
                let (order, reason) = (self.newest_order(group), Reason::UNSPECIFIED);
                (provider(number), market::Call::CloseBid { order, reason })
            }
            Op::CloseLease { group, by_owner } => {
                let lease = self.newest_order(group);
                let (sender, reason) = match by_owner {
                    true => (self.owner(lease.deployment), Reason::OWNER),
                    false => (self.provider_of(lease), Reason::UNSTABLE),
                };
                (sender, market::Call::CloseLease { lease, reason })
            }
            _ => unreachable!("no call of this module"),
        };
        self.call::<Market>(sender, call);
    }

    fn run_money(&mut self, op: &Op) {
        match *op {
            Op::Deposit { deployment, amount } => {
                let deployment = self.deployment(deployment);
                let call = escrow::Call::Deposit {
                    deployment,
                    amount: Amount(amount),
                };
                self.call::<Escrow>(account(STRANGER), call);
            }
            Op::Settle { deployment } => {
                let call = escrow::Call::Settle {
                    deployment: self.deployment(deployment),
                };
                self.call::<Escrow>(account(STRANGER), call);
            }
            Op::Withdraw { group } => {
                let lease = self.newest_order(group);
                let sender = self.provider_of(lease);
                self.call::<Escrow>(sender, escrow::Call::Withdraw { lease });
            }
            Op::Transfer { amount } => {
                let call = accounts::Call::Transfer {
                    to: account(9),
                    amount: Amount(amount),
                };
                self.call::<Accounts>(account(STRANGER), call);
            }
            _ => unreachable!("no call of these modules"),
        }
    }

    fn run_provider(&mut self, op: &Op) {
        let address = |number: usize| account(PROVIDERS[number % PROVIDERS.len()]);
        let (sender, call) = match *op {
            Op::Register { provider } => (address(provider), provider::Call::Register(profile())),
            Op::UpdateProfile {
                provider,
                with_region,
            } => {
                let mut profile = profile();
                if !with_region {
                    profile.attributes.clear();
                }
                (address(provider), provider::Call::Update(profile))
            }
            Op::Deactivate { provider } => (address(provider), provider::Call::Deactivate {}),
            Op::Attest { provider } => {
                let attributes = profile().attributes;
                let provider = address(provider);
                (
                    account(AUDITOR),
                    provider::Call::Attest {
                        provider,
                        attributes,
                    },
                )
            }
            Op::Revoke { provider } => (
                account(AUDITOR),
                provider::Call::Revoke {
                    provider: address(provider),
                },
            ),
            _ => unreachable!("no call of this module"),
        };
        self.call::<Providers>(sender, call);
    }

    /// Everybody goes home: owners close what lives, providers leave, time passes.
    fn finish(&mut self) {
        for number in 1..=self.deployments {
            let deployment = DeploymentId(number);
            let owner = self.owner(deployment);
            self.call::<Deployments>(owner, deployment::Call::Close { deployment });
            self.call::<Escrow>(account(STRANGER), escrow::Call::Settle { deployment });
        }
        for number in PROVIDERS {
            self.call::<Providers>(account(number), provider::Call::Deactivate {});
        }
        self.ledger.compare(&self.world);
        for _ in 0..400 {
            self.block(10 * SECOND);
        }
    }

    /// A chain that begins with what is exported holds all the money that there is, and nothing is changed by asking.
    fn expect_export(&self) {
        let chain = &self.world.chain;
        let (state, _) = crate::RUNTIME
            .foresee(&chain.state, crate::genesis::export)
            .unwrap();
        let rows = &state.accounts.accounts;
        let sum: u64 = rows.iter().map(|row| row.balance.0).sum();
        assert_eq!(sum, 16 * crate::test_support::WEALTH.0, "supply is equal");
        let begun = TestChain::new(crate::RUNTIME, &state.to_json(), chain.time()).unwrap();
        let (again, left_out) = crate::RUNTIME
            .foresee(&begun.state, crate::genesis::export)
            .unwrap();
        assert_eq!(
            (again, left_out),
            (state, Default::default()),
            "there and back"
        );
    }

    /// Nothing is left but accounts, the rules, a counter and the frame's own record.
    fn expect_empty(&self) {
        for name in ["provider", "market", "escrow"] {
            assert_eq!(
                self.world.balance(module_address(name)),
                0,
                "{name} holds nothing"
            );
        }
        let keep = |key: &[u8]| {
            let prefix = [key[0], key[1]];
            matches!(
                prefix,
                [0 | 1, _] | [2, 5] | [3, 6 | 7] | [4, 13] | [5, 4 | 5]
            )
        };
        let left: Vec<_> = self
            .world
            .chain
            .state
            .0
            .keys()
            .filter(|key| !keep(key))
            .collect();
        assert!(left.is_empty(), "left on record: {left:?}");
        let holders = (0..16).map(account).chain([fee_collector()]);
        let sum: u64 = holders.map(|address| self.world.balance(address)).sum();
        assert_eq!(
            sum,
            16 * crate::test_support::WEALTH.0,
            "all money came back"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn money_and_invariants_hold_in_every_history(ops in prop::collection::vec(op(), 1..120)) {
        let mut history = History::new();
        for op in &ops {
            history.run(op);
        }
        history.expect_export();
        history.finish();
        history.expect_empty();
        history.expect_export();
    }
}

/// The histories are worth something only if everything happens in them.
#[test]
fn every_kind_of_event_occurs_in_random_histories() {
    let config = Config {
        rng_seed: RngSeed::Fixed(7),
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let mut seen = BTreeSet::new();
    for _ in 0..12 {
        let ops = prop::collection::vec(op(), 300)
            .new_tree(&mut runner)
            .unwrap()
            .current();
        let mut history = History::new();
        for op in &ops {
            history.run(op);
        }
        history.finish();
        history.expect_empty();
        seen.append(&mut history.seen);
    }
    for module in crate::RUNTIME.metadata().modules {
        for event in module.events() {
            let name = (module.name.clone(), event.name);
            assert!(seen.contains(&name), "{name:?} never occurs");
        }
    }
}
