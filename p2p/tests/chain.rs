//! The chain's network on loopback: four real nodes.

mod common;

use bytes::Bytes;
use common::{Node, Transport, mesh, until};
use welkin_p2p::chain::{
    Config, NetworkEvent, Protocol, PublishError, RequestError, StartError, Topic, TopicLabel,
    Verdict,
};

/// Publishes until everybody else has it: the first message may be early for a subscription.
async fn everybody_gets(nodes: &mut [Node], topic: Topic, data: &[u8]) {
    let (publisher, others) = nodes.split_first_mut().unwrap();
    until_published(publisher, topic, data, others.len()).await;
    for node in others {
        let (received, token) = node.message(topic).await;
        assert_eq!(&received[..], data);
        assert_eq!(token.source(), publisher.handle.local_peer());
        node.handle.report(token, Verdict::Accept);
    }
}

/// Waits until gossip knows `count` subscribers, then publishes.
async fn until_published(publisher: &Node, topic: Topic, data: &[u8], count: usize) {
    assert_eq!(publisher.handle.peers().len(), count);
    let label = TopicLabel { topic };
    let published = || {
        publisher
            .handle
            .metrics()
            .published
            .get_or_create(&label)
            .get()
    };
    let before = published();
    publisher.handle.publish(topic, data.to_vec()).unwrap();
    until(|| published() > before).await;
}

async fn gossip_reaches_all(transport: Transport) {
    let mut nodes = mesh(transport, 4).await;
    for topic in Topic::ALL {
        let data = vec![topic as u8; topic.max_bytes()];
        everybody_gets(&mut nodes, topic, &data).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_gossip_the_largest_messages_of_every_topic_over_tcp() {
    gossip_reaches_all(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_nodes_gossip_the_largest_messages_of_every_topic_over_quic() {
    gossip_reaches_all(Transport::Quic).await;
}
