//! `forward`: leads ports of the host's loopback address to a cluster's nodes, so that browsers and tenants on this
//! machine reach what runs there. It is a process of its own, which outlives providers.
//!
//! ```text
//!   127.0.0.1:HTTP       ──TCP──────> the ingress of the control plane, port 80
//!   127.0.0.1:NODE PORT  ──TCP, UDP─> the same port of the first node that lives
//! ```

use super::layout::Member;
use super::record::Cluster;
use anyhow::Context;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use structopt::StructOpt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

/// The port of the ingress.
const INGRESS: u16 = 80;
/// Where kube-proxy answers on every node, once it has set its rules.
const PROXY_HEALTH: u16 = 10_256;
/// How often nodes are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a node may take to take a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// Connections at once, of all ports together; more wait in the listener.
const CONNECTIONS: usize = 1024;
/// Who may speak to one UDP port at once. Packets of more are dropped.
const PEERS: usize = 256;
/// How long a UDP peer that is silent is remembered.
const SILENCE: Duration = Duration::from_secs(60);
/// The largest UDP packet.
const PACKET: usize = 65_536;

/// Leads ports of this machine to a cluster; `up` does this
#[derive(Debug, StructOpt)]
pub struct Forward {
    /// The cluster's folder
    #[structopt(parse(from_os_str))]
    folder: PathBuf,
}

impl Forward {
    /// Forwards until the process is ended.
    ///
    /// # Errors
    /// The record cannot be read, or a port of the cluster is another program's.
    pub fn run(&self) -> anyhow::Result<()> {
        let cluster = Cluster::read(&self.folder)?.context("there is no cluster in this folder")?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(forward(&cluster))
    }
}

async fn forward(cluster: &Cluster) -> anyhow::Result<()> {
    let layout = cluster.layout();
    let nodes: Vec<Ipv4Addr> = cluster
        .members()
        .into_iter()
        .filter(|member| *member != Member::Control)
        .map(|member| layout.addresses(member).0)
        .collect();
    let first = *nodes.first().context("a cluster without nodes")?;
    let (living, node) = watch::channel(first);
    let ingress = watch::channel(layout.addresses(Member::Control).0).1;
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    let http = tcp_listener(layout.http_port()).await?;
    tokio::spawn(serve_tcp(http, INGRESS, ingress, connections.clone()));
    let (from, to) = layout.node_ports();
    for port in from..=to {
        let listener = tcp_listener(port).await?;
        tokio::spawn(serve_tcp(listener, port, node.clone(), connections.clone()));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await;
        let socket = socket.with_context(|| format!("UDP port {port}"))?;
        tokio::spawn(serve_udp(Arc::new(socket), port, node.clone()));
    }
    drop(node);
    watch_nodes(&nodes, &living).await;
    Ok(())
}

async fn tcp_listener(port: u16) -> anyhow::Result<TcpListener> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    bound.with_context(|| format!("TCP port {port}"))
}

/// Keeps `living` at the first node whose services answer, as long as one does.
async fn watch_nodes(nodes: &[Ipv4Addr], living: &watch::Sender<Ipv4Addr>) {
    loop {
        for node in nodes {
            let connect = TcpStream::connect((*node, PROXY_HEALTH));
            if matches!(timeout(CONNECT, connect).await, Ok(Ok(_))) {
                living.send_if_modified(|known| std::mem::replace(known, *node) != *node);
                break;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn serve_tcp(
    listener: TcpListener,
    port: u16,
    to: watch::Receiver<Ipv4Addr>,
    connections: Arc<Semaphore>,
) {
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else {
            return;
        };
        let mut near = match listener.accept().await {
            Ok((near, _)) => near,
            Err(why) => {
                // Such as: no file descriptors left. They come back as others end.
                tracing::warn!(port, %why, "no connection is taken");
                tokio::time::sleep(LOOK).await;
                continue;
            }
        };
        let address = (*to.borrow(), port);
        tokio::spawn(async move {
            let _permit = permit;
            // Whoever asks sees that the connection ends, as without us.
            if let Ok(Ok(mut far)) = timeout(CONNECT, TcpStream::connect(address)).await {
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}

/// Every peer has a socket of its own towards the node, by which answers find their way back.
async fn serve_udp(near: Arc<UdpSocket>, port: u16, to: watch::Receiver<Ipv4Addr>) {
    let mut peers: HashMap<SocketAddr, (Ipv4Addr, Arc<UdpSocket>)> = HashMap::new();
    let mut packet = vec![0; PACKET];
    loop {
        // An error here is a peer's that did not want an answer.
        let Ok((length, peer)) = near.recv_from(&mut packet).await else {
            continue;
        };
        let node = *to.borrow();
        // Those to which nobody listens for answers any more are forgotten; so are those of a node that is gone.
        peers.retain(|_, (of, far)| *of == node && Arc::strong_count(far) > 1);
        if !peers.contains_key(&peer) && peers.len() < PEERS {
            let Ok(far) = connected(node, port).await else {
                continue;
            };
            let far = Arc::new(far);
            tokio::spawn(answer_udp(near.clone(), far.clone(), peer));
            peers.insert(peer, (node, far));
        }
        if let Some((_, far)) = peers.get(&peer) {
            let _ = far.send(&packet[..length]).await;
        }
    }
}

async fn connected(node: Ipv4Addr, port: u16) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect((node, port)).await?;
    Ok(socket)
}

async fn answer_udp(near: Arc<UdpSocket>, far: Arc<UdpSocket>, peer: SocketAddr) {
    let mut packet = vec![0; PACKET];
    while let Ok(Ok(length)) = timeout(SILENCE, far.recv(&mut packet)).await {
        let _ = near.send_to(&packet[..length], peer).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// An address of this machine beside the usual one, which stands for a node.
    const NODE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 77);

    #[tokio::test]
    async fn what_is_said_to_a_tcp_port_reaches_the_node_and_the_answer_comes_back() {
        let far = TcpListener::bind((NODE, 0)).await.unwrap();
        let port = far.local_addr().unwrap().port();
        let near = tcp_listener(port).await.unwrap();
        let node = watch::channel(NODE).1;
        tokio::spawn(serve_tcp(near, port, node, Arc::new(Semaphore::new(1))));
        for said in [b"one", b"two"] {
            let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .await
                .unwrap();
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            let (mut heard, _) = far.accept().await.unwrap();
            let mut text = Vec::new();
            heard.read_to_end(&mut text).await.unwrap();
            assert_eq!(text, said);
            heard.write_all(b"answer").await.unwrap();
            drop(heard);
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert_eq!(answer, "answer");
        }
    }

    #[tokio::test]
    async fn packets_of_two_peers_are_answered_to_the_one_that_sent_them() {
        let far = UdpSocket::bind((NODE, 0)).await.unwrap();
        let port = far.local_addr().unwrap().port();
        let near = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        tokio::spawn(serve_udp(Arc::new(near), port, watch::channel(NODE).1));
        let mut packet = [0; 16];
        let one = connected(Ipv4Addr::LOCALHOST, port).await.unwrap();
        let two = connected(Ipv4Addr::LOCALHOST, port).await.unwrap();
        let mut senders = Vec::new();
        for (peer, said) in [(&one, b"one"), (&two, b"two")] {
            peer.send(said).await.unwrap();
            let (length, sender) = far.recv_from(&mut packet).await.unwrap();
            assert_eq!(&packet[..length], said);
            senders.push(sender);
        }
        far.send_to(b"to two", senders[1]).await.unwrap();
        far.send_to(b"to one", senders[0]).await.unwrap();
        for (peer, wanted) in [(&one, "to one"), (&two, "to two")] {
            let length = peer.recv(&mut packet).await.unwrap();
            assert_eq!(&packet[..length], wanted.as_bytes());
        }
    }
}
