//! What a tenant does with a lease over the peer channel, and what others are refused.

use crate::harness::{Net, block_on, no_engine, output, run, until};
use std::io::{Read, Write};
use std::process::Stdio;
use welkin_client::keyring::Keyring;
use welkin_p2p::channel::{Config, Connector};
use welkin_p2p::identity;
use welkin_provider::daemon::book::now;
use welkin_provider_api::channel::{ChannelClient, ChannelError, Reason};
use welkin_provider_api::delegation::{
    DEFAULT_VALIDITY_SECONDS, Delegator, MAX_SKEW_SECONDS, Scopes,
};
use welkin_runtime::Time;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::types::NANOS_PER_SECOND;

#[test]
fn logs_events_and_shells_come_over_the_channel_and_are_refused_to_others_and_after_closing() {
    if no_engine("the channel") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1"]);
    let deployed = net.deploy();
    let (deployment, lease) = (deployed.deployment, deployed.leases[0].clone());

    let mut follow = net
        .welkin("alice", &["lease", "logs", "-f", &lease])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 9];
    follow
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    follow.kill().unwrap();
    follow.wait().unwrap();
    let logs = run(&mut net.welkin("alice", &["lease", "logs", &lease]));
    assert!(
        logs.contains("listening on port 8080") && logs.contains("listening on port 8081"),
        "{logs}"
    );
    assert!(!run(&mut net.welkin("alice", &["lease", "events", &lease])).is_empty());

    let shell = |account: &str, command: &[&str]| {
        let mut arguments = vec!["lease", "shell", &lease, "--"];
        arguments.extend(command);
        net.welkin(account, &arguments)
    };
    assert_eq!(
        output(&mut shell("alice", &["sh", "-c", "exit 7"]))
            .status
            .code(),
        Some(7)
    );
    let mut cat = shell("alice", &["cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    cat.stdin.take().unwrap().write_all(b"x\n").unwrap();
    let ended = cat.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert_eq!(ended.stdout, b"x\n");

    assert_eq!(
        output(&mut net.welkin("bob", &["lease", "logs", &lease]))
            .status
            .code(),
        Some(5)
    );
    assert_eq!(
        output(&mut shell("bob", &["true"])).status.code(),
        Some(255)
    );
    assert_eq!(expired(&net, &lease), Reason::Expired);
    run(&mut net.welkin("alice", &["deployment", "close", &deployment]));
    until("the lease is refused", || {
        (!output(&mut net.welkin("alice", &["lease", "logs", &lease]))
            .status
            .success())
        .then_some(())
    });
}

/// What the provider says to the owner's delegation when that is as old as the skew of clocks and a little more. The
/// command line has no way to say it: its clock would have to be wrong.
fn expired(net: &Net, lease: &str) -> Reason {
    let (network, provider) = (net.record(), net.provider());
    let password = std::fs::read_to_string(network.home.join("password")).unwrap();
    let key = Keyring::new(network.home.join("keys"))
        .open("alice", &password)
        .unwrap();
    let info = net.chain().info().clone();
    let own = SigningKey::from_seed(&rand::random());
    let delegator = Delegator {
        chain: info.clone(),
        key,
        peer: own.public_key(),
        provider: provider.address,
        lease: lease.parse().unwrap(),
    };
    let age = (DEFAULT_VALIDITY_SECONDS + MAX_SKEW_SECONDS + 5) * NANOS_PER_SECOND;
    let signed = Time(now().0 - age);
    let profile = net.json(&["provider", "show", &provider.address.to_string()]);
    let profile = &profile["provider"]["profile"];
    let peer = identity::parse_peer_id(profile["peer_id"].as_str().unwrap()).unwrap();
    let address = profile["addresses"][0].as_str().unwrap();
    let address = identity::parse_address(address).unwrap();
    let refused = block_on(async {
        let keypair = identity::keypair_from_secret(*own.seed());
        let config = Config::new(info.genesis_hash.0);
        let connector = Connector::start(&config, keypair).await.unwrap();
        let stream = connector.open(peer, &[address]).await.unwrap();
        let delegation = delegator.grant(Scopes::all(), signed, rand::random());
        ChannelClient::new(stream, delegation).status().await
    });
    match refused {
        Err(ChannelError::Refused(refusal)) => refusal.reason,
        other => panic!("{other:?}"),
    }
}
