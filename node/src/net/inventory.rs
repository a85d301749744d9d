//! Pulling transactions that gossip lost: a peer is asked now and then what has been waiting.

use super::wire::{MAX_IDS, TxsAnswer, TxsRequest, decode, encode};
use crate::mempool::Mempool;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use welkin_p2p::Offence;
use welkin_p2p::PeerId;
use welkin_p2p::chain::{Handle, Protocol};
use welkin_runtime::Hash;

/// How often one peer is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Requests for transactions after one inventory, at most.
const ROUNDS: usize = 4;

/// Asks one peer after the other, for as long as the node runs.
pub async fn pull_transactions(network: Handle, mempool: Arc<Mempool>) {
    let mut turn = 0usize;
    loop {
        tokio::time::sleep(INTERVAL).await;
        mempool.age();
        let peers = network.peers();
        if peers.is_empty() {
            continue;
        }
        turn = turn.wrapping_add(1);
        pull_from(&network, &mempool, peers[turn % peers.len()].peer).await;
    }
}

async fn pull_from(network: &Handle, mempool: &Mempool, peer: PeerId) {
    let request = encode(&TxsRequest::Waiting);
    let Ok(answer) = network.request(peer, Protocol::Transactions, request).await else {
        return;
    };
    let Some(TxsAnswer::Waiting(ids)) = decode(&answer) else {
        return network.penalise(peer, Offence::BadAnswer);
    };
    if ids.len() > MAX_IDS {
        return network.penalise(peer, Offence::BadAnswer);
    }
    let ids: Vec<Hash> = ids.into_iter().map(Hash).collect();
    let mut missing = mempool.unknown(&ids);
    for _ in 0..ROUNDS {
        if missing.is_empty() {
            return;
        }
        let request = encode(&TxsRequest::Get(missing.iter().map(|id| id.0).collect()));
        let Ok(answer) = network.request(peer, Protocol::Transactions, request).await else {
            return;
        };
        let Some(TxsAnswer::Txs(txs)) = decode(&answer) else {
            return network.penalise(peer, Offence::BadAnswer);
        };
        if txs.is_empty() {
            return;
        }
        let Some(judged) = mempool.offer(txs.into_iter().map(Bytes::from).collect()) else {
            return;
        };
        if matches!(judged.await, Ok(crate::mempool::Judgement::Wrong)) {
            return network.penalise(peer, Offence::BadAnswer);
        }
        missing = mempool.unknown(&missing);
    }
}
