//! What the chain's network promises, on TCP, on QUIC, and on the simulated twin.

use std::time::Duration;

use crate::common::{GENESIS, Node, World, peer, until, within};
use welkin_p2p::Offence;
use welkin_p2p::chain::{
    Config, NetworkEvent, Protocol, PublishError, RequestError, Topic, TopicLabel, Verdict,
};

fn base() -> Config {
    Config::new(GENESIS)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_message_of_every_topic_reaches_everybody() {
    for world in World::ALL {
        let (mut nodes, _hub) = world.mesh(4, &base()).await;
        for topic in Topic::ALL {
            let data = vec![topic as u8; topic.max_bytes()];
            nodes[0].handle.publish(topic, data.clone()).unwrap();
            for node in &mut nodes[1..] {
                let (received, token) = node.message(topic).await;
                assert!(received == data, "{world:?}");
                assert_eq!((token.source(), token.topic()), (peer(1), topic));
                node.handle.report(token, Verdict::Accept);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_above_the_limit_is_not_published() {
    for world in World::ALL {
        let (nodes, _hub) = world.mesh(2, &base()).await;
        for topic in Topic::ALL {
            let (bytes, limit) = (topic.max_bytes() + 1, topic.max_bytes());
            let error = nodes[0].handle.publish(topic, vec![0; bytes]).unwrap_err();
            assert_eq!(
                error,
                PublishError::TooLarge {
                    topic,
                    bytes,
                    limit
                },
                "{world:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_message_is_sent_once() {
    for world in World::ALL {
        let (mut nodes, _hub) = world.mesh(2, &base()).await;
        let label = TopicLabel {
            topic: Topic::Consensus,
        };
        for data in [&b"vote"[..], b"vote", b"next"] {
            nodes[0].handle.publish(Topic::Consensus, data).unwrap();
        }
        for wanted in [&b"vote"[..], b"next"] {
            let (data, _) = nodes[1].message(Topic::Consensus).await;
            assert_eq!(data, wanted, "{world:?}");
        }
        let metrics = nodes[0].handle.metrics();
        assert_eq!(metrics.published.get_or_create(&label).get(), 2);
        assert_eq!(metrics.not_published.get_or_create(&label).get(), 1);
    }
}

/// Answers one request of `asker` with `answer`, and gives the outcome there.
async fn ask(
    nodes: &mut [Node],
    protocol: Protocol,
    answer: impl FnOnce(welkin_p2p::chain::Reply, &[u8]),
) -> Result<bytes::Bytes, RequestError> {
    let asker = nodes[0].handle.clone();
    let to = nodes[1].handle.local_peer();
    let question = vec![9; protocol.max_request_bytes()];
    let asked = question.clone();
    let asking = tokio::spawn(async move { asker.request(to, protocol, question).await });
    let (who, body, reply) = nodes[1].request().await;
    assert_eq!(who, nodes[0].handle.local_peer());
    assert!(body == asked);
    answer(reply, &body);
    within(asking).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_up_to_the_limits() {
    for world in World::ALL {
        let (mut nodes, _hub) = world.mesh(2, &base()).await;
        for protocol in Protocol::ALL {
            let largest = vec![3; protocol.max_response_bytes()];
            let sent = largest.clone();
            let outcome = ask(&mut nodes, protocol, |reply, _| reply.send(sent)).await;
            assert!(outcome == Ok(largest.into()), "{world:?} {protocol:?}");
            let outcome = ask(&mut nodes, protocol, |reply, _| reply.send(Vec::new())).await;
            assert_eq!(outcome, Ok(bytes::Bytes::new()));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_not_answered_says_why() {
    for world in World::ALL {
        let (mut nodes, _hub) = world.mesh(2, &base()).await;
        let outcome = ask(&mut nodes, Protocol::Status, |reply, _| drop(reply)).await;
        assert_eq!(outcome, Err(RequestError::Refused), "{world:?}");
        let too_large = vec![0; Protocol::Status.max_response_bytes() + 1];
        let outcome = ask(&mut nodes, Protocol::Status, |reply, _| {
            reply.send(too_large)
        })
        .await;
        assert_eq!(outcome, Err(RequestError::Refused), "{world:?}");

        let handle = &nodes[0].handle;
        let limit = Protocol::Status.max_request_bytes();
        let outcome = handle
            .request(peer(2), Protocol::Status, vec![0; limit + 1])
            .await;
        assert_eq!(
            outcome,
            Err(RequestError::TooLarge {
                bytes: limit + 1,
                limit
            })
        );
        let outcome = handle.request(peer(77), Protocol::Status, &b"?"[..]).await;
        assert_eq!(outcome, Err(RequestError::NotConnected), "{world:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_takes_no_longer_than_it_may() {
    let base = Config {
        request_timeout: Duration::from_millis(100),
        ..base()
    };
    for world in World::ALL {
        let (mut nodes, _hub) = world.mesh(2, &base).await;
        let asker = nodes[0].handle.clone();
        let asking =
            tokio::spawn(async move { asker.request(peer(2), Protocol::Status, &b"?"[..]).await });
        let (_, _, _kept) = nodes[1].request().await;
        let outcome = within(asking).await.unwrap();
        assert_eq!(
            outcome,
            Err(RequestError::Timeout(base.request_timeout)),
            "{world:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_whose_messages_are_rejected_is_cut_off_and_refused() {
    for world in World::ALL {
        let (mut nodes, _hub) = world.mesh(3, &base()).await;
        for n in 0..3u8 {
            nodes[0].handle.publish(Topic::Consensus, vec![n]).unwrap();
            let (_, token) = match n {
                // The third one is dropped: by then the sender is on the graylist.
                2 => break,
                _ => nodes[1].message(Topic::Consensus).await,
            };
            nodes[1].handle.report(token, Verdict::Reject);
        }
        nodes[1].handle.penalise(peer(1), Offence::BadAnswer);
        nodes[1].handle.penalise(peer(1), Offence::BadAnswer);
        nodes[1].loses(peer(1)).await;
        nodes[0].loses(peer(2)).await;
        assert_eq!(nodes[1].handle.metrics().bans.get(), 1, "{world:?}");
        // The third node is content with both, and the banned one cannot come back.
        assert_eq!(nodes[2].handle.peers().len(), 2);
        nodes[0]
            .handle
            .publish(Topic::Parts, &b"still there"[..])
            .unwrap();
        let (data, _) = nodes[2].message(Topic::Parts).await;
        assert_eq!(data, &b"still there"[..]);
        let outcome = nodes[0]
            .handle
            .request(peer(2), Protocol::Status, &b"?"[..])
            .await;
        assert_eq!(outcome, Err(RequestError::NotConnected), "{world:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_with_another_genesis_never_mix() {
    for world in World::ALL {
        let (mut nodes, hub) = world.mesh(2, &base()).await;
        let foreign = Config::new([0xcd; 32]);
        let stranger = world.node(9, foreign, &nodes, hub.as_ref()).await;
        if matches!(world, World::Real(_)) {
            // It dials; whoever hears first that the other is foreign counts that and hangs up.
            let bans = [&stranger, &nodes[0]].map(|node| node.handle.metrics().bans.clone());
            until(|| bans.iter().any(|bans| bans.get() > 0)).await;
        }
        nodes[0]
            .handle
            .publish(Topic::Consensus, &b"ours"[..])
            .unwrap();
        let (data, _) = nodes[1].message(Topic::Consensus).await;
        assert_eq!(data, &b"ours"[..]);
        assert!(stranger.handle.peers().is_empty(), "{world:?}");
        assert_eq!(nodes[0].handle.peers().len(), 1);
        let outcome = stranger
            .handle
            .request(peer(1), Protocol::Status, &b"?"[..])
            .await;
        let expected = [
            RequestError::NotConnected,
            RequestError::Refused,
            RequestError::Disconnected,
        ];
        assert!(expected.contains(&outcome.unwrap_err()), "{world:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_is_gone_for_itself_and_for_others() {
    for world in World::ALL {
        let (mut nodes, _hub) = world.mesh(2, &base()).await;
        let mut stopped = nodes.remove(1);
        within(stopped.handle.stop()).await;
        nodes[0].loses(peer(2)).await;
        while let Some(event) = within(stopped.events.recv()).await {
            assert!(!matches!(event, NetworkEvent::Message { .. }), "{world:?}");
        }
        let error = stopped.handle.publish(Topic::Parts, &b"x"[..]).unwrap_err();
        assert_eq!(error, PublishError::Stopped);
        let outcome = stopped
            .handle
            .request(peer(1), Protocol::Status, &b"x"[..])
            .await;
        assert_eq!(outcome, Err(RequestError::Stopped));
    }
}
