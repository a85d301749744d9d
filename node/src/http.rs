//! Serving HTTP to strangers: a bound on connections, and on the time in which a request must begin.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What strangers may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; over that, new ones wait in the system's queue.
    pub connections: usize,
    /// A connection on which no head of a request came for so long is closed, a silent one between two requests too.
    pub head_timeout: Duration,
}

impl Limits {
    /// So many connections, with the usual patience.
    pub const fn new(connections: usize) -> Limits {
        Limits {
            connections,
            head_timeout: Duration::from_secs(30),
        }
    }
}

/// Longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The pause after an error of accepting: file descriptors have to come back first.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves until the future is dropped. A connection that is upgraded keeps its place.
pub async fn serve(listener: TcpListener, router: Router, limits: Limits) -> Infallible {
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_buf_size(MAX_HEAD_BYTES);
    loop {
        let place = places.clone().acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(
                    target: "welkin::http",
                    %error,
                    "a connection could not be accepted"
                );
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let held = TokioIo::new(Held {
            stream,
            _place: place,
        });
        let connection = server
            .serve_connection(held, TowerToHyperService::new(router.clone()))
            .with_upgrades();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target: "welkin::http", %error, "a connection ended with an error");
            }
        });
    }
}

/// A connection with its place, which it gives back when it ends.
struct Held {
    stream: TcpStream,
    _place: OwnedSemaphorePermit,
}

impl AsyncRead for Held {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Held {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn silent_and_slow_connections_give_their_places_back() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = Limits {
            connections: 2,
            head_timeout: Duration::from_millis(20),
        };
        let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
        let server = tokio::spawn(serve(listener, router, limits));

        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET / HT").await.unwrap();
        // All places are taken: this one waits until one of them is cut.
        let mut third = TcpStream::connect(address).await.unwrap();
        third
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        third.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("here"), "{answer}");
        let mut rest = Vec::new();
        silent.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
        server.abort();
    }
}
