//! The private peer channel in memory.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use libp2p::PeerId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::links::{Conditions, Links};
use crate::channel::{
    Config, Connector, HANDSHAKE_TIMEOUT, Listener, Metrics, QUEUE, Slots, Stream, welcome,
};

/// Bytes on their way in one direction of a stream.
const WINDOW_BYTES: usize = 256 * 1024;

/// A network in memory on which every connector reaches every listener, unless it is told
/// otherwise.
#[derive(Clone)]
pub struct Hub {
    state: Arc<Mutex<State>>,
}

struct State {
    links: Links,
    listeners: BTreeMap<PeerId, Port>,
    /// Streams that are open, and how to break them.
    open: Vec<(PeerId, PeerId, AbortHandle)>,
}

/// Where streams to a listener go.
#[derive(Clone)]
struct Port {
    queue: mpsc::Sender<(PeerId, Stream)>,
    slots: Slots,
    metrics: Metrics,
}

impl Hub {
    /// A network without listeners, whose dice begin with this seed. What is lost is a whole
    /// attempt to open a stream; on an open stream bytes are delayed, never lost. Needs a tokio
    /// runtime.
    #[must_use]
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        let state = State {
            links: Links::new(conditions, seed),
            listeners: BTreeMap::new(),
            open: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// A listener. Of the configuration only the limits of streams matter. An earlier one of this
    /// peer ends.
    #[must_use]
    pub fn listener(&self, config: &Config, peer: PeerId) -> Listener {
        let metrics = Metrics::default();
        let (queue, accepted) = mpsc::channel(QUEUE);
        let limits = config.limits;
        let open = metrics.streams.clone();
        let slots = Slots::new(limits.streams_per_peer, limits.streams, open);
        let port = Port {
            queue,
            slots,
            metrics: metrics.clone(),
        };
        self.lock().listeners.insert(peer, port);
        Listener::simulated(peer, accepted, metrics)
    }

    /// A connector. Of the configuration only the time for opening matters.
    #[must_use]
    pub fn connector(&self, config: &Config, peer: PeerId) -> Connector {
        let wire = Wire { hub: self.clone() };
        Connector::simulated(peer, config.open_timeout, wire, Metrics::default())
    }

    /// Ends a listener, and breaks its streams.
    pub fn stop(&self, peer: &PeerId) {
        let mut state = self.lock();
        state.listeners.remove(peer);
        state.break_streams(|a, b| a == peer || b == peer);
    }

    /// Changes what links do from now on.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.lock().links.conditions = conditions;
    }

    /// Each group can only reach its own members; who is in no group stays together. Streams
    /// between them break.
    pub fn partition(&self, groups: &[&[PeerId]]) {
        let mut state = self.lock();
        state.links.partition(groups);
        let links = std::mem::replace(&mut state.links, Links::new(Conditions::PERFECT, 0));
        state.break_streams(|a, b| !links.reach(a, b));
        state.links = links;
    }

    /// Everybody reaches everybody again.
    pub fn heal(&self) {
        self.lock().links.heal();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn break_streams(&mut self, broken: impl Fn(&PeerId, &PeerId) -> bool) {
        self.open.retain(|(a, b, pump)| {
            let breaks = broken(a, b);
            if breaks {
                pump.abort();
            }
            !breaks && !pump.is_finished()
        });
    }
}

/// A connector's way into the hub.
#[derive(Clone)]
pub(crate) struct Wire {
    hub: Hub,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl Wire {
    /// A stream to a listener, before the handshake.
    pub(crate) async fn connect(
        &self,
        from: PeerId,
        to: PeerId,
        metrics: &Metrics,
    ) -> Result<Stream, String> {
        let (port, delay) = {
            let mut state = self.hub.lock();
            if state.links.loses() {
                return Err("the connection was lost".to_owned());
            }
            let delay = state.links.delay();
            let reached = state.links.reach(&from, &to);
            let port = state.listeners.get(&to).filter(|_| reached).cloned();
            (port.ok_or_else(|| "connection refused".to_owned())?, delay)
        };
        let slot = port
            .slots
            .take(from)
            .ok_or_else(|| "too many streams".to_owned())?;
        let (ours, near) = tokio::io::duplex(WINDOW_BYTES);
        let (theirs, far) = tokio::io::duplex(WINDOW_BYTES);
        let pump = tokio::spawn(pump(near, far, delay));
        self.hub.lock().open.push((from, to, pump.abort_handle()));
        let accepted = Stream::memory(theirs, port.metrics.clone(), Some(slot));
        tokio::spawn(async move {
            let welcomed = welcome(from, accepted, &port.queue);
            if let Ok(Ok(())) = tokio::time::timeout(HANDSHAKE_TIMEOUT, welcomed).await {
                port.metrics.streams_accepted.inc();
            }
        });
        Ok(Stream::memory(ours, metrics.clone(), None))
    }
}

/// Carries bytes both ways until both sides have ended.
async fn pump(near: DuplexStream, far: DuplexStream, delay: Duration) {
    let (near_reads, near_writes) = tokio::io::split(near);
    let (far_reads, far_writes) = tokio::io::split(far);
    tokio::join!(
        carry(near_reads, far_writes, delay),
        carry(far_reads, near_writes, delay)
    );
}

/// Carries bytes one way. An error on either side is what the peers see as the end.
async fn carry(mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>, delay: Duration) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown().await;
}
