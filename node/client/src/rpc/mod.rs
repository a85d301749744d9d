//! Asking servers: JSON-RPC over HTTP in the shapes of CometBFT v0.38.
//!
//! Several servers stand behind one client. The one that answered last is asked first; one that
//! cannot be reached, stalls, cuts off, or answers what is no answer is passed over. Nothing here
//! believes what an answer says.

pub mod endpoint;
mod http;
pub mod socket;
pub mod types;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use welkin_consensus::types::{Genesis, Validator};
use welkin_runtime::Hash;

use crate::error::ClientError;
use endpoint::Endpoint;
use http::Server;
use types::{
    BlockAnswer, BlockResults, BroadcastAnswer, BroadcastCommitAnswer, CommitAnswer, GenesisAnswer,
    QueryAnswer, QueryEnvelope, Status, TxAnswer, ValidatorsPage, shown, to_base64,
};

/// The target of what is logged here.
pub const LOG: &str = "welkin::client::rpc";

/// Servers that one client asks, at most.
pub const MAX_ENDPOINTS: usize = 16;

/// JSON-RPC's code for what failed inside the server: also heights that it does not have.
pub const INTERNAL_ERROR: i64 = -32603;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Largest answer of each kind.
const SMALL: usize = 256 * KIB;
const PAGE: usize = MIB;
const COMMIT: usize = 4 * MIB;
const QUERY: usize = 16 * MIB;
const BLOCK: usize = 64 * MIB;

/// Validators on a page, which is the most that a server gives.
const VALIDATORS_PER_PAGE: u64 = 100;

/// How long is waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For one answer of one server, from connecting to its last byte.
    pub request_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            request_timeout_ms: 10_000,
        }
    }
}

/// Asks servers. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct RpcClient {
    inner: Arc<Inner>,
}

struct Inner {
    servers: Vec<Server>,
    /// The one that answered last.
    preferred: AtomicUsize,
    next_id: AtomicU64,
    limits: Limits,
}

/// An answer, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered<T> {
    /// The answer.
    pub value: T,
    /// The server.
    pub by: String,
    /// Whether another server, which was asked before and whose answer got lost, may have got the question too.
    pub others_may_have_it: bool,
}

/// A JSON-RPC answer.
#[derive(Deserialize)]
struct Envelope<T> {
    #[serde(default)]
    id: Value,
    result: Option<T>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Value>,
}

/// What became of asking one server.
enum Exchange<T> {
    Answer(T),
    /// The server is all right, but says no.
    Error {
        code: i64,
        message: String,
    },
    /// Ask another one.
    Broken(String),
}

impl RpcClient {
    /// A client of these servers, in order of preference. Connects when first asked.
    ///
    /// # Errors
    /// [`ClientError::Usage`] when an address is none, or there is none, or more than 16.
    pub fn new<S: AsRef<str>>(endpoints: &[S], limits: Limits) -> Result<RpcClient, ClientError> {
        if endpoints.is_empty() || endpoints.len() > MAX_ENDPOINTS {
            let message = format!("1 to {MAX_ENDPOINTS} RPC servers, not {}", endpoints.len());
            return Err(ClientError::Usage(message));
        }
        let servers = endpoints.iter().map(|text| {
            let endpoint: Result<Endpoint, _> = text.as_ref().parse();
            endpoint.map(Server::new)
        });
        let servers: Vec<_> = servers
            .collect::<Result<_, _>>()
            .map_err(|error| ClientError::Usage(error.to_string()))?;
        let inner = Inner {
            servers,
            preferred: AtomicUsize::new(0),
            next_id: AtomicU64::new(1),
            limits,
        };
        Ok(RpcClient {
            inner: Arc::new(inner),
        })
    }

    /// The servers, in order.
    pub fn endpoints(&self) -> Vec<String> {
        let servers = self.inner.servers.iter();
        servers.map(|server| server.endpoint.to_string()).collect()
    }

    /// Asks another server first from now on.
    pub fn prefer_another(&self) {
        let count = self.inner.servers.len();
        let next = (self.inner.preferred.load(Ordering::Relaxed) + 1) % count;
        self.inner.preferred.store(next, Ordering::Relaxed);
    }

    /// Who the server is and where it stands.
    pub async fn status(&self) -> Result<Answered<Status>, ClientError> {
        self.call("status", json!({}), SMALL).await
    }

    /// The genesis document.
    pub async fn genesis(&self) -> Result<Answered<Genesis>, ClientError> {
        let answer: Answered<GenesisAnswer> = self.call("genesis", json!({}), BLOCK).await?;
        Ok(answer.map(|answer| answer.genesis))
    }

    /// Header and commit of a height; 0 for the newest.
    pub async fn commit(&self, height: u64) -> Result<Answered<CommitAnswer>, ClientError> {
        self.call("commit", at(height), COMMIT).await
    }

    /// All validators of a height, page by page. Their priorities mean nothing.
    pub async fn validators(&self, height: u64) -> Result<Answered<Vec<Validator>>, ClientError> {
        let mut validators: Vec<Validator> = Vec::new();
        for page in 1u64.. {
            let mut params = at(height);
            params["page"] = json!(page.to_string());
            params["per_page"] = json!(VALIDATORS_PER_PAGE.to_string());
            let answer: Answered<ValidatorsPage> = self.call("validators", params, PAGE).await?;
            let ValidatorsPage {
                validators: more,
                total,
                ..
            } = answer.value;
            let is_end = more.is_empty();
            validators.extend(more);
            let too_many = validators.len() > welkin_consensus::types::MAX_VOTES;
            if is_end || too_many || validators.len() as u64 >= total {
                return Ok(Answered {
                    value: validators,
                    by: answer.by,
                    others_may_have_it: answer.others_may_have_it,
                });
            }
        }
        unreachable!("every page adds a validator, and their number is bounded")
    }

    /// A block; 0 for the newest.
    pub async fn block(&self, height: u64) -> Result<Answered<BlockAnswer>, ClientError> {
        self.call("block", at(height), BLOCK).await
    }

    /// What came of a block.
    pub async fn block_results(&self, height: u64) -> Result<Answered<BlockResults>, ClientError> {
        self.call("block_results", at(height), BLOCK).await
    }

    /// A transaction in a block, with the proof that it stands there; none if the server knows none.
    pub async fn tx(&self, id: &Hash) -> Result<Option<Answered<TxAnswer>>, ClientError> {
        let params = json!({ "hash": to_base64(&id.0), "prove": true });
        match self.call("tx", params, COMMIT).await {
            Ok(answer) => Ok(Some(answer)),
            Err(ClientError::Server { code, message, .. })
                if code == INTERNAL_ERROR && message.contains("not found") =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Hands in a transaction; answers when it was checked.
    pub async fn broadcast_tx_sync(
        &self,
        raw: &[u8],
    ) -> Result<Answered<BroadcastAnswer>, ClientError> {
        self.call("broadcast_tx_sync", tx(raw), SMALL).await
    }

    /// Hands in a transaction; answers at once.
    pub async fn broadcast_tx_async(
        &self,
        raw: &[u8],
    ) -> Result<Answered<BroadcastAnswer>, ClientError> {
        self.call("broadcast_tx_async", tx(raw), SMALL).await
    }

    /// Hands in a transaction; answers when it is in a block, or with an error after the server's
    /// patience. Nothing of the answer is proven; [`crate::Chain::submit`] is the better way.
    pub async fn broadcast_tx_commit(
        &self,
        raw: &[u8],
    ) -> Result<Answered<BroadcastCommitAnswer>, ClientError> {
        self.call("broadcast_tx_commit", tx(raw), COMMIT).await
    }

    /// Asks about the state after a height, with proof; 0 for the newest that can be proven.
    pub async fn abci_query(
        &self,
        path: &str,
        data: &[u8],
        height: u64,
    ) -> Result<Answered<QueryAnswer>, ClientError> {
        let params = json!({
            "path": path,
            "data": hex::encode(data),
            "height": height.to_string(),
            "prove": true,
        });
        let answer: Answered<QueryEnvelope> = self.call("abci_query", params, QUERY).await?;
        Ok(answer.map(|envelope| envelope.response))
    }

    /// Calls a method of the first server that answers, and reads at most `max_bytes`.
    ///
    /// # Errors
    /// [`ClientError::Server`] when a server says no, [`ClientError::Unreachable`] when none speaks.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        params: Value,
        max_bytes: usize,
    ) -> Result<Answered<T>, ClientError> {
        let id = self.inner.next_id.fetch_add(1, Ordering::Relaxed);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let request = Bytes::from(request.to_string());
        let timeout = Duration::from_millis(self.inner.limits.request_timeout_ms);
        let count = self.inner.servers.len();
        let first = self.inner.preferred.load(Ordering::Relaxed);
        let (mut tried, mut maybe_sent) = (Vec::new(), false);
        for place in (0..count).map(|step| (first + step) % count) {
            let server = &self.inner.servers[place];
            let by = server.endpoint.to_string();
            let others_may_have_it = maybe_sent;
            let answer = match server.post(request.clone(), max_bytes, timeout).await {
                Ok(bytes) => {
                    maybe_sent = true;
                    open(&bytes, id)
                }
                Err(failure) => {
                    maybe_sent |= failure.maybe_sent;
                    Exchange::Broken(failure.why)
                }
            };
            match answer {
                Exchange::Answer(value) => {
                    self.inner.preferred.store(place, Ordering::Relaxed);
                    return Ok(Answered {
                        value,
                        by,
                        others_may_have_it,
                    });
                }
                Exchange::Error { code, message } => {
                    self.inner.preferred.store(place, Ordering::Relaxed);
                    let method = method.to_owned();
                    return Err(ClientError::Server {
                        by,
                        method,
                        code,
                        message,
                    });
                }
                Exchange::Broken(why) => {
                    tracing::debug!(target: LOG, server = by, method, why, "passed over");
                    tried.push((by, why));
                }
            }
        }
        let method = method.to_owned();
        Err(ClientError::Unreachable {
            method,
            tried,
            maybe_sent,
        })
    }

    /// The server that is asked first, for WebSockets.
    fn server(&self, step: usize) -> &Endpoint {
        let servers = &self.inner.servers;
        let first = self.inner.preferred.load(Ordering::Relaxed);
        &servers[first.wrapping_add(step) % servers.len()].endpoint
    }
}

impl<T> Answered<T> {
    /// The same server's, with another value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answered<U> {
        Answered {
            value: change(self.value),
            by: self.by,
            others_may_have_it: self.others_may_have_it,
        }
    }
}

/// Whether a server said that it does not have a height yet.
pub(crate) fn is_future(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Server { code: INTERNAL_ERROR, message, .. }
            if message.contains("must be less than or equal")
    )
}

/// Opens the envelope of an answer.
fn open<T: DeserializeOwned>(bytes: &[u8], id: u64) -> Exchange<T> {
    let envelope: Envelope<T> = match serde_json::from_slice(bytes) {
        Ok(envelope) => envelope,
        Err(error) => return Exchange::Broken(format!("the answer has another shape: {error}")),
    };
    if envelope.id.as_u64() != Some(id) {
        return Exchange::Broken("the answer is to another question".to_owned());
    }
    match (envelope.result, envelope.error) {
        (Some(value), None) => Exchange::Answer(value),
        (_, Some(error)) => error.judge(),
        (None, None) => Exchange::Broken("the answer is empty".to_owned()),
    }
}

impl RpcError {
    /// A server that is busy or behind says so, and another one may do better.
    fn judge<T>(self) -> Exchange<T> {
        let detail = match &self.data {
            Some(Value::String(detail)) if !detail.is_empty() => format!(": {detail}"),
            _ => String::new(),
        };
        let message = shown(&format!("{}{detail}", self.message));
        if message.contains("catching up") || message.contains("is busy") {
            return Exchange::Broken(message);
        }
        Exchange::Error {
            code: self.code,
            message,
        }
    }
}

fn at(height: u64) -> Value {
    if height == 0 {
        json!({})
    } else {
        json!({ "height": height.to_string() })
    }
}

fn tx(raw: &[u8]) -> Value {
    json!({ "tx": to_base64(raw) })
}
