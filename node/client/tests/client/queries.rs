//! Which answers are believed.

use serde_json::{Value, json};
use welkin_client::{Chain, ClientError};
use welkin_modules::accounts::{Accounts, Answer, Query};
use welkin_runtime::Amount;

use super::chain::{TestChain, WEALTH, account};
use super::server::Server;

async fn network(blocks: usize) -> (Server, Chain, tempfile::TempDir) {
    let mut chain = TestChain::new(&[10, 10, 10, 10]);
    chain.grow(blocks);
    let server = Server::start(chain).await;
    let folder = tempfile::tempdir().unwrap();
    let config = server.chain().config(vec![server.url()], folder.path());
    let chain = Chain::connect(config).await.unwrap();
    (server, chain, folder)
}

fn alice() -> Query {
    Query::Account {
        address: account(0).address(),
    }
}

fn assert_lie(result: Result<impl std::fmt::Debug, ClientError>, words: &str) {
    match result {
        Err(error @ ClientError::Verification { .. }) => {
            assert_eq!(error.exit_code(), 7);
            assert!(error.to_string().contains(words), "{error}");
        }
        other => panic!("not caught: {other:?}"),
    }
}

#[tokio::test]
async fn the_newest_provable_state_is_answered_with_its_height_and_time() {
    let (server, chain, _folder) = network(5).await;
    let proven = chain.account(&account(0).address()).await.unwrap();
    assert_eq!((proven.answer.balance, proven.height), (Amount(WEALTH), 4));
    let time = server.chain().blocks[&4]
        .block
        .header
        .time
        .to_runtime()
        .unwrap();
    assert_eq!(proven.time, time);
    assert_eq!(chain.highest_seen(), 5);
}

/// Servers and daemons spawn what they ask.
#[tokio::test]
async fn questions_and_transactions_can_be_asked_from_any_task() {
    let (_server, chain, _folder) = network(5).await;
    let asked = tokio::spawn(async move {
        let key = account(0);
        let to = account(1).address();
        let transfer = welkin_modules::accounts::Call::Transfer {
            to,
            amount: Amount(1),
        };
        let receipt = chain
            .submit(&key, vec![welkin_client::call::<Accounts>(&transfer)])
            .await;
        let account = chain.account(&key.address()).await.unwrap();
        (
            receipt.unwrap().height,
            account.height,
            account.answer.sequence,
        )
    });
    // What was done is seen by whoever asks next.
    assert_eq!(asked.await.unwrap(), (6, 6, 1));
}

#[tokio::test]
async fn the_state_of_the_genesis_is_proven_by_the_first_header() {
    let (_server, chain, _folder) = network(1).await;
    let proven = chain.query::<Accounts>(&alice()).await.unwrap();
    assert_eq!(proven.height, 0);
}

#[tokio::test]
async fn lists_absent_accounts_old_states_and_json_are_answered() {
    let (_server, chain, _folder) = network(9).await;
    let list = chain
        .query::<Accounts>(&Query::Accounts {
            start: None,
            limit: 3,
        })
        .await
        .unwrap();
    let Answer::Accounts { accounts, next } = list.answer else {
        panic!("another answer")
    };
    assert_eq!((accounts.len(), next), (3, Some(accounts[2].address)));
    let nobody = chain.account(&account(100).address()).await.unwrap();
    assert!(nobody.answer.balance.is_zero());
    let old = chain.query_at::<Accounts>(3, &alice()).await.unwrap();
    assert_eq!(old.height, 3);
    let json = chain
        .query_json("accounts", &json!({ "supply": {} }), None)
        .await
        .unwrap();
    assert_eq!(
        json.answer["supply"]["total"],
        json!((8 * WEALTH).to_string())
    );
    let wrong = chain
        .query_json("accounts", &json!({ "nothing": {} }), None)
        .await
        .unwrap_err();
    assert_eq!(wrong.exit_code(), 2);
}

#[tokio::test]
async fn a_query_for_a_later_state_waits_until_it_is_there() {
    let (server, chain, _folder) = network(5).await;
    let question = alice();
    let later = chain.query_since::<Accounts>(7, &question);
    let grow = async {
        chain.wait_height(5).await.unwrap();
        server.chain().grow(3);
    };
    let (later, ()) = tokio::join!(later, grow);
    assert_eq!(later.unwrap().height, 7);
}

#[tokio::test]
async fn an_answer_that_the_state_does_not_give_is_refused() {
    let (server, chain, _folder) = network(5).await;
    server.lie(|method, _, result| {
        if method == "abci_query" {
            let rich = Answer::Account(welkin_modules::accounts::Account {
                balance: Amount(WEALTH * 100),
                sequence: 0,
            });
            result["response"]["value"] = base64(&borsh::to_vec(&rich).unwrap());
        }
    });
    assert_lie(chain.query::<Accounts>(&alice()).await, "another answer");
}

fn base64(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[tokio::test]
async fn an_answer_without_its_witness_is_refused() {
    let (server, chain, _folder) = network(5).await;
    for forged in [
        Value::Null,
        json!({ "ops": [] }),
        json!({ "ops": [{ "type": "iavl", "key": "", "data": "" }] }),
    ] {
        server.lie(move |method, _, result| {
            if method == "abci_query" {
                result["response"]["proofOps"] = forged.clone();
            }
        });
        assert_lie(chain.query::<Accounts>(&alice()).await, "no witness");
    }
}

#[tokio::test]
async fn a_witness_with_any_changed_byte_is_refused() {
    use base64::Engine as _;
    let (server, chain, _folder) = network(5).await;
    for at in (0..400).step_by(13) {
        server.lie(move |method, _, result| {
            if method == "abci_query" {
                let op = &mut result["response"]["proofOps"]["ops"][0]["data"];
                let mut bytes = base64::engine::general_purpose::STANDARD
                    .decode(op.as_str().unwrap())
                    .unwrap();
                let at = at % bytes.len();
                bytes[at] ^= 1;
                *op = base64(&bytes);
            }
        });
        let result = chain.query::<Accounts>(&alice()).await;
        assert!(
            matches!(result, Err(ClientError::Verification { .. })),
            "{at}: {result:?}"
        );
    }
}

#[tokio::test]
async fn the_witness_of_another_question_or_another_height_is_refused() {
    let (server, chain, _folder) = network(9).await;
    let truth = chain.rpc();
    let question = welkin_client::query::Question::of::<Accounts>(&Query::Params {});
    let other = truth
        .abci_query(&question.path(), &question.query, 0)
        .await
        .unwrap();
    let data = base64(other.value.witness().unwrap());
    server.lie(move |method, _, result| {
        if method == "abci_query" {
            result["response"]["proofOps"]["ops"][0]["data"] = data.clone();
        }
    });
    assert_lie(chain.query::<Accounts>(&alice()).await, "not complete");
    server.lie(|method, _, result| {
        if method == "abci_query" {
            result["response"]["height"] = json!("4");
        }
    });
    assert_lie(
        chain.query_at::<Accounts>(6, &alice()).await,
        "about block 4",
    );
    // The newest state, said to be that of block 7, to somebody who has seen nothing yet.
    server.behave(super::server::Manner::Honest);
    let elsewhere = tempfile::tempdir().unwrap();
    let config = server.chain().config(vec![server.url()], elsewhere.path());
    let chain = Chain::connect(config).await.unwrap();
    server.lie(|method, _, result| {
        if method == "abci_query" {
            result["response"]["height"] = json!("7");
        }
    });
    assert_lie(chain.query::<Accounts>(&alice()).await, "proves nothing");
}

#[tokio::test]
async fn a_question_that_a_module_refuses_is_a_refusal() {
    let (_server, chain, _folder) = network(5).await;
    let answer = chain
        .rpc()
        .abci_query("/query/accounts", b"nonsense", 0)
        .await
        .unwrap();
    assert!(answer.value.error().is_some());
}

#[tokio::test]
async fn a_server_that_lags_is_passed_over_and_alone_it_is_named() {
    let (server, first, folder) = network(9).await;
    first.query::<Accounts>(&alice()).await.unwrap();
    drop(first);
    let behind = server.beside().await;
    behind.lag_at(4);
    let config = server
        .chain()
        .config(vec![behind.url(), server.url()], folder.path());
    let both = Chain::connect(config.clone()).await.unwrap();
    assert_eq!(both.query::<Accounts>(&alice()).await.unwrap().height, 8);
    drop(both);
    let alone = welkin_client::Config {
        endpoints: vec![behind.url()],
        ..config
    };
    let error = Chain::connect(alone)
        .await
        .unwrap()
        .query::<Accounts>(&alice())
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Stale {
                answered: 3,
                seen: 8,
                ..
            }
        ),
        "{error}"
    );
}
