//! Bad transactions get module, code and message; nothing changes by them, and the node goes on.

use serde_json::{Value, json};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::{Amount, Hash};

use crate::harness::{Chain, HOLDS, Transfer, account, base64};

/// The answer to a transaction that the check refuses: module, code, message.
async fn refused(chain: &Chain, raw: &[u8]) -> (String, u64, String) {
    let params = json!({ "tx": base64(raw) });
    let sync = chain.call("broadcast_tx_sync", params.clone()).await;
    let of = |answer: &Value| {
        (
            answer["codespace"].as_str().unwrap().to_owned(),
            answer["code"].as_u64().unwrap(),
            answer["log"].as_str().unwrap().to_owned(),
        )
    };
    let refusal = of(&sync["result"]);
    // `broadcast_tx_commit` says the same, and does not wait.
    let commit = chain.call("broadcast_tx_commit", params).await;
    assert_eq!(of(&commit["result"]["check_tx"]), refusal);
    assert_eq!(commit["result"]["height"], "0");
    refusal
}

/// What is wrong with a transaction of account 1 (whose sequence 0 is used), its bytes, and the code and the words that it
/// gets.
fn bad_ones(chain: &Chain) -> Vec<(&'static str, Vec<u8>, u64, &'static str)> {
    let good = || Transfer::new(chain, 1, 1);
    let spoilt = |spoil: fn(&mut Transfer)| {
        let mut transfer = good();
        spoil(&mut transfer);
        transfer.raw()
    };
    let mut cut_off = good().raw();
    cut_off.pop();
    let mut forged = good().raw();
    *forged.last_mut().unwrap() ^= 1;
    vec![
        ("malformed", b"no transaction".to_vec(), 1, "malformed"),
        ("cut off", cut_off, 1, "malformed"),
        (
            "oversized",
            vec![0; 64 * 1024 + 1],
            2,
            "65537 bytes of at most 65536",
        ),
        (
            "for another chain",
            spoilt(|t| t.info.chain_id = "other-1".into()),
            3,
            "signed for other-1",
        ),
        (
            "for another genesis",
            spoilt(|t| t.info.genesis_hash = Hash([1; 32])),
            3,
            "golden-1 with genesis",
        ),
        ("forged", forged, 5, "signature"),
        ("expired", spoilt(|t| t.terms.expiry_height = 1), 6, "1"),
        (
            "replayed with other content",
            spoilt(|t| (t.terms.sequence, t.amount) = (0, 2)),
            7,
            "sequence",
        ),
        ("underpaid", spoilt(|t| t.terms.fee = Amount(1)), 9, "uwlk"),
        (
            "overdrawn by its fee",
            spoilt(|t| t.terms.fee = Amount(2 * HOLDS)),
            10,
            "uwlk",
        ),
        (
            "from a key that nobody knows",
            spoilt(|t| {
                t.key = SigningKey::from_seed(&[77; 32]);
                t.terms.sequence = 0;
            }),
            10,
            "uwlk",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_transactions_are_refused_with_module_code_and_message_and_change_nothing() {
    let chain = Chain::start().await;
    // Something was sent before, so that something can be replayed.
    let first = Transfer::new(&chain, 1, 0);
    let sent = chain
        .call("broadcast_tx_commit", json!({ "tx": base64(&first.raw()) }))
        .await;
    assert_eq!(sent["result"]["tx_result"]["code"], 0, "{sent}");
    let height: u64 = sent["result"]["height"].as_str().unwrap().parse().unwrap();
    chain.until_height(height + 1).await;
    let before = chain.account(&account(1).address()).await;
    assert_eq!((before.balance.0, before.sequence), (HOLDS - 2_001, 1));

    for (what, raw, code, words) in bad_ones(&chain) {
        let (module, found, message) = refused(&chain, &raw).await;
        assert_eq!(
            (module.as_str(), found),
            ("runtime", code),
            "{what}: {message}"
        );
        assert!(message.contains(words), "{what}: {message}");
    }
    // Sent again as it was: refused, and not done twice; who waits for a block learns what came of it.
    let replay = json!({ "tx": base64(&first.raw()) });
    let again = chain.call("broadcast_tx_sync", replay.clone()).await;
    assert_eq!(again["result"]["codespace"], "runtime", "{again}");
    assert_eq!(again["result"]["code"], 7);
    let log = again["result"]["log"].as_str().unwrap();
    assert!(log.contains(&format!("block {height} already")), "{log}");
    let again = chain.call("broadcast_tx_commit", replay).await;
    assert_eq!(again["result"]["check_tx"]["code"], 7, "{again}");
    assert_eq!(again["result"]["height"], height.to_string());

    assert_eq!(chain.account(&account(1).address()).await, before);
    let good = chain
        .call(
            "broadcast_tx_commit",
            json!({ "tx": base64(&Transfer::new(&chain, 1, 1).raw()) }),
        )
        .await;
    assert_eq!(
        good["result"]["tx_result"]["code"], 0,
        "the node goes on: {good}"
    );
    chain.stop().await;
}

/// A transfer of account 2, of more than it has.
fn overdrawn(chain: &Chain, sequence: u64) -> Vec<u8> {
    let transfer = Transfer {
        amount: HOLDS,
        ..Transfer::new(chain, 2, sequence)
    };
    transfer.raw()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_of_more_than_there_is_is_refused_and_costs_nothing() {
    let chain = Chain::start().await;
    let (module, code, message) = refused(&chain, &overdrawn(&chain, 0)).await;
    assert_eq!((module.as_str(), code), ("accounts", 1), "{message}");
    assert!(message.contains("uwlk are needed"), "{message}");
    assert_eq!(chain.node().mempool_size().transactions, 0);
    let payer = chain.account(&account(2).address()).await;
    assert_eq!((payer.balance.0, payer.sequence), (HOLDS, 0));
    chain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_an_earlier_one_is_judged_in_its_block_where_it_pays_its_fee() {
    let chain = Chain::start().await;
    // The first might have brought what the second needs.
    let second = json!({ "tx": base64(&overdrawn(&chain, 1)) });
    let waits = chain.call("broadcast_tx_sync", second).await;
    assert_eq!(waits["result"]["code"], 0, "{waits}");
    let first = json!({ "tx": base64(&Transfer::new(&chain, 2, 0).raw()) });
    let done = chain.call("broadcast_tx_commit", first).await;
    let height = done["result"]["height"].as_str().unwrap().to_owned();
    let results = chain
        .call("block_results", json!({ "height": height }))
        .await;
    let failed = &results["result"]["txs_results"][1];
    assert_eq!(failed["codespace"], "accounts", "{results}");
    assert_eq!(failed["code"], 1);
    chain.until_height(height.parse::<u64>().unwrap() + 1).await;
    let payer = chain.account(&account(2).address()).await;
    assert_eq!((payer.balance.0, payer.sequence), (HOLDS - 4_001, 2));
    chain.stop().await;
}
