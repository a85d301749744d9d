//! The end that streams come to.

use libp2p::{Multiaddr, PeerId, identity::Keypair};
use tokio::sync::mpsc;

use super::StartError;
use super::accept::Acceptor;
use super::config::Config;
use super::metrics::Metrics;
use super::service::{self, Command, Control};
use super::stream::Stream;
use crate::conduct::{Conduct, Offence};

/// Accepted streams that wait to be taken. Full: openers wait, up to the handshake's time.
pub(crate) const QUEUE: usize = 64;

/// Accepts streams of other peers.
#[derive(Debug)]
pub struct Listener {
    local_peer: PeerId,
    listening: Vec<Multiaddr>,
    accepted: mpsc::Receiver<(PeerId, Stream)>,
    metrics: Metrics,
    control: Option<Control>,
}

impl Listener {
    /// Listens on the addresses of the configuration.
    ///
    /// # Errors
    /// [`StartError`] says which address is at fault. Nothing keeps running then.
    pub async fn start(config: &Config, keypair: Keypair) -> Result<Self, StartError> {
        let local_peer = keypair.public().to_peer_id();
        let metrics = Metrics::default();
        let conduct = Conduct::new(metrics.offences.clone(), metrics.bans.clone());
        let (queue, accepted) = mpsc::channel(QUEUE);
        let acceptor = Acceptor::new(queue, config.limits, metrics.clone(), conduct.clone());
        let started =
            service::start(config, keypair, Some(acceptor), metrics.clone(), conduct).await?;
        let control = Some(started.control);
        Ok(Self {
            local_peer,
            listening: started.listening,
            accepted,
            metrics,
            control,
        })
    }

    /// An end of a simulated channel.
    pub(crate) fn simulated(
        local_peer: PeerId,
        accepted: mpsc::Receiver<(PeerId, Stream)>,
        metrics: Metrics,
    ) -> Self {
        Self {
            local_peer,
            listening: Vec::new(),
            accepted,
            metrics,
            control: None,
        }
    }

    /// The next stream and who opened it; `None` once the listener has stopped. Cancel safe.
    ///
    /// The caller should only hand the stream on: while nobody accepts, openers wait.
    pub async fn accept(&mut self) -> Option<(PeerId, Stream)> {
        self.accepted.recv().await
    }

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

    /// The counters of this end.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Holds an offence against a peer that only the caller could see.
    pub async fn penalise(&self, peer: PeerId, offence: Offence) {
        if let Some(control) = &self.control {
            // A stopped channel has no peers to penalise.
            let _ = control
                .commands
                .send(Command::Penalise { peer, offence })
                .await;
        }
    }

    /// Ends the listener: connections and streams are closed. Waits until that is done.
    pub async fn stop(&self) {
        if let Some(control) = &self.control {
            control.stop().await;
        }
    }
}
