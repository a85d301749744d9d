//! The ingress: the process through which the world reaches tenants' containers.
//!
//! ```text
//!   daemon ── replaces ──> routes.json ── is read by ──> ingress ── HTTP by host name ─┐
//!                                                            ├────── TCP by port ──────┼──> containers
//!                                                            └────── UDP by port ──────┘
//! ```
//!
//! It runs beside the daemon and outlives it. While it runs it holds a lock on `ingress.lock` in the provider's folder,
//! by which the daemon knows that it is there; without it the daemon does not bid.
//!
//! Not here: which container answers where. The daemon decides that and writes it down.

pub mod dial;
mod http;
pub mod routes;
mod streams;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use routes::Routes;

/// The log target of everything here.
pub const LOG: &str = "welkin::ingress";

/// Name of the route file in the provider's folder.
pub const ROUTES_FILE: &str = "routes.json";
/// Name of the lock file in the provider's folder.
pub const LOCK_FILE: &str = "ingress.lock";

/// How often the route file is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// What the ingress is started with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The provider's folder, with the route file and the lock.
    pub folder: PathBuf,
    /// Where HTTP is served.
    pub http_listen: SocketAddr,
    /// The address on which public TCP and UDP ports are opened.
    pub ports_listen: IpAddr,
    /// Connections at a time, over all hosts and ports.
    pub max_connections: usize,
}

/// Why the ingress did not start.
#[derive(Debug, thiserror::Error)]
pub enum IngressError {
    /// Another one runs.
    #[error("another ingress serves {0}; stop it first, or choose another folder")]
    Runs(PathBuf),
    /// The HTTP port is taken.
    #[error("{address} cannot be opened for HTTP: {source}; free it, or set another `http_listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The lock file cannot be made.
    #[error("{path}: {source}")]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What all connections share.
struct Shared {
    routes: ArcSwap<Routes>,
    /// Counts requests, to take replicas in turn.
    turn: AtomicUsize,
}

/// A started ingress; it serves while this lives and [`Ingress::run`] is polled.
pub struct Ingress {
    config: Config,
    listener: TcpListener,
    /// Held for as long as the process serves.
    _lock: std::fs::File,
}

impl Config {
    /// Takes the lock and the HTTP port.
    ///
    /// # Errors
    /// [`IngressError`] when another ingress runs on this folder or the port is taken.
    pub async fn build(self) -> Result<Ingress, IngressError> {
        let lock = take_lock(&self.folder)?;
        let listener = TcpListener::bind(self.http_listen)
            .await
            .map_err(|source| IngressError::Listen {
                address: self.http_listen,
                source,
            })?;
        Ok(Ingress {
            config: self,
            listener,
            _lock: lock,
        })
    }
}

/// Whether an ingress serves this folder.
pub fn is_running(folder: &Path) -> bool {
    matches!(take_lock(folder), Err(IngressError::Runs(_)))
}

fn take_lock(folder: &Path) -> Result<std::fs::File, IngressError> {
    let path = folder.join(LOCK_FILE);
    let io = |source| IngressError::Io {
        path: path.clone(),
        source,
    };
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(IngressError::Runs(folder.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(io(source)),
    }
}

impl Ingress {
    /// Where HTTP is served (the port that the system chose, where 0 was asked for).
    pub fn http_address(&self) -> SocketAddr {
        self.listener
            .local_addr()
            .unwrap_or(self.config.http_listen)
    }

    /// Serves until the future is dropped.
    pub async fn run(self) {
        let path = self.config.folder.join(ROUTES_FILE);
        let connections = Arc::new(Semaphore::new(self.config.max_connections));
        let shared = Arc::new(Shared {
            routes: ArcSwap::from_pointee(Routes::new()),
            turn: AtomicUsize::new(0),
        });
        let http = tokio::spawn(http::serve(
            self.listener,
            shared.clone(),
            connections.clone(),
        ));
        let _http = AbortOnDrop(http);
        let mut ports = Ports {
            address: self.config.ports_listen,
            shared,
            connections,
            wanted: BTreeSet::new(),
            open: BTreeMap::new(),
            refused: BTreeSet::new(),
        };
        let mut seen = None;
        loop {
            let stamp = stamp(&path);
            // A port that was taken is tried again until it is free.
            ports.open_missing().await;
            if seen != Some(stamp) {
                match Routes::read(&path) {
                    Ok(routes) => {
                        ports.take(routes);
                        ports.open_missing().await;
                    }
                    Err(error) => {
                        tracing::error!(target: LOG, %error, "the new routes are not taken; the old ones go on");
                    }
                }
                seen = Some(stamp);
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// What tells one version of the route file from the next: it is replaced, so its inode changes.
fn stamp(path: &Path) -> Option<(u64, u64, SystemTime)> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tcp,
    Udp,
}

/// The public ports that are open, kept in step with the routes.
struct Ports {
    address: IpAddr,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    wanted: BTreeSet<(Kind, u16)>,
    open: BTreeMap<(Kind, u16), AbortOnDrop>,
    refused: BTreeSet<(Kind, u16)>,
}

impl Ports {
    fn take(&mut self, routes: Routes) {
        self.wanted = (routes.tcp.keys().map(|port| (Kind::Tcp, *port)))
            .chain(routes.udp.keys().map(|port| (Kind::Udp, *port)))
            .collect();
        tracing::info!(target: LOG, hosts = routes.http.len(), ports = self.wanted.len(), "took new routes");
        self.shared.routes.store(Arc::new(routes));
        self.open.retain(|port, _| self.wanted.contains(port));
        self.refused.retain(|port| self.wanted.contains(port));
    }

    async fn open_missing(&mut self) {
        self.open.retain(|_, task| !task.0.is_finished());
        let missing = self
            .wanted
            .iter()
            .filter(|port| !self.open.contains_key(port));
        for (kind, port) in missing.copied().collect::<Vec<_>>() {
            match self.open(kind, port).await {
                Ok(task) => {
                    self.refused.remove(&(kind, port));
                    self.open.insert((kind, port), AbortOnDrop(task));
                }
                Err(error) => {
                    // Said once, and not at each try.
                    if self.refused.insert((kind, port)) {
                        tracing::error!(target: LOG, port, ?kind, %error, "the port cannot be opened; it is tried until it can");
                    }
                }
            }
        }
    }

    async fn open(&self, kind: Kind, port: u16) -> std::io::Result<JoinHandle<()>> {
        let address = SocketAddr::new(self.address, port);
        let shared = self.shared.clone();
        Ok(match kind {
            Kind::Tcp => {
                let listener = TcpListener::bind(address).await?;
                tokio::spawn(streams::serve_tcp(
                    listener,
                    port,
                    shared,
                    self.connections.clone(),
                ))
            }
            Kind::Udp => {
                let socket = UdpSocket::bind(address).await?;
                tokio::spawn(streams::serve_udp(socket, port, shared))
            }
        })
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests;
