//! The private peer channel on loopback.

use std::time::Duration;

use crate::common::{GENESIS, PATIENCE, Transport, free_port, keypair, peer, until, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use welkin_p2p::channel::{Config, Connector, Limits, Listener, OpenError, Stream};

fn config() -> Config {
    Config {
        open_timeout: PATIENCE,
        ..Config::new(GENESIS)
    }
}

async fn listen(transport: Transport, n: u8, limits: Limits) -> Listener {
    let config = Config {
        listen: vec![transport.address(0)],
        limits,
        ..config()
    };
    Listener::start(&config, keypair(n)).await.unwrap()
}

async fn connect(n: u8) -> Connector {
    Connector::start(&config(), keypair(n)).await.unwrap()
}

/// Sends back whatever comes, stream by stream, until the listener ends.
fn echo(mut listener: Listener) -> tokio::task::JoinHandle<Listener> {
    tokio::spawn(async move {
        while let Some((_, mut stream)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                if stream.read_to_end(&mut bytes).await.is_ok() {
                    let _ = stream.write_all(&bytes).await;
                    let _ = stream.shutdown().await;
                }
            });
        }
        listener
    })
}

/// Sends bytes, closes the writing side, and reads what comes back.
async fn round_trip(mut stream: Stream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    stream.shutdown().await?;
    let mut back = Vec::new();
    stream.read_to_end(&mut back).await?;
    Ok(back)
}

async fn both_sides_know_each_other(transport: Transport) {
    let mut listener = listen(transport, 1, Limits::default()).await;
    let addresses = listener.listening().to_vec();
    let connector = connect(2).await;
    let opening = tokio::spawn(async move {
        connector
            .open(peer(1), &addresses)
            .await
            .map(|s| (connector, s))
    });
    let (who, mut accepted) = within(listener.accept()).await.unwrap();
    assert_eq!(who, peer(2));
    let (_connector, mut opened) = within(opening).await.unwrap().unwrap();
    let large = vec![7u8; 3 << 20];
    let reader = tokio::spawn(async move {
        let mut back = Vec::new();
        accepted
            .read_to_end(&mut back)
            .await
            .map(|_| (back, accepted))
    });
    within(opened.write_all(&large)).await.unwrap();
    within(opened.shutdown()).await.unwrap();
    let (back, mut accepted) = within(reader).await.unwrap().unwrap();
    assert!(back == large);
    // The other direction is still open.
    accepted.write_all(b"all of it").await.unwrap();
    accepted.shutdown().await.unwrap();
    let mut answer = String::new();
    within(opened.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "all of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_carries_bytes_both_ways_over_tcp_and_both_sides_know_the_other() {
    both_sides_know_each_other(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_carries_bytes_both_ways_over_quic_and_both_sides_know_the_other() {
    both_sides_know_each_other(Transport::Quic).await;
}

async fn two_hundred_streams_at_once(transport: Transport) {
    let listener = listen(transport, 1, Limits::default()).await;
    let addresses = listener.listening().to_vec();
    let server = echo(listener);
    let connector = connect(2).await;
    let trips = (0..200u32).map(|n| {
        let (connector, addresses) = (connector.clone(), addresses.clone());
        tokio::spawn(async move {
            let stream = connector.open(peer(1), &addresses).await.unwrap();
            let sent = n.to_be_bytes().repeat(1000);
            assert!(round_trip(stream, &sent).await.unwrap() == sent);
        })
    });
    for trip in trips.collect::<Vec<_>>() {
        within(trip).await.unwrap();
    }
    assert_eq!(connector.metrics().streams_opened.get(), 200);
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_streams_opened_at_once_over_tcp_all_arrive() {
    two_hundred_streams_at_once(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_hundred_streams_opened_at_once_over_quic_all_arrive() {
    two_hundred_streams_at_once(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_held_streams_of_many_peers_all_arrive() {
    let mut listener = listen(Transport::Tcp, 1, Limits::default()).await;
    let addresses = listener.listening().to_vec();
    let mut connectors = Vec::new();
    for n in 2..12 {
        connectors.push(connect(n).await);
    }
    let opens: Vec<_> = connectors
        .iter()
        .flat_map(|connector| std::iter::repeat_n(connector.clone(), 20))
        .map(|connector| {
            let addresses = addresses.clone();
            tokio::spawn(async move { connector.open(peer(1), &addresses).await.unwrap() })
        })
        .collect();
    let mut accepted = Vec::new();
    while accepted.len() < 200 {
        accepted.push(within(listener.accept()).await.unwrap());
    }
    for open in opens {
        within(open).await.unwrap();
    }
    assert_eq!(listener.metrics().streams.get(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_gets_its_share_of_streams_and_the_next_when_one_is_closed() {
    let limits = Limits {
        streams_per_peer: 2,
        ..Limits::default()
    };
    let mut listener = listen(Transport::Tcp, 1, limits).await;
    let addresses = listener.listening().to_vec();
    let connector = connect(2).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let (opened, accepted) =
            tokio::join!(connector.open(peer(1), &addresses), listener.accept());
        held.push((opened.unwrap(), accepted.unwrap()));
    }
    let third = {
        let (connector, addresses) = (connector.clone(), addresses.clone());
        tokio::spawn(async move { connector.open(peer(1), &addresses).await })
    };
    until(|| connector.metrics().open_retries.get() > 0).await;
    // Another peer is not affected.
    let other = connect(3).await;
    let (opened, accepted) = tokio::join!(other.open(peer(1), &addresses), listener.accept());
    assert!(opened.is_ok() && accepted.is_some());
    held.pop();
    within(listener.accept()).await.unwrap();
    within(third).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_restarts_is_found_again() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let port = free_port();
        let at = Config {
            listen: vec![transport.address(port)],
            ..config()
        };
        let listener = Listener::start(&at, keypair(1)).await.unwrap();
        let addresses = listener.listening().to_vec();
        let connector = connect(2).await;
        let server = echo(listener);
        let stream = within(connector.open(peer(1), &addresses)).await.unwrap();
        assert_eq!(round_trip(stream, b"one").await.unwrap(), b"one");
        server.abort();
        // The listener goes with its task; until it is back, opening goes on trying.
        assert!(server.await.is_err());
        let opening = {
            let (connector, addresses) = (connector.clone(), addresses.clone());
            tokio::spawn(async move { connector.open(peer(1), &addresses).await })
        };
        let again = loop {
            if let Ok(listener) = Listener::start(&at, keypair(1)).await {
                break listener;
            }
            tokio::task::yield_now().await;
        };
        let _server = echo(again);
        let stream = within(opening).await.unwrap().unwrap();
        assert_eq!(round_trip(stream, b"two").await.unwrap(), b"two");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_networks_listener_and_a_wrong_peer_are_told_apart() {
    let listener = listen(Transport::Tcp, 1, Limits::default()).await;
    let addresses = listener.listening().to_vec();
    let foreign = Config {
        genesis_hash: [0xcd; 32],
        ..config()
    };
    let stranger = Connector::start(&foreign, keypair(2)).await.unwrap();
    let error = within(stranger.open(peer(1), &addresses))
        .await
        .unwrap_err();
    assert_eq!(error, OpenError::Unsupported(peer(1)));
    let brief = Config {
        open_timeout: Duration::from_millis(300),
        ..config()
    };
    let connector = Connector::start(&brief, keypair(3)).await.unwrap();
    let error = within(connector.open(peer(9), &addresses))
        .await
        .unwrap_err();
    let OpenError::Timeout { reason, .. } = error else {
        panic!("{error}")
    };
    assert!(reason.contains(&peer(1).to_string()), "{reason}");
    let error = within(connector.open(peer(9), &[])).await.unwrap_err();
    assert_eq!(error, OpenError::NoAddress(peer(9)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_without_streams_is_closed_after_its_time() {
    let short = Config {
        listen: vec![Transport::Tcp.address(0)],
        idle_timeout: Duration::from_millis(50),
        ..config()
    };
    let listener = Listener::start(&short, keypair(1)).await.unwrap();
    let metrics = listener.metrics().clone();
    let addresses = listener.listening().to_vec();
    let server = echo(listener);
    let connector = connect(2).await;
    let stream = within(connector.open(peer(1), &addresses)).await.unwrap();
    assert_eq!(metrics.connections.get(), 1);
    assert_eq!(round_trip(stream, b"x").await.unwrap(), b"x");
    until(|| metrics.connections.get() == 0).await;
    let stream = within(connector.open(peer(1), &addresses)).await.unwrap();
    assert_eq!(round_trip(stream, b"y").await.unwrap(), b"y");
    server.abort();
}

/// An opener that goes while neither side has anything to say.
async fn a_dropped_stream_ends_at_the_other_side(transport: Transport) {
    let mut listener = listen(transport, 1, Limits::default()).await;
    let addresses = listener.listening().to_vec();
    let connector = connect(2).await;
    let (opened, accepted) = tokio::join!(connector.open(peer(1), &addresses), listener.accept());
    let (mut opened, (_, mut accepted)) = (opened.unwrap(), accepted.unwrap());
    opened.write_all(b"a").await.unwrap();
    opened.flush().await.unwrap();
    accepted.read_exact(&mut [0]).await.unwrap();
    let reading = tokio::spawn(async move { accepted.read(&mut [0]).await });
    drop(opened);
    // The end or a failure: whichever it is, it comes.
    assert_eq!(within(reading).await.unwrap().unwrap_or(0), 0);
    connector.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_dropped_ends_at_the_other_side() {
    for transport in [Transport::Tcp, Transport::Quic] {
        a_dropped_stream_ends_at_the_other_side(transport).await;
    }
}
