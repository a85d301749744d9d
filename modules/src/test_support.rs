//! A small world for tests, and large states for benchmarks. No part of a node.

use std::collections::BTreeMap;

use welkin_runtime::testing::TestChain;
use welkin_runtime::types::NANOS_PER_SECOND;
use welkin_runtime::{
    Address, Amount, BlockInfo, Event, Hash, MapState, Module, Origin, Result, Time,
};

use crate::deployment::{Award, Deployments, Nonce};
use crate::genesis::AppState;
use crate::ids::{BidId, DeploymentId, GroupId, LeaseId, OrderId};
use crate::market::{self, Market};
use crate::provider::{Profile, Providers};
use crate::spec::{GroupSpec, Requirements, ResourceUnit, Volume};
use crate::{RUNTIME, accounts, deployment, escrow};

/// When test chains begin.
pub const GENESIS_TIME: Time = Time(1_700_000_000 * NANOS_PER_SECOND);

/// What each account of a test chain holds at first.
pub const WEALTH: Amount = Amount(1_000_000_000_000);

/// The account of this number.
pub fn account(number: u32) -> Address {
    let mut bytes = [0xaa; 20];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Address(bytes)
}

/// A peer id of the right form.
pub const PEER_ID: &str = "12D3KooWGRUVh2VYQ9Uq6QhN3mWSTAFgpFDRk6a6cYtUiS4n2kD8";

/// What a provider without particular abilities says of itself.
pub fn profile() -> Profile {
    Profile {
        peer_id: PEER_ID.to_owned(),
        addresses: vec!["/ip4/127.0.0.1/tcp/8443".to_owned()],
        attributes: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        website: String::new(),
        contact: String::new(),
    }
}

/// A group of one small service that costs at most so much.
pub fn spec(max_rate: u64) -> GroupSpec {
    GroupSpec {
        name: "web".to_owned(),
        requirements: Requirements::default(),
        resources: vec![ResourceUnit {
            id: 1,
            cpu_millis: 100,
            memory_bytes: 64 << 20,
            gpu: Default::default(),
            storage: vec![Volume {
                name: "root".to_owned(),
                bytes: 64 << 20,
                attributes: BTreeMap::new(),
            }],
            endpoints: Vec::new(),
            count: 1,
            max_rate_uwlk_per_hour: Amount(max_rate),
        }],
    }
}

/// A nonce of this number.
pub fn nonce(number: u64) -> Nonce {
    Nonce(u128::from(number).to_be_bytes())
}

/// A chain with accounts 0 to 15, all rich, whose invariants are checked after every step.
pub struct World {
    /// The chain.
    pub chain: TestChain,
    nonces: u64,
}

impl World {
    /// A world with these rules.
    pub fn new(change: impl FnOnce(&mut AppState)) -> World {
        let mut genesis = AppState::with_accounts((0..16).map(|number| (account(number), WEALTH)));
        change(&mut genesis);
        let chain = TestChain::new(RUNTIME, &genesis.to_json(), GENESIS_TIME);
        World {
            chain: chain.expect("the genesis is valid"),
            nonces: 0,
        }
    }

    /// Lets an account call a module.
    pub fn call<M: Module>(&mut self, sender: Address, call: M::Call) -> Result<Vec<Event>> {
        self.chain.call::<M>(sender, call)
    }

    /// Makes a block so much later. Returns what its hooks did.
    pub fn block(&mut self, nanos: u64) -> Vec<Event> {
        let output = self
            .chain
            .next_block(nanos, &[])
            .expect("a block without transactions is valid");
        assert_eq!(output.hook_failures, [], "no hook fails");
        output.events
    }

    /// Makes a block so many seconds later.
    pub fn block_after_seconds(&mut self, seconds: u64) -> Vec<Event> {
        self.block(seconds * NANOS_PER_SECOND)
    }

    /// Asks a module.
    pub fn query<M: Module>(&self, query: M::Query) -> M::Answer {
        self.chain
            .query::<M>(query)
            .expect("the query is well formed and small")
    }

    /// What an account holds.
    pub fn balance(&self, address: Address) -> u64 {
        let account = self.chain.read(|ctx| accounts::account(ctx, &address));
        account.expect("accounts can be read").balance.0
    }

    /// Registers a provider.
    pub fn provider(&mut self, number: u32) -> Address {
        let registered =
            self.call::<Providers>(account(number), crate::provider::Call::Register(profile()));
        registered.expect("it can register");
        account(number)
    }

    /// Creates a deployment of these groups.
    pub fn create(
        &mut self,
        owner: Address,
        groups: Vec<GroupSpec>,
        deposit: u64,
        award: Award,
    ) -> Result<DeploymentId> {
        self.nonces += 1;
        let nonce = nonce(self.nonces);
        let call = deployment::Call::Create {
            groups,
            commitment: Hash([1; 32]),
            nonce,
            deposit: Amount(deposit),
            award,
        };
        self.call::<Deployments>(owner, call)?;
        match self.query::<Deployments>(deployment::Query::ByNonce { owner, nonce }) {
            deployment::Answer::ByNonce(Some(deployment)) => Ok(deployment.id),
            other => unreachable!("the deployment was just created: {other:?}"),
        }
    }

    /// Places a bid.
    pub fn bid(&mut self, provider: Address, order: OrderId, rate: u64) -> Result<BidId> {
        let call = market::Call::Bid {
            order,
            rate_uwlk_per_hour: Amount(rate),
            offer: Vec::new(),
            deposit: Amount(500_000),
        };
        self.call::<Market>(provider, call)?;
        Ok(order.bid(provider))
    }

    /// A deployment with one group, leased to `provider` at this rate.
    pub fn lease(
        &mut self,
        owner: Address,
        provider: Address,
        rate: u64,
        deposit: u64,
    ) -> Result<LeaseId> {
        let deployment = self.create(owner, vec![spec(rate)], deposit, Award::Tenant)?;
        let order = GroupId {
            deployment,
            group: 1,
        }
        .order(1);
        let bid = self.bid(provider, order, rate)?;
        self.call::<Market>(owner, market::Call::Accept { bid })?;
        Ok(order)
    }
}

/// A state with open leases, and the block in which some of their accounts are due.
pub struct LeasedState {
    /// The state before that block.
    pub state: MapState,
    /// That block: so many accounts become exhausted in it.
    pub next_block: BlockInfo,
}

/// A state with `open` leases, each of its own deployment, of which `due` run out of money in the
/// next block. `due` is at most the default `work_per_block`, 256, if all are to be settled there.
///
/// Built through the modules' own functions in one step.
pub fn leased_state(open: u64, due: u64) -> LeasedState {
    const RATE: u64 = 3_600_000;
    let mut genesis =
        AppState::with_accounts((0..16).map(|number| (account(number), Amount(1 << 58))));
    genesis.provider.params.bond = Amount(1);
    let mut chain =
        TestChain::new(RUNTIME, &genesis.to_json(), GENESIS_TIME).expect("the genesis is valid");
    let owner = account(0);
    let providers: Vec<Address> = (1..9).map(account).collect();
    for provider in &providers {
        let register = crate::provider::Call::Register(profile());
        chain
            .call::<Providers>(*provider, register)
            .expect("it can register");
    }
    // 1,000 uwlk are used in a second: those that are due have money for an hour.
    let (poor, rich) = (Amount(3_600_000), Amount(36_000_000_000));
    let build = |ctx: &mut welkin_runtime::Ctx| -> Result<()> {
        for number in 1..=open {
            let call = deployment::Call::Create {
                groups: vec![spec(RATE)],
                commitment: Hash([1; 32]),
                nonce: nonce(number),
                deposit: if number <= due { poor } else { rich },
                award: Award::Tenant,
            };
            Deployments::call(ctx, call)?;
            let order = GroupId {
                deployment: DeploymentId(number),
                group: 1,
            }
            .order(1);
            let provider = providers[(number % 8) as usize];
            let terms = market::Terms {
                rate: Amount(RATE),
                offer: Vec::new(),
                deposit: Amount(500_000),
            };
            market::bid(ctx, provider, order, terms)?;
            Market::call(
                ctx,
                market::Call::Accept {
                    bid: order.bid(provider),
                },
            )?;
        }
        Ok(())
    };
    chain
        .run(Origin::Account(owner), build)
        .expect("every lease can be made");
    let next_block = BlockInfo {
        height: chain.height() + 1,
        time: chain.time().saturating_add(3_600 * NANOS_PER_SECOND),
        ..BlockInfo::default()
    };
    LeasedState {
        state: chain.state,
        next_block,
    }
}

/// The account of a deployment as it stands at the newest block.
pub fn escrow_account(world: &World, deployment: DeploymentId) -> escrow::AccountView {
    match world.query::<escrow::Escrow>(escrow::Query::Account { deployment }) {
        escrow::Answer::Account(Some(view)) => view,
        other => unreachable!("the deployment has an account: {other:?}"),
    }
}
