//! TCP and UDP: by port to a replica.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{LOG, Shared};

const TCP_IDLE: Duration = Duration::from_secs(3600);
const UDP_IDLE: Duration = Duration::from_secs(60);
/// Senders that one UDP port remembers at a time; over it, datagrams of new ones are dropped.
const MAX_UDP_SENDERS: usize = 1024;
const MAX_DATAGRAM_BYTES: usize = 65_535;

/// Serves one public TCP port until its task is aborted.
pub(super) async fn serve_tcp(
    listener: TcpListener,
    port: u16,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
) {
    loop {
        let Ok((mut client, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        // After it was accepted, so that a port where nobody comes takes no place from the others.
        let Ok(permit) = connections.clone().acquire_owned().await else {
            return;
        };
        let shared = shared.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let backends = shared
                .routes
                .load()
                .tcp
                .get(&port)
                .cloned()
                .unwrap_or_default();
            let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
            for attempt in 0..backends.len() {
                let backend = &backends[turn.wrapping_add(attempt) % backends.len()];
                if let Ok(mut server) = backend.connect().await {
                    let _ = client.set_nodelay(true);
                    copy_until_idle(&mut client, &mut server, TCP_IDLE).await;
                    return;
                }
            }
            tracing::debug!(target: LOG, port, "no replica takes the connection");
        });
    }
}

/// Copies both ways until both sides ended, one failed, or no byte moved for `idle`.
pub(super) async fn copy_until_idle<A, B>(a: &mut A, b: &mut B, idle: Duration)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut a_read, mut a_write) = tokio::io::split(a);
    let (mut b_read, mut b_write) = tokio::io::split(b);
    // One direction may rest for as long as the other moves, so both mark the same flag.
    let moved = AtomicBool::new(false);
    let copying = async {
        tokio::join!(
            copy_one_way(&mut a_read, &mut b_write, &moved),
            copy_one_way(&mut b_read, &mut a_write, &moved)
        )
    };
    let watching = async {
        loop {
            tokio::time::sleep(idle).await;
            if !moved.swap(false, Ordering::Relaxed) {
                return;
            }
        }
    };
    tokio::select! { _ = copying => {} () = watching => {} }
}

async fn copy_one_way(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    moved: &AtomicBool,
) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => {
                moved.store(true, Ordering::Relaxed);
                if to.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        }
    }
    let _ = to.shutdown().await;
}

/// Serves one public UDP port until its task is aborted. Each sender keeps one replica while it is not idle.
pub(super) async fn serve_udp(socket: UdpSocket, port: u16, shared: Arc<Shared>) {
    let socket = Arc::new(socket);
    let senders = Arc::new(Mutex::new(BTreeMap::<SocketAddr, Arc<UdpSocket>>::new()));
    let turn = AtomicUsize::new(0);
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    loop {
        let Ok((count, sender)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let known = senders
            .lock()
            .expect("no holder panics")
            .get(&sender)
            .cloned();
        let upstream = match known {
            Some(upstream) => upstream,
            None => {
                if senders.lock().expect("no holder panics").len() >= MAX_UDP_SENDERS {
                    continue;
                }
                let backends = shared
                    .routes
                    .load()
                    .udp
                    .get(&port)
                    .cloned()
                    .unwrap_or_default();
                if backends.is_empty() {
                    continue;
                }
                let backend = &backends[turn.fetch_add(1, Ordering::Relaxed) % backends.len()];
                let Ok(upstream) = backend.associate().await.map(Arc::new) else {
                    continue;
                };
                senders
                    .lock()
                    .expect("no holder panics")
                    .insert(sender, upstream.clone());
                let (socket, senders, upstream_of_task) =
                    (socket.clone(), senders.clone(), upstream.clone());
                tokio::spawn(async move {
                    answer_udp(&socket, sender, &upstream_of_task).await;
                    senders.lock().expect("no holder panics").remove(&sender);
                });
                upstream
            }
        };
        let _ = upstream.send(&buffer[..count]).await;
    }
}

async fn answer_udp(socket: &UdpSocket, sender: SocketAddr, upstream: &UdpSocket) {
    let mut buffer = vec![0; MAX_DATAGRAM_BYTES];
    while let Ok(Ok(count)) = timeout(UDP_IDLE, upstream.recv(&mut buffer)).await {
        let _ = socket.send_to(&buffer[..count], sender).await;
    }
}
