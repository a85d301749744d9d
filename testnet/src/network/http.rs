//! Small HTTP requests to programs on this machine: engine, ingress, faucet.

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 << 20;
/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is none, or the status is that of a failure.
    pub fn json(&self) -> anyhow::Result<serde_json::Value> {
        ensure!(
            self.status.is_success(),
            "status {}: {}",
            self.status,
            self.text().trim()
        );
        serde_json::from_slice(&self.body).context("the answer is no JSON")
    }
}

/// Asks over a Unix socket.
///
/// # Errors
/// Nothing listens, or the answer takes too long.
pub async fn over_socket(
    socket: &Path,
    method: &str,
    path: &str,
    body: Bytes,
) -> anyhow::Result<Answer> {
    let stream = UnixStream::connect(socket)
        .await
        .with_context(|| format!("nothing listens on {}", socket.display()))?;
    let content = if path.starts_with("/images/load") {
        "application/x-tar"
    } else {
        "application/json"
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "engine")
        .header("content-type", content)
        .body(Full::new(body))?;
    send(stream, request).await
}

/// Asks a URL `http://HOST:PORT/PATH`, whose host is taken for this machine, as names in `localhost` are.
///
/// # Errors
/// Nothing listens, or the answer takes too long.
pub async fn over_tcp(method: &str, url: &str, body: Bytes) -> anyhow::Result<Answer> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("{url} is no http URL")
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let port = match host.rsplit_once(':') {
        Some((_, port)) => port.parse().with_context(|| format!("the port of {url}"))?,
        None => 80,
    };
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nothing listens on {address}"))?;
    let request = Request::builder()
        .method(method)
        .uri(format!("/{path}"))
        .header("host", host)
        .header("content-type", "application/json")
        .body(Full::new(body))?;
    send(stream, request).await
}

/// Asks for `/PATH` on an address.
///
/// # Errors
/// Nothing listens, or the answer takes too long.
pub async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    let stream = TcpStream::connect(address)
        .await
        .with_context(|| format!("nothing listens on {address}"))?;
    let request = Request::builder()
        .uri(format!("/{path}"))
        .header("host", address.to_string())
        .body(Full::new(Bytes::new()))?;
    send(stream, request).await
}

async fn send(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> anyhow::Result<Answer> {
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES)
            .collect()
            .await;
        connection.abort();
        let body = body
            .map_err(|why| anyhow::anyhow!("the answer: {why}"))?
            .to_bytes();
        Ok(Answer { status, body })
    };
    tokio::time::timeout(TIMEOUT, exchange)
        .await
        .context("no answer in time")?
}
