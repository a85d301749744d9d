//! Where a server is.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use tokio::net::{TcpStream, lookup_host};

/// An RPC server's address: `http://host:port[/path]`, `tcp://host:port` or `host:port`.
///
/// `localhost` and names below it are this machine, whatever the system's resolver thinks of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    path: String,
}

/// The port that a server listens on unless told otherwise.
pub const DEFAULT_PORT: u16 = 26657;

/// A text names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no address of an RPC server: {reason}")]
pub struct EndpointError {
    text: String,
    reason: &'static str,
}

impl Endpoint {
    /// The value of the `Host` header.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The path of requests, which begins with a slash.
    pub(super) fn path(&self) -> &str {
        if self.path.is_empty() {
            "/"
        } else {
            &self.path
        }
    }

    /// The path of WebSockets.
    pub(super) fn socket_path(&self) -> String {
        format!("{}/websocket", self.path)
    }

    /// Whether the name is this machine by itself, so that no resolver is asked.
    pub fn is_localhost(&self) -> bool {
        let name = self.host.trim_end_matches('.').to_ascii_lowercase();
        name == "localhost" || name.ends_with(".localhost")
    }

    /// Connects.
    pub(super) async fn connect(&self) -> std::io::Result<TcpStream> {
        let stream = if self.is_localhost() {
            let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            match TcpStream::connect(loopback).await {
                Ok(stream) => stream,
                Err(_) => TcpStream::connect((std::net::Ipv6Addr::LOCALHOST, self.port)).await?,
            }
        } else {
            let addresses: Vec<SocketAddr> = lookup_host((self.host.as_str(), self.port))
                .await?
                .collect();
            TcpStream::connect(addresses.as_slice()).await?
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let wrong = |reason| EndpointError {
            text: text.to_owned(),
            reason,
        };
        let rest = match text.trim().split_once("://") {
            None => text.trim(),
            Some(("http" | "tcp" | "ws", rest)) => rest,
            Some(("https" | "wss", _)) => {
                return Err(wrong(
                    "TLS is not spoken here; use http:// (answers are verified)",
                ));
            }
            Some(_) => return Err(wrong("it should begin with http://")),
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (host, port) = match authority.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed
                    .split_once(']')
                    .ok_or_else(|| wrong("a bracket is missing"))?;
                (host, after.strip_prefix(':'))
            }
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(digits) => digits.parse().map_err(|_| wrong("its port is no number"))?,
            None => DEFAULT_PORT,
        };
        let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '@' | '?' | '#' | '/' | '\\');
        if host.is_empty() || !host.chars().all(plain) {
            return Err(wrong("it has no host name"));
        }
        if !path.chars().all(|c| plain(c) || c == '/') {
            return Err(wrong("its path has characters that a path has not"));
        }
        Ok(Endpoint {
            host: host.to_owned(),
            port,
            path: path.trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown) in [
            ("localhost:1", "http://localhost:1"),
            (
                "http://node.localhost:26657/",
                "http://node.localhost:26657",
            ),
            ("tcp://127.0.0.1:5", "http://127.0.0.1:5"),
            ("http://[::1]:7/rpc/", "http://[::1]:7/rpc"),
            ("example.org", "http://example.org:26657"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_reason() {
        for text in [
            "",
            "http://",
            "ftp://a:1",
            "https://a:1",
            "a:b",
            "a:70000",
            "[::1:5",
            "a b:1",
            "u@h:1",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_below_localhost_are_this_machine() {
        let is_local = |text: &str| text.parse::<Endpoint>().unwrap().is_localhost();
        assert!(
            is_local("localhost:1") && is_local("a.b.LOCALHOST:1") && is_local("x.localhost.:1")
        );
        assert!(!is_local("localhost.example.org:1") && !is_local("notlocalhost:1"));
    }
}
