//! What may enter the mempool, and what may stand in a block.

use std::cell::RefCell;
use std::collections::BTreeSet;

use welkin_runtime::execute::{
    BlockCheck, BlockLimits, ExecuteError, REHEARSAL_GAS_LIMIT, SignatureCache,
};
use welkin_runtime::tx::{Body, RawCall, Terms, Transaction};
use welkin_runtime::{Amount, BlockInfo, ChainInfo, Hash, RuntimeError};

use crate::demo::board::{self, Board};
use crate::demo::{
    Draft, LIMITS, RUNTIME, address, block_check, chain, key, network, pay, purse, tx_check,
};

/// What the mempool answers at the next height.
fn refusal(raw: &[u8]) -> welkin_runtime::ModuleError {
    match RUNTIME.check_tx(&chain().state, &tx_check(&network(), 1), raw) {
        Err(ExecuteError::Refused(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// What makes a block invalid, and where.
fn flaw(transactions: &[Vec<u8>]) -> (usize, welkin_runtime::ModuleError) {
    match RUNTIME.validate_block(&chain().state, &block_check(&network(), 1), transactions) {
        Err(ExecuteError::InvalidTransaction { position, error }) => (position, error),
        other => panic!("{other:?}"),
    }
}

fn with(change: impl Fn(&mut Terms)) -> Vec<u8> {
    let mut draft = Draft::new(1, 0);
    change(&mut draft.terms);
    draft.pay(2, 1)
}

#[test]
fn a_good_transaction_is_described_to_the_mempool() {
    let raw = Draft::new(1, 4).pay(2, 1);
    let checked = RUNTIME
        .check_tx(&chain().state, &tx_check(&network(), 1), &raw)
        .expect("a future one");
    assert_eq!(checked.id, Transaction::id(&raw));
    assert_eq!((checked.sender, checked.sequence), (address(1), 4));
    assert_eq!(
        (checked.payer.sequence, checked.payer.balance),
        (0, Amount(1_000))
    );
    assert_eq!(
        (checked.fee, checked.gas_limit, checked.expiry_height),
        (Amount(10), 100_000, 10)
    );
    assert_eq!(checked.bytes, raw.len());
}

#[test]
fn every_bad_transaction_is_refused_with_its_own_error() {
    assert!(refusal(b"garbage").is(RuntimeError::MalformedTransaction));
    assert!(refusal(&[0; 70_000]).is(RuntimeError::TransactionTooLarge));
    assert!(refusal(&with(|terms| terms.expiry_height = 0)).is(RuntimeError::Expired));
    assert!(refusal(&with(|terms| terms.gas_limit = 0)).is(RuntimeError::BadGasLimit));
    assert!(refusal(&with(|terms| terms.gas_limit = 400_001)).is(RuntimeError::BadGasLimit));
    assert!(refusal(&with(|terms| terms.fee = Amount(9))).is(RuntimeError::FeeTooLow));
    assert!(refusal(&with(|terms| terms.fee = Amount(1_001))).is(RuntimeError::FeeNotCovered));
    assert!(refusal(&Draft::new(3, 0).pay(1, 1)).is(RuntimeError::FeeNotCovered));
    assert!(refusal(&Draft::new(1, 0).raw(Vec::new())).is(RuntimeError::BadCallCount));
    let unknown = RawCall {
        module: 9,
        bytes: Vec::new(),
    };
    assert!(refusal(&Draft::new(1, 0).raw(vec![unknown])).is(RuntimeError::UnknownModule));
    let mut longer = pay(2, 1);
    longer.bytes.push(0);
    assert!(refusal(&Draft::new(1, 0).raw(vec![longer])).is(RuntimeError::MalformedCall));

    let terms = Draft::new(1, 0).terms;
    let elsewhere = ChainInfo {
        chain_id: "other".to_owned(),
        ..network()
    };
    let body = Body::new(&elsewhere, key(1).public_key(), terms, vec![pay(2, 1)]);
    assert!(refusal(&body.sign(&key(1)).encode()).is(RuntimeError::WrongChain));
    let forked = ChainInfo {
        genesis_hash: Hash([2; 32]),
        ..network()
    };
    let body = Body::new(&forked, key(1).public_key(), terms, vec![pay(2, 1)]);
    assert!(refusal(&body.sign(&key(1)).encode()).is(RuntimeError::WrongChain));
    let body = Body::new(&network(), key(1).public_key(), terms, vec![pay(2, 1)]);
    assert!(refusal(&body.clone().sign(&key(2)).encode()).is(RuntimeError::BadSignature));
    let stolen = Body {
        sender: address(2),
        ..body
    };
    assert!(refusal(&stolen.sign(&key(1)).encode()).is(RuntimeError::WrongKey));
}

#[test]
fn a_used_sequence_is_refused() {
    let mut chain = chain();
    let raw = Draft::new(1, 0).pay(2, 1);
    chain.next_block(1, std::slice::from_ref(&raw)).unwrap();
    let network = network();
    match RUNTIME.check_tx(&chain.state, &tx_check(&network, 2), &raw) {
        Err(ExecuteError::Refused(error)) => assert!(error.is(RuntimeError::SequenceUsed)),
        other => panic!("{other:?}"),
    }
}

/// What a rehearsal of these bytes on the first state says.
fn rehearsed(raw: &[u8]) -> Result<(), ExecuteError> {
    let next = BlockInfo {
        height: 1,
        ..BlockInfo::default()
    };
    let body = Transaction::decode(raw).unwrap().body;
    RUNTIME.rehearse(&chain().state, &next, &body)
}

#[test]
fn a_rehearsal_refuses_what_would_fail_in_the_next_block_with_the_same_words() {
    // Account 1 holds 1,000 and pays 10: its fee goes first, as in the block.
    let covered = Draft::new(1, 0).pay(2, 990);
    assert_eq!(rehearsed(&covered), Ok(()));
    let overdrawn = Draft::new(1, 0).pay(2, 991);
    let Err(ExecuteError::Refused(error)) = rehearsed(&overdrawn) else {
        panic!("it passes")
    };
    assert!(error.is(purse::Error::InsufficientFunds), "{error}");
    let block = chain().next_block(1, &[overdrawn]).unwrap();
    let result = &block.tx_results[0];
    assert_eq!(
        (error.module, error.code, error.message),
        (result.codespace.clone(), result.code, result.log.clone())
    );
    // One call that fails undoes the others: none of them is looked at alone.
    let second = Draft::new(1, 0).raw(vec![pay(2, 600), pay(2, 600)]);
    assert!(rehearsed(&second).is_err());
}

#[test]
fn a_rehearsal_has_the_gas_of_the_transaction_and_gives_up_at_its_own_limit() {
    let greedy = |gas_limit| {
        let mut draft = Draft::new(1, 0);
        draft.terms.gas_limit = gas_limit;
        let call = RUNTIME.call_of::<Board>(&board::Call::ReadForever).unwrap();
        draft.raw(vec![call])
    };
    for gas_limit in [100_000, REHEARSAL_GAS_LIMIT] {
        let Err(ExecuteError::Refused(error)) = rehearsed(&greedy(gas_limit)) else {
            panic!("it passes with {gas_limit} gas")
        };
        assert!(error.is(RuntimeError::OutOfGas), "{error}");
    }
    // It may need all that it pays for: the block finds out.
    assert_eq!(rehearsed(&greedy(REHEARSAL_GAS_LIMIT + 1)), Ok(()));
}

#[test]
fn expiry_is_inclusive() {
    let raw = with(|terms| terms.expiry_height = 1);
    let (chain, network) = (chain(), network());
    assert!(
        RUNTIME
            .check_tx(&chain.state, &tx_check(&network, 1), &raw)
            .is_ok()
    );
    assert!(
        RUNTIME
            .check_tx(&chain.state, &tx_check(&network, 2), &raw)
            .is_err()
    );
    let raw = &[raw];
    assert!(
        RUNTIME
            .validate_block(&chain.state, &block_check(&network, 1), raw)
            .is_ok()
    );
    assert!(
        RUNTIME
            .validate_block(&chain.state, &block_check(&network, 2), raw)
            .is_err()
    );
}

#[test]
fn a_block_continues_each_senders_sequence_without_a_gap() {
    let pay = |sender, sequence| Draft::new(sender, sequence).pay(3, 1);
    let good = [pay(1, 0), pay(2, 0), pay(1, 1), pay(2, 1)];
    let network = network();
    let checked = RUNTIME.validate_block(&chain().state, &block_check(&network, 1), &good);
    assert_eq!(checked, Ok(()));

    let (position, error) = flaw(&[pay(1, 0), pay(2, 1)]);
    assert!(
        position == 1 && error.is(RuntimeError::SequenceGap),
        "{error}"
    );
    let (position, error) = flaw(&[pay(1, 0), pay(1, 0)]);
    assert!(
        position == 1 && error.is(RuntimeError::SequenceUsed),
        "{error}"
    );
    let (position, error) = flaw(&[pay(1, 1), pay(1, 0)]);
    assert!(
        position == 0 && error.is(RuntimeError::SequenceGap),
        "{error}"
    );
}

#[test]
fn a_payer_holds_the_sum_of_its_fees_before_the_block() {
    let pay = |sender, sequence, fee, to, amount| {
        let mut draft = Draft::new(sender, sequence);
        draft.terms.fee = Amount(fee);
        draft.pay(to, amount)
    };
    let network = network();
    let check = block_check(&network, 1);
    let covered = [pay(1, 0, 600, 2, 1), pay(1, 1, 400, 2, 1)];
    assert_eq!(
        RUNTIME.validate_block(&chain().state, &check, &covered),
        Ok(())
    );
    let (position, error) = flaw(&[pay(1, 0, 600, 2, 1), pay(1, 1, 401, 2, 1)]);
    assert!(
        position == 1 && error.is(RuntimeError::FeeNotCovered),
        "{error}"
    );
    // What the block itself would bring does not count.
    let (position, error) = flaw(&[pay(1, 0, 0, 3, 500), pay(3, 0, 1, 1, 1)]);
    assert!(
        position == 1 && error.is(RuntimeError::FeeNotCovered),
        "{error}"
    );
}

#[test]
fn a_block_holds_bytes_and_gas_within_its_limits() {
    let pay = |sequence| Draft::new(1, sequence).pay(3, 1);
    let block: Vec<_> = (0..5).map(pay).collect();
    let network = network();
    let validate = |max_bytes, max_gas| {
        let limits = BlockLimits { max_bytes, max_gas };
        let check = BlockCheck {
            limits,
            ..block_check(&network, 1)
        };
        RUNTIME.validate_block(&chain().state, &check, &block)
    };
    let bytes = block.iter().map(|raw| raw.len() as u64).sum();
    assert_eq!(validate(bytes, 500_000), Ok(()));
    let refused = |result| match result {
        Err(ExecuteError::Refused(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(refused(validate(bytes - 1, 500_000)).is(RuntimeError::BlockTooLarge));
    assert!(refused(validate(bytes, 499_999)).is(RuntimeError::BlockGasExceeded));
    assert_eq!(LIMITS.max_gas, 400_000);
}

#[derive(Default)]
struct Remembering(RefCell<BTreeSet<Hash>>);

impl SignatureCache for Remembering {
    fn contains(&self, id: &Hash) -> bool {
        self.0.borrow().contains(id)
    }

    fn insert(&self, id: Hash) {
        self.0.borrow_mut().insert(id);
    }
}

#[test]
fn a_forged_signature_is_found_in_a_block_and_known_ones_are_not_checked_again() {
    let mut block: Vec<_> = (0..4)
        .map(|sequence| Draft::new(1, sequence).pay(3, 1))
        .collect();
    let last = block[2].len() - 1;
    block[2][last - 40] ^= 1;
    let (position, error) = flaw(&block);
    assert!(
        position == 2 && error.is(RuntimeError::BadSignature),
        "{error}"
    );

    let network = network();
    let known = Remembering::default();
    let check = BlockCheck {
        signatures: &known,
        ..block_check(&network, 1)
    };
    assert!(
        RUNTIME
            .validate_block(&chain().state, &check, &block)
            .is_err()
    );
    assert!(
        known.0.borrow().is_empty(),
        "nothing is learned from a bad block"
    );
    // To be skipped it must have been vouched for: the forged one is, so the block passes.
    known.insert(Transaction::id(&block[2]));
    assert_eq!(
        RUNTIME.validate_block(&chain().state, &check, &block),
        Ok(())
    );
    assert_eq!(known.0.borrow().len(), 4);
}
