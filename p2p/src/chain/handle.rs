//! The node's side of the network: what it can say, without ever waiting for the network task.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot, watch};

use super::metrics::Metrics;
use super::types::{MessageToken, PeerInfo, Protocol, PublishError, RequestError, Topic, Verdict};
use crate::conduct::Offence;

/// Publications, requests and dials that wait for the network task. Full: the caller is told.
const COMMANDS: usize = 1024;
/// Verdicts that wait. As many as messages can be with the node at once; full: the message is
/// simply not forwarded.
const VERDICTS: usize = 4096;

/// What the network task is asked to do.
#[derive(Debug)]
pub(crate) enum Command {
    Publish {
        topic: Topic,
        data: Bytes,
    },
    Request {
        peer: PeerId,
        protocol: Protocol,
        body: Bytes,
        answer: Answer,
    },
    Penalise {
        peer: PeerId,
        offence: Offence,
    },
    Dial {
        address: Multiaddr,
    },
    Disconnect {
        peer: PeerId,
    },
    Stop,
}

/// Where the outcome of a request goes.
pub(crate) type Answer = oneshot::Sender<Result<Bytes, RequestError>>;

/// The connected peers, as the network task last saw them.
pub(crate) type PeerTable = Arc<Mutex<BTreeMap<PeerId, PeerInfo>>>;

/// The network task's ends of a handle.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) verdicts: mpsc::Receiver<(MessageToken, Verdict)>,
    pub(crate) peers: PeerTable,
    pub(crate) metrics: Metrics,
    /// Dropped when the task ends.
    pub(crate) _running: watch::Sender<()>,
}

/// The node's handle on its network. Cheap to clone; no method blocks.
#[derive(Clone, Debug)]
pub struct Handle {
    local_peer: PeerId,
    listening: Arc<[Multiaddr]>,
    request_timeout: Duration,
    commands: mpsc::Sender<Command>,
    verdicts: mpsc::Sender<(MessageToken, Verdict)>,
    peers: PeerTable,
    metrics: Metrics,
    running: watch::Receiver<()>,
}

/// A handle and the ends that serve it.
pub(crate) fn handle(
    local_peer: PeerId,
    listening: Vec<Multiaddr>,
    request_timeout: Duration,
    metrics: Metrics,
) -> (Handle, Ends) {
    let (commands_in, commands) = mpsc::channel(COMMANDS);
    let (verdicts_in, verdicts) = mpsc::channel(VERDICTS);
    let (running_in, running) = watch::channel(());
    let peers = PeerTable::default();
    let handle = Handle {
        local_peer,
        listening: listening.into(),
        request_timeout,
        commands: commands_in,
        verdicts: verdicts_in,
        peers: Arc::clone(&peers),
        metrics: metrics.clone(),
        running,
    };
    (
        handle,
        Ends {
            commands,
            verdicts,
            peers,
            metrics,
            _running: running_in,
        },
    )
}

impl Handle {
    /// Our own identity.
    #[must_use]
    pub const fn local_peer(&self) -> PeerId {
        self.local_peer
    }

    /// The addresses that are really listened on, without the identity.
    #[must_use]
    pub fn listening(&self) -> &[Multiaddr] {
        &self.listening
    }

    /// Sends a message to everybody. It is a hint: whoever must have it pulls it until it has it.
    ///
    /// A message equal to one published or received within the last minute is not sent again.
    ///
    /// # Errors
    /// [`PublishError::TooLarge`], [`PublishError::Busy`] (nothing was queued),
    /// [`PublishError::Stopped`].
    pub fn publish(&self, topic: Topic, data: impl Into<Bytes>) -> Result<(), PublishError> {
        let data = data.into();
        let (bytes, limit) = (data.len(), topic.max_bytes());
        if bytes > limit {
            return Err(PublishError::TooLarge {
                topic,
                bytes,
                limit,
            });
        }
        self.commands
            .try_send(Command::Publish { topic, data })
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    self.metrics.commands_refused.inc();
                    PublishError::Busy
                }
                mpsc::error::TrySendError::Closed(_) => PublishError::Stopped,
            })
    }

    /// Asks a connected peer, and waits for its response at most as long as the configuration says.
    ///
    /// # Errors
    /// See [`RequestError`]; each says whether to ask again or to ask another peer.
    pub async fn request(
        &self,
        peer: PeerId,
        protocol: Protocol,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, RequestError> {
        let body = body.into();
        let (bytes, limit) = (body.len(), protocol.max_request_bytes());
        if bytes > limit {
            return Err(RequestError::TooLarge { bytes, limit });
        }
        let (answer, response) = oneshot::channel();
        let command = Command::Request {
            peer,
            protocol,
            body,
            answer,
        };
        self.commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => {
                    self.metrics.commands_refused.inc();
                    RequestError::Busy
                }
                mpsc::error::TrySendError::Closed(_) => RequestError::Stopped,
            })?;
        match tokio::time::timeout(self.request_timeout, response).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(RequestError::Stopped),
            Err(_) => Err(RequestError::Timeout(self.request_timeout)),
        }
    }

    /// Says what a received message turned out to be. Only an accepted message is forwarded, within
    /// two seconds.
    pub fn report(&self, token: MessageToken, verdict: Verdict) {
        if self.verdicts.try_send((token, verdict)).is_err() {
            self.metrics.commands_refused.inc();
        }
    }

    /// Holds an offence against a peer that only the node could see, such as a wrong answer.
    pub fn penalise(&self, peer: PeerId, offence: Offence) {
        if self
            .commands
            .try_send(Command::Penalise { peer, offence })
            .is_err()
        {
            self.metrics.commands_refused.inc();
        }
    }

    /// Dials an address once. With `/p2p/PEER_ID` at its end only that peer is accepted there.
    pub fn dial(&self, address: Multiaddr) {
        if self.commands.try_send(Command::Dial { address }).is_err() {
            self.metrics.commands_refused.inc();
        }
    }

    /// Closes the connections with a peer. A persistent one is dialled again.
    pub fn disconnect(&self, peer: PeerId) {
        if self
            .commands
            .try_send(Command::Disconnect { peer })
            .is_err()
        {
            self.metrics.commands_refused.inc();
        }
    }

    /// The connected peers, by identity.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        // Nothing that can panic runs under this lock.
        self.peers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// The counters of this network.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Ends the network: connections are closed, events end, every later call says so. Waits until
    /// that is done.
    pub async fn stop(&self) {
        if self.commands.send(Command::Stop).await.is_ok() {
            self.stopped().await;
        }
    }

    /// Waits until the network task has ended, for whatever reason. For the node's supervisor.
    pub async fn stopped(&self) {
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}
