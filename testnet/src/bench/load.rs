//! Sending prepared requests as fast as a node takes them, over several connections.

use super::rpc::Connection;
use anyhow::Context;
use hyper::body::Bytes;
use std::time::{Duration, Instant};

/// How long a sender waits when the node has no room.
const PAUSE: Duration = Duration::from_millis(10);

/// What became of the requests of all connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Taken by the node.
    pub accepted: u64,
    /// How often one had to be sent again because the node had no room.
    pub postponed: u64,
    /// Refused for another reason.
    pub refused: u64,
}

/// What a node says to a transaction.
enum Answer {
    Accepted,
    NoRoom,
    Refused,
}

/// Sends every row over a connection of its own, in order, until it is used up or the time is over.
///
/// # Errors
/// A connection broke.
pub async fn send(
    nodes: &[String],
    rows: Vec<Vec<Bytes>>,
    duration: Duration,
) -> anyhow::Result<Sent> {
    let deadline = Instant::now() + duration;
    let mut senders = Vec::new();
    for (row, node) in rows.into_iter().zip(nodes.iter().cycle()) {
        let connection = Connection::open(node).await?;
        senders.push(tokio::spawn(send_row(connection, row, deadline)));
    }
    let mut all = Sent::default();
    for sender in senders {
        let sent = sender.await.context("a sender panicked")??;
        all.accepted += sent.accepted;
        all.postponed += sent.postponed;
        all.refused += sent.refused;
    }
    Ok(all)
}

async fn send_row(
    mut connection: Connection,
    row: Vec<Bytes>,
    deadline: Instant,
) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    for request in row {
        loop {
            if Instant::now() >= deadline {
                return Ok(sent);
            }
            match judge(&connection.post(request.clone()).await?) {
                Answer::Accepted => sent.accepted += 1,
                Answer::Refused => sent.refused += 1,
                Answer::NoRoom => {
                    sent.postponed += 1;
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            }
            break;
        }
    }
    Ok(sent)
}

/// Looks for the few words that tell answers apart; parsing each would cost what the nodes need.
fn judge(answer: &[u8]) -> Answer {
    let has = |words: &str| answer.windows(words.len()).any(|at| at == words.as_bytes());
    if has("\"code\":0") {
        Answer::Accepted
    } else if has("mempool is full") || has("transactions of") || has("node is busy") {
        Answer::NoRoom
    } else {
        tracing::debug!(answer = %String::from_utf8_lossy(answer), "refused");
        Answer::Refused
    }
}
