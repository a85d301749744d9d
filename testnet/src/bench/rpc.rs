//! JSON-RPC over one connection that stays open, in the form that CometBFT and Welkin share.
//!
//! The product's own client verifies what it is told, which costs processor time that the measured nodes need; this one
//! believes everything.

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full, Limited};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Largest answer that is read: a block of the largest size in JSON.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// One open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

impl Connection {
    /// Connects to `http://HOST:PORT`.
    ///
    /// # Errors
    /// Nobody listens there.
    pub async fn open(url: &str) -> anyhow::Result<Connection> {
        let address = url.strip_prefix("http://").unwrap_or(url);
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("nothing listens on {address}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer is told as well.
            let _ = connection.await;
        });
        Ok(Connection { sender, driver })
    }

    /// Posts a request that was made before; the answer's body.
    ///
    /// # Errors
    /// The connection broke.
    pub async fn post(&mut self, body: Bytes) -> anyhow::Result<Bytes> {
        let request = Request::post("/")
            .header("host", "node")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await
            .map_err(|why| anyhow::anyhow!("the answer: {why}"))?;
        Ok(body.to_bytes())
    }

    /// Calls a method.
    ///
    /// # Errors
    /// The connection broke, or the node answers with an error.
    pub async fn call(&mut self, method: &str, params: Value) -> anyhow::Result<Value> {
        let answer = self.post(request(method, params)).await?;
        let mut answer: Value = serde_json::from_slice(&answer)?;
        if let Some(error) = answer.get("error") {
            bail!("{method}: {error}");
        }
        Ok(answer["result"].take())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// The body of a request.
pub fn request(method: &str, params: Value) -> Bytes {
    json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params })
        .to_string()
        .into()
}

/// A number that JSON-RPC carries as a string.
///
/// # Errors
/// It is none.
pub fn number(value: &Value) -> anyhow::Result<u64> {
    let text = value.as_str().context("a number in a string is missing")?;
    text.parse()
        .with_context(|| format!("{text:?} is no number"))
}
