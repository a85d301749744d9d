//! Peers that speak our transport and then misbehave, named by what they do.

use std::net::Ipv4Addr;

use futures::StreamExt as _;
use libp2p::gossipsub::MessageAuthenticity;
use libp2p::request_response;
use libp2p::swarm::SwarmEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use welkin_p2p::chain::{
    Config, DropLabel, DropReason, NetworkEvent, Protocol, RequestError, Topic, Verdict,
};
use welkin_p2p::{Multiaddr, Offence, OffenceLabel, Rate, channel};

use crate::common::{
    GENESIS, Node, PATIENCE, Transport, config, keypair, mesh, peer, until, within,
};
use crate::raw::{
    BehaviourEvent, Hostile, NETWORK, cut_off_for_opening, stream_opener, topic_name,
};

fn offences(node: &Node, offence: Offence) -> u64 {
    node.handle
        .metrics()
        .offences
        .get_or_create(&OffenceLabel { offence })
        .get()
}

fn dropped(node: &Node, topic: Topic, reason: DropReason) -> u64 {
    node.handle
        .metrics()
        .dropped
        .get_or_create(&DropLabel { topic, reason })
        .get()
}

async fn victim() -> Node {
    Node::start(1, config(Transport::Tcp)).await
}

/// The node heard of a peer and of nothing else.
fn heard_only_of_peers(node: &mut Node) -> bool {
    std::iter::from_fn(|| node.events.try_recv()).all(|event| {
        matches!(
            event,
            NetworkEvent::PeerConnected(_) | NetworkEvent::PeerDisconnected(_)
        )
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_sends_oversized_messages_is_cut_off_and_the_node_never_sees_them() {
    let mut node = victim().await;
    let mut hostile = Hostile::connected_to(&node, MessageAuthenticity::Anonymous).await;
    for n in 0..9u8 {
        hostile.gossip(
            &topic_name(Topic::Consensus),
            vec![n; Topic::Consensus.max_bytes() + 2],
        );
    }
    hostile.until_cut_off().await;
    assert!(dropped(&node, Topic::Consensus, DropReason::Oversized) >= 3);
    assert!(offences(&node, Offence::Oversized) >= 3);
    until(|| node.handle.peers().is_empty()).await;
    assert!(heard_only_of_peers(&mut node));
    // It is refused for a while.
    let again = Hostile::dialling(&node, NETWORK, MessageAuthenticity::Anonymous);
    again.until_cut_off().await;
    assert!(heard_only_of_peers(&mut node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_sends_malformed_messages_is_cut_off() {
    let mut node = victim().await;
    let mut hostile = Hostile::connected_to(&node, MessageAuthenticity::Anonymous).await;
    hostile.gossip(&topic_name(Topic::Consensus), b"no such flag\x07".to_vec());
    hostile.gossip(&topic_name(Topic::Parts), Vec::new());
    hostile.gossip(&topic_name(Topic::Evidence), b"\xff".to_vec());
    hostile.until_cut_off().await;
    assert_eq!(offences(&node, Offence::Malformed), 3);
    assert!(heard_only_of_peers(&mut node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_signs_its_gossip_is_cut_off() {
    let mut node = victim().await;
    let signed = MessageAuthenticity::Signed(keypair(66));
    let mut hostile = Hostile::connected_to(&node, signed).await;
    for n in 0..3u8 {
        hostile.gossip(&topic_name(Topic::Transactions), vec![n, 0]);
    }
    hostile.until_cut_off().await;
    assert_eq!(offences(&node, Offence::Malformed), 3);
    assert!(heard_only_of_peers(&mut node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_goes_on_after_a_frame_beyond_the_limit_is_cut_off() {
    let mut node = victim().await;
    let swarm = stream_opener(node.address(), format!("/welkin/{NETWORK}/gossip/1.1.0"));
    // A length of 2 MiB, as a protobuf varint, and more of it than a frame may have.
    let mut frame = b"\x80\x80\x80\x01".to_vec();
    frame.resize(200 * 1024, 0x0a);
    cut_off_for_opening(swarm, &frame).await;
    assert!(offences(&node, Offence::Malformed) >= 3);
    assert!(heard_only_of_peers(&mut node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_floods_is_dropped_beyond_its_rate_and_in_the_end_cut_off() {
    let mut slow = config(Transport::Tcp);
    slow.rates.evidence_messages = Rate::new(1, 5);
    let mut node = Node::start(1, slow).await;
    let mut hostile = Hostile::connected_to(&node, MessageAuthenticity::Anonymous).await;
    for n in 0..200u8 {
        hostile.gossip(&topic_name(Topic::Evidence), vec![n, 0]);
    }
    hostile.until_cut_off().await;
    let passed = std::iter::from_fn(|| node.events.try_recv())
        .filter(|event| matches!(event, NetworkEvent::Message { .. }))
        .count();
    assert!((5..=8).contains(&passed), "{passed}");
    assert!(dropped(&node, Topic::Evidence, DropReason::TooFast) >= 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_announces_more_than_a_request_may_hold_is_cut_off() {
    let mut node = victim().await;
    let mut hostile = Hostile::connected_to(&node, MessageAuthenticity::Anonymous).await;
    hostile.ask(b"\x00\xff\xff\xff\xff".to_vec());
    hostile.ask(b"\x04\x00\x10\x00\x00".to_vec());
    hostile.ask(b"\x63".to_vec());
    hostile.until_cut_off().await;
    assert_eq!(offences(&node, Offence::Oversized), 2);
    assert_eq!(offences(&node, Offence::Malformed), 1);
    assert!(heard_only_of_peers(&mut node));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_answers_with_an_oversized_body_costs_the_asker_one_error() {
    let node = victim().await;
    let hostile = Hostile::connected_to(&node, MessageAuthenticity::Anonymous).await;
    let mut swarm = hostile.swarm;
    tokio::spawn(async move {
        loop {
            if let SwarmEvent::Behaviour(BehaviourEvent::Requests(
                request_response::Event::Message {
                    message: request_response::Message::Request { channel, .. },
                    ..
                },
            )) = swarm.select_next_some().await
            {
                let liar = b"\x00\x00\x7f\xff\xff\xff".to_vec();
                let _ = swarm.behaviour_mut().requests.send_response(channel, liar);
            }
        }
    });
    let outcome = within(node.handle.request(peer(66), Protocol::Status, &b""[..])).await;
    assert_eq!(outcome, Err(RequestError::Malformed));
    assert_eq!(offences(&node, Offence::Oversized), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_another_network_is_cut_off_before_the_node_hears_of_it() {
    let mut node = victim().await;
    let authenticity = MessageAuthenticity::Anonymous;
    Hostile::dialling(&node, "cdcdcdcdcdcdcdcd", authenticity)
        .until_cut_off()
        .await;
    // It may say so a second time, by a push, before it is cut off.
    assert!(offences(&node, Offence::WrongNetwork) >= 1);
    assert!(node.events.try_recv().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_speaks_no_libp2p_and_one_that_only_connects_change_nothing() {
    let mut tight = config(Transport::Tcp);
    tight.connections.per_loopback_ip = 3;
    let node = Node::start(1, tight).await;
    let port = port(&node.handle.listening()[0]);
    let mut held = Vec::new();
    for n in 0..6 {
        let mut raw = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))
            .await
            .unwrap();
        if n % 2 == 0 {
            let _ = raw.write_all(&[0xff; 4096]).await;
        }
        held.push(raw);
    }
    let refused = node.handle.metrics().connections_refused.clone();
    until(|| refused.get() >= 3).await;
    drop(held);
    until(|| refused.get() >= 6).await;
    let others = Config {
        persistent_peers: vec![node.address()],
        ..config(Transport::Tcp)
    };
    let mut other = Node::start(2, others).await;
    other.connected_to(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_does_to_a_node_does_not_reach_its_neighbours() {
    let mut nodes = mesh(Transport::Tcp, 3).await;
    let mut hostile = Hostile::connected_to(&nodes[0], MessageAuthenticity::Anonymous).await;
    hostile.gossip(&topic_name(Topic::Consensus), b"bad\x07".to_vec());
    hostile.gossip(&topic_name(Topic::Consensus), b"unasked\x00".to_vec());
    let run = hostile.run();
    let (data, token) = nodes[0].message(Topic::Consensus).await;
    assert_eq!(data, &b"unasked"[..]);
    nodes[0].handle.report(token, Verdict::Reject);
    nodes[0]
        .handle
        .publish(Topic::Consensus, &b"honest"[..])
        .unwrap();
    let (data, _) = nodes[1].message(Topic::Consensus).await;
    assert_eq!(
        data,
        &b"honest"[..],
        "the rejected one would have come first"
    );
    assert_eq!(offences(&nodes[1], Offence::Malformed), 0);
    run.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_opens_channel_streams_without_a_greeting_is_cut_off() {
    let at = channel::Config {
        listen: vec![Transport::Tcp.address(0)],
        open_timeout: PATIENCE,
        ..channel::Config::new(GENESIS)
    };
    let mut listener = channel::Listener::start(&at, keypair(1)).await.unwrap();
    let place: Multiaddr = listener.listening()[0].clone().with_p2p(peer(1)).unwrap();
    let swarm = stream_opener(place, format!("/welkin/channel/1/{NETWORK}"));
    cut_off_for_opening(swarm, b"GET / HTTP/1.1").await;
    assert_eq!(listener.metrics().bans.get(), 1);
    // Others are served as before.
    let connector = channel::Connector::start(&at, keypair(2)).await.unwrap();
    let addresses = listener.listening().to_vec();
    let (opened, accepted) = tokio::join!(connector.open(peer(1), &addresses), listener.accept());
    let (mut opened, (_, mut accepted)) = (opened.unwrap(), accepted.unwrap());
    opened.write_all(b"hello").await.unwrap();
    let mut bytes = [0; 5];
    within(accepted.read_exact(&mut bytes)).await.unwrap();
    assert_eq!(&bytes, b"hello");
}

fn port(address: &Multiaddr) -> u16 {
    address
        .iter()
        .find_map(|part| match part {
            libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
            _ => None,
        })
        .unwrap()
}
