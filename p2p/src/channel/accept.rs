//! How a peer's stream becomes an accepted one.
//!
//! The opener sends [`HELLO`]; the answer is [`READY`], and it is sent only when a place in the
//! queue of accepted streams is reserved. So an opener that has the answer knows that somebody will
//! look at its stream, and one that has not can try again.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use libp2p::PeerId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::config::Limits;
use super::metrics::{Declined, DeclinedLabel, Metrics};
use super::slots::Slots;
use super::stream::Stream;
use crate::bucket::Bucket;
use crate::conduct::{Conduct, Offence};

/// What an opener says first.
pub(crate) const HELLO: [u8; 8] = *b"welkin 1";
/// What an accepting side answers.
pub(crate) const READY: u8 = 0x06;
/// A peer that has not said [`HELLO`] by then, or whose stream nobody took, is let go.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Peers whose opening rate is remembered.
const REMEMBERED: usize = 1024;

/// Takes streams from the network, checks them, and queues them.
pub(super) struct Acceptor {
    queue: mpsc::Sender<(PeerId, Stream)>,
    slots: Slots,
    limits: Limits,
    buckets: BTreeMap<PeerId, (Instant, Bucket)>,
    metrics: Metrics,
    conduct: Conduct,
}

impl Acceptor {
    pub(super) fn new(
        queue: mpsc::Sender<(PeerId, Stream)>,
        limits: Limits,
        metrics: Metrics,
        conduct: Conduct,
    ) -> Self {
        let open = metrics.streams.clone();
        let slots = Slots::new(limits.streams_per_peer, limits.streams, open);
        Self {
            queue,
            slots,
            limits,
            buckets: BTreeMap::new(),
            metrics,
            conduct,
        }
    }

    /// A peer opened a stream. Declining it is dropping it; the opener sees its end and tries
    /// again.
    pub(super) fn on_stream(&mut self, peer: PeerId, stream: libp2p::Stream, now: Instant) {
        if !self.bucket(peer, now).take(1, now) {
            self.conduct.note(peer, Offence::TooFast);
            return self.decline(Declined::TooFast);
        }
        let Some(slot) = self.slots.take(peer) else {
            return self.decline(Declined::TooMany);
        };
        let stream = Stream::network(stream, self.metrics.clone(), Some(slot));
        // As many tasks as there are places for streams, at most.
        let (queue, metrics, conduct) = (
            self.queue.clone(),
            self.metrics.clone(),
            self.conduct.clone(),
        );
        tokio::spawn(async move {
            let welcomed = welcome(peer, stream, &queue);
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, welcomed).await {
                Ok(Ok(())) => {
                    metrics.streams_accepted.inc();
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    conduct.note(peer, Offence::Malformed);
                    decline(&metrics, Declined::Handshake);
                }
                Ok(Err(_)) | Err(_) => decline(&metrics, Declined::Handshake),
            }
        });
    }

    fn bucket(&mut self, peer: PeerId, now: Instant) -> &mut Bucket {
        if self.buckets.len() >= REMEMBERED && !self.buckets.contains_key(&peer) {
            let oldest = self.buckets.iter().min_by_key(|(_, (used_at, _))| *used_at);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.buckets.remove(&oldest);
            }
        }
        let rate = self.limits.opening_rate;
        let (used_at, bucket) = self
            .buckets
            .entry(peer)
            .or_insert_with(|| (now, Bucket::full(rate, now)));
        *used_at = now;
        bucket
    }

    fn decline(&self, reason: Declined) {
        decline(&self.metrics, reason);
    }
}

fn decline(metrics: &Metrics, reason: Declined) {
    metrics
        .streams_declined
        .get_or_create(&DeclinedLabel { reason })
        .inc();
}

/// The accepting side of the handshake.
pub(crate) async fn welcome(
    peer: PeerId,
    mut stream: Stream,
    queue: &mpsc::Sender<(PeerId, Stream)>,
) -> io::Result<()> {
    let mut hello = [0; HELLO.len()];
    stream.read_exact(&mut hello).await?;
    if hello != HELLO {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let place = queue
        .reserve()
        .await
        .map_err(|_| io::ErrorKind::ConnectionAborted)?;
    stream.write_all(&[READY]).await?;
    stream.flush().await?;
    place.send((peer, stream));
    Ok(())
}

/// The opening side of the handshake.
pub(crate) async fn greet(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(&HELLO).await?;
    stream.flush().await?;
    let mut answer = [0];
    stream.read_exact(&mut answer).await?;
    if answer[0] == READY {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}
