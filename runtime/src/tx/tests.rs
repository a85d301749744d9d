use proptest::prelude::*;

use super::*;

fn chain() -> ChainInfo {
    ChainInfo {
        chain_id: "welkin-test".to_owned(),
        genesis_hash: Hash([9; 32]),
    }
}

fn signed(calls: Vec<RawCall>) -> Transaction {
    let key = SigningKey::from_seed(&[7; 32]);
    let terms = Terms {
        sequence: 3,
        expiry_height: 100,
        gas_limit: 50_000,
        fee: Amount(7),
    };
    Body::new(&chain(), key.public_key(), terms, calls).sign(&key)
}

fn one_call() -> Vec<RawCall> {
    vec![RawCall {
        module: 1,
        bytes: vec![1, 2, 3],
    }]
}

#[test]
fn the_wire_form_is_fixed() {
    let raw = signed(one_call()).encode();
    assert_eq!(
        hex::encode(&raw),
        include_str!("../../tests/golden/transaction.hex").trim()
    );
    assert_eq!(
        Transaction::signed_part(&raw),
        signed(one_call()).body.sign_bytes()
    );
}

#[test]
fn a_transaction_reads_back_and_verifies() {
    let transaction = signed(one_call());
    let raw = transaction.encode();
    assert_eq!(Transaction::decode(&raw), Ok(transaction.clone()));
    assert_eq!(transaction.check_form(&chain(), 100, 50_000), Ok(()));
    assert_eq!(transaction.check_signature(&raw), Ok(()));
}

#[test]
fn each_flaw_has_its_error() {
    let good = signed(one_call());
    let form = |change: &dyn Fn(&mut Body), height, max_gas| {
        let mut flawed = good.clone();
        change(&mut flawed.body);
        flawed.check_form(&chain(), height, max_gas).unwrap_err()
    };
    let other = |body: &mut Body| body.chain_id = "other".to_owned();
    assert!(form(&other, 1, 50_000).is(RuntimeError::WrongChain));
    let other = |body: &mut Body| body.genesis_hash = Hash([0; 32]);
    assert!(form(&other, 1, 50_000).is(RuntimeError::WrongChain));
    let other = |body: &mut Body| body.sender = Address([0; 20]);
    assert!(form(&other, 1, 50_000).is(RuntimeError::WrongKey));
    let nothing = |_: &mut Body| ();
    assert!(form(&nothing, 101, 50_000).is(RuntimeError::Expired));
    assert!(form(&nothing, 1, 49_999).is(RuntimeError::BadGasLimit));
    assert!(form(&|body| body.gas_limit = 0, 1, 50_000).is(RuntimeError::BadGasLimit));
    assert!(form(&|body| body.calls.clear(), 1, 50_000).is(RuntimeError::BadCallCount));
    let many = |body: &mut Body| body.calls = vec![body.calls[0].clone(); MAX_CALLS + 1];
    assert!(form(&many, 1, 50_000).is(RuntimeError::BadCallCount));
}

#[test]
fn what_is_not_a_transaction_is_refused() {
    let raw = signed(one_call()).encode();
    let refused = |raw: &[u8]| Transaction::decode(raw).unwrap_err();
    assert!(refused(&[]).is(RuntimeError::MalformedTransaction));
    assert!(refused(&raw[..raw.len() - 1]).is(RuntimeError::MalformedTransaction));
    let longer = [raw.as_slice(), &[0]].concat();
    assert!(refused(&longer).is(RuntimeError::MalformedTransaction));
    let mut other_domain = raw.clone();
    other_domain[0] ^= 1;
    assert!(refused(&other_domain).is(RuntimeError::MalformedTransaction));
    let huge = vec![0; MAX_TRANSACTION_BYTES + 1];
    assert!(refused(&huge).is(RuntimeError::TransactionTooLarge));
    let bytes = vec![0; MAX_TRANSACTION_BYTES];
    let huge = signed(vec![RawCall { module: 1, bytes }]).encode();
    assert!(refused(&huge).is(RuntimeError::TransactionTooLarge));
}

#[test]
fn a_key_of_small_order_signs_for_nobody() {
    let mut public_key = [0; 32];
    public_key[0] = 1;
    let terms = Terms {
        sequence: 0,
        expiry_height: 1,
        gas_limit: 1,
        fee: Amount(0),
    };
    let body = Body::new(&chain(), public_key, terms, one_call());
    // R is the identity and s is 0: valid under ZIP-215 for every message.
    let mut signature = [0; 64];
    signature[0] = 1;
    assert!(crypto::verify(&public_key, &body.sign_bytes(), &signature));
    let transaction = Transaction { body, signature };
    let error = transaction
        .check_signature(&transaction.encode())
        .unwrap_err();
    assert!(error.is(RuntimeError::WrongKey));
}

proptest! {
    #[test]
    fn bytes_from_a_stranger_never_panic(raw in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Transaction::decode(&raw);
    }

    #[test]
    fn a_mutated_transaction_is_refused_or_another_one(
        at in 0usize..10_000,
        mask in 1u8..,
        cut in proptest::option::of(0usize..10_000),
    ) {
        let original = signed(one_call()).encode();
        let mut raw = original.clone();
        let at = at % raw.len();
        raw[at] ^= mask;
        if let Some(cut) = cut {
            raw.truncate(cut % raw.len());
        }
        if let Ok(transaction) = Transaction::decode(&raw) {
            prop_assert_eq!(&transaction.encode(), &raw);
            prop_assert_ne!(Transaction::id(&raw), Transaction::id(&original));
            let accepted = transaction.check_form(&chain(), 1, u64::MAX)
                .and_then(|()| transaction.check_signature(&raw));
            prop_assert!(accepted.is_err());
        }
    }
}
