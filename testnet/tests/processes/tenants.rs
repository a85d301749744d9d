//! What a tenant does with a lease over the peer channel, what others are refused, and what outlives the daemon.

use crate::harness::{Net, fetch, no_engine, output, run, until};
use std::io::{Read, Write};
use std::process::Stdio;

#[test]
fn logs_events_and_shells_come_over_the_channel_and_are_refused_to_others_and_after_closing() {
    if no_engine("the channel") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1"]);
    let (deployment, lease, _) = net.deploy();

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
    run(&mut net.welkin("alice", &["deployment", "close", &deployment]));
    until("the lease is refused", || {
        (!output(&mut net.welkin("alice", &["lease", "logs", &lease]))
            .status
            .success())
        .then_some(())
    });
}

#[test]
fn an_application_answers_while_its_provider_is_dead_and_a_lease_closed_meanwhile_is_gone_after_its_start()
 {
    if no_engine("the provider's death") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1"]);
    let (deployment, lease, url) = net.deploy();
    let network = net.record();
    let provider = &network.providers[0];
    network.processes[&provider.name].kill().unwrap();
    assert!(fetch(&url).is_some(), "the ingress outlives the daemon");
    net.again(&[]);
    assert!(fetch(&url).is_some());
    run(&mut net.welkin("alice", &["lease", "status", &lease]));
    let logs = run(&mut net.welkin("alice", &["lease", "logs", &lease]));
    assert!(logs.contains("listening"), "{logs}");

    let network = net.record();
    network.processes[&provider.name].kill().unwrap();
    run(&mut net.welkin("alice", &["deployment", "close", &deployment]));
    assert!(fetch(&url).is_some(), "nobody is there to end it");
    net.again(&[]);
    until("the application is gone", || {
        fetch(&url).is_none().then_some(())
    });
}
