//! Watching a server: events over a WebSocket, as hints.
//!
//! A subscription reconnects by itself, to the next server if need be, and says that it did: events
//! of the time between are lost, so whoever watches looks at the chain after each [`Hint::Connected`].

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::endpoint::Endpoint;
use super::{LOG, RpcClient};

/// Largest event that is read.
const MAX_EVENT_BYTES: usize = 64 << 20;
/// Events that wait for the watcher; then the socket is no longer read.
const BUFFER: usize = 64;
/// Without any sign of life for so long, a connection counts as broken.
const SILENCE: Duration = Duration::from_secs(30);
const PING_EVERY: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Every new block.
pub const NEW_BLOCK: &str = "tm.event='NewBlock'";

/// What a subscription tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Hint {
    /// It is connected (again): what happened before was perhaps missed.
    Connected {
        /// The server.
        by: String,
    },
    /// An event: `{"query", "data": {"type", "value"}, "events"}`. Nothing of it is proven.
    Event(Value),
}

/// A running subscription; it ends when this is dropped.
pub struct Subscription {
    hints: mpsc::Receiver<Hint>,
    task: JoinHandle<()>,
}

impl Subscription {
    /// The next hint.
    pub async fn next(&mut self) -> Option<Hint> {
        self.hints.recv().await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The transaction with this id, in the query language of subscriptions.
pub fn transaction(id: &welkin_runtime::Hash) -> String {
    format!("tm.event='Tx' AND tx.hash='{}'", hex::encode_upper(id.0))
}

impl RpcClient {
    /// Watches for events that match `query`. Must be called within a tokio runtime.
    pub fn subscribe(&self, query: &str) -> Subscription {
        let (send, hints) = mpsc::channel(BUFFER);
        let task = tokio::spawn(watch(self.clone(), query.to_owned(), send));
        Subscription { hints, task }
    }
}

async fn watch(client: RpcClient, query: String, send: mpsc::Sender<Hint>) {
    let mut pause = FIRST_PAUSE;
    for step in 0usize.. {
        let endpoint = client.server(step).clone();
        let mut was_connected = false;
        let ended = follow(&endpoint, &query, &send, &mut was_connected).await;
        let Err(why) = ended else { return };
        tracing::debug!(target: LOG, server = %endpoint, why, "a subscription ended");
        if was_connected {
            pause = FIRST_PAUSE;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Follows one server until the watcher is gone (`Ok`) or the connection is.
async fn follow(
    endpoint: &Endpoint,
    query: &str,
    send: &mpsc::Sender<Hint>,
    was_connected: &mut bool,
) -> Result<(), String> {
    let connected = tokio::time::timeout(SILENCE, subscribe(endpoint, query)).await;
    let mut socket = connected.map_err(|_| "no answer to subscribe".to_owned())??;
    *was_connected = true;
    let by = endpoint.to_string();
    if send.send(Hint::Connected { by }).await.is_err() {
        return Ok(());
    }
    let mut pings = tokio::time::interval(PING_EVERY);
    let mut heard = tokio::time::Instant::now();
    loop {
        tokio::select! {
            _ = send.closed() => return Ok(()),
            _ = pings.tick() => {
                if heard.elapsed() > SILENCE {
                    return Err("the server is silent".to_owned());
                }
                let ping = socket.send(Message::Ping(bytes::Bytes::new())).await;
                ping.map_err(|error| error.to_string())?;
            }
            message = socket.next() => {
                heard = tokio::time::Instant::now();
                let Some(event) = read(message)? else { continue };
                if send.send(Hint::Event(event)).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

type Socket = WebSocketStream<TcpStream>;

async fn subscribe(endpoint: &Endpoint, query: &str) -> Result<Socket, String> {
    let stream = endpoint.connect().await;
    let stream = stream.map_err(|error| format!("cannot connect: {error}"))?;
    let address = format!("ws://{}{}", endpoint.authority(), endpoint.socket_path());
    let request = address.into_client_request();
    let request = request.map_err(|error| error.to_string())?;
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_EVENT_BYTES))
        .max_frame_size(Some(MAX_EVENT_BYTES));
    let connected = client_async_with_config(request, stream, Some(config)).await;
    let (mut socket, _) = connected.map_err(|error| error.to_string())?;
    let params = json!({ "query": query });
    let request = json!({ "jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params });
    let sent = socket.send(Message::text(request.to_string())).await;
    sent.map_err(|error| error.to_string())?;
    loop {
        match socket.next().await {
            Some(Ok(Message::Text(text))) => {
                let answer: Value =
                    serde_json::from_str(&text).map_err(|error| error.to_string())?;
                return match answer.get("error") {
                    None | Some(Value::Null) => Ok(socket),
                    Some(error) => Err(super::types::shown(&error.to_string())),
                };
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) | None => return Err("the server closed the connection".to_owned()),
            Some(Err(error)) => return Err(error.to_string()),
        }
    }
}

/// The event in a message, if it is one.
fn read<E: std::fmt::Display>(
    message: Option<Result<Message, E>>,
) -> Result<Option<Value>, String> {
    match message {
        Some(Ok(Message::Text(text))) => {
            let mut answer: Value =
                serde_json::from_str(&text).map_err(|error| error.to_string())?;
            if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
                return Err(super::types::shown(&error.to_string()));
            }
            let event = answer.get_mut("result").map(Value::take);
            Ok(event.filter(|event| event.get("data").is_some()))
        }
        Some(Ok(Message::Close(_))) | None => Err("the server closed the connection".to_owned()),
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(error.to_string()),
    }
}

/// The height of the block in an event of [`NEW_BLOCK`].
pub fn block_height(event: &Value) -> Option<u64> {
    let header = event
        .get("data")?
        .get("value")?
        .get("block")?
        .get("header")?;
    header.get("height")?.as_str()?.parse().ok()
}
