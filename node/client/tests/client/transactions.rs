//! Transactions from building them to the proof of what came of them.

use serde_json::json;
use welkin_client::submit::OutcomeProof;
use welkin_client::{Chain, ClientError, SubmitOptions, call, call_from_json};
use welkin_modules::accounts::{Accounts, Call, Event};
use welkin_runtime::Amount;
use welkin_runtime::tx::{RawCall, Transaction};

use super::chain::{TestChain, WEALTH, account};
use super::server::{Manner, Mining, Server};

async fn network() -> (Server, Chain, tempfile::TempDir) {
    let mut chain = TestChain::new(&[10, 10, 10, 10]);
    chain.grow(3);
    let server = Server::start(chain).await;
    let folder = tempfile::tempdir().unwrap();
    let chain = connect(&server, &folder.path().join("one")).await;
    (server, chain, folder)
}

async fn connect(server: &Server, folder: &std::path::Path) -> Chain {
    let config = server.chain().config(vec![server.url()], folder);
    Chain::connect(config).await.unwrap()
}

fn pay(amount: u64) -> Vec<RawCall> {
    let to = account(1).address();
    vec![call::<Accounts>(&Call::Transfer {
        to,
        amount: Amount(amount),
    })]
}

fn quick() -> SubmitOptions {
    SubmitOptions {
        timeout_ms: 20_000,
        lifetime_blocks: 5,
        ..SubmitOptions::default()
    }
}

#[tokio::test]
async fn a_transfer_is_executed_and_its_events_are_proven() {
    let (_server, chain, _folder) = network().await;
    let receipt = chain.submit(&account(0), pay(5)).await.unwrap();
    let (from, to) = (account(0).address(), account(1).address());
    let happened = receipt.events_of::<Accounts>();
    assert_eq!(
        happened,
        [Event::Transferred {
            from,
            to,
            amount: Amount(5)
        }]
    );
    assert!(receipt.gas_used <= receipt.gas_wanted && !receipt.fee.is_zero());
    let left = chain.account(&from).await.unwrap().answer;
    assert_eq!(left.balance.0, WEALTH - 5 - receipt.fee.0);
    assert_eq!(chain.transaction(&receipt.id).await.unwrap(), receipt);
    let nowhere = chain
        .transaction(&welkin_runtime::Hash([1; 32]))
        .await
        .unwrap_err();
    assert_eq!(nowhere.exit_code(), 3);
}

#[tokio::test]
async fn calls_are_also_written_in_json() {
    let (_server, chain, _folder) = network().await;
    let transfer = json!({ "transfer": { "to": account(1).address(), "amount": "7" } });
    let call = call_from_json("accounts", &transfer).unwrap();
    chain.submit(&account(0), vec![call]).await.unwrap();
    assert_eq!(
        call_from_json("accounts", &json!({ "give": {} }))
            .unwrap_err()
            .exit_code(),
        2
    );
}

#[tokio::test]
async fn what_fails_in_its_block_is_refused_with_module_code_and_place() {
    let (_server, chain, _folder) = network().await;
    let error = chain
        .submit(&account(0), pay(WEALTH * 2))
        .await
        .unwrap_err();
    assert_eq!(error.exit_code(), 4);
    let ClientError::Refused { error, transaction } = error else {
        panic!("another error")
    };
    assert!(error.is(welkin_modules::accounts::Error::InsufficientFunds));
    assert_eq!(transaction.unwrap().height, 4);
    // Its sequence is used; the next one works.
    chain.submit(&account(0), pay(1)).await.unwrap();
}

#[tokio::test]
async fn what_is_refused_by_the_check_leaves_no_gap() {
    let (_server, chain, _folder) = network().await;
    let cheap = SubmitOptions {
        fee: Some(Amount(1)),
        ..quick()
    };
    let error = chain
        .submit_with(&account(0), pay(1), &cheap)
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Refused {
                transaction: None,
                ..
            }
        ),
        "{error}"
    );
    let error = chain.submit(&account(50), pay(1)).await.unwrap_err();
    assert_eq!(error.exit_code(), 4);
    chain.submit(&account(0), pay(1)).await.unwrap();
}

#[tokio::test]
async fn several_of_one_account_are_in_flight_and_each_has_its_sequence() {
    let (server, chain, _folder) = network().await;
    server.mining(Mining::ByHand);
    let key = account(0);
    let mut waiting = Vec::new();
    for amount in 1..=5 {
        waiting.push(chain.broadcast(&key, pay(amount), &quick()).await.unwrap());
    }
    let sequences: Vec<_> = waiting.iter().map(|submitted| submitted.sequence).collect();
    assert_eq!(sequences, [0, 1, 2, 3, 4]);
    server.chain().mine();
    for submitted in &waiting {
        let receipt = chain.wait(submitted, &quick()).await.unwrap();
        assert_eq!((receipt.id, receipt.height), (submitted.id, 4));
    }
    assert_eq!(
        chain.account(&key.address()).await.unwrap().answer.sequence,
        5
    );
}

#[tokio::test]
async fn many_at_once_of_one_account_all_happen_once() {
    let (server, chain, _folder) = network().await;
    let key = account(0);
    let (options, calls) = (quick(), pay(1));
    let all = (0..12).map(|_| chain.submit_with(&key, calls.clone(), &options));
    let mut fees = 0;
    for receipt in futures::future::join_all(all).await {
        fees += receipt.unwrap().fee.0;
    }
    let left = chain.account(&key.address()).await.unwrap().answer;
    assert_eq!((left.balance.0, left.sequence), (WEALTH - 12 - fees, 12));
    assert!(server.chain().height() > 3);
}

#[tokio::test]
async fn two_clients_with_one_key_do_not_stop_each_other() {
    let (server, one, folder) = network().await;
    let other = connect(&server, &folder.path().join("two")).await;
    for amount in 1..=3 {
        one.submit(&account(0), pay(amount)).await.unwrap();
        other.submit(&account(0), pay(amount)).await.unwrap();
    }
    let account = one.account(&account(0).address()).await.unwrap().answer;
    assert_eq!(account.sequence, 6);
}

#[tokio::test]
async fn a_sequence_that_another_waiting_transaction_has_is_left_to_it() {
    let (server, chain, _folder) = network().await;
    server.mining(Mining::ByHand);
    let first = std::sync::atomic::AtomicBool::new(true);
    server.lie(move |method, _, result| {
        let is_first = || first.swap(false, std::sync::atomic::Ordering::SeqCst);
        if method == "broadcast_tx_sync" && is_first() {
            result["code"] = json!(3);
            result["codespace"] = json!("mempool");
        }
    });
    let submitted = chain
        .broadcast(&account(0), pay(1), &quick())
        .await
        .unwrap();
    assert_eq!(submitted.sequence, 1);
}

#[tokio::test]
async fn one_that_is_sent_again_after_it_was_executed_is_looked_up() {
    let (_server, chain, _folder) = network().await;
    let submitted = chain
        .broadcast(&account(0), pay(1), &quick())
        .await
        .unwrap();
    let first = chain.wait(&submitted, &quick()).await.unwrap();
    chain.rpc().broadcast_tx_sync(&submitted.raw).await.unwrap();
    assert_eq!(chain.wait(&submitted, &quick()).await.unwrap(), first);
}

#[tokio::test]
async fn one_whose_answer_was_lost_and_that_another_server_refuses_as_a_replay_is_looked_up() {
    let (server, _, folder) = network().await;
    let beside = server.beside().await;
    server.lie(|method, _, result| {
        if method == "broadcast_tx_sync" {
            *result = serde_json::Value::Null;
        }
    });
    let endpoints = vec![server.url(), beside.url()];
    let config = server.chain().config(endpoints, &folder.path().join("two"));
    let chain = Chain::connect(config).await.unwrap();
    let receipt = chain.submit_with(&account(0), pay(1), &quick()).await;
    assert_eq!(receipt.unwrap().height, 4);
    let paid = chain.account(&account(0).address()).await.unwrap().answer;
    assert_eq!(paid.sequence, 1, "it is done once");
}

#[tokio::test]
async fn one_that_a_second_server_refuses_may_still_be_with_the_first() {
    let (server, _, folder) = network().await;
    let beside = server.beside().await;
    server.lie(|method, _, result| {
        if method == "broadcast_tx_sync" {
            *result = serde_json::Value::Null;
        }
    });
    beside.lie(|method, _, result| {
        if method == "broadcast_tx_sync" {
            result["code"] = 1.into();
            result["codespace"] = "accounts".into();
        }
    });
    let endpoints = vec![server.url(), beside.url()];
    let client = async |name: &str| {
        let folder = folder.path().join(name);
        let config = server.chain().config(endpoints.clone(), &folder);
        Chain::connect(config).await.unwrap()
    };
    let chain = client("two").await;
    let handed_in = chain.broadcast(&account(0), pay(1), &quick()).await;
    assert!(
        matches!(handed_in, Err(ClientError::Unconfirmed { .. })),
        "{handed_in:?}"
    );
    // Who waits for it hears what came of it.
    let other = client("three").await;
    let sent = other.submit_with(&account(2), pay(1), &quick()).await;
    assert!(sent.is_ok(), "{sent:?}");
    for payer in [0, 2].map(account) {
        let paid = chain.account(&payer.address()).await.unwrap().answer;
        assert_eq!(paid.sequence, 1, "the first had taken it");
    }
}

#[tokio::test]
async fn one_of_which_nobody_knows_whether_it_was_taken_is_handed_in_again_and_done_once() {
    let (server, chain, _folder) = network().await;
    server.mining(Mining::Forgets);
    server.lie(|method, _, result| {
        if method == "broadcast_tx_sync" {
            *result = serde_json::Value::Null;
        }
    });
    let mut reasons = Vec::new();
    let mut hear = |reason: &str| {
        reasons.push(reason.to_owned());
        server.behave(Manner::Honest);
        server.mining(Mining::AtOnce);
    };
    let receipt = chain
        .submit_hearing(&account(0), pay(1), &quick(), &mut hear)
        .await;
    assert_eq!(receipt.unwrap().height, 4);
    assert_ne!(reasons, [""; 0]);
    let paid = chain.account(&account(0).address()).await.unwrap().answer;
    assert_eq!(paid.sequence, 1, "the very same");
}

#[tokio::test]
async fn one_that_a_block_has_is_not_taken_for_one_that_may_be_sent_again_while_its_proof_is_missing()
 {
    let (server, chain, _folder) = network().await;
    server.lie(|method, _, result| {
        if method == "block_results" {
            *result = serde_json::Value::Null;
        }
    });
    let hasty = SubmitOptions {
        timeout_ms: 300,
        ..quick()
    };
    let sent = chain.submit_with(&account(0), pay(1), &hasty).await;
    match sent {
        Err(error @ ClientError::Unconfirmed { .. }) => {
            assert!(error.to_string().contains("block 4"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_that_is_lost_is_handed_in_again() {
    let (server, chain, _folder) = network().await;
    server.mining(Mining::Forgets);
    let submitted = chain
        .broadcast(&account(0), pay(1), &quick())
        .await
        .unwrap();
    server.mining(Mining::AtOnce);
    chain.wait(&submitted, &quick()).await.unwrap();
}

#[tokio::test]
async fn one_that_can_never_come_any_more_is_proven_to_have_done_nothing() {
    let (server, chain, _folder) = network().await;
    server.mining(Mining::Forgets);
    let submitted = chain
        .broadcast(&account(0), pay(1), &quick())
        .await
        .unwrap();
    server.chain().grow(10);
    let error = chain.wait(&submitted, &quick()).await.unwrap_err();
    assert!(matches!(error, ClientError::Expired { .. }), "{error}");
    // Its sequence is free again.
    server.mining(Mining::AtOnce);
    let next = chain
        .broadcast(&account(0), pay(2), &quick())
        .await
        .unwrap();
    assert_eq!(next.sequence, submitted.sequence);
}

#[tokio::test]
async fn one_whose_sequence_another_one_took_did_nothing_and_one_that_is_hidden_is_found() {
    let (server, chain, folder) = network().await;
    let other = connect(&server, &folder.path().join("two")).await;
    server.mining(Mining::Forgets);
    let lost = chain
        .broadcast(&account(0), pay(1), &quick())
        .await
        .unwrap();
    server.mining(Mining::AtOnce);
    other.submit(&account(0), pay(2)).await.unwrap();
    let error = chain.wait(&lost, &quick()).await.unwrap_err();
    assert!(matches!(error, ClientError::Expired { .. }), "{error}");

    // A server that hides an executed transaction, and says that its sequence was used.
    let key = account(2);
    let hidden = chain.broadcast(&key, pay(3), &quick()).await.unwrap();
    server.behave(Manner::Lies(std::sync::Arc::new(
        |method, _, result| match method {
            "tx" => *result = serde_json::Value::Null,
            "broadcast_tx_sync" => {
                result["code"] = json!(7);
                result["codespace"] = json!("runtime");
            }
            _ => {}
        },
    )));
    let receipt = chain.wait(&hidden, &quick()).await.unwrap();
    assert_eq!(receipt.id, hidden.id);
}

#[tokio::test]
async fn a_patience_that_ends_leaves_it_open_what_happened() {
    let (server, chain, _folder) = network().await;
    server.mining(Mining::Forgets);
    let hasty = SubmitOptions {
        timeout_ms: 1,
        ..quick()
    };
    let error = chain
        .submit_with(&account(0), pay(1), &hasty)
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Unconfirmed { .. }), "{error}");
    assert_eq!(error.exit_code(), 6);
}

fn assert_lie(result: Result<impl std::fmt::Debug, ClientError>, words: &str) {
    match result {
        Err(error @ ClientError::Verification { .. }) => {
            assert!(error.to_string().contains(words), "{error}");
        }
        other => panic!("not caught: {other:?}"),
    }
}

#[tokio::test]
async fn results_and_places_that_headers_do_not_name_are_refused() {
    let (server, chain, _folder) = network().await;
    let paid = chain.submit(&account(0), pay(5)).await.unwrap();
    let failed = chain
        .submit(&account(0), pay(WEALTH * 2))
        .await
        .unwrap_err();
    let ClientError::Refused {
        transaction: Some(failed),
        ..
    } = failed
    else {
        panic!("no place")
    };

    server.lie(|method, _, result| {
        if method == "block_results" {
            result["txs_results"][0]["code"] = json!(0);
            result["txs_results"][0]["data"] = json!("AAAAAA==");
        }
    });
    assert_lie(chain.transaction(&failed.id).await, "names");
    assert_lie(chain.transaction(&paid.id).await, "names");
    server.lie(|method, _, result| {
        if method == "tx" {
            result["proof"]["proof"]["leaf_hash"] =
                json!("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        }
    });
    assert_lie(chain.transaction(&paid.id).await, "another leaf");
    server.lie(|method, _, result| {
        if method == "tx" {
            result["height"] = json!("2");
        }
    });
    assert_lie(chain.transaction(&paid.id).await, "");
    server.lie(|method, _, result| {
        if method == "tx" {
            result["index"] = json!(1);
        }
    });
    assert_lie(chain.transaction(&paid.id).await, "another place");
    server.lie(|method, _, result| {
        if method == "tx" {
            result["proof"] = serde_json::Value::Null;
        }
    });
    assert_lie(chain.transaction(&paid.id).await, "no proof");
}

#[tokio::test]
async fn without_the_next_header_the_place_alone_can_be_proven() {
    let (server, chain, _folder) = network().await;
    server.mining(Mining::ByHand);
    let place = SubmitOptions {
        proof: OutcomeProof::Place,
        ..quick()
    };
    let submitted = chain.broadcast(&account(0), pay(5), &place).await.unwrap();
    {
        let mut chain = server.chain();
        let txs = std::mem::take(&mut chain.pool);
        chain.produce(txs, vec![]);
    }
    assert_eq!(chain.wait(&submitted, &place).await.unwrap().height, 4);
}

#[tokio::test]
async fn a_server_that_confirms_another_transaction_is_refused() {
    let (server, chain, _folder) = network().await;
    server.lie(|method, _, result| {
        if method == "broadcast_tx_sync" {
            result["hash"] = json!("AB".repeat(32));
        }
    });
    assert_lie(chain.submit(&account(0), pay(1)).await, "it was sent");
}

#[tokio::test]
async fn a_transaction_that_is_too_large_is_not_sent() {
    let (server, chain, _folder) = network().await;
    let large = vec![RawCall {
        module: 1,
        bytes: vec![0; 65_536],
    }];
    assert_eq!(
        chain
            .submit(&account(0), large)
            .await
            .unwrap_err()
            .exit_code(),
        2
    );
    assert_eq!(server.count("broadcast_tx_sync"), 0);
    assert!(Transaction::decode(&[]).is_err());
}
