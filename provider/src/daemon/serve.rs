//! The daemon's ends: tenants' streams, the status socket, metrics, and blocks as a hint.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use welkin_client::Chain;
use welkin_p2p::channel::Listener;
use welkin_p2p::identity;

use super::tenancy::Gateway;
use super::{LOG, Watch};

/// How long a tenant may take for something short.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves tenants' streams, each in a task of its own; ends when the listener does.
pub async fn tenants(mut listener: Listener, gateway: Gateway) {
    while let Some((peer, stream)) = listener.accept().await {
        let Ok(key) = identity::key_of_peer_id(&peer) else {
            continue;
        };
        let gateway = gateway.clone();
        tokio::spawn(async move {
            let patience = || tokio::time::sleep(PATIENCE);
            if let Err(error) =
                welkin_provider_api::channel::serve(&gateway, stream, key, patience).await
            {
                tracing::debug!(target: LOG, %peer, %error, "a tenant's stream failed");
            }
        });
    }
}

/// Answers `welkin-provider status` on a socket that only the provider's user can open.
///
/// # Errors
/// The socket cannot be made.
pub async fn status(path: &Path, watch: Watch) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    use std::os::unix::fs::PermissionsExt;
    // The daemon's lock is held, so a socket that is there is one that a dead daemon left.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)
        .with_context(|| format!("the status socket {} cannot be made", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(async move {
        loop {
            let mut stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    not_accepted("status", &error).await;
                    continue;
                }
            };
            let text = serde_json::to_vec(&watch.status()).expect("a status is always JSON");
            tokio::spawn(tokio::time::timeout(PATIENCE, async move {
                let _ = stream.write_all(&text).await;
                let _ = stream.shutdown().await;
            }));
        }
    })
}

/// Serves `/metrics`; waits for ever where no address is configured.
///
/// # Errors
/// The port is taken.
pub async fn metrics(
    address: Option<SocketAddr>,
    watch: Watch,
) -> anyhow::Result<impl Future<Output = ()> + use<>> {
    let listener = match address {
        Some(address) => Some(TcpListener::bind(address).await.with_context(|| {
            format!(
                "{address} cannot be opened for metrics; free it, or set another `metrics_listen`"
            )
        })?),
        None => None,
    };
    Ok(async move {
        let Some(listener) = listener else {
            return std::future::pending().await;
        };
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    not_accepted("metrics", &error).await;
                    continue;
                }
            };
            let watch = watch.clone();
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let response = match request.uri().path() {
                    "/metrics" => (StatusCode::OK, watch.metrics_text()),
                    _ => (StatusCode::NOT_FOUND, "only /metrics is here\n".to_owned()),
                };
                async move {
                    let mut answer = Response::new(Full::new(Bytes::from(response.1)));
                    *answer.status_mut() = response.0;
                    Ok::<_, std::convert::Infallible>(answer)
                }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                let _ = connection.await;
            });
        }
    })
}

/// A connection could not be accepted: out of file descriptors, or it has gone again. Others may come.
async fn not_accepted(what: &str, error: &std::io::Error) {
    tracing::warn!(target: LOG, %error, "a connection for {what} could not be accepted");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Wakes the reconcile loop with every block that a node tells of. Only a hint: the loop looks by itself too.
pub async fn wake_on_blocks(chain: Chain, wake: Arc<Notify>) {
    let mut blocks = chain.subscribe_blocks();
    loop {
        blocks.next().await;
        wake.notify_one();
    }
}
