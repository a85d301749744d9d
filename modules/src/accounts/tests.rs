//! Accounts against a table of balances.

use std::collections::BTreeMap;

use proptest::prelude::*;
use welkin_runtime::testing::TestChain;
use welkin_runtime::tx::{Body, Terms};
use welkin_runtime::types::ChainInfo;
use welkin_runtime::{Address, Amount, Hash};

use super::{Accounts, Answer, Call, Error, Query, fee_collector, module_address};
use crate::RUNTIME;
use crate::genesis::AppState;
use crate::test_support::{GENESIS_TIME, WEALTH, World, account};

fn transfer(to: Address, amount: u64) -> Call {
    Call::Transfer {
        to,
        amount: Amount(amount),
    }
}

#[test]
fn a_transfer_moves_money_and_says_so() {
    let mut world = World::new(|_| ());
    let events = world
        .call::<Accounts>(account(0), transfer(account(99), 5))
        .unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(world.balance(account(0)), WEALTH.0 - 5);
    assert_eq!(world.balance(account(99)), 5);
}

#[test]
fn nobody_gives_what_it_does_not_hold() {
    let mut world = World::new(|_| ());
    let error = world
        .call::<Accounts>(account(99), transfer(account(0), 1))
        .unwrap_err();
    assert!(error.is(Error::InsufficientFunds), "{error}");
    let error = world
        .call::<Accounts>(account(0), transfer(account(1), WEALTH.0 + 1))
        .unwrap_err();
    assert!(error.is(Error::InsufficientFunds), "{error}");
    let error = world
        .call::<Accounts>(account(0), transfer(account(1), 0))
        .unwrap_err();
    assert!(error.is(Error::ZeroAmount), "{error}");
}

#[test]
fn modules_take_no_transfers() {
    let mut world = World::new(|_| ());
    for name in ["fees", "provider", "market", "escrow"] {
        let to = module_address(name);
        let error = world
            .call::<Accounts>(account(0), transfer(to, 1))
            .unwrap_err();
        assert!(error.is(Error::ModuleAddress), "{error}");
    }
}

#[test]
fn a_genesis_that_makes_no_sense_is_refused() {
    for accounts in [
        vec![(account(0), Amount(1)), (account(0), Amount(1))],
        vec![(account(0), Amount(1 << 62)), (account(1), Amount(1 << 62))],
        vec![(module_address("escrow"), Amount(1))],
    ] {
        let json = AppState::with_accounts(accounts).to_json();
        assert!(RUNTIME.genesis(&json, GENESIS_TIME).is_err());
    }
}

#[test]
fn the_least_fee_is_a_part_of_the_price_of_a_million_rounded_up() {
    let world = World::new(|_| ());
    let fee = |gas| {
        world
            .chain
            .read(|ctx| (RUNTIME.accounts.minimum_fee)(ctx, gas))
            .unwrap()
    };
    assert_eq!(fee(0), Amount(0));
    assert_eq!(fee(1), Amount(1));
    assert_eq!(fee(100), Amount(1));
    assert_eq!(fee(101), Amount(2));
    assert_eq!(fee(1_000_000), Amount(10_000));
    assert!(fee(u64::MAX) > Amount(1 << 50));
}

/// A transfer in a transaction of its own.
#[derive(Clone, Debug)]
struct Step {
    from: u8,
    to: u8,
    amount: u64,
    fee: u64,
}

fn step() -> impl Strategy<Value = Step> {
    let amount = prop_oneof![Just(0), 1..50u64, Just(u64::MAX)];
    (0..4u8, 0..4u8, amount, 0..20u64).prop_map(|(from, to, amount, fee)| Step {
        from,
        to,
        amount,
        fee,
    })
}

fn key(number: u8) -> welkin_runtime::crypto::SigningKey {
    welkin_runtime::crypto::SigningKey::from_seed(&[number + 1; 32])
}

fn signed(step: &Step, sequence: u64) -> Vec<u8> {
    let chain = ChainInfo {
        chain_id: "test".to_owned(),
        genesis_hash: Hash::default(),
    };
    let terms = Terms {
        sequence,
        expiry_height: u64::MAX,
        gas_limit: 100_000,
        fee: Amount(step.fee),
    };
    let call = transfer(key(step.to).address(), step.amount);
    let calls = vec![RUNTIME.call_of::<Accounts>(&call).unwrap()];
    let key = key(step.from);
    Body::new(&chain, key.public_key(), terms, calls)
        .sign(&key)
        .encode()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Blocks of transactions: fees and sequences of all first, then the transfers, each or not.
    #[test]
    fn balances_and_sequences_follow_the_table(
        blocks in prop::collection::vec(prop::collection::vec(step(), 0..6), 0..8),
    ) {
        let rich = (0..4).map(|number| (key(number).address(), Amount(100)));
        let json = AppState::with_accounts(rich).to_json();
        let mut chain = TestChain::new(RUNTIME, &json, GENESIS_TIME).unwrap();
        let mut table: BTreeMap<u8, (u64, u64)> = (0..4).map(|n| (n, (100, 0))).collect();
        let mut fees = 0;
        for steps in blocks {
            // What cannot pay its fee does not get into a block.
            let mut taken = Vec::new();
            let mut raw = Vec::new();
            for step in steps {
                let (balance, sequence) = table.get_mut(&step.from).unwrap();
                if *balance >= step.fee {
                    raw.push(signed(&step, *sequence));
                    *balance -= step.fee;
                    *sequence += 1;
                    fees += step.fee;
                    taken.push(step);
                }
            }
            let output = chain.next_block(1, &raw).unwrap();
            for (step, result) in taken.iter().zip(&output.tx_results) {
                let holds = table[&step.from].0;
                let works = step.amount > 0 && step.amount <= holds;
                prop_assert_eq!(result.code == 0, works);
                if works {
                    table.get_mut(&step.from).unwrap().0 -= step.amount;
                    table.get_mut(&step.to).unwrap().0 += step.amount;
                }
            }
            for (number, (balance, sequence)) in &table {
                let query = Query::Account { address: key(*number).address() };
                let Answer::Account(found) = chain.query::<Accounts>(query).unwrap() else {
                    panic!("another answer");
                };
                prop_assert_eq!((found.balance.0, found.sequence), (*balance, *sequence));
            }
            let collected = chain.read(|ctx| super::account(ctx, &fee_collector())).unwrap();
            prop_assert_eq!(collected.balance.0, fees);
        }
    }
}
