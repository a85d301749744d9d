//! Between the network and the parts of the node: what comes in is decoded, bounded and handed on,
//! and every message gets its verdict.
//!
//! ```text
//!   gossip: consensus, parts ──► shell (queue) ──► verdict
//!           transactions ──────► mempool ────────► verdict        outgoing ──► gossip, in batches
//!           evidence ──────────► evidence pool ──► verdict
//!   requests: votes, parts ──► shell;  blocks, transactions, status ──► answered here
//! ```

mod inventory;
mod outgoing;
mod serve;
pub mod wire;

pub use inventory::pull_transactions;
pub use outgoing::tell_transactions;

use crate::evidence::EvidencePool;
use crate::ledger::Ledger;
use crate::mempool::{Judgement, Mempool};
use bytes::Bytes;
use serve::Server;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};
use welkin_consensus::machine::{Gossip, Peer, Summary};
use welkin_consensus::types::{Evidence, Message};
use welkin_p2p::PeerId;
use welkin_p2p::chain::{Events, Handle, MessageToken, NetworkEvent, Topic, Verdict};

/// A message for the machine.
pub struct Heard {
    /// The message.
    pub message: Gossip,
    /// Who handed it over.
    pub from: Peer,
    /// To report the verdict with; none if it was pulled.
    pub token: Option<MessageToken>,
}

/// A peer's question about the height that is being decided.
pub struct Asked {
    /// What the peer has.
    pub summary: Summary,
    /// How much the answer may hold.
    pub max_bytes: usize,
    /// Where the answer goes: messages of the machine.
    pub reply: oneshot::Sender<Vec<Gossip>>,
}

/// Hands network events to the parts of the node.
pub struct Pump {
    /// The network.
    pub network: Handle,
    /// For messages of the machine. Full: the message is dropped; it can be pulled.
    pub heard: mpsc::Sender<Heard>,
    /// For questions to the machine. Full: the question is refused.
    pub asked: mpsc::Sender<Asked>,
    /// Transactions.
    pub mempool: Arc<Mempool>,
    /// Evidence.
    pub evidence: Arc<EvidencePool>,
    /// Blocks.
    pub ledger: Arc<Ledger>,
    /// One place: for the evidence that is being checked.
    pub checking: Arc<Semaphore>,
}

/// The machine's number for a peer: enough of its key that nobody can choose another's.
pub fn number_of(peer: &PeerId) -> Peer {
    let bytes = peer.to_bytes();
    let last = bytes.last_chunk().copied().unwrap_or_default();
    Peer(u64::from_be_bytes(last))
}

impl Pump {
    /// Runs until the network stops.
    pub async fn run(self, mut events: Events) {
        let server = Server::new(
            self.ledger.clone(),
            self.mempool.clone(),
            self.asked.clone(),
        );
        while let Some(event) = events.recv().await {
            match event {
                NetworkEvent::PeerConnected(info) => {
                    tracing::info!(
                        target: "welkin::p2p",
                        peer = %info.peer,
                        address = %info.address,
                        "peer connected"
                    );
                }
                NetworkEvent::PeerDisconnected(peer) => {
                    tracing::info!(target: "welkin::p2p", %peer, "peer disconnected");
                }
                NetworkEvent::Message { topic, data, token } => self.message(topic, &data, token),
                NetworkEvent::Request {
                    protocol,
                    body,
                    reply,
                    ..
                } => server.answer(protocol, &body, reply),
            }
        }
    }

    fn message(&self, topic: Topic, data: &Bytes, token: MessageToken) {
        match topic {
            Topic::Consensus | Topic::Parts => self.consensus(topic, data, token),
            Topic::Transactions => self.transactions(data, token),
            Topic::Evidence => self.evidence(data, token),
        }
    }

    fn consensus(&self, topic: Topic, data: &[u8], token: MessageToken) {
        let decoded = Gossip::decode(data).ok();
        let fits = |message: &Gossip| matches!(message, Gossip::Part(_)) == (topic == Topic::Parts);
        let Some(message) = decoded.filter(fits) else {
            return self.network.report(token, Verdict::Reject);
        };
        let from = number_of(&token.source());
        // Dropping the token ignores the message.
        let _ = self.heard.try_send(Heard {
            message,
            from,
            token: Some(token),
        });
    }

    fn transactions(&self, data: &Bytes, token: MessageToken) {
        let Some(txs) = wire::decode::<Vec<Vec<u8>>>(data) else {
            return self.network.report(token, Verdict::Reject);
        };
        let txs = txs.into_iter().map(Bytes::from).collect();
        let Some(judged) = self.mempool.offer(txs) else {
            return;
        };
        let network = self.network.clone();
        tokio::spawn(async move {
            let verdict = match judged.await {
                Ok(Judgement::New) => Verdict::Accept,
                Ok(Judgement::Wrong) => Verdict::Reject,
                Ok(Judgement::Useless) | Err(_) => Verdict::Ignore,
            };
            network.report(token, verdict);
        });
    }

    /// Checking evidence reads blocks and verifies signatures: on a thread that may block, one piece at a time. What
    /// comes meanwhile is dropped; every validator that saw the two votes has it too.
    fn evidence(&self, data: &[u8], token: MessageToken) {
        let Ok(evidence) = Evidence::decode(data) else {
            return self.network.report(token, Verdict::Reject);
        };
        let Ok(place) = self.checking.clone().try_acquire_owned() else {
            return self.network.report(token, Verdict::Ignore);
        };
        let (network, pool, ledger) = (
            self.network.clone(),
            self.evidence.clone(),
            self.ledger.clone(),
        );
        tokio::task::spawn_blocking(move || {
            let _place = place;
            // What is refused here may be true elsewhere: this node may not have the height yet.
            let verdict = match pool.offered(&ledger, evidence) {
                Ok(true) => Verdict::Accept,
                Ok(false) | Err(_) => Verdict::Ignore,
            };
            network.report(token, verdict);
        });
    }
}
