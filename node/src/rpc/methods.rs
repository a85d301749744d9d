//! The methods: from parameters to answers. One function for each, one flat match over them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use welkin_runtime::Hash;
use welkin_runtime::tx::{MAX_TRANSACTION_BYTES, Transaction};

use super::envelope::{Params, RawParams, Request, RpcError};
use super::render;
use crate::api::{ApiError, CheckResult, Handle, Query, QueryKind};

/// How long `broadcast_tx_commit` waits for the block.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Validators on a page unless asked otherwise, and at most.
const DEFAULT_PAGE: u64 = 30;
const MAX_PAGE: u64 = 100;
/// The largest genesis that is answered in one piece.
const MAX_GENESIS_BYTES: usize = 16 * 1024 * 1024;

/// Answers one request; the names of the parameters stand with each method.
pub(super) async fn answer(node: &Handle, request: Request) -> Result<Value, RpcError> {
    let Request { method, params, .. } = request;
    let named = |names: &[&str]| Params::of(params.clone(), names);
    match method.as_str() {
        "health" => Ok(json!({})),
        "status" => read(node, |node| Ok(render::status(&node.status()))).await,
        "net_info" => {
            read(node, |node| {
                Ok(render::net_info(&node.net_info(), &node.status()))
            })
            .await
        }
        "genesis" => read(node, genesis).await,
        "block" => block(node, &named(&["height"])?).await,
        "block_results" => block_results(node, &named(&["height"])?).await,
        "commit" => commit(node, &named(&["height"])?).await,
        "validators" => validators(node, &named(&["height", "page", "per_page"])?).await,
        "consensus_params" => consensus_params(node, &named(&["height"])?).await,
        "tx" => tx(node, &named(&["hash", "prove"])?).await,
        "num_unconfirmed_txs" => read(node, |node| Ok(unconfirmed(node))).await,
        "abci_info" => read(node, |node| Ok(abci_info(node))).await,
        "abci_query" => abci_query(node, &named(&["path", "data", "height", "prove"])?).await,
        "broadcast_tx_sync" => broadcast_sync(node, &named(&["tx"])?).await,
        "broadcast_tx_async" => broadcast_async(node, &named(&["tx"])?).await,
        "broadcast_tx_commit" => broadcast_commit(node, &named(&["tx"])?).await,
        "subscribe" | "unsubscribe" | "unsubscribe_all" => Err(RpcError::internal(
            "subscriptions are for WebSocket connections: use /websocket",
        )),
        other => Err(RpcError::no_method(other)),
    }
}

/// Every method over POST and GET, for the list at `/`.
pub(super) const NAMES: [&str; 16] = [
    "abci_info",
    "abci_query",
    "block",
    "block_results",
    "broadcast_tx_async",
    "broadcast_tx_commit",
    "broadcast_tx_sync",
    "commit",
    "consensus_params",
    "genesis",
    "health",
    "net_info",
    "num_unconfirmed_txs",
    "status",
    "tx",
    "validators",
];

/// Whether there is such a method over GET.
pub(super) fn is_method(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether the answer can never change, so that a cache may keep it: a block of a height that was named.
pub(super) fn is_immutable(request: &Request) -> bool {
    let has_height = match &request.params {
        RawParams::Named(named) => named
            .get("height")
            .is_some_and(|h| !h.is_null() && *h != json!("0")),
        RawParams::Uri(texts) => texts
            .get("height")
            .is_some_and(|h| !h.is_empty() && h != "0"),
        RawParams::Positional(_) => false,
    };
    has_height
        && ["block", "block_results", "validators", "consensus_params"]
            .contains(&request.method.as_str())
}

/// Runs a read on a thread that may block.
async fn read(
    node: &Handle,
    work: impl FnOnce(&Handle) -> Result<Value, ApiError> + Send + 'static,
) -> Result<Value, RpcError> {
    let node = node.clone();
    match tokio::task::spawn_blocking(move || work(&node)).await {
        Ok(outcome) => outcome.map_err(RpcError::from),
        Err(_) => Err(RpcError::internal("the node is stopping")),
    }
}

fn genesis(node: &Handle) -> Result<Value, ApiError> {
    let genesis = render::plain(&*node.genesis());
    if genesis.to_string().len() > MAX_GENESIS_BYTES {
        return Err(ApiError::Failed(
            "the genesis is larger than 16 MiB; copy the file instead".to_owned(),
        ));
    }
    Ok(json!({ "genesis": genesis }))
}

/// The height itself; for 0 the one after the newest block, whose validators and parameters are known (as v0.38 answers).
fn or_next(node: &Handle, height: u64) -> u64 {
    match height {
        0 => node.status().latest.map_or(1, |latest| latest.height + 1),
        height => height,
    }
}

async fn block(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let height = params.number("height")?.unwrap_or(0);
    read(node, move |node| Ok(render::block(&*node.block(height)?))).await
}

async fn block_results(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let height = params.number("height")?.unwrap_or(0);
    read(node, move |node| {
        Ok(render::block_results(&*node.results(height)?))
    })
    .await
}

async fn commit(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let height = params.number("height")?.unwrap_or(0);
    read(node, move |node| {
        // First the block, then the commit of that very height: the newest may change between the two.
        let stored = node.block(height)?;
        let of = node.commit(stored.block.header.height)?;
        Ok(render::commit(&stored, &of))
    })
    .await
}

async fn validators(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let height = params.number("height")?.unwrap_or(0);
    let page = params.number("page")?.unwrap_or(1);
    let per_page = params
        .number("per_page")?
        .unwrap_or(DEFAULT_PAGE)
        .clamp(1, MAX_PAGE);
    let node = node.clone();
    let found = tokio::task::spawn_blocking(move || {
        let height = or_next(&node, height);
        node.validators(height)
            .map(|validators| (height, validators))
    });
    let (height, set) = found
        .await
        .map_err(|_| RpcError::internal("the node is stopping"))??;
    let all = set.validators();
    let pages = (all.len() as u64).div_ceil(per_page).max(1);
    if page == 0 || page > pages {
        return Err(RpcError::internal(format!(
            "page should be within [1, {pages}] range, given {page}"
        )));
    }
    let start = usize::try_from((page - 1) * per_page).unwrap_or(usize::MAX);
    let end = start.saturating_add(per_page as usize).min(all.len());
    Ok(render::validators(height, &all[start..end], all.len()))
}

async fn consensus_params(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let height = params.number("height")?.unwrap_or(0);
    read(node, move |node| {
        let height = or_next(node, height);
        let params = node.consensus_params(height)?;
        Ok(json!({ "block_height": height.to_string(), "consensus_params": render::plain(&params) }))
    })
    .await
}

async fn tx(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let bytes = params
        .base64("hash")?
        .ok_or_else(|| RpcError::invalid_params("hash: it is missing"))?;
    let id = Hash(
        bytes
            .try_into()
            .map_err(|_| RpcError::invalid_params("hash: expected 32 bytes"))?,
    );
    let prove = params.boolean("prove")?;
    read(node, move |node| {
        let Some(tx) = node.transaction(&id)? else {
            return Err(ApiError::Failed(format!(
                "tx ({}) not found",
                render::hash(&id)
            )));
        };
        let proof = match prove {
            true => render::inclusion(&*node.block(tx.place.height)?, tx.place.index as usize),
            false => None,
        };
        Ok(render::transaction(&id, &tx, proof))
    })
    .await
}

fn unconfirmed(node: &Handle) -> Value {
    let size = node.mempool_size();
    json!({
        "n_txs": size.transactions.to_string(),
        "total": size.transactions.to_string(),
        "total_bytes": size.bytes.to_string(),
        "txs": null,
    })
}

fn abci_info(node: &Handle) -> Value {
    let latest = node.status().latest;
    let newest = node.state_heights().newest;
    let app_hash = node
        .results(newest)
        .map(|results| results.app_hash.clone())
        .unwrap_or_default();
    json!({ "response": {
        "data": "welkin",
        "version": env!("CARGO_PKG_VERSION"),
        "app_version": "0",
        "last_block_height": latest.map_or(0, |latest| latest.height).to_string(),
        "last_block_app_hash": render::base64(&app_hash),
    }})
}

async fn abci_query(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let path = params.text("path")?.unwrap_or_default();
    let data = params.hex("data")?.unwrap_or_default();
    let (height, prove) = (
        params.number("height")?.unwrap_or(0),
        params.boolean("prove")?,
    );
    let (what, key) = match path.strip_prefix("/query/") {
        Some(module) => (
            QueryKind::Module {
                module: module.to_owned(),
                query: data,
            },
            Vec::new(),
        ),
        None if path == "/key" => (QueryKind::Key(data.clone()), data),
        None => {
            let text = "path: expected /query/MODULE with a query in borsh as data, or /key with \
                a key of the state";
            return Err(RpcError::invalid_params(text));
        }
    };
    read(node, move |node| {
        render::query(
            &path,
            &key,
            node.query(&Query {
                what,
                height,
                prove,
            }),
        )
    })
    .await
}

fn raw_transaction(params: &Params) -> Result<Vec<u8>, RpcError> {
    params
        .base64("tx")?
        .ok_or_else(|| RpcError::invalid_params("tx: it is missing"))
}

async fn submit(node: &Handle, raw: Vec<u8>) -> Result<CheckResult, RpcError> {
    // Such a one gets the refusal of the check, but no place in its queue: that is bounded for transactions of a legal size.
    if raw.len() > MAX_TRANSACTION_BYTES
        && let Err(error) = Transaction::decode(&raw)
    {
        return Ok(CheckResult {
            id: Transaction::id(&raw),
            code: error.code,
            codespace: error.module,
            log: error.message,
            gas_wanted: 0,
            committed: None,
        });
    }
    node.submit_tx(raw).await.map_err(RpcError::from)
}

async fn broadcast_sync(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    Ok(render::broadcast(
        &submit(node, raw_transaction(params)?).await?,
    ))
}

async fn broadcast_async(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let raw = raw_transaction(params)?;
    let id = Transaction::id(&raw);
    // Promises nothing: the check runs after the answer.
    if raw.len() <= MAX_TRANSACTION_BYTES {
        tokio::spawn(node.submit_tx(raw));
    }
    Ok(json!({ "code": 0, "data": "", "log": "", "codespace": "", "hash": render::hash(&id) }))
}

async fn broadcast_commit(node: &Handle, params: &Params) -> Result<Value, RpcError> {
    let raw = raw_transaction(params)?;
    // Before it is sent, so that its block cannot be missed.
    let mut blocks = node.subscribe();
    let check = submit(node, raw).await?;
    if check.committed.is_some() {
        // The check refuses a replay; beside it stands what came of the transaction.
        return committed(node, &check).await;
    }
    if check.code != 0 {
        return Ok(render::broadcast_commit(&check, None));
    }
    let deadline = Instant::now() + COMMIT_TIMEOUT;
    loop {
        match tokio::time::timeout_at(deadline, blocks.recv()).await {
            Ok(Ok(block)) => {
                let Some(index) = block.tx_ids.iter().position(|id| *id == check.id) else {
                    continue;
                };
                let result = block.results.tx_results.get(index);
                return Ok(render::broadcast_commit(
                    &check,
                    result.map(|result| (block.results.height, result)),
                ));
            }
            // Blocks went by unseen: the index knows.
            Ok(Err(RecvError::Lagged(_))) => {
                if let Ok(answer) = committed(node, &check).await {
                    return Ok(answer);
                }
            }
            Ok(Err(RecvError::Closed)) => return Err(RpcError::internal("the node is stopping")),
            Err(_) => {
                return Err(RpcError::internal(
                    "timed out waiting for tx to be included in a block",
                ));
            }
        }
    }
}

/// The answer for a transaction that stands in a block.
async fn committed(node: &Handle, check: &CheckResult) -> Result<Value, RpcError> {
    let (node, check) = (Arc::clone(node), check.clone());
    let found = tokio::task::spawn_blocking(move || {
        let tx = node.transaction(&check.id)?;
        Ok::<_, ApiError>(
            tx.map(|tx| render::broadcast_commit(&check, Some((tx.place.height, &tx.result)))),
        )
    });
    let found = found
        .await
        .map_err(|_| RpcError::internal("the node is stopping"))??;
    found.ok_or_else(|| RpcError::internal("the transaction is in no block yet"))
}
