//! Answers in the JSON of CometBFT v0.38: 64-bit numbers as text, bytes in base64, hashes in upper-case hex.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use welkin_consensus::merkle;
use welkin_consensus::types::Validator;
use welkin_runtime::execute::TxResult;
use welkin_runtime::{Event, Hash};

use crate::api::{
    Answer, ApiError, BlockResults, BlockSummary, CheckResult, CommitOf, Committed, CommittedTx,
    NetInfo, PeerView, Status, StoredBlock,
};

/// The version of CometBFT whose interface this is. Clients choose their dialect by it.
pub(super) const VERSION: &str = "0.38.26";
/// Kind of the one step of a proof: everything that an answer depends on.
const WITNESS: &str = "welkin:witness";

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Null where there are no bytes, as Go prints a nil slice.
fn base64_or_null(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        Value::Null
    } else {
        Value::String(base64(bytes))
    }
}

pub(super) fn hash(hash: &Hash) -> String {
    hex::encode_upper(hash.0)
}

/// Values that serialise themselves.
pub(super) fn plain(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("types of the chain have text keys and finite numbers")
}

pub(super) fn status(status: &Status) -> Value {
    let none = BlockSummary {
        height: 0,
        hash: Vec::new(),
        app_hash: Default::default(),
        time: welkin_consensus::types::Timestamp::ZERO,
    };
    let latest = status.latest.as_ref().unwrap_or(&none);
    let earliest = status.earliest.as_ref().unwrap_or(&none);
    let validator = status.validator.as_ref().map_or_else(
        || json!({ "address": "", "pub_key": null, "voting_power": "0" }),
        |validator| {
            json!({
                "address": plain(&validator.address),
                "pub_key": public_key(&validator.public_key),
                "voting_power": validator.power.to_string(),
            })
        },
    );
    json!({
        "node_info": node_info(&status.node_id, &status.listen_address, status),
        "sync_info": {
            "latest_block_hash": hex::encode_upper(&latest.hash),
            "latest_app_hash": plain(&latest.app_hash),
            "latest_block_height": latest.height.to_string(),
            "latest_block_time": plain(&latest.time),
            "earliest_block_hash": hex::encode_upper(&earliest.hash),
            "earliest_app_hash": plain(&earliest.app_hash),
            "earliest_block_height": earliest.height.to_string(),
            "earliest_block_time": plain(&earliest.time),
            "catching_up": status.catching_up,
        },
        "validator_info": validator,
    })
}

fn node_info(node_id: &str, listen_address: &str, status: &Status) -> Value {
    json!({
        "protocol_version": { "p2p": "8", "block": "11", "app": "0" },
        "id": node_id,
        "listen_addr": listen_address,
        "network": status.chain_id,
        "version": VERSION,
        "channels": "",
        "moniker": status.moniker,
        "other": { "tx_index": "on", "rpc_address": format!("tcp://{}", status.rpc_address) },
    })
}

fn public_key(key: &[u8; 32]) -> Value {
    json!({ "type": "tendermint/PubKeyEd25519", "value": base64(key) })
}

pub(super) fn net_info(net: &NetInfo, status: &Status) -> Value {
    let peer = |peer: &PeerView| {
        let mut info = node_info(&peer.node_id, &peer.address, status);
        info["moniker"] = json!(peer.peer_id);
        // Clients take an address that is none for a malformed answer.
        let remote_ip = match peer.remote_ip.as_str() {
            "" => "0.0.0.0",
            known => known,
        };
        json!({
            "node_info": info,
            "is_outbound": peer.is_outbound,
            "connection_status": connection_status(),
            "remote_ip": remote_ip,
        })
    };
    json!({
        "listening": !net.listeners.is_empty(),
        "listeners": net.listeners,
        "n_peers": net.peers.len().to_string(),
        "peers": net.peers.iter().map(peer).collect::<Vec<_>>(),
    })
}

/// Traffic as CometBFT's connections count it. libp2p's are not counted each: the fields are there, at zero.
fn connection_status() -> Value {
    let monitor = json!({
        "Start": plain(&welkin_consensus::types::Timestamp::ZERO),
        "Bytes": "0",
        "Samples": "0",
        "InstRate": "0",
        "CurRate": "0",
        "AvgRate": "0",
        "PeakRate": "0",
        "BytesRem": "0",
        "Duration": "0",
        "Idle": "0",
        "TimeRem": "0",
        "Progress": 0,
        "Active": true,
    });
    json!({ "Duration": "0", "SendMonitor": monitor, "RecvMonitor": monitor, "Channels": [] })
}

pub(super) fn block(stored: &StoredBlock) -> Value {
    json!({ "block_id": plain(&stored.block_id), "block": plain(&stored.block) })
}

pub(super) fn commit(stored: &StoredBlock, of: &CommitOf) -> Value {
    json!({
        "signed_header": { "header": plain(&stored.block.header), "commit": plain(&of.commit) },
        "canonical": of.is_canonical,
    })
}

pub(super) fn validators(height: u64, page: &[Validator], total: usize) -> Value {
    json!({
        "block_height": height.to_string(),
        "validators": page.iter().map(plain).collect::<Vec<_>>(),
        "count": page.len().to_string(),
        "total": total.to_string(),
    })
}

pub(super) fn block_results(results: &BlockResults) -> Value {
    let transactions: Vec<Value> = results.tx_results.iter().map(tx_result).collect();
    json!({
        "height": results.height.to_string(),
        "txs_results": if transactions.is_empty() { Value::Null } else { Value::Array(transactions) },
        "finalize_block_events": events(&results.events),
        "validator_updates": validator_updates(results),
        "consensus_param_updates": null,
        "app_hash": base64(&results.app_hash),
    })
}

fn validator_updates(results: &BlockResults) -> Value {
    let updates = results.updates().map(|update| {
        let key = json!({ "ed25519": base64(&update.public_key) });
        let sum = json!({ "type": "tendermint.crypto.PublicKey_Ed25519", "value": key });
        json!({ "pub_key": { "Sum": sum }, "power": update.power.to_string() })
    });
    Value::Array(updates.collect())
}

pub(super) fn tx_result(result: &TxResult) -> Value {
    json!({
        "code": result.code,
        "data": base64_or_null(&result.data),
        "log": result.log,
        "info": "",
        "gas_wanted": result.gas_wanted.to_string(),
        "gas_used": result.gas_used.to_string(),
        "events": events(&result.events),
        "codespace": result.codespace,
    })
}

/// Events with their content as attributes: `market.bid_placed` with `order`, `rate_uwlk_per_hour` and so on.
pub(super) fn events(events: &[Event]) -> Value {
    let shown = events.iter().map(|event| {
        let attributes = attributes(event).into_iter();
        let attributes =
            attributes.map(|(key, value)| json!({ "key": key, "value": value, "index": true }));
        json!({ "type": event.kind(), "attributes": attributes.collect::<Vec<_>>() })
    });
    Value::Array(shown.collect())
}

/// The fields of an event, each as text: texts as they are, everything else as JSON.
pub(super) fn attributes(event: &Event) -> Vec<(String, String)> {
    match welkin_modules::RUNTIME.event_to_json(event) {
        Ok(Value::Object(fields)) => fields
            .into_iter()
            .map(|(key, value)| match value {
                Value::String(text) => (key, text),
                other => (key, other.to_string()),
            })
            .collect(),
        _ => Vec::new(),
    }
}

pub(super) fn transaction(id: &Hash, tx: &CommittedTx, proof: Option<Value>) -> Value {
    let mut shown = json!({
        "hash": hash(id),
        "height": tx.place.height.to_string(),
        "index": tx.place.index,
        "tx_result": tx_result(&tx.result),
        "tx": base64(&tx.raw),
    });
    if let Some(proof) = proof {
        shown["proof"] = proof;
    }
    shown
}

/// That transaction `index` stands in the block: the way from its id to `data_hash`.
pub(super) fn inclusion(stored: &StoredBlock, index: usize) -> Option<Value> {
    let raw = stored.block.data.txs.get(index)?;
    let ids: Vec<[u8; 32]> = stored
        .block
        .data
        .txs
        .iter()
        .map(|raw| welkin_runtime::crypto::sha256(raw).0)
        .collect();
    let (root, mut proofs) = merkle::root_and_proofs(&ids);
    let proof = proofs.swap_remove(index);
    Some(json!({
        "root_hash": hex::encode_upper(root),
        "data": base64(raw),
        "proof": {
            "total": proof.total.to_string(),
            "index": proof.index.to_string(),
            "leaf_hash": base64(&proof.leaf_hash),
            "aunts": proof.aunts.iter().map(|aunt| base64(aunt)).collect::<Vec<_>>(),
        },
    }))
}

pub(super) fn broadcast(check: &CheckResult) -> Value {
    json!({
        "code": check.code,
        "data": "",
        "log": check.log,
        "codespace": check.codespace,
        "hash": hash(&check.id),
    })
}

pub(super) fn broadcast_commit(check: &CheckResult, place: Option<(u64, &TxResult)>) -> Value {
    let none = TxResult {
        code: 0,
        codespace: String::new(),
        log: String::new(),
        data: Vec::new(),
        gas_wanted: 0,
        gas_used: 0,
        events: Vec::new(),
    };
    let checked = TxResult {
        code: check.code,
        codespace: check.codespace.clone(),
        log: check.log.clone(),
        gas_wanted: check.gas_wanted,
        ..none.clone()
    };
    let (height, result) = place.unwrap_or((0, &none));
    json!({
        "check_tx": tx_result(&checked),
        "tx_result": tx_result(result),
        "hash": hash(&check.id),
        "height": height.to_string(),
    })
}

pub(super) fn query(
    path: &str,
    key: &[u8],
    answer: Result<Answer, ApiError>,
) -> Result<Value, ApiError> {
    let (code, codespace, log, answer) = match answer {
        Ok(answer) => (0, String::new(), String::new(), Some(answer)),
        Err(ApiError::Refused {
            code,
            codespace,
            log,
        }) => (code, codespace, log, None),
        Err(other) => return Err(other),
    };
    let height = answer.as_ref().map_or(0, |answer| answer.height);
    let value = answer
        .as_ref()
        .map_or(Value::Null, |answer| base64_or_null(&answer.value));
    let proof = answer.and_then(|answer| answer.proof).map_or(Value::Null, |proof| {
        json!({ "ops": [{ "type": WITNESS, "key": base64(path.as_bytes()), "data": base64(&proof) }] })
    });
    Ok(json!({ "response": {
        "code": code,
        "log": log,
        "info": "",
        "index": "0",
        "key": base64_or_null(key),
        "value": value,
        "proofOps": proof,
        "height": height.to_string(),
        "codespace": codespace,
    }}))
}

/// The content of a `NewBlock` event. Lists without content are left out, but for the validators' updates, as v0.38 does.
pub(super) fn new_block(committed: &Committed) -> Value {
    let results = block_results(&committed.results);
    let mut result = json!({
        "validator_updates": results["validator_updates"],
        "app_hash": results["app_hash"],
    });
    for (name, list) in [
        ("events", "finalize_block_events"),
        ("tx_results", "txs_results"),
    ] {
        if results[list]
            .as_array()
            .is_some_and(|list| !list.is_empty())
        {
            result[name] = results[list].clone();
        }
    }
    json!({ "type": "tendermint/event/NewBlock", "value": {
        "block": plain(&committed.block.block),
        "block_id": plain(&committed.block.block_id),
        "result_finalize_block": result,
    }})
}

/// The content of a `Tx` event. Here, unlike elsewhere, v0.38 leaves out what is zero.
pub(super) fn tx_event(committed: &Committed, index: usize) -> Option<Value> {
    let raw = committed.block.block.data.txs.get(index)?;
    let result = committed.results.tx_results.get(index)?;
    let mut shown = tx_result(result);
    if let Value::Object(fields) = &mut shown {
        fields.retain(|_, value| {
            !(value.is_null()
                || *value == json!(0)
                || *value == json!("")
                || *value == json!("0")
                || *value == json!([]))
        });
    }
    let mut inner = json!({
        "height": committed.results.height.to_string(),
        "tx": base64(raw),
        "result": shown,
    });
    if index > 0 {
        inner["index"] = json!(index);
    }
    Some(json!({ "type": "tendermint/event/Tx", "value": { "TxResult": inner } }))
}
