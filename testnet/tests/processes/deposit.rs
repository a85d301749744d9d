//! A deposit that runs out: grace, a top-up, the end, and every micro-token accounted for.

use crate::harness::{Net, block_on, fetch, no_engine, run, until};
use std::collections::BTreeMap;
use std::path::PathBuf;
use welkin_client::Chain;
use welkin_modules::accounts::{Accounts, Answer as AccountsAnswer, Query as AccountsQuery};
use welkin_modules::escrow::{AccountState, AccountView, Answer, Escrow, Query};
use welkin_modules::ids::DeploymentId;
use welkin_runtime::tx::Transaction;
use welkin_runtime::{Address, Time};
use welkin_testnet::network::sources;

/// Short windows: the deposit of the test lasts for some 16 s, its grace for 12 s.
const RULES: &str = r#"{ "escrow": { "params": {
    "min_deposit": "1000", "grace_seconds": 12, "min_runway_seconds": 2 } } }"#;
const GRACE_NANOS: u64 = 12_000_000_000;
/// What the provider asks, in an hour: a price that no whole number of seconds divides.
const RATE: u64 = 1_000_003;
const DEPOSIT: u64 = RATE * 16 / 3_600;
/// Four more seconds.
const TOP_UP: u64 = RATE * 4 / 3_600;

fn rules(net: &std::path::Path) -> PathBuf {
    let path = net.join("rules.json");
    std::fs::write(&path, RULES).unwrap();
    path
}

fn escrow(chain: &Chain, deployment: DeploymentId) -> AccountView {
    match block_on(chain.query::<Escrow>(&Query::Account { deployment })) {
        Ok(proven) => match proven.answer {
            Answer::Account(Some(view)) => view,
            other => panic!("{other:?}"),
        },
        Err(why) => panic!("{why}"),
    }
}

fn until_it_is(chain: &Chain, deployment: DeploymentId, state: AccountState) -> AccountView {
    until(&format!("the account is {state:?}"), || {
        let view = escrow(chain, deployment);
        (view.account.state == state).then_some(view)
    })
}

/// What these have, and what was ever collected in fees.
fn money(chain: &Chain, who: &[Address]) -> (Vec<u64>, u64) {
    let balances = who
        .iter()
        .map(|address| block_on(chain.account(address)).unwrap().answer.balance.0)
        .collect();
    let supply = block_on(chain.query::<Accounts>(&AccountsQuery::Supply {})).unwrap();
    let AccountsAnswer::Supply { fees_collected, .. } = supply.answer else {
        panic!("{:?}", supply.answer)
    };
    (balances, fees_collected.0)
}

/// What each account paid for transactions in the blocks from `first` to `last`.
fn fees(chain: &Chain, first: u64, last: u64) -> BTreeMap<Address, u64> {
    let mut fees = BTreeMap::new();
    for height in first..=last {
        let block = block_on(chain.rpc().block(height)).unwrap().value.block;
        for raw in &block.data.txs {
            let body = Transaction::decode(raw).unwrap().body;
            *fees.entry(body.sender).or_default() += body.fee.0;
        }
    }
    fees
}

/// The time of the first block at or past `due`.
fn first_block_past(chain: &Chain, due: Time, from: u64) -> Time {
    for height in from.. {
        let header = block_on(chain.wait_height(height)).unwrap();
        if header.time() >= due {
            return header.time();
        }
    }
    unreachable!("heights do not end")
}

fn tip(chain: &Chain) -> u64 {
    let status = block_on(chain.rpc().status()).unwrap().value;
    status.sync_info.latest_block_height
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one life of a deposit, accounted for at its end"
)]
fn a_deposit_that_runs_out_leaves_a_grace_in_which_a_top_up_helps_and_every_micro_token_is_accounted_for()
 {
    if no_engine("the deposit") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let rules = rules(folder.path());
    let price = [(
        "WELKIN_PROVIDER_PRICES_MINIMUM_UWLK_PER_HOUR",
        RATE.to_string(),
    )];
    let (net, _) = Net::up_with(
        &price,
        &["--validators", "1", "--rules", rules.to_str().unwrap()],
    );
    let chain = net.chain();
    let (network, provider) = (net.record(), net.provider());
    let alice = network.accounts[0].address;
    let bob = network.accounts[1].address;
    let who = [alice, bob, provider.address];
    let (began, (before, fees_before)) = (tip(&chain), money(&chain, &who));

    let hello = sources().join("apps/hello/hello.yaml");
    let deposit = DEPOSIT.to_string();
    let deployed = net.deploy_as("alice", &hello, &["--deposit", &deposit]);
    let (id, url) = (&deployed.deployment, &deployed.urls[0]);
    let deployment: DeploymentId = id.parse().unwrap();
    let opened = escrow(&chain, deployment).account;
    assert_eq!(opened.rate_uwlk_per_hour.0, RATE);
    let due = opened.due.unwrap();

    let exhausted = until_it_is(&chain, deployment, AccountState::Exhausted).account;
    let ended_at = first_block_past(&chain, due, opened.opened.height);
    assert_eq!(exhausted.exhausted_at, Some(ended_at));
    assert!(fetch(url).is_some(), "it answers in its grace");
    run(&mut net.welkin("bob", &["deployment", "deposit", id, "1"]));
    let still = escrow(&chain, deployment);
    assert_eq!(still.account.state, AccountState::Exhausted);
    assert!(still.grace_left_nanos < GRACE_NANOS, "grace goes on");
    let top_up = TOP_UP.to_string();
    run(&mut net.welkin("bob", &["deployment", "deposit", id, &top_up]));
    let resumed = escrow(&chain, deployment);
    assert_eq!(resumed.account.state, AccountState::Open);
    assert_eq!(
        resumed.account.grace_used_nanos + resumed.grace_left_nanos,
        GRACE_NANOS
    );
    assert!(fetch(url).is_some());

    let again = until_it_is(&chain, deployment, AccountState::Exhausted);
    assert!(again.grace_left_nanos <= resumed.grace_left_nanos);
    assert!(
        fetch(url).is_some(),
        "it answers in what is left of its grace"
    );
    let closed = until_it_is(&chain, deployment, AccountState::Closed).account;
    until("its containers are gone", || {
        net.containers(&provider).is_empty().then_some(())
    });
    assert_eq!(fetch(url), None);

    let deposited = DEPOSIT + 1 + TOP_UP;
    assert_eq!(closed.deposited.0, deposited);
    let (income, refund) = (closed.paid.0, closed.refunded.0);
    // The prepaid closing work is a fee where the chain has to close.
    let closing_fee = opened.prepaid.0;
    assert_eq!(income + refund, deposited);
    let (after, fees_after) = money(&chain, &who);
    let paid = fees(&chain, began + 1, tip(&chain));
    let spent = |index: usize| before[index] as i128 - after[index] as i128;
    let fee = |address: &Address| i128::from(paid.get(address).copied().unwrap_or(0));
    let (deposit, refund) = (i128::from(DEPOSIT + closing_fee), i128::from(refund));
    assert_eq!(spent(0), deposit - refund + fee(&alice), "alice");
    assert_eq!(spent(1), i128::from(1 + TOP_UP) + fee(&bob), "bob");
    assert_eq!(
        spent(2),
        fee(&provider.address) - i128::from(income),
        "the provider"
    );
    let all_fees: u64 = paid.values().sum();
    assert_eq!(fees_after - fees_before, all_fees + closing_fee);
}
