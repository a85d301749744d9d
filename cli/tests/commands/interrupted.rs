//! `deploy` while a provider, or the only node, is down: it says so, keeps trying until its time is over, and the next
//! run continues.

use crate::support::{Chain, Ran, run, sample, until};

fn deploy(chain: &Chain, seconds: &str) -> Ran {
    let file = sample("minimal.yaml");
    let words = [
        "deploy",
        file.to_str().unwrap(),
        "--deposit",
        "100000",
        "--timeout",
        seconds,
    ];
    chain.run("alice", &words)
}

fn counts(chain: &Chain) -> (usize, usize) {
    let count = |words: &[&str]| chain.json("alice", words).as_array().unwrap().len();
    (count(&["deployment", "list"]), count(&["market", "leases"]))
}

#[test]
fn a_provider_that_is_down_is_tried_until_the_time_is_over_and_the_next_run_continues() {
    let chain = Chain::start();
    chain.register_provider();

    // Nobody bids yet.
    let first = deploy(&chain, "3");
    let said = first.failure(6);
    assert!(said.contains("while waiting for bids on 1/1/1"), "{said}");
    assert!(
        said.contains("deployment 1 exists with 0 lease(s)"),
        "{said}"
    );
    assert_eq!(counts(&chain), (1, 0));

    // The bid is taken; whoever made it cannot be reached.
    chain.bid("1/1/1");
    let second = deploy(&chain, "9");
    let said = second.failure(6);
    assert!(
        said.contains("deployment 1 is there"),
        "it continues: {said}"
    );
    assert!(
        said.contains("cannot be reached") && said.contains("trying on"),
        "{said}"
    );
    assert_eq!(
        said.matches("trying on").count(),
        1,
        "it is said once: {said}"
    );
    assert!(
        said.contains("deployment 1 exists with 1 lease(s)"),
        "{said}"
    );
    assert_eq!(counts(&chain), (1, 1));

    let third = deploy(&chain, "3");
    assert!(
        !third.failure(6).contains("taking the bid"),
        "{}",
        third.err
    );
    assert_eq!(counts(&chain), (1, 1), "nothing is there twice");

    // Its status is out of reach too; once the lease is over, that is a refusal.
    chain.run("alice", &["lease", "status", "1/1/1"]).failure(6);
    chain.run("alice", &["deployment", "close", "1"]).data();
    let closed = chain.run("alice", &["lease", "status", "1/1/1"]);
    assert!(closed.failure(5).contains("closed"), "{}", closed.err);
}

#[test]
fn a_node_that_dies_in_the_middle_is_said_once_and_the_next_run_continues() {
    let mut chain = Chain::start();
    let file = sample("minimal.yaml");
    let words = [
        "deploy",
        file.to_str().unwrap(),
        "--deposit",
        "100000",
        "--timeout",
        "12",
    ];
    let mut command = chain.welkin("alice", &words);
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let running = command.spawn().unwrap();
    until("something is ordered", || {
        let list = chain.run("alice", &["deployment", "list", "-o", "json"]);
        (list.code == 0 && list.json().as_array().is_some_and(|all| !all.is_empty())).then_some(())
    });
    chain.stop_node();
    let first = Ran::of(running.wait_with_output().unwrap());
    let said = first.failure(6);
    assert!(said.contains("no server of the chain answered"), "{said}");
    assert_eq!(
        said.matches("; trying on").count(),
        1,
        "it is said once: {said}"
    );

    // With nobody there from the beginning: the same.
    let second = deploy(&chain, "2");
    assert!(second.failure(6).contains("trying on"), "{}", second.err);

    chain.start_node();
    let third = deploy(&chain, "3");
    assert!(
        third.failure(6).contains("deployment 1 is there"),
        "{}",
        third.err
    );
    assert_eq!(counts(&chain), (1, 0), "nothing is there twice");
}

#[test]
fn a_file_that_was_changed_since_is_not_deployed_over_what_runs() {
    let chain = Chain::start();
    let file = chain.path("app.yaml");
    let text = std::fs::read_to_string(sample("minimal.yaml")).unwrap();
    std::fs::write(&file, &text).unwrap();
    let words = [
        "deploy",
        file.to_str().unwrap(),
        "--deposit",
        "100000",
        "--timeout",
        "3",
    ];
    chain.run("alice", &words).failure(6);
    std::fs::write(&file, text.replace("1.29", "1.30")).unwrap();
    let refused = chain.run("alice", &words);
    assert!(
        refused.failure(2).contains("welkin deployment update 1"),
        "{}",
        refused.err
    );
    // Another key's deployment of the same file is its own.
    let mut bobs = chain.welkin("bob", &words);
    assert!(run(&mut bobs).failure(6).contains("deployment 2"));
}
