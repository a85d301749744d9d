//! The shapes of answers and events, which programs written for CometBFT v0.38 parse. `UPDATE_GOLDEN=1` writes them anew.

use std::path::Path;

use futures::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Chain, Transfer, base64};
use crate::mask::mask;

/// Compares with the golden file of that name; gathers what differs instead of stopping at the first.
struct Golden(Vec<String>);

impl Golden {
    fn check(&mut self, name: &str, answer: &Value) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/rpc");
        let path = folder.join(format!("{name}.json"));
        let shown = format!("{:#}\n", mask(answer));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(&path, shown).unwrap();
        } else if std::fs::read_to_string(&path).unwrap_or_default() != shown {
            self.0.push(format!("{name}:\n{shown}"));
        }
    }

    fn finish(self) {
        let differ = self.0;
        assert!(
            differ.is_empty(),
            "these differ from tests/golden/rpc (UPDATE_GOLDEN=1 takes them):\n{}",
            differ.join("\n")
        );
    }
}

/// The default rules of the modules have golden files of their own.
fn without_app_state(mut answer: Value) -> Value {
    answer["result"]["genesis"]["app_state"] = json!("<app_state>");
    answer
}

/// The name of the golden file, the method and its parameters. In the block `at` stands the transaction `id`.
fn questions(at: &Value, id: &str) -> Vec<(&'static str, &'static str, Value)> {
    vec![
        ("health", "health", json!({})),
        ("status", "status", json!({})),
        ("net_info", "net_info", json!({})),
        ("block", "block", at.clone()),
        ("block_first", "block", json!({ "height": "1" })),
        ("block_results", "block_results", at.clone()),
        (
            "block_results_empty",
            "block_results",
            json!({ "height": "1" }),
        ),
        ("commit", "commit", at.clone()),
        ("commit_newest", "commit", json!({})),
        ("validators", "validators", at.clone()),
        ("validators_newest", "validators", json!({})),
        ("consensus_params", "consensus_params", json!({})),
        ("abci_info", "abci_info", json!({})),
        ("num_unconfirmed_txs", "num_unconfirmed_txs", json!({})),
        ("tx", "tx", json!({ "hash": id })),
        ("tx_proven", "tx", json!({ "hash": id, "prove": true })),
        (
            "abci_query_params",
            "abci_query",
            json!({ "path": "/query/accounts", "data": "04", "prove": true }),
        ),
        (
            "abci_query_absent_key",
            "abci_query",
            json!({ "path": "/key", "data": "010100" }),
        ),
        (
            "abci_query_malformed",
            "abci_query",
            json!({ "path": "/query/accounts", "data": "ff" }),
        ),
        (
            "abci_query_unknown_module",
            "abci_query",
            json!({ "path": "/query/nothing", "data": "" }),
        ),
        (
            "error_unknown_path",
            "abci_query",
            json!({ "path": "/store/x/key", "data": "" }),
        ),
        (
            "error_future_block",
            "block",
            json!({ "height": "1000000" }),
        ),
        (
            "error_unknown_tx",
            "tx",
            json!({ "hash": base64(&[7; 32]) }),
        ),
        ("error_unknown_method", "dial_seeds", json!({})),
        ("error_bad_height", "block", json!({ "height": "-1" })),
        ("error_page", "validators", json!({ "page": "2" })),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_shapes_of_v0_38() {
    let chain = Chain::start().await;
    let mut golden = Golden(Vec::new());

    // A block that holds a transaction, so that every list has content somewhere.
    let sent = json!({ "tx": base64(&Transfer::new(&chain, 1, 0).raw()) });
    let committed = chain.call("broadcast_tx_commit", sent.clone()).await;
    golden.check("broadcast_tx_commit", &committed);
    golden.check(
        "broadcast_tx_sync_committed_before",
        &mask_place(chain.call("broadcast_tx_sync", sent).await),
    );
    let height = committed["result"]["height"].as_str().unwrap().to_owned();
    let id = hex::decode(committed["result"]["hash"].as_str().unwrap()).unwrap();
    let at = json!({ "height": height });
    chain.until_height(height.parse::<u64>().unwrap() + 1).await;

    for (name, method, params) in questions(&at, &base64(&id)) {
        let mut answer = chain.call(method, params).await;
        // The newest height is another one in each run.
        if let Some(Value::String(data)) = answer.pointer_mut("/error/data")
            && let Some((before, _)) = data.split_once("current blockchain height")
        {
            *data = format!("{before}current blockchain height <height>");
        }
        golden.check(name, &answer);
    }
    golden.check(
        "genesis",
        &without_app_state(chain.call("genesis", json!({})).await),
    );
    golden.check(
        "broadcast_tx_sync_refused",
        &chain
            .call("broadcast_tx_sync", json!({ "tx": "AAAA" }))
            .await,
    );
    let next = |sequence| json!({ "tx": base64(&Transfer::new(&chain, 2, sequence).raw()) });
    golden.check(
        "broadcast_tx_sync",
        &chain.call("broadcast_tx_sync", next(0)).await,
    );
    golden.check(
        "broadcast_tx_async",
        &chain.call("broadcast_tx_async", next(1)).await,
    );
    golden.finish();
    chain.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_have_the_shape_of_v0_38() {
    let chain = Chain::start().await;
    let (_folder, peer) = chain.start_peer().await;
    let mut golden = Golden(Vec::new());
    golden.check(
        "net_info_with_a_peer",
        &chain.call("net_info", json!({})).await,
    );
    golden.finish();
    peer.stop().await;
    chain.stop().await;
}

fn mask_place(mut answer: Value) -> Value {
    let log = answer["result"]["log"].as_str().unwrap();
    let (before, place) = log.split_once("in block ").unwrap();
    let (_, after) = place.split_once(' ').unwrap();
    answer["result"]["log"] = json!(format!("{before}in block <height> {after}"));
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_the_shapes_of_v0_38_and_the_id_of_the_call() {
    let chain = Chain::start().await;
    let mut golden = Golden(Vec::new());
    let url = format!("ws://{}/websocket", chain.rpc);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    // Three queries at once: the second finds the block that the first finds, by its height.
    for (id, query) in [
        ("blocks", "tm.event = 'NewBlock'"),
        ("transactions", "tm.event = 'Tx'"),
    ] {
        let params = json!({ "query": query });
        let call = json!({ "jsonrpc": "2.0", "id": id, "method": "subscribe", "params": params });
        socket.send(Message::text(call.to_string())).await.unwrap();
    }
    let sent = json!({ "tx": base64(&Transfer::new(&chain, 1, 0).raw()) });
    let mut seen = std::collections::BTreeMap::new();
    let mut is_sent = false;
    while seen.len() < 4 {
        let message = socket.next().await.unwrap().unwrap();
        let Message::Text(text) = message else {
            continue;
        };
        let event: Value = serde_json::from_str(&text).unwrap();
        let kind = match (event["id"].as_str().unwrap(), &event["result"]) {
            ("blocks", result) if *result == json!({}) => "subscribe",
            ("blocks", result) => {
                match result["data"]["value"]["block"]["data"]["txs"].as_array() {
                    Some(txs) if !txs.is_empty() => "event_new_block",
                    _ => "event_new_block_empty",
                }
            }
            (_, result) if *result == json!({}) => "subscribe",
            (_, _) => "event_tx",
        };
        if kind == "subscribe" && !is_sent && event["id"] == "transactions" {
            is_sent = true;
            let answer = chain.call("broadcast_tx_sync", sent.clone()).await;
            assert_eq!(answer["result"]["code"], 0, "{answer}");
        }
        seen.entry(kind).or_insert(event);
    }
    for (kind, event) in &mut seen {
        if let Some(heights) = event.pointer_mut("/result/events") {
            for key in ["tx.height", "block.height"] {
                if heights.get(key).is_some() {
                    heights[key] = json!(["<height>"]);
                }
            }
        }
        golden.check(kind, event);
    }
    golden.finish();
    chain.stop().await;
}
