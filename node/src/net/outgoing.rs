//! Telling peers of transactions that were submitted here.

use super::wire::gossip_messages;
use bytes::Bytes;
use std::time::Duration;
use tokio::sync::mpsc;
use welkin_p2p::chain::{Handle, Topic};

/// Pause between two messages. The first transaction after a pause leaves at once; those that come
/// in a pause share a message.
const PAUSE: Duration = Duration::from_millis(4);
/// Transactions that are told at once, at most.
const AT_ONCE: usize = 1_024;

/// Publishes accepted transactions until the mempool ends.
pub async fn tell_transactions(network: Handle, mut outgoing: mpsc::Receiver<Bytes>) {
    let mut txs = Vec::new();
    while outgoing.recv_many(&mut txs, AT_ONCE).await > 0 {
        for message in gossip_messages(&txs) {
            // What cannot be published now is pulled.
            let _ = network.publish(Topic::Transactions, message);
        }
        txs.clear();
        tokio::time::sleep(PAUSE).await;
    }
}
