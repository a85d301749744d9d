//! A stream between two peers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt as _};

use super::metrics::Metrics;
use super::slots::Slot;

/// Bytes in both directions, in order, encrypted and authenticated by the connection below. Closing
/// the writing side (`shutdown`, or `close` of the futures traits) leaves the reading side open.
///
/// Implements the traits of both tokio and futures.
#[derive(Debug)]
pub struct Stream {
    inner: Inner,
    metrics: Metrics,
    /// The peer's place among the open streams, for an accepted stream.
    _slot: Option<Slot>,
}

#[derive(Debug)]
enum Inner {
    Network(Box<Compat<libp2p::Stream>>),
    Memory(DuplexStream),
}

impl Stream {
    pub(crate) fn network(stream: libp2p::Stream, metrics: Metrics, slot: Option<Slot>) -> Self {
        Self {
            inner: Inner::Network(Box::new(stream.compat())),
            metrics,
            _slot: slot,
        }
    }

    pub(crate) const fn memory(stream: DuplexStream, metrics: Metrics, slot: Option<Slot>) -> Self {
        Self {
            inner: Inner::Memory(stream),
            metrics,
            _slot: slot,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        ready!(match &mut this.inner {
            Inner::Network(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
            Inner::Memory(stream) => Pin::new(stream).poll_read(cx, buffer),
        })?;
        this.metrics
            .bytes_received
            .inc_by((buffer.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(match &mut this.inner {
            Inner::Network(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
            Inner::Memory(stream) => Pin::new(stream).poll_write(cx, bytes),
        })?;
        this.metrics.bytes_sent.inc_by(written as u64);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Network(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
            Inner::Memory(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().inner {
            Inner::Network(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Inner::Memory(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl futures::AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(bytes);
        ready!(AsyncRead::poll_read(self, cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }
}

impl futures::AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(self, cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(self, cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(self, cx)
    }
}
