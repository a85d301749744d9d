//! What only a real network of the chain has: places, restarts, neighbours of neighbours.

use crate::common::{GENESIS, Node, Transport, config, free_port, mesh, peer, until, within};
use welkin_p2p::chain::{Config, NetworkEvent, Protocol, RequestError, StartError, Topic, Verdict};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_peer_is_dialled_until_it_is_back() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let at = Config {
            listen: vec![transport.address(free_port())],
            ..Config::new(GENESIS)
        };
        let first = Node::start(1, at.clone()).await;
        let persistent = Config {
            persistent_peers: vec![first.address()],
            ..config(transport)
        };
        let mut second = Node::start(2, persistent).await;
        second.connected_to(1).await;
        first.handle.stop().await;
        second.loses(peer(1)).await;
        let mut first = Node::start(1, at).await;
        second.connected_to(1).await;
        first.connected_to(1).await;
        second.handle.publish(Topic::Parts, &b"again"[..]).unwrap();
        assert_eq!(first.message(Topic::Parts).await.0, &b"again"[..]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_starts_later_is_found_by_whoever_waits_for_it() {
    let port = free_port();
    let place = Transport::Tcp.address(port);
    let waiting = Config {
        persistent_peers: vec![place.clone().with_p2p(peer(1)).unwrap()],
        ..config(Transport::Tcp)
    };
    let mut second = Node::start(2, waiting).await;
    let refused = second.handle.metrics().connections_refused.clone();
    until(|| refused.get() >= 2).await;
    let _first = Node::start(
        1,
        Config {
            listen: vec![place],
            ..Config::new(GENESIS)
        },
    )
    .await;
    second.connected_to(1).await;
}

/// Three nodes in a row, the middle one connected to both ends.
async fn row(explicit: &[u8]) -> [Node; 3] {
    let explicit_peers: Vec<_> = explicit.iter().map(|n| peer(*n)).collect();
    let at = |persistent_peers| Config {
        explicit_peers: explicit_peers.clone(),
        persistent_peers,
        ..config(Transport::Tcp)
    };
    let first = Node::start(1, at(Vec::new())).await;
    let third = Node::start(3, at(Vec::new())).await;
    let middle = Node::start(2, at(vec![first.address(), third.address()])).await;
    let mut row = [first, middle, third];
    row[0].connected_to(1).await;
    row[1].connected_to(2).await;
    row[2].connected_to(1).await;
    row
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_an_accepted_message_is_passed_on() {
    // Explicit peers, whose author knows that it does not reach them all; and no explicit peers at
    // all.
    for explicit in [&[1, 2, 3][..], &[]] {
        let [first, mut middle, mut third] = row(explicit).await;
        for (data, verdict) in [
            (&b"ignored"[..], Verdict::Ignore),
            (b"rejected", Verdict::Reject),
            (b"accepted", Verdict::Accept),
        ] {
            first.handle.publish(Topic::Consensus, data).unwrap();
            let (received, token) = middle.message(Topic::Consensus).await;
            assert_eq!(received, data);
            middle.handle.report(token, verdict);
        }
        let (data, token) = third.message(Topic::Consensus).await;
        assert_eq!((&data[..], token.source()), (&b"accepted"[..], peer(2)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_requests_than_a_peer_may_have_under_way_are_declined_at_once() {
    let mut nodes = mesh(Transport::Tcp, 2).await;
    let asker = nodes[0].handle.clone();
    let ask = |n: u8| {
        let asker = asker.clone();
        tokio::spawn(async move { asker.request(peer(2), Protocol::Votes, vec![n]).await })
    };
    let asking: Vec<_> = (0..16).map(ask).collect();
    let mut replies = Vec::new();
    while replies.len() < 16 {
        let (_, body, reply) = nodes[1].request().await;
        replies.push((body, reply));
    }
    assert_eq!(within(ask(99)).await.unwrap(), Err(RequestError::Busy));
    for (body, reply) in replies {
        reply.send(body);
    }
    for (n, asked) in (0..16).zip(asking) {
        assert_eq!(within(asked).await.unwrap(), Ok(vec![n].into()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_one_clear_sentence() {
    for transport in [Transport::Tcp, Transport::Quic] {
        let first = Node::start(1, config(transport)).await;
        let taken = Config {
            listen: first.handle.listening().to_vec(),
            ..config(transport)
        };
        let error = welkin_p2p::chain::Network::start(taken, crate::common::keypair(2))
            .await
            .unwrap_err();
        assert!(matches!(error, StartError::Listen { .. }));
        let text = error.to_string();
        assert!(
            text.contains("in use") && text.contains("choose another"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_can_be_dialled_once_and_a_wrong_identity_is_not_accepted_there() {
    let first = Node::start(1, config(Transport::Tcp)).await;
    let mut second = Node::start(2, config(Transport::Tcp)).await;
    let place = first.handle.listening()[0].clone();
    let refused = second.handle.metrics().connections_refused.clone();
    second.handle.dial(place.clone().with_p2p(peer(5)).unwrap());
    until(|| refused.get() == 1).await;
    assert!(second.handle.peers().is_empty());
    second.handle.dial(place);
    let event = second.next().await;
    assert!(matches!(event, NetworkEvent::PeerConnected(info) if info.peer == peer(1)));
    second.handle.disconnect(peer(1));
    second.loses(peer(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_peers_that_dial_each_other_at_once_end_up_connected() {
    let (a, b) = (free_port(), free_port());
    let place = |n: u8, port| Transport::Tcp.address(port).with_p2p(peer(n)).unwrap();
    let at = |port, other| Config {
        listen: vec![Transport::Tcp.address(port)],
        persistent_peers: vec![other],
        ..Config::new(GENESIS)
    };
    let (mut first, mut second) = tokio::join!(
        Node::start(1, at(a, place(2, b))),
        Node::start(2, at(b, place(1, a)))
    );
    first.connected_to(1).await;
    second.connected_to(1).await;
    first
        .handle
        .publish(Topic::Evidence, &b"hello"[..])
        .unwrap();
    assert_eq!(second.message(Topic::Evidence).await.0, &b"hello"[..]);
}
