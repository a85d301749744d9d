//! The end that opens streams.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libp2p::{Multiaddr, PeerId, identity::Keypair};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use super::StartError;
use super::accept::{HANDSHAKE_TIMEOUT, greet};
use super::config::Config;
use super::metrics::Metrics;
use super::service::{self, Command, Control};
use super::stream::Stream;
use super::streams::NoStream;
use crate::conduct::Conduct;
use crate::identity::split_address;
use crate::simulated::channel::Wire;

/// Streams that are being opened to one peer at once; more would only be declined there.
const OPENING_PER_PEER: usize = 8;
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// Why no stream could be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// None of the addresses could be this peer's.
    #[error("no address is known for peer {0}")]
    NoAddress(PeerId),
    /// The peer serves another network, or no channel at all: trying again is useless.
    #[error("peer {0} does not serve the peer channel of this network")]
    Unsupported(PeerId),
    /// Not within the time: the last thing that went wrong.
    #[error("peer {peer} was not reached within {timeout:?}: {reason}")]
    Timeout {
        /// The peer.
        peer: PeerId,
        /// How long it was tried.
        timeout: Duration,
        /// What happened last.
        reason: String,
    },
    /// The connector has stopped.
    #[error("the peer channel has stopped")]
    Stopped,
}

/// Opens streams to other peers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connector {
    local_peer: PeerId,
    timeout: Duration,
    backend: Backend,
    opening: Arc<Mutex<BTreeMap<PeerId, Arc<Semaphore>>>>,
    metrics: Metrics,
}

#[derive(Clone, Debug)]
enum Backend {
    Network(Control),
    Simulated(Wire),
}

impl Connector {
    /// An end that listens nowhere.
    ///
    /// # Errors
    /// [`StartError::Setup`] if the machine lacks what the transports need.
    pub async fn start(config: &Config, keypair: Keypair) -> Result<Self, StartError> {
        let local_peer = keypair.public().to_peer_id();
        let metrics = Metrics::default();
        let conduct = Conduct::new(metrics.offences.clone(), metrics.bans.clone());
        let nowhere = Config {
            listen: Vec::new(),
            ..config.clone()
        };
        let started = service::start(&nowhere, keypair, None, metrics.clone(), conduct).await?;
        let backend = Backend::Network(started.control);
        Ok(Self::new(local_peer, config.open_timeout, backend, metrics))
    }

    /// An end of a simulated channel.
    pub(crate) fn simulated(
        local_peer: PeerId,
        timeout: Duration,
        wire: Wire,
        metrics: Metrics,
    ) -> Self {
        Self::new(local_peer, timeout, Backend::Simulated(wire), metrics)
    }

    fn new(local_peer: PeerId, timeout: Duration, backend: Backend, metrics: Metrics) -> Self {
        Self {
            local_peer,
            timeout,
            backend,
            opening: Arc::default(),
            metrics,
        }
    }

    /// Opens a stream to this peer, over the connection that is there, or to any of these addresses
    /// (with or without the identity at the end). Whoever answers there proves to be this peer.
    ///
    /// # Errors
    /// [`OpenError`], at the latest after [`Config::open_timeout`].
    pub async fn open(&self, peer: PeerId, addresses: &[Multiaddr]) -> Result<Stream, OpenError> {
        let places = places(peer, addresses)?;
        let deadline = Instant::now() + self.timeout;
        let mut reason = "it did not accept the stream".to_owned();
        let mut wait = FIRST_WAIT;
        let turn = self.turn(peer);
        loop {
            let attempt = async {
                let _turn = turn.acquire().await;
                tokio::time::timeout(HANDSHAKE_TIMEOUT, self.attempt(peer, &places)).await
            };
            match tokio::time::timeout_at(deadline, attempt).await {
                Ok(Ok(Ok(stream))) => {
                    self.metrics.streams_opened.inc();
                    return Ok(stream);
                }
                Ok(Ok(Err(Failure::Final(error)))) => return Err(error),
                Ok(Ok(Err(Failure::Again(why)))) => reason = why,
                Ok(Err(_)) => "no answer".clone_into(&mut reason),
                Err(_) => {
                    return Err(OpenError::Timeout {
                        peer,
                        timeout: self.timeout,
                        reason,
                    });
                }
            }
            self.metrics.open_retries.inc();
            tokio::time::sleep_until(deadline.min(Instant::now() + wait)).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn attempt(&self, peer: PeerId, places: &[Multiaddr]) -> Result<Stream, Failure> {
        let mut stream = match &self.backend {
            Backend::Network(control) => {
                let (opened, stream) = oneshot::channel();
                let command = Command::Open {
                    peer,
                    addresses: places.to_vec(),
                    opened,
                };
                if control.commands.send(command).await.is_err() {
                    return Err(Failure::Final(OpenError::Stopped));
                }
                let lost = || Failure::Again("the connection was lost".to_owned());
                match stream.await.map_err(|_| lost())? {
                    Ok(stream) => Stream::network(stream, self.metrics.clone(), None),
                    Err(NoStream::Unsupported) => {
                        return Err(Failure::Final(OpenError::Unsupported(peer)));
                    }
                    Err(error) => return Err(Failure::Again(error.to_string())),
                }
            }
            Backend::Simulated(wire) => wire
                .connect(self.local_peer, peer, &self.metrics)
                .await
                .map_err(Failure::Again)?,
        };
        match greet(&mut stream).await {
            Ok(()) => Ok(stream),
            Err(_) => Err(Failure::Again("it did not accept the stream".to_owned())),
        }
    }

    fn turn(&self, peer: PeerId) -> Arc<Semaphore> {
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        // Peers that nothing is being opened to need no entry.
        opening.retain(|_, turn| Arc::strong_count(turn) > 1);
        let turn = opening
            .entry(peer)
            .or_insert_with(|| Arc::new(Semaphore::new(OPENING_PER_PEER)));
        Arc::clone(turn)
    }

    /// Our own identity.
    #[must_use]
    pub const fn local_peer(&self) -> PeerId {
        self.local_peer
    }

    /// The counters of this end.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Ends the connector, for all its clones: connections and streams are closed. Waits until that
    /// is done.
    pub async fn stop(&self) {
        if let Backend::Network(control) = &self.backend {
            control.stop().await;
        }
    }
}

/// What an attempt that failed means for the next one.
enum Failure {
    Again(String),
    Final(OpenError),
}

/// The addresses without the identity; those of other peers left out.
fn places(peer: PeerId, addresses: &[Multiaddr]) -> Result<Vec<Multiaddr>, OpenError> {
    let places: Vec<Multiaddr> = addresses
        .iter()
        .filter_map(|address| match split_address(address) {
            Ok((named, place)) => (named == peer).then_some(place),
            Err(_) => Some(address.clone()),
        })
        .collect();
    if places.is_empty() {
        return Err(OpenError::NoAddress(peer));
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_peers_are_left_out() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let plain: Multiaddr = "/ip4/10.0.0.1/tcp/1".parse().unwrap();
        let named = plain.clone().with_p2p(peer).unwrap();
        let foreign = plain.clone().with_p2p(other).unwrap();
        assert_eq!(
            places(peer, &[named, foreign.clone()]).unwrap(),
            std::slice::from_ref(&plain)
        );
        assert_eq!(places(peer, std::slice::from_ref(&plain)).unwrap(), [plain]);
        assert_eq!(places(peer, &[foreign]), Err(OpenError::NoAddress(peer)));
    }
}
