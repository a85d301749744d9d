//! JSON-RPC as CometBFT v0.38 serves it, over POST, GET and WebSocket on one port.
//!
//! ```text
//!   POST /            one request, or a batch of at most 10
//!   GET  /METHOD?...  the same, parameters in the URI
//!   GET  /websocket   calls, and subscriptions to blocks and transactions
//!        │
//!        ▼
//!   envelope ──> methods ──> api::Node ──> render
//! ```
//!
//! Invariants: every body, batch, connection, queue and answer time has a bound; a failed call over POST is an answer of
//! status 200, over GET of status 500, as v0.38 has it and clients expect; reads that may touch the disk run on threads that may block.
//!
//! Not here: what the node knows (`api`), and the search over indexes.

mod envelope;
mod methods;
mod query;
mod render;
mod subscribe;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query as UriQuery, State, WebSocketUpgrade};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::cors::CorsLayer;

use crate::api::Handle;
use crate::http;
use envelope::{MAX_BATCH, RawParams, Request, RpcError};

/// Log target of the server.
pub const LOG: &str = "welkin::rpc";

/// Largest body of a request, in bytes.
const MAX_BODY_BYTES: usize = 1_000_000;
/// Connections at a time.
const MAX_CONNECTIONS: usize = 900;
/// WebSocket connections at a time.
const MAX_SUBSCRIBERS: usize = 100;
/// Longest time for one answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// What the server is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Origins whose pages may call it; none by default.
    pub cors_allowed_origins: Vec<String>,
}

/// A server that holds its port and does not serve yet.
pub struct RpcServer {
    listener: TcpListener,
    router: Router,
}

/// What all connections share.
struct Server {
    node: Handle,
    subscribers: Arc<Semaphore>,
}

impl Config {
    /// Takes the port.
    ///
    /// # Errors
    /// The port is taken, or an origin is no header value; the text says what to do.
    pub async fn build(self, node: Handle) -> Result<RpcServer, String> {
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            format!("the RPC address {} cannot be opened: {error}; free it, or set another `rpc.listen`", self.listen)
        })?;
        let origins = self
            .cors_allowed_origins
            .iter()
            .map(|origin| {
                HeaderValue::from_str(origin)
                    .map_err(|_| format!("{origin:?} in `rpc.cors_allowed_origins` is no origin"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        let server = Arc::new(Server {
            node,
            subscribers: Arc::new(Semaphore::new(MAX_SUBSCRIBERS)),
        });
        let router = Router::new()
            .route("/", get(list).post(post))
            .route("/websocket", get(websocket))
            .route("/{method}", get(uri))
            .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
            .with_state(server);
        let router = match origins.is_empty() {
            true => router,
            false => router.layer(CorsLayer::new().allow_origin(origins)),
        };
        Ok(RpcServer { listener, router })
    }
}

impl RpcServer {
    /// Where it listens (the port that the system chose, where 0 was asked for).
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the future is dropped.
    pub async fn run(self) -> Infallible {
        http::serve(
            self.listener,
            self.router,
            http::Limits::new(MAX_CONNECTIONS),
        )
        .await
    }
}

async fn list() -> impl IntoResponse {
    let text = methods::NAMES
        .iter()
        .map(|name| format!("/{name}\n"))
        .collect::<String>();
    (
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8")],
        format!("{text}/websocket\n"),
    )
}

async fn websocket(upgrade: WebSocketUpgrade, State(server): State<Arc<Server>>) -> Response {
    upgrade
        .max_message_size(subscribe::MAX_FRAME_BYTES)
        .max_frame_size(subscribe::MAX_FRAME_BYTES)
        .on_upgrade(move |socket| subscribe::serve(socket, server))
}

async fn uri(
    State(server): State<Arc<Server>>,
    Path(method): Path<String>,
    UriQuery(pairs): UriQuery<std::collections::BTreeMap<String, String>>,
) -> Response {
    let request = Request {
        id: Some(json!(-1)),
        method,
        params: RawParams::Uri(pairs),
    };
    if !methods::is_method(&request.method) {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    }
    let cacheable = methods::is_immutable(&request);
    let answer = one(&server.node, request).await.unwrap_or(Value::Null);
    let mut response = respond(&answer, cacheable);
    if answer.get("error").is_some() {
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    response
}

async fn post(State(server): State<Arc<Server>>, body: Bytes) -> Response {
    let value: Value = match serde_json::from_slice(&body) {
        Ok(value) => value,
        Err(error) => {
            let mut error = RpcError::parse(error.to_string()).to_json(&Value::Null);
            // v0.38 leaves out an id that nobody could read.
            error.as_object_mut().map(|fields| fields.remove("id"));
            let mut response = respond(&error, false);
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            return response;
        }
    };
    let Value::Array(requests) = value else {
        return match Request::parse(value) {
            Ok(request) => {
                let cacheable = methods::is_immutable(&request);
                match one(&server.node, request).await {
                    Some(answer) => respond(&answer, cacheable),
                    None => StatusCode::OK.into_response(),
                }
            }
            Err((id, error)) => respond(&error.to_json(&id), false),
        };
    };
    if requests.len() > MAX_BATCH {
        let text = format!(
            "a batch has at most {MAX_BATCH} requests, not {}",
            requests.len()
        );
        return respond(
            &RpcError::invalid_request(text).to_json(&Value::Null),
            false,
        );
    }
    let mut answers = Vec::new();
    for request in requests {
        match Request::parse(request) {
            Ok(request) => answers.extend(one(&server.node, request).await),
            Err((id, error)) => answers.push(error.to_json(&id)),
        }
    }
    match answers.len() {
        0 => StatusCode::OK.into_response(),
        // v0.38 answers a batch of one with the bare answer.
        1 => respond(&answers[0], false),
        _ => respond(&Value::Array(answers), false),
    }
}

/// The answer to one request; none to a notification.
async fn one(node: &Handle, request: Request) -> Option<Value> {
    let id = request.id.clone();
    let outcome = match tokio::time::timeout(ANSWER_TIMEOUT, methods::answer(node, request)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(RpcError::internal("the answer took too long")),
    };
    id.map(|id| enclose(&id, outcome))
}

/// An answer in its envelope.
fn enclose(id: &Value, outcome: Result<Value, RpcError>) -> Value {
    match outcome {
        Ok(result) => json!({ "jsonrpc": "2.0", "id": id, "result": result }),
        Err(error) => error.to_json(id),
    }
}

fn respond(answer: &Value, cacheable: bool) -> Response {
    let mut response = answer.to_string().into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if cacheable && answer.get("error").is_none() {
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=86400"),
        );
    }
    response
}
