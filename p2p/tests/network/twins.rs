//! What only the twins can do: lose, delay, repeat, cut, and do so again from the same seed.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use welkin_p2p::chain::{
    Config, Events, Handle, NetworkEvent, Protocol, RequestError, Topic, Verdict,
};
use welkin_p2p::simulated::{self, Conditions};
use welkin_p2p::{PeerId, channel};

use crate::common::{GENESIS, PATIENCE, keypair, peer, within};

const ROUGH: Conditions = Conditions {
    lost_per_mille: 300,
    repeated_per_mille: 300,
    delay: Duration::ZERO..Duration::from_millis(3),
};

fn pair(hub: &simulated::chain::Hub) -> [(Handle, Events); 2] {
    let config = Config::new(GENESIS);
    [
        hub.join(&config, &keypair(1)),
        hub.join(&config, &keypair(2)),
    ]
}

/// Which of a hundred messages arrived, in what order, when the last one is sent until it does.
async fn arrivals(seed: u64) -> Vec<u8> {
    let hub = simulated::chain::Hub::new(ROUGH, seed);
    let [(sender, _sender_events), (_receiver, mut events)] = pair(&hub);
    for n in 0..100u8 {
        sender.publish(Topic::Parts, vec![n]).unwrap();
    }
    let mut arrived = Vec::new();
    let mut extra = 100u8;
    loop {
        let next = tokio::time::timeout(Duration::from_millis(20), events.recv()).await;
        match next {
            Ok(Some(NetworkEvent::Message { data, .. })) if data[0] >= 100 => return arrived,
            Ok(Some(NetworkEvent::Message { data, .. })) => arrived.push(data[0]),
            Ok(_) => {}
            Err(_) => {
                sender.publish(Topic::Parts, vec![extra]).unwrap();
                extra += 1;
            }
        }
    }
}

#[tokio::test]
async fn a_rough_network_loses_some_and_delivers_none_twice() {
    let mut arrived = arrivals(11).await;
    assert!((40..95).contains(&arrived.len()), "{}", arrived.len());
    let count = arrived.len();
    arrived.sort_unstable();
    arrived.dedup();
    assert_eq!(arrived.len(), count);
}

#[tokio::test]
async fn the_same_seed_loses_the_same_messages() {
    let sorted = |mut arrived: Vec<u8>| {
        arrived.sort_unstable();
        arrived
    };
    let (first, second) = (sorted(arrivals(5).await), sorted(arrivals(5).await));
    assert_eq!(first, second);
    assert_ne!(first, sorted(arrivals(6).await));
}

#[tokio::test]
async fn a_partition_parts_and_healing_reunites() {
    let hub = simulated::chain::Hub::new(Conditions::PERFECT, 0);
    let [(first, mut first_events), (second, mut second_events)] = pair(&hub);
    let connected = |event| matches!(event, Some(NetworkEvent::PeerConnected(_)));
    assert!(connected(within(first_events.recv()).await));
    assert!(connected(within(second_events.recv()).await));
    let asking = {
        let first = first.clone();
        tokio::spawn(async move { first.request(peer(2), Protocol::Votes, &b"?"[..]).await })
    };
    let Some(NetworkEvent::Request { reply, .. }) = within(second_events.recv()).await else {
        panic!("no request");
    };
    hub.partition(&[&[peer(1)]]);
    assert_eq!(
        within(asking).await.unwrap(),
        Err(RequestError::Disconnected)
    );
    reply.send(&b"too late"[..]);
    let gone = within(first_events.recv()).await;
    assert!(matches!(gone, Some(NetworkEvent::PeerDisconnected(p)) if p == peer(2)));
    assert!(first.peers().is_empty() && second.peers().is_empty());
    hub.heal();
    assert!(connected(within(first_events.recv()).await));
    second.publish(Topic::Evidence, &b"back"[..]).unwrap();
    let Some(NetworkEvent::Message { data, token, .. }) = within(first_events.recv()).await else {
        panic!("no message");
    };
    assert_eq!(data, &b"back"[..]);
    first.report(token, Verdict::Ignore);
}

fn channel_config() -> channel::Config {
    channel::Config {
        open_timeout: PATIENCE,
        ..channel::Config::new(GENESIS)
    }
}

#[tokio::test]
async fn streams_open_through_loss_and_carry_bytes_both_ways() {
    let rough = Conditions {
        lost_per_mille: 700,
        ..ROUGH
    };
    let hub = simulated::channel::Hub::new(rough, 3);
    let config = channel_config();
    let mut listener = hub.listener(&config, peer(1));
    let connector = hub.connector(&config, peer(2));
    let places = [anywhere()];
    let (opened, accepted) = tokio::join!(connector.open(peer(1), &places), listener.accept());
    let (mut opened, (who, mut accepted)) = (opened.unwrap(), accepted.unwrap());
    assert_eq!(who, peer(2));
    let sent = vec![5; 1 << 20];
    let wanted = sent.clone();
    let reading = tokio::spawn(async move {
        let mut bytes = Vec::new();
        accepted.read_to_end(&mut bytes).await.unwrap();
        accepted.write_all(b"got it").await.unwrap();
        accepted.shutdown().await.unwrap();
        bytes
    });
    opened.write_all(&sent).await.unwrap();
    opened.shutdown().await.unwrap();
    assert!(within(reading).await.unwrap() == wanted);
    let mut answer = String::new();
    within(opened.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "got it");
    assert!(connector.metrics().open_retries.get() > 0);
}

#[tokio::test]
async fn a_cut_breaks_open_streams_and_a_new_listener_takes_over() {
    let hub = simulated::channel::Hub::new(Conditions::PERFECT, 0);
    let config = channel_config();
    let mut listener = hub.listener(&config, peer(1));
    let connector = hub.connector(&config, peer(2));
    let places = [anywhere()];
    let (opened, accepted) = tokio::join!(connector.open(peer(1), &places), listener.accept());
    let (mut opened, _accepted) = (opened.unwrap(), accepted.unwrap());
    hub.stop(&peer(1));
    let mut byte = [0];
    assert_eq!(
        within(opened.read(&mut byte)).await.unwrap(),
        0,
        "the stream has ended"
    );
    let opening = tokio::spawn({
        let connector = connector.clone();
        async move { connector.open(peer(1), &[anywhere()]).await }
    });
    let mut again = hub.listener(&config, peer(1));
    let (who, _stream): (PeerId, _) = within(again.accept()).await.unwrap();
    assert_eq!(who, peer(2));
    within(opening).await.unwrap().unwrap();
}

fn anywhere() -> welkin_p2p::Multiaddr {
    "/memory/1".parse().unwrap()
}
