//! One life of a lease, from signed transactions on: where every micro-token went.

use welkin_runtime::crypto::SigningKey;
use welkin_runtime::testing::TestChain;
use welkin_runtime::tx::{Body, RawCall, Terms};
use welkin_runtime::types::{ChainInfo, NANOS_PER_SECOND};
use welkin_runtime::{Amount, Hash, Module};

use crate::RUNTIME;
use crate::accounts::{self, Account, fee_collector};
use crate::deployment::{self, Award, Deployments};
use crate::escrow::{self, AccountState, Escrow};
use crate::genesis::AppState;
use crate::ids::{DeploymentId, GroupId};
use crate::market::{self, Market};
use crate::provider::{self, Providers};
use crate::test_support::{GENESIS_TIME, nonce, profile, spec};

/// The fee of each transaction.
const FEE: u64 = 11;

/// What tenant and provider hold at first.
const WEALTH: u64 = 10_000_000;

/// A chain that takes signed transactions.
struct Signed {
    chain: TestChain,
    sent: u64,
}

impl Signed {
    fn holds(&self, key: &SigningKey) -> Account {
        let account = self
            .chain
            .read(|ctx| accounts::account(ctx, &key.address()));
        account.unwrap()
    }

    /// A block, so much later, with this call as a transaction of its own.
    fn block<M: Module>(&mut self, nanos: u64, key: &SigningKey, call: &M::Call) {
        let chain_id = "test".to_owned();
        let info = ChainInfo {
            chain_id,
            genesis_hash: Hash::default(),
        };
        let sequence = self.holds(key).sequence;
        let (expiry_height, gas_limit, fee) = (u64::MAX, 1_000_000, Amount(FEE));
        let terms = Terms {
            sequence,
            expiry_height,
            gas_limit,
            fee,
        };
        let calls: Vec<RawCall> = vec![RUNTIME.call_of::<M>(call).unwrap()];
        let body = Body::new(&info, key.public_key(), terms, calls);
        let output = self
            .chain
            .next_block(nanos, &[body.sign(key).encode()])
            .unwrap();
        for result in output.tx_results {
            assert_eq!(result.code, 0, "{}: {}", result.codespace, result.log);
        }
        self.sent += 1;
    }

    fn empty_block(&mut self, nanos: u64) {
        self.chain.next_block(nanos, &[]).unwrap();
    }
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one life of a lease, accounted for at its end"
)]
fn what_was_paid_in_is_income_refund_and_fees() {
    let [tenant, provider] = [1, 2].map(|seed| SigningKey::from_seed(&[seed; 32]));
    let rich = [&tenant, &provider].map(|key| (key.address(), Amount(WEALTH)));
    let mut genesis = AppState::with_accounts(rich);
    genesis.provider.params.bond = Amount(1_000);
    genesis.escrow.params = escrow::Params {
        min_deposit: Amount(10),
        closing_deposit: Amount(3),
        grace_seconds: 60,
        min_runway_seconds: 10,
        work_per_block: 256,
    };
    let chain = TestChain::new(RUNTIME, &genesis.to_json(), GENESIS_TIME).unwrap();
    let mut world = Signed { chain, sent: 0 };
    let deployment = DeploymentId(1);
    let lease = GroupId {
        deployment,
        group: 1,
    }
    .order(1);
    let rate = Amount(7_919);

    let create = deployment::Call::Create {
        groups: vec![spec(rate.0)],
        commitment: Hash::default(),
        nonce: nonce(1),
        deposit: Amount(100),
        award: Award::Tenant,
    };
    let bid = market::Call::Bid {
        order: lease,
        rate_uwlk_per_hour: rate,
        offer: Vec::new(),
        deposit: Amount(500_000),
    };
    let accept = market::Call::Accept {
        bid: lease.bid(provider.address()),
    };
    let top_up = escrow::Call::Deposit {
        deployment,
        amount: Amount(41),
    };
    world.block::<Deployments>(1, &tenant, &create);
    world.block::<Providers>(1, &provider, &provider::Call::Register(profile()));
    world.block::<Market>(1, &provider, &bid);
    world.block::<Market>(1, &tenant, &accept);
    world.block::<Escrow>(13_000_000_007, &provider, &escrow::Call::Withdraw { lease });
    world.block::<Escrow>(40 * NANOS_PER_SECOND, &tenant, &top_up);
    // Until it is exhausted, and then until the chain ends it.
    world.empty_block(90 * NANOS_PER_SECOND);
    world.empty_block(90 * NANOS_PER_SECOND);
    world.block::<Providers>(1, &provider, &provider::Call::Deactivate {});

    let query = escrow::Query::Account { deployment };
    let answer = world.chain.query::<Escrow>(query).unwrap();
    let escrow::Answer::Account(Some(view)) = answer else {
        panic!("no account")
    };
    let account = view.account;
    assert_eq!(account.state, AccountState::Closed);
    assert_eq!(account.deposited, Amount(141));
    assert_eq!(account.paid.0 + account.refunded.0, 141);

    let fees = world
        .chain
        .read(|ctx| accounts::account(ctx, &fee_collector()))
        .unwrap()
        .balance
        .0;
    assert_eq!(
        fees,
        world.sent * FEE + 3,
        "transactions, and the prepaid closing work"
    );
    let [tenant, provider] = [tenant, provider].map(|key| world.holds(&key));
    let spent = |account: Account| account.sequence * FEE;
    assert_eq!(
        provider.balance.0 + spent(provider),
        WEALTH + account.paid.0,
        "income"
    );
    assert_eq!(
        tenant.balance.0 + spent(tenant),
        WEALTH - account.paid.0 - 3,
        "the rest came back"
    );
    assert_eq!(
        tenant.balance.0 + provider.balance.0 + fees,
        2 * WEALTH,
        "to the micro-token"
    );
}
