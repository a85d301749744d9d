//! `deploy` while a provider, or the only node, is down: it says so, keeps trying until its time is over, and the next
//! run continues.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Stdio};

use rustix::process::{Pid, Signal};

use crate::support::{Chain, Ran, address, run, sample, until};

/// Enough to order without a word of the provider, and to wait a while for its bid.
const A_WHILE: &str = "6";

/// `deploy` of a file, for so long at most.
fn words<'a>(file: &'a Path, seconds: &'a str) -> [&'a str; 6] {
    let file = file.to_str().unwrap();
    ["deploy", file, "--deposit", "100000", "--timeout", seconds]
}

fn deploy(chain: &Chain, seconds: &str) -> Ran {
    chain.run("alice", &words(&sample("minimal.yaml"), seconds))
}

fn counts(chain: &Chain) -> (usize, usize) {
    let count = |words: &[&str]| chain.json("alice", words).as_array().unwrap().len();
    (count(&["deployment", "list"]), count(&["market", "leases"]))
}

#[test]
fn a_provider_that_is_down_is_tried_until_the_time_is_over_and_the_next_run_continues() {
    let chain = Chain::start();
    chain.register_provider();

    let file = sample("minimal.yaml");
    let little = ["deploy", file.to_str().unwrap(), "--deposit", "1"];
    let refused = chain.run("alice", &little);
    let said = refused.failure(4);
    assert!(said.contains("give more with --deposit"), "{said}");

    // Nobody bids yet.
    let first = deploy(&chain, A_WHILE);
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
    let said = third.failure(6);
    assert!(
        said.contains("asking the provider of lease 1/1/1") && !said.contains("taking the bid"),
        "{said}"
    );
    assert_eq!(counts(&chain), (1, 1), "nothing is there twice");

    // Its status is out of reach too; once the lease is over, that is a refusal.
    let status = chain.run("alice", &["lease", "status", "1/1/1"]);
    let said = status.failure(6);
    assert!(said.contains("does not answer at /ip4/"), "{said}");
    assert!(said.contains("1/1/1 goes on and is paid for"), "{said}");
    assert!(said.contains("`welkin deployment close 1`"), "{said}");
    chain.run("alice", &["deployment", "close", "1"]).data();
    let closed = chain.run("alice", &["lease", "status", "1/1/1"]);
    assert!(closed.failure(5).contains("closed"), "{}", closed.err);
}

#[test]
fn a_node_that_dies_in_the_middle_is_said_once_and_the_next_run_continues() {
    let mut chain = Chain::start();
    chain.register_provider();
    let file = sample("minimal.yaml");
    let mut command = chain.welkin("alice", &words(&file, "12"));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
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
    let said = second.failure(6);
    assert!(said.contains("trying on"), "{said}");
    assert!(
        said.contains("shows what exists") && !said.contains("nothing is paid for"),
        "it could not look: {said}"
    );

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
    chain.register_provider();
    let file = chain.path("app.yaml");
    let text = std::fs::read_to_string(sample("minimal.yaml")).unwrap();
    std::fs::write(&file, &text).unwrap();
    let words = words(&file, A_WHILE);
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

#[test]
fn two_runs_with_one_file_wait_for_each_other_and_order_once() {
    let chain = Chain::start();
    chain.register_provider();
    let file = sample("minimal.yaml");
    let start = |seconds| {
        let mut command = chain.welkin("alice", &words(&file, seconds));
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let ends = |running: Child| Ran::of(running.wait_with_output().unwrap());
    let (one, other) = (start(A_WHILE), start("10"));
    let ran = [ends(one), ends(other)];
    let said = ran.each_ref().map(|ran| ran.failure(6));
    let waits = |said: &&str| said.contains("another run with this file is at it");
    assert_eq!(
        said.iter().copied().filter(|said| waits(said)).count(),
        1,
        "{said:?}"
    );
    assert_eq!(counts(&chain), (1, 0), "{said:?}");
}

/// Reads what a command says, up to a line with these words.
fn until_it_says(running: &mut Child, words: &str) -> BufReader<ChildStderr> {
    let mut said = BufReader::new(running.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains(words) {
        line.clear();
        assert_ne!(said.read_line(&mut line).unwrap(), 0, "it ended by itself");
    }
    said
}

/// Presses Ctrl-C; what is said after that.
fn interrupted(mut running: Child, mut said: BufReader<ChildStderr>) -> String {
    let pid = Pid::from_child(&running);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let mut rest = String::new();
    said.read_to_string(&mut rest).unwrap();
    let status = running.wait().unwrap();
    assert_eq!(status.code(), Some(130), "as shells count SIGINT: {rest}");
    rest
}

#[test]
fn a_call_to_a_node_that_hangs_ends_at_its_limit() {
    let chain = Chain::start();
    let node = chain.node();
    rustix::process::kill_process(node, Signal::STOP).unwrap();
    let call = ["deployment", "deposit", "1", "5", "--timeout", "1"];
    let ran = chain.run("alice", &call);
    rustix::process::kill_process(node, Signal::CONT).unwrap();
    let said = ran.failure(6);
    assert!(said.contains("welkin deployment show 1"), "{said}");
}

#[test]
fn a_run_that_is_interrupted_says_what_exists() {
    let chain = Chain::start();
    chain.register_provider();
    let file = sample("minimal.yaml");
    let words = ["deploy", file.to_str().unwrap(), "--deposit", "100000"];
    let mut command = chain.welkin("alice", &words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = command.spawn().unwrap();
    let said = until_it_says(&mut running, "waiting for bids");
    let rest = interrupted(running, said);
    assert!(
        rest.contains("deployment 1 exists with 0 lease(s)"),
        "{rest}"
    );
    assert!(
        rest.contains("interrupted while waiting for bids on 1/1/1"),
        "{rest}"
    );
}

#[test]
fn nothing_is_paid_for_where_no_provider_could_win() {
    let chain = Chain::start();
    let nobody = deploy(&chain, "3");
    let said = nobody.failure(3);
    assert!(
        said.contains("nothing was ordered and nothing is paid for")
            && !said.contains("may still get into a block"),
        "{said}"
    );
    chain.register_provider();
    let file = sample("minimal.yaml");
    let alice = address("alice").to_string();
    let words = ["deploy", file.to_str().unwrap(), "--provider", &alice];
    let stranger = chain.run("alice", &words);
    assert!(
        stranger.failure(3).contains("there is no provider"),
        "{}",
        stranger.err
    );
    let asks_for_more = chain.path("app.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &asks_for_more,
        text.replace(
            "      pricing:",
            "      attributes: { region: moon }\n      pricing:",
        ),
    )
    .unwrap();
    let words = ["deploy", asks_for_more.to_str().unwrap()];
    let misfit = chain.run("alice", &words);
    assert!(misfit.failure(3).contains("region"), "{}", misfit.err);
    assert_eq!(counts(&chain), (0, 0));
}

#[test]
fn an_update_that_its_provider_would_have_to_refuse_changes_nothing() {
    let chain = Chain::start();
    chain.register_provider();
    let path = chain.path("app.yaml");
    let text = std::fs::read_to_string(sample("minimal.yaml")).unwrap();
    std::fs::write(&path, &text).unwrap();
    let file = path.to_str().unwrap();
    let words = words(&path, A_WHILE);
    chain.run("alice", &words).failure(6);
    let version =
        || chain.json("alice", &["deployment", "show", "1"])["deployment"]["version"].clone();
    let before = version();

    let larger = text.replace("size: 256Mi", "size: 257Mi");
    assert_ne!(larger, text);
    std::fs::write(file, larger).unwrap();
    let update = ["deployment", "update", "1", file, "--timeout", "3"];
    let refused = chain.run("alice", &update);
    let said = refused.failure(2);
    assert!(
        said.contains("memory") && !said.contains("updating"),
        "{said}"
    );
    let theirs = run(&mut chain.welkin("bob", &update));
    assert!(theirs.failure(2).contains("--key"), "{}", theirs.err);
    assert_eq!(version(), before);

    // What fits is committed to; then it waits for bids as `deploy` does.
    std::fs::write(file, text.replace("1.29", "1.30")).unwrap();
    let update = chain.run("alice", &update);
    let said = update.failure(6);
    assert!(said.contains("committed to the new version"), "{said}");
    assert!(said.contains("while waiting for bids on 1/1/1"), "{said}");
    let committed = version();
    assert_ne!(committed, before);
    let again = chain.run("alice", &words);
    assert!(
        again.failure(6).contains("deployment 1 is there"),
        "{}",
        again.err
    );
    assert_eq!(version(), committed, "`deploy` continues it");
}
