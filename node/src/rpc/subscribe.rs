//! WebSocket connections: calls as over POST, and subscriptions to blocks and transactions.
//!
//! What a client does not take fast enough is dropped with its subscription, never kept: the queue of a connection holds
//! [`QUEUE`] messages, and whoever fills it loses the subscription that filled it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Server;
use super::envelope::{Params, Request, RpcError};
use super::query::{Keys, Query};
use super::render;
use crate::api::{Committed, Handle};

/// Messages that wait for a connection.
const QUEUE: usize = 256;
/// Subscriptions of one connection.
const MAX_SUBSCRIPTIONS: usize = 5;
/// Largest frame that a client may send.
pub(super) const MAX_FRAME_BYTES: usize = 1_000_000;
/// How long an answer waits for a client that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a silent connection is pinged; one that says nothing for three of these is closed.
const PING_INTERVAL: Duration = Duration::from_secs(20);

/// Serves one connection until it ends.
pub(super) async fn serve(socket: WebSocket, server: Arc<Server>) {
    let Ok(_place) = server.subscribers.clone().try_acquire_owned() else {
        // The limit of clients is reached; an HTTP client would get 503.
        return;
    };
    let (mut sink, mut source) = socket.split();
    let (queue, mut outgoing) = mpsc::channel::<Message>(QUEUE);
    let writer = tokio::spawn(async move {
        while let Some(message) = outgoing.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    });
    let mut connection = Connection {
        node: server.node.clone(),
        queue,
        subscriptions: BTreeMap::new(),
    };
    let mut silent = 0;
    loop {
        match tokio::time::timeout(PING_INTERVAL, source.next()).await {
            Ok(Some(Ok(Message::Text(text)))) => {
                silent = 0;
                if !connection.take(text.as_str()).await {
                    break;
                }
            }
            Ok(Some(Ok(Message::Close(_)))) | Ok(None) | Ok(Some(Err(_))) => break,
            Ok(Some(Ok(_))) => silent = 0,
            Err(_) if silent < 3 => {
                silent += 1;
                if connection
                    .queue
                    .try_send(Message::Ping(Default::default()))
                    .is_err()
                {
                    break;
                }
            }
            Err(_) => break,
        }
    }
    drop(connection);
    writer.abort();
}

struct Connection {
    node: Handle,
    queue: mpsc::Sender<Message>,
    subscriptions: BTreeMap<String, JoinHandle<()>>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        for task in self.subscriptions.values() {
            task.abort();
        }
    }
}

impl Connection {
    /// Handles one frame; false where the connection is over.
    async fn take(&mut self, text: &str) -> bool {
        let request = match serde_json::from_str::<Value>(text) {
            Ok(value) => Request::parse(value),
            Err(error) => Err((Value::Null, RpcError::parse(error.to_string()))),
        };
        let request = match request {
            Ok(request) => request,
            Err((id, error)) => return self.send(error.to_json(&id)).await,
        };
        let id = request.id.clone();
        let outcome = match request.method.as_str() {
            "subscribe" => self.subscribe(&request),
            "unsubscribe" => self.unsubscribe(&request),
            "unsubscribe_all" => {
                for (_, task) in std::mem::take(&mut self.subscriptions) {
                    task.abort();
                }
                Ok(json!({}))
            }
            _ => return self.answer(request).await,
        };
        // A notification gets no answer.
        match id {
            Some(id) => self.send(super::enclose(&id, outcome)).await,
            None => true,
        }
    }

    async fn answer(&self, request: Request) -> bool {
        match super::one(&self.node, request).await {
            Some(answer) => self.send(answer).await,
            None => true,
        }
    }

    /// An answer waits for its place in the queue: the client that asked makes itself wait, and loses its connection
    /// where it takes nothing for too long.
    async fn send(&self, value: Value) -> bool {
        let message = Message::Text(value.to_string().into());
        self.queue.send_timeout(message, SEND_TIMEOUT).await.is_ok()
    }

    fn query_of(request: &Request) -> Result<(String, Query), RpcError> {
        let params = Params::of(request.params.clone(), &["query"])?;
        let text = params
            .text("query")?
            .ok_or_else(|| RpcError::invalid_params("query: it is missing"))?;
        let query = Query::parse(&text)
            .map_err(|problem| RpcError::internal(format!("failed to parse query: {problem}")))?;
        Ok((text, query))
    }

    fn subscribe(&mut self, request: &Request) -> Result<Value, RpcError> {
        let (text, query) = Connection::query_of(request)?;
        self.subscriptions.retain(|_, task| !task.is_finished());
        if self.subscriptions.contains_key(&text) {
            return Err(RpcError::internal("already subscribed"));
        }
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            let text = format!("max_subscriptions_per_client {MAX_SUBSCRIPTIONS} reached");
            return Err(RpcError::internal(text));
        }
        let subscription = Subscription {
            id: request.id.clone().unwrap_or(Value::Null),
            text: text.clone(),
            query,
            queue: self.queue.clone(),
        };
        let blocks = self.node.subscribe();
        self.subscriptions
            .insert(text, tokio::spawn(subscription.run(blocks)));
        Ok(json!({}))
    }

    fn unsubscribe(&mut self, request: &Request) -> Result<Value, RpcError> {
        let (text, _) = Connection::query_of(request)?;
        match self.subscriptions.remove(&text) {
            Some(task) => {
                task.abort();
                Ok(json!({}))
            }
            None => Err(RpcError::internal("subscription not found")),
        }
    }
}

struct Subscription {
    id: Value,
    text: String,
    query: Query,
    queue: mpsc::Sender<Message>,
}

impl Subscription {
    async fn run(self, mut blocks: tokio::sync::broadcast::Receiver<Arc<Committed>>) {
        loop {
            match blocks.recv().await {
                Ok(block) => {
                    if !self.offer(&block) {
                        self.give_up().await;
                        return;
                    }
                }
                Err(RecvError::Lagged(_)) => {
                    self.give_up().await;
                    return;
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Sends what of the block matches; false where the queue is full.
    fn offer(&self, block: &Committed) -> bool {
        let keys = block_keys(block);
        if self.query.matches(&keys) && !self.push(render::new_block(block), keys) {
            return false;
        }
        for index in 0..block.tx_ids.len() {
            let keys = tx_keys(block, index);
            if !self.query.matches(&keys) {
                continue;
            }
            let Some(data) = render::tx_event(block, index) else {
                continue;
            };
            if !self.push(data, keys) {
                return false;
            }
        }
        true
    }

    fn push(&self, data: Value, events: Keys) -> bool {
        let result = json!({ "query": self.text, "data": data, "events": events });
        let message = json!({ "jsonrpc": "2.0", "id": self.id, "result": result });
        self.queue
            .try_send(Message::Text(message.to_string().into()))
            .is_ok()
    }

    /// Tells the client that this subscription is over, once it takes messages again.
    async fn give_up(&self) {
        let error = RpcError {
            code: -32000,
            message: "Server error",
            data: format!(
                "subscription to {} was cancelled (client is not pulling messages fast enough)",
                self.text
            ),
        };
        let _ = self
            .queue
            .send(Message::Text(error.to_json(&self.id).to_string().into()))
            .await;
    }
}

fn add(keys: &mut Keys, key: String, value: String) {
    keys.entry(key).or_default().push(value);
}

fn add_events(keys: &mut Keys, events: &[welkin_runtime::Event]) {
    for event in events {
        for (name, value) in render::attributes(event) {
            add(keys, format!("{}.{name}", event.kind()), value);
        }
    }
}

fn block_keys(block: &Committed) -> Keys {
    let mut keys = Keys::new();
    add(&mut keys, "tm.event".to_owned(), "NewBlock".to_owned());
    add(
        &mut keys,
        "block.height".to_owned(),
        block.results.height.to_string(),
    );
    add_events(&mut keys, &block.results.events);
    keys
}

fn tx_keys(block: &Committed, index: usize) -> Keys {
    let mut keys = Keys::new();
    add(&mut keys, "tm.event".to_owned(), "Tx".to_owned());
    add(
        &mut keys,
        "tx.height".to_owned(),
        block.results.height.to_string(),
    );
    if let Some(id) = block.tx_ids.get(index) {
        add(&mut keys, "tx.hash".to_owned(), render::hash(id));
    }
    if let Some(result) = block.results.tx_results.get(index) {
        add_events(&mut keys, &result.events);
    }
    keys
}
