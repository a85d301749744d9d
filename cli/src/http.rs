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

/// Whether the application at `http://host[:port]/` answers.
///
/// # Errors
/// Why it does not yet, for people: nothing answers, or only the ingress itself does.
pub async fn answers(url: &str) -> Result<(), String> {
    let authority = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split('/').next())
        .ok_or("it is no address of HTTP")?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| "its port is no number")?),
        None => (authority, 80),
    };
    let target = if host == "localhost" || host.ends_with(".localhost") {
        "127.0.0.1"
    } else {
        host
    };
    match timeout(PATIENCE, ask(target, port, authority)).await {
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        Ok(Err(error)) => Err(format!(
            "the provider's ingress at {target}:{port}: {error}"
        )),
        // A gateway's 502 and 504 mean that the application itself does not answer yet.
        Ok(Ok(Status::Gateway(status))) => Err(format!(
            "the ingress answers {status}: the application takes no connections on the port that it exposes, or breaks them off"
        )),
        Ok(Ok(Status::NoRoute)) => Err("the ingress does not know the host name yet".to_owned()),
        Ok(Ok(Status::Application)) => Ok(()),
    }
}

/// Whose an answer is.
enum Status {
    Application,
    Gateway(u16),
    NoRoute,
}

async fn ask(target: &str, port: u16, host: &str) -> std::io::Result<Status> {
    let mut stream = TcpStream::connect((target, port)).await?;
    let request = format!(
        "GET / HTTP/1.1\r\nhost: {host}\r\nuser-agent: welkin\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = BufReader::new(stream.take(MAX_BYTES));
    let mut first = String::new();
    answer.read_line(&mut first).await?;
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|text| text.trim().parse().ok());
    // Nothing is read further than needed: an application may go on writing for ever.
    match status {
        None => Err(std::io::Error::other("what answers is no HTTP")),
        Some(status @ (502 | 504)) => Ok(Status::Gateway(status)),
        Some(404) => {
            let mut rest = Vec::new();
            answer.read_to_end(&mut rest).await?;
            match String::from_utf8_lossy(&rest).contains(NO_ROUTE) {
                true => Ok(Status::NoRoute),
                false => Ok(Status::Application),
            }
        }
        Some(_) => Ok(Status::Application),
    }
}
