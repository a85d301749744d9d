//! Answering what peers ask. Refused: what is malformed, and what would be one request too many.

use super::Asked;
use super::wire::{
    BlockAnswer, BlocksAnswer, BlocksRequest, MAX_BLOCKS, MAX_BLOCKS_BYTES, MAX_IDS, MAX_TXS_BYTES,
    PullAnswer, StatusAnswer, TxsAnswer, TxsRequest, decode, encode,
};
use crate::ledger::Ledger;
use crate::mempool::Mempool;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use welkin_consensus::machine::Summary;
use welkin_consensus::types::Message;
use welkin_p2p::chain::{Protocol, Reply};
use welkin_runtime::Hash;

/// Requests for blocks that are answered at the same time.
const BLOCK_READERS: usize = 2;
/// Room for what surrounds each message of an answer.
const PULL_MARGIN_BYTES: usize = 16 * 1024;

/// Answers peers.
pub(super) struct Server {
    ledger: Arc<Ledger>,
    mempool: Arc<Mempool>,
    asked: mpsc::Sender<Asked>,
    block_readers: Arc<Semaphore>,
}

impl Server {
    pub fn new(ledger: Arc<Ledger>, mempool: Arc<Mempool>, asked: mpsc::Sender<Asked>) -> Self {
        Server {
            ledger,
            mempool,
            asked,
            block_readers: Arc::new(Semaphore::new(BLOCK_READERS)),
        }
    }

    /// Answers, now or later. Dropping the reply refuses.
    pub fn answer(&self, protocol: Protocol, body: &[u8], reply: Reply) {
        match protocol {
            Protocol::Status => self.status(reply),
            Protocol::Votes | Protocol::Parts => self.pull(protocol, body, reply),
            Protocol::Transactions => self.transactions(body, reply),
            Protocol::Blocks => self.blocks(body, reply),
        }
    }

    fn status(&self, reply: Reply) {
        let (newest, oldest) = (self.ledger.tip().height(), self.ledger.oldest_height());
        reply.send(encode(&StatusAnswer { newest, oldest }));
    }

    fn pull(&self, protocol: Protocol, body: &[u8], reply: Reply) {
        let Ok(summary) = Summary::decode(body) else {
            return;
        };
        let max_bytes = protocol.max_response_bytes() - PULL_MARGIN_BYTES;
        let (answer, messages) = oneshot::channel();
        if self
            .asked
            .try_send(Asked {
                summary,
                max_bytes,
                reply: answer,
            })
            .is_err()
        {
            return;
        }
        let newest = self.ledger.tip().height();
        tokio::spawn(async move {
            if let Ok(messages) = messages.await {
                let messages = messages.iter().map(Message::encode).collect();
                reply.send(encode(&PullAnswer { newest, messages }));
            }
        });
    }

    fn transactions(&self, body: &[u8], reply: Reply) {
        match decode::<TxsRequest>(body) {
            Some(TxsRequest::Waiting) => {
                let ids = self.mempool.waiting(MAX_IDS);
                reply.send(encode(&TxsAnswer::Waiting(
                    ids.into_iter().map(|id| id.0).collect(),
                )));
            }
            Some(TxsRequest::Get(ids)) if ids.len() <= MAX_IDS => {
                let ids: Vec<Hash> = ids.into_iter().map(Hash).collect();
                let found = self.mempool.get(&ids, MAX_TXS_BYTES);
                reply.send(encode(&TxsAnswer::Txs(
                    found.iter().map(|raw| raw.to_vec()).collect(),
                )));
            }
            Some(TxsRequest::Get(_)) | None => {}
        }
    }

    fn blocks(&self, body: &[u8], reply: Reply) {
        let Some(request) = decode::<BlocksRequest>(body) else {
            return;
        };
        let Ok(permit) = self.block_readers.clone().try_acquire_owned() else {
            return;
        };
        let ledger = self.ledger.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(answer) = read_blocks(&ledger, request) {
                reply.send(encode(&answer));
            }
            drop(permit);
        });
    }
}

/// Blocks of the log; none that is not durable and executed here.
fn read_blocks(ledger: &Ledger, request: BlocksRequest) -> Option<BlocksAnswer> {
    let newest = ledger.tip().height();
    let count = u64::from(request.count).min(MAX_BLOCKS as u64);
    let (mut answer, mut bytes) = (BlocksAnswer::default(), 0);
    for height in request.from
        ..request
            .from
            .saturating_add(count)
            .min(newest.saturating_add(1))
    {
        let stored = ledger.log().read(height).ok()??;
        bytes += stored.block.len() + stored.commit.len();
        if bytes > MAX_BLOCKS_BYTES && !answer.blocks.is_empty() {
            break;
        }
        answer.blocks.push(BlockAnswer {
            block: stored.block,
            commit: stored.commit,
        });
    }
    Some(answer)
}
