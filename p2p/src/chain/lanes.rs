//! The queues between the network task and the node: one bounded lane per kind of event, so that a
//! flood of transactions cannot push out votes. What does not fit into its lane is refused, and the
//! network task drops or declines it; it never waits for the node.

use tokio::sync::mpsc;

use super::types::{NetworkEvent, Topic};

const PEER_EVENTS: usize = 512;
const CONSENSUS_MESSAGES: usize = 2048;
const EVIDENCE_MESSAGES: usize = 64;
const PART_MESSAGES: usize = 256;
const REQUESTS: usize = 256;
const TRANSACTION_MESSAGES: usize = 512;

/// The sending side, held by the network task.
#[derive(Debug)]
pub(crate) struct Lanes {
    peers: mpsc::Sender<NetworkEvent>,
    consensus: mpsc::Sender<NetworkEvent>,
    evidence: mpsc::Sender<NetworkEvent>,
    parts: mpsc::Sender<NetworkEvent>,
    requests: mpsc::Sender<NetworkEvent>,
    transactions: mpsc::Sender<NetworkEvent>,
}

/// The events of the network, urgent ones first. Bounded: see the header of this module.
#[derive(Debug)]
pub struct Events {
    peers: mpsc::Receiver<NetworkEvent>,
    consensus: mpsc::Receiver<NetworkEvent>,
    evidence: mpsc::Receiver<NetworkEvent>,
    parts: mpsc::Receiver<NetworkEvent>,
    requests: mpsc::Receiver<NetworkEvent>,
    transactions: mpsc::Receiver<NetworkEvent>,
}

/// Both ends.
pub(crate) fn lanes() -> (Lanes, Events) {
    let (peers_in, peers) = mpsc::channel(PEER_EVENTS);
    let (consensus_in, consensus) = mpsc::channel(CONSENSUS_MESSAGES);
    let (evidence_in, evidence) = mpsc::channel(EVIDENCE_MESSAGES);
    let (parts_in, parts) = mpsc::channel(PART_MESSAGES);
    let (requests_in, requests) = mpsc::channel(REQUESTS);
    let (transactions_in, transactions) = mpsc::channel(TRANSACTION_MESSAGES);
    let lanes = Lanes {
        peers: peers_in,
        consensus: consensus_in,
        evidence: evidence_in,
        parts: parts_in,
        requests: requests_in,
        transactions: transactions_in,
    };
    (
        lanes,
        Events {
            peers,
            consensus,
            evidence,
            parts,
            requests,
            transactions,
        },
    )
}

impl Lanes {
    /// Hands an event to the node if there is room; gives it back otherwise.
    #[expect(
        clippy::result_large_err,
        reason = "what found no room is handed back whole, without a copy"
    )]
    pub(crate) fn offer(&self, event: NetworkEvent) -> Result<(), NetworkEvent> {
        let lane = match &event {
            NetworkEvent::PeerConnected(_) | NetworkEvent::PeerDisconnected(_) => &self.peers,
            NetworkEvent::Request { .. } => &self.requests,
            NetworkEvent::Message { topic, .. } => match topic {
                Topic::Consensus => &self.consensus,
                Topic::Parts => &self.parts,
                Topic::Transactions => &self.transactions,
                Topic::Evidence => &self.evidence,
            },
        };
        lane.try_send(event)
            .map_err(mpsc::error::TrySendError::into_inner)
    }
}

impl Events {
    /// The next event, the most urgent of those that wait; `None` once the network has stopped.
    ///
    /// Cancel safe. Lanes are taken strictly by urgency: peers, consensus, evidence, parts,
    /// requests, transactions.
    pub async fn recv(&mut self) -> Option<NetworkEvent> {
        tokio::select! {
            biased;
            Some(event) = self.peers.recv() => Some(event),
            Some(event) = self.consensus.recv() => Some(event),
            Some(event) = self.evidence.recv() => Some(event),
            Some(event) = self.parts.recv() => Some(event),
            Some(event) = self.requests.recv() => Some(event),
            Some(event) = self.transactions.recv() => Some(event),
            else => None,
        }
    }

    /// The most urgent event that waits, if there is one.
    pub fn try_recv(&mut self) -> Option<NetworkEvent> {
        let lanes = [
            &mut self.peers,
            &mut self.consensus,
            &mut self.evidence,
            &mut self.parts,
            &mut self.requests,
            &mut self.transactions,
        ];
        lanes.into_iter().find_map(|lane| lane.try_recv().ok())
    }
}
