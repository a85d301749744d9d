//! Whether a URL answers. `*.localhost` leads to this machine, whatever the system's resolver knows of it.

use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
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
    let mut answer = BufReader::new(stream.take(MAX_BYTES));
    let mut first = String::new();
    answer.read_line(&mut first).await.ok()?;
    let status = first.split(' ').nth(1)?.trim().parse().ok()?;
    // A gateway's 502 and 504 mean that the application itself does not answer yet, and a 404 may be the ingress's own.
    // Nothing else is read further: an application may go on writing for ever.
    let is_ours = match status {
        502 | 504 => true,
        404 => {
            let mut rest = Vec::new();
            answer.read_to_end(&mut rest).await.ok()?;
            String::from_utf8_lossy(&rest).contains(NO_ROUTE)
        }
        _ => false,
    };
    (!is_ours).then_some(status)
}
