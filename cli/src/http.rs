//! Whether a URL answers. `*.localhost` leads to this machine, whatever the system's resolver knows of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);
/// Enough for a status line and the ingress's own words.
const MAX_BYTES: u64 = 4096;
/// What the ingress says where it knows no such host yet.
const NO_ROUTE: &str = "No application answers";

/// The status with which `http://host[:port]/` answers; `None` where nothing answers, or only the ingress itself does.
pub async fn status(url: &str) -> Option<u16> {
    let rest = url.strip_prefix("http://")?;
    let authority = rest.split('/').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 80),
    };
    let target = if host == "localhost" || host.ends_with(".localhost") {
        "127.0.0.1"
    } else {
        host
    };
    timeout(PATIENCE, ask(target, port, authority))
        .await
        .ok()
        .flatten()
}

async fn ask(target: &str, port: u16, host: &str) -> Option<u16> {
    let mut stream = TcpStream::connect((target, port)).await.ok()?;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\nuser-agent: welkin\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    stream.take(MAX_BYTES).read_to_end(&mut bytes).await.ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1)?.parse().ok()?;
    // A gateway's 502 and 504 mean that the application itself does not answer yet.
    let is_ours = matches!(status, 502 | 504) || (status == 404 && text.contains(NO_ROUTE));
    (!is_ours).then_some(status)
}
