//! Networks that are ended and go on, and networks side by side.

use crate::harness::{Net, block_on, fetch, no_engine, output, program, until};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use std::process::Command;
use std::time::Duration;
use welkin_testnet::network::Network;
use welkin_testnet::network::engine::containers;
use welkin_testnet::network::http::over_tcp;
use welkin_testnet::network::process::{Process, strays};
use welkin_testnet::network::ready;

/// How long a process may take to end after a signal to do so: less than what `down` waits before it kills.
const GOODBYE: Duration = Duration::from_secs(20);

fn height(net: &Net) -> u64 {
    let rpc = net.record().validators[0].rpc.clone();
    until("a node answers", || block_on(ready::height(&rpc)))
}

/// The first block, which names the chain for good.
fn first_block(net: &Net) -> serde_json::Value {
    let url = format!("{}/block?height=1", net.record().validators[0].rpc);
    let answer = block_on(over_tcp("GET", &url, Default::default())).unwrap();
    answer.json().unwrap()["result"]["block_id"].clone()
}

fn until_it_grows(net: &Net) {
    let before = height(net);
    until("the chain grows", || (height(net) > before).then_some(()));
}

/// The network's own engine, if it has one: a shared one is left alone.
fn engine(net: &Net) -> Option<Pid> {
    let own = net.record().engine.and_then(|engine| engine.private)?;
    let pid = std::fs::read_to_string(own.join("pid")).unwrap();
    Pid::from_raw(pid.trim().parse().unwrap())
}

fn kill_engine(net: &Net) {
    let Some(pid) = engine(net) else { return };
    kill_process(pid, Signal::KILL).unwrap();
    until("the engine has ended", || {
        test_kill_process(pid).is_err().then_some(())
    });
}

/// An engine that takes connections and answers nothing. It is killed when this is dropped.
struct Hanging(Option<Pid>);

impl Hanging {
    fn engine_of(net: &Net) -> Hanging {
        let hanging = Hanging(engine(net));
        if let Some(pid) = hanging.0 {
            kill_process(pid, Signal::STOP).unwrap();
        }
        hanging
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

#[test]
fn a_network_goes_on_after_all_its_processes_were_killed_and_after_it_was_taken_down() {
    if no_engine("a network that goes on") {
        return;
    }
    let (net, printed) = Net::up(&["--validators", "1", "--demo"]);
    let url = printed.lines().next_back().unwrap().to_owned();
    let (chain, before) = (first_block(&net), height(&net));
    for process in strays(&net.folder()) {
        process.kill().unwrap();
    }
    kill_engine(&net);
    net.again(&[]);
    assert_eq!(first_block(&net), chain);
    assert!(height(&net) >= before, "nothing committed was lost");
    until_it_grows(&net);
    until("the application answers", || fetch(&url));

    net.down(&[]);
    assert_eq!(strays(&net.folder()), []);
    assert_eq!(fetch(&url), None);
    net.again(&[]);
    assert_eq!(first_block(&net), chain);
    until_it_grows(&net);
    until("the application answers", || fetch(&url));
}

#[test]
fn two_networks_live_side_by_side_and_one_outlives_the_other() {
    if no_engine("two networks side by side") {
        return;
    }
    let (one, printed) = Net::up(&["--validators", "1", "--demo"]);
    let url = printed.lines().next_back().unwrap().to_owned();
    let other = one.beside(&["--validators", "1"]);
    let elsewhere = other.deploy();
    assert_ne!(first_block(&one), first_block(&other));
    assert_eq!(one.containers(&one.provider()).len(), 2);
    assert_eq!(other.containers(&other.provider()).len(), 2);
    assert!(fetch(&url).is_some() && fetch(&elsewhere.urls[0]).is_some());

    // A copy of a network's folder names what is another's.
    let copy = other.dir.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    let record = |folder: &std::path::Path| folder.join("testnet.json");
    std::fs::copy(record(&other.folder()), record(&copy)).unwrap();
    let refused = Command::new(program())
        .args(["down", "--purge", "--name", "copy", "--dir"])
        .arg(other.dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("Nothing was touched"), "{said}");
    assert!(copy.exists() && fetch(&elsewhere.urls[0]).is_some());
    until_it_grows(&other);

    other.down(&["--purge"]);
    assert!(!other.folder().exists());
    assert_eq!(fetch(&elsewhere.urls[0]), None);
    until_it_grows(&one);
    assert!(fetch(&url).is_some());
    assert_eq!(one.containers(&one.provider()).len(), 2);
}

/// The firewall tables of this machine.
fn tables() -> String {
    let listed = output(Command::new("nft").args(["list", "tables"]));
    String::from_utf8_lossy(&listed.stdout).into_owned()
}

#[test]
fn a_purge_without_the_record_takes_its_own_from_an_engine_of_others_and_nothing_else() {
    if no_engine("a purge without the record") {
        return;
    }
    let (owner, _) = Net::up(&["--validators", "1"]);
    let socket = owner.record().engine.unwrap().socket;
    let guest = owner.beside_with(
        &[("DOCKER_HOST", format!("unix://{}", socket.display()))],
        &["--validators", "1"],
    );
    assert_eq!(guest.record().engine.unwrap().private, None);
    owner.deploy();
    guest.deploy();
    let (host, provider) = (owner.provider(), guest.provider());
    let of_guest = || block_on(containers(&socket, &provider.instance)).unwrap();
    assert_eq!(of_guest().len(), 2);
    assert!(tables().contains(&provider.instance));

    std::fs::write(Network::file(&guest.folder()), "{}").unwrap();
    guest.down(&["--purge"]);
    assert!(!guest.folder().exists());
    assert_eq!(of_guest(), Vec::<serde_json::Value>::new());
    assert!(!tables().contains(&provider.instance));
    assert_eq!(owner.containers(&host).len(), 2);
    assert!(tables().contains(&host.instance));
}

/// Asks a process to end; whether it does by itself.
fn ends_when_asked(process: Process) -> bool {
    process.signal(Signal::TERM).unwrap();
    process.wait(GOODBYE)
}

#[test]
fn daemons_end_when_they_are_asked_to_whatever_engine_and_chain_do() {
    if no_engine("the ends of daemons") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1"]);
    net.deploy();
    let (network, provider) = (net.record(), net.provider());
    // The provider subscribes to blocks, so the node has a WebSocket open.
    let log = net.log("validator-0");
    assert!(ends_when_asked(network.processes["validator-0"]));
    assert!(
        !log.text().contains("not everything ended"),
        "{}",
        log.text()
    );
    assert!(
        ends_when_asked(network.processes[&provider.name]),
        "without a chain"
    );

    net.again(&[]);
    let hanging = Hanging::engine_of(&net);
    net.kill("validator-0");
    let daemon = net.record().processes[&provider.name];
    assert!(ends_when_asked(daemon), "with an engine that hangs");
    let log = net.log(&provider.name);
    let daemon = net.start_daemon(&provider);
    log.until_it_says("starting");
    assert!(ends_when_asked(daemon), "while it starts");
    drop(hanging);
}
