//! Ways to a replica. A lease's network has an interface of its own on this machine, and what is sent to the lease leaves
//! through that one or not at all: engines take the interface away while nothing of the lease runs, and then its
//! addresses would lead out of the machine, into whatever network uses the same ones.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::RecvFlags;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// More datagrams than the system queues for a socket (212,992 bytes, and no datagram counts for fewer than 256).
const MAX_QUEUED: usize = 1_024;

/// Where a replica takes connections or datagrams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// Its address and port.
    pub address: SocketAddr,
    /// The interface of this machine that it is behind; none where the system's routes lead to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

impl Replica {
    /// A TCP connection.
    ///
    /// # Errors
    /// What the system said, at the latest after three seconds.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let socket = match self.address.ip() {
            IpAddr::V4(_) => TcpSocket::new_v4()?,
            IpAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.bind_device(self.interface.as_ref().map(String::as_bytes))?;
        let stream = timeout(CONNECT_TIMEOUT, socket.connect(self.address)).await??;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// A UDP socket that sends to the replica and hears only it.
    ///
    /// # Errors
    /// What the system said.
    pub async fn associate(&self) -> io::Result<UdpSocket> {
        let any: SocketAddr = match self.address.ip() {
            IpAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
            IpAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.bind_device(self.interface.as_ref().map(String::as_bytes))?;
        socket.connect(self.address).await?;
        drain(&socket)?;
        Ok(socket)
    }
}

/// Drops what strangers sent before the socket was connected: it is queued still, and would be taken for the replica's,
/// which has not been spoken to yet and has nothing to say.
fn drain(socket: &UdpSocket) -> io::Result<()> {
    for _ in 0..MAX_QUEUED {
        // Not by tokio's `try_recv`, which knows of nothing before its driver has seen the socket.
        match rustix::net::recv(socket, &mut [0u8; 1], RecvFlags::DONTWAIT) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(io::Error::other("the socket is flooded with datagrams"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn behind(interface: &str, address: SocketAddr) -> Replica {
        Replica {
            address,
            interface: Some(interface.to_owned()),
        }
    }

    #[tokio::test]
    async fn nothing_leaves_through_another_interface() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        behind("lo", address).connect().await.unwrap();
        behind("lo", address).associate().await.unwrap();
        let gone = behind("wk-is-not-here", address);
        for error in [
            gone.connect().await.unwrap_err(),
            gone.associate().await.unwrap_err(),
        ] {
            assert_eq!(error.raw_os_error(), Some(19), "ENODEV: {error}");
        }
    }

    #[tokio::test]
    async fn what_strangers_sent_before_is_not_taken_for_the_replicas() {
        let replica = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        for _ in 0..3 {
            stranger.send_to(b"forged", address).await.unwrap();
        }
        socket.connect(replica.local_addr().unwrap()).await.unwrap();
        drain(&socket).unwrap();
        replica.send_to(b"own", address).await.unwrap();
        let mut heard = [0; 16];
        let length = socket.recv(&mut heard).await.unwrap();
        assert_eq!(&heard[..length], b"own");
    }
}
