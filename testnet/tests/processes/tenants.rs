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
use welkin_testnet::network::sources;

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

#[test]
fn an_application_that_ends_at_once_is_not_said_to_run_and_a_plan_has_prices_and_reasons() {
    if no_engine("an application that ends at once") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1"]);
    let hello = sources().join("apps/hello/hello.yaml");
    let text = std::fs::read_to_string(&hello).unwrap();
    let write = |name: &str, from: &str, to: &str| {
        let changed = text.replace(from, to);
        assert_ne!(changed, text);
        let file = net.dir.path().join(name);
        std::fs::write(&file, changed).unwrap();
        file.to_str().unwrap().to_owned()
    };

    let plan = net.json(&["plan", hello.to_str().unwrap()]);
    let candidate = &plan["groups"][0]["providers"][0];
    assert_eq!(candidate["could_run"], true, "{plan}");
    let rate = candidate["rate_uwlk_per_hour"].clone();
    let too_large = write("large.yaml", "units: 0.1", "units: 200");
    let plan = net.json(&["plan", &too_large]);
    let candidate = &plan["groups"][0]["providers"][0];
    assert_eq!(candidate["could_run"], false, "{plan}");
    assert!(
        candidate["reasons"].to_string().contains("processor"),
        "{plan}"
    );
    let ran = output(&mut net.welkin("alice", &["deploy", &too_large]));
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(3), "{said}");
    assert!(
        said.contains("nothing was ordered") && said.contains("processor"),
        "{said}"
    );
    assert_eq!(net.json(&["deployment", "list"]), serde_json::json!([]));

    let ends = write(
        "ends.yaml",
        r#"["/hello", "web"]"#,
        r#"["sh", "-c", "exit 3"]"#,
    );
    let ran = output(&mut net.welkin("alice", &["deploy", &ends, "--timeout", "12"]));
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(6), "{said}");
    assert!(said.contains("web: replica 0 ended with code 3"), "{said}");
    let lease = &net.json(&["market", "leases"])[0];
    assert_eq!(lease["rate_uwlk_per_hour"], rate, "as the plan said");
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
