//! A whole ingress on loopback, with small servers of the test's own behind it.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::dial::Replica;
use super::routes::{HttpRoute, Routes};
use super::*;

const LOOPBACK: std::net::Ipv4Addr = std::net::Ipv4Addr::LOCALHOST;

struct Served {
    folder: tempfile::TempDir,
    http: SocketAddr,
    _task: AbortOnDrop,
}

impl Served {
    async fn start(routes: Routes) -> Served {
        let folder = tempfile::tempdir().unwrap();
        routes.write(&folder.path().join(ROUTES_FILE)).unwrap();
        let ingress = config(folder.path()).build().await.unwrap();
        let http = ingress.http_address();
        let served = Served {
            folder,
            http,
            _task: AbortOnDrop(tokio::spawn(ingress.run())),
        };
        // The first routes are taken soon after the start; a host that is there shows it.
        if let Some(host) = routes.http.keys().next() {
            until(|| async { !served.get(host, "/").await.contains("No application") }).await;
        }
        served
    }

    async fn get(&self, host: &str, path: &str) -> String {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
        ))
        .await
    }

    async fn send(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.http).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }
}

fn config(folder: &Path) -> Config {
    Config {
        folder: folder.to_owned(),
        http_listen: (LOOPBACK, 0).into(),
        ports_listen: LOOPBACK.into(),
        max_connections: 64,
    }
}

/// Polls until the condition holds; the test runner's own limit ends a condition that never does.
async fn until<F: Future<Output = bool>>(mut condition: impl FnMut() -> F) {
    while !condition().await {
        tokio::task::yield_now().await;
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from((LOOPBACK, port))
}

fn replica(address: SocketAddr) -> Replica {
    Replica {
        address,
        interface: Some("lo".to_owned()),
    }
}

fn route(backends: &[SocketAddr]) -> HttpRoute {
    HttpRoute {
        backends: backends.iter().copied().map(replica).collect(),
        max_body_bytes: 64,
        read_timeout_ms: 60_000,
        tries: 3,
    }
}

fn routes_of(host: &str, route: HttpRoute) -> Routes {
    let mut routes = Routes::new();
    routes.http.insert(host.into(), route);
    routes
}

/// A server that reads one head, answers with `head` and then what `body` makes of the request's head.
async fn backend(answer: impl Fn(&str) -> String + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_head(&mut stream).await;
            let _ = stream.write_all(answer(&head).as_bytes()).await;
        }
    });
    address
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nkeep-alive: 5\r\n\r\n{body}",
        body.len()
    )
}

/// An address on which nothing listens.
async fn dead() -> SocketAddr {
    TcpListener::bind((LOOPBACK, 0))
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

#[tokio::test]
async fn a_request_goes_to_the_application_of_its_host() {
    let app = backend(|head| ok(&head.to_ascii_lowercase())).await;
    let served = Served::start(routes_of("app.localhost", route(&[app]))).await;
    let answer = served.get("APP.localhost:80", "/a?b=c").await;
    assert!(answer.contains("get /a?b=c http/1.1"), "{answer}");
    assert!(answer.contains("x-forwarded-for: 127.0.0.1"), "{answer}");
    assert!(
        !answer.contains("keep-alive"),
        "headers of one connection are not passed on: {answer}"
    );
    assert!(
        served
            .get("other.localhost", "/")
            .await
            .starts_with("HTTP/1.1 404")
    );
}

#[tokio::test]
async fn a_dead_replica_is_passed_over() {
    let app = backend(|_| ok("alive")).await;
    let served = Served::start(routes_of("app.localhost", route(&[dead().await, app]))).await;
    for _ in 0..4 {
        assert!(served.get("app.localhost", "/").await.ends_with("alive"));
    }
}

#[tokio::test]
async fn an_application_without_a_living_replica_is_a_bad_gateway() {
    let served = Served::start(routes_of("app.localhost", route(&[dead().await]))).await;
    assert!(
        served
            .get("app.localhost", "/")
            .await
            .starts_with("HTTP/1.1 502")
    );
    routes_of("app.localhost", route(&[]))
        .write(&served.folder.path().join(ROUTES_FILE))
        .unwrap();
    assert!(
        served
            .get("app.localhost", "/")
            .await
            .starts_with("HTTP/1.1 502")
    );
}

#[tokio::test]
async fn a_silent_application_is_a_gateway_timeout() {
    let silent = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let mut limited = route(&[silent.local_addr().unwrap()]);
    limited.read_timeout_ms = 20;
    let served = Served::start(routes_of("app.localhost", limited)).await;
    assert!(
        served
            .get("app.localhost", "/")
            .await
            .starts_with("HTTP/1.1 504")
    );
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_its_length_is_told_or_not() {
    let app = backend(|_| ok("taken")).await;
    let served = Served::start(routes_of("app.localhost", route(&[app]))).await;
    let body = "x".repeat(65);
    let told = format!(
        "POST / HTTP/1.1\r\nhost: app.localhost\r\nconnection: close\r\ncontent-length: 65\r\n\r\n{body}"
    );
    assert!(served.send(&told).await.starts_with("HTTP/1.1 413"));
    // A server that waits for the whole body, so that the limit is met before the answer.
    let patient = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = patient.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = patient.accept().await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    });
    let served = Served::start(routes_of("other.localhost", route(&[app]))).await;
    let path = served.folder.path().join(ROUTES_FILE);
    let mut routes = routes_of("other.localhost", route(&[app]));
    routes
        .http
        .insert("patient.localhost".into(), route(&[address]));
    routes.http.insert("ready.localhost".into(), route(&[app]));
    routes.write(&path).unwrap();
    until(|| async { served.get("ready.localhost", "/").await.ends_with("taken") }).await;
    let untold = format!(
        "POST / HTTP/1.1\r\nhost: patient.localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
         41\r\n{body}\r\n0\r\n\r\n"
    );
    let answer = served.send(&untold).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn a_web_socket_passes_in_both_directions() {
    let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let app = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let head = read_head(&mut stream).await.to_ascii_lowercase();
            if !head.contains("upgrade: websocket") {
                let _ = stream.write_all(ok("page").as_bytes()).await;
                continue;
            }
            let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            stream.write_all(switch.as_bytes()).await.unwrap();
            let mut word = [0; 5];
            stream.read_exact(&mut word).await.unwrap();
            word.reverse();
            stream.write_all(&word).await.unwrap();
        }
    });
    let served = Served::start(routes_of("app.localhost", route(&[app]))).await;
    let mut stream = TcpStream::connect(served.http).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nhost: app.localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.starts_with("HTTP/1.1 101"));
    stream.write_all(b"hello").await.unwrap();
    let mut word = [0; 5];
    stream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"olleh");
}

#[tokio::test]
async fn tcp_and_udp_ports_reach_a_replica_until_their_route_is_gone() {
    let tcp_app = backend(|head| head.to_ascii_uppercase()).await;
    let udp_app = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    let (tcp_port, udp_port) = (dead().await.port(), dead().await.port());
    let mut routes = Routes::new();
    routes
        .tcp
        .insert(tcp_port, vec![replica(dead().await), replica(tcp_app)]);
    routes
        .udp
        .insert(udp_port, vec![replica(udp_app.local_addr().unwrap())]);
    let served = Served::start(routes).await;

    until(|| async { TcpStream::connect(address(tcp_port)).await.is_ok() }).await;
    let mut stream = TcpStream::connect(address(tcp_port)).await.unwrap();
    stream.write_all(b"ping\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "PING\r\n\r\n");

    let client = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    client.connect(address(udp_port)).await.unwrap();
    client.send(b"ping").await.unwrap();
    let mut buffer = [0; 16];
    let (count, ingress) = udp_app.recv_from(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"ping");
    udp_app.send_to(b"pong", ingress).await.unwrap();
    let count = client.recv(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"pong");

    Routes::new()
        .write(&served.folder.path().join(ROUTES_FILE))
        .unwrap();
    until(|| async { TcpStream::connect(address(tcp_port)).await.is_err() }).await;
}

#[tokio::test]
async fn a_broken_route_file_leaves_the_old_routes_in_place() {
    let app = backend(|_| ok("alive")).await;
    let served = Served::start(routes_of("app.localhost", route(&[app]))).await;
    let path = served.folder.path().join(ROUTES_FILE);
    std::fs::write(&path, "{ broken").unwrap();
    // A good file after the broken one is taken, so the broken one was looked at before.
    assert!(served.get("app.localhost", "/").await.ends_with("alive"));
    let mut routes = routes_of("app.localhost", route(&[app]));
    routes.http.insert("new.localhost".into(), route(&[app]));
    routes.write(&path).unwrap();
    until(|| async { served.get("new.localhost", "/").await.ends_with("alive") }).await;
}

#[tokio::test]
async fn a_folder_has_one_ingress() {
    let folder = tempfile::tempdir().unwrap();
    assert!(!is_running(folder.path()));
    let first = config(folder.path()).build().await.unwrap();
    assert!(is_running(folder.path()));
    assert!(matches!(
        config(folder.path()).build().await,
        Err(IngressError::Runs(_))
    ));
    drop(first);
    assert!(!is_running(folder.path()));
}
