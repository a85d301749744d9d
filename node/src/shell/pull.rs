//! Asking peers for what gossip lost: one peer at a time, in turn.

use crate::net::wire::{PullAnswer, decode};
use crate::net::{Heard, number_of};
use crate::sync::Progress;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;
use welkin_consensus::machine::{Gossip, Machine, Step, Summary};
use welkin_consensus::types::Message;
use welkin_p2p::Offence;
use welkin_p2p::PeerId;
use welkin_p2p::chain::{Handle, Protocol};

/// Ticks between two requests while nothing is under way here.
const IDLE_TICKS: u32 = 5;

/// Asks peers.
pub(super) struct Puller {
    network: Handle,
    heard: mpsc::Sender<Heard>,
    progress: Arc<Progress>,
    busy: Arc<AtomicBool>,
    turn: usize,
    ticks: u32,
    last: (u64, u32, Option<Step>),
}

impl Puller {
    pub fn new(network: Handle, heard: mpsc::Sender<Heard>, progress: Arc<Progress>) -> Self {
        let busy = Arc::new(AtomicBool::new(false));
        Puller {
            network,
            heard,
            progress,
            busy,
            turn: 0,
            ticks: 0,
            last: (0, 0, None),
        }
    }

    /// Asks a peer if the machine stands where it stood at the last tick: then something may be
    /// missing.
    pub fn tick(&mut self, machine: &Machine) {
        let place = (machine.height(), machine.round(), Some(machine.step()));
        if std::mem::replace(&mut self.last, place) != place {
            self.ticks = 0;
            return;
        }
        self.ticks += 1;
        let idle = matches!(
            machine.step(),
            Step::NewHeight | Step::NewRound | Step::Commit
        );
        if idle && !self.ticks.is_multiple_of(IDLE_TICKS) {
            return;
        }
        let peers = self.network.peers();
        if peers.is_empty() || self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        self.turn = self.turn.wrapping_add(1);
        let peer = peers[self.turn % peers.len()].peer;
        let (network, heard) = (self.network.clone(), self.heard.clone());
        let (progress, busy) = (self.progress.clone(), self.busy.clone());
        let summary = machine.summary();
        tokio::spawn(async move {
            let _free = FreeOnDrop(busy);
            pull(&network, &heard, &progress, peer, &summary).await;
        });
    }
}

/// The next peer can be asked, however this question ended.
struct FreeOnDrop(Arc<AtomicBool>);

impl Drop for FreeOnDrop {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

async fn pull(
    network: &Handle,
    heard: &mpsc::Sender<Heard>,
    progress: &Progress,
    peer: PeerId,
    summary: &Summary,
) {
    let protocol = if summary.parts.is_empty() {
        Protocol::Votes
    } else {
        Protocol::Parts
    };
    let mut request = summary.encode();
    if request.len() > protocol.max_request_bytes() {
        request = Summary {
            rounds: Vec::new(),
            ..summary.clone()
        }
        .encode();
    }
    let Ok(answer) = network.request(peer, protocol, request).await else {
        return;
    };
    let Some(answer) = decode::<PullAnswer>(&answer) else {
        return network.penalise(peer, Offence::BadAnswer);
    };
    if answer.newest >= summary.height {
        progress.may_be_behind();
    }
    let from = number_of(&peer);
    for message in &answer.messages {
        let Ok(message) = Gossip::decode(message) else {
            return network.penalise(peer, Offence::BadAnswer);
        };
        if heard
            .send(Heard {
                message,
                from,
                token: None,
            })
            .await
            .is_err()
        {
            return;
        }
    }
}
