//! The first thing that people see: `up --demo`, twice, and `down --purge`.

use crate::harness::{Net, block_on, fetch, no_engine, output, program, until};
use std::process::Command;
use welkin_testnet::network::http::over_socket;
use welkin_testnet::network::process::strays;

/// The number on the demo's page.
fn count(page: &str) -> Option<u64> {
    let (_, rest) = page.split_once("<b id=\"count\">")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[test]
fn the_demo_counts_says_what_is_missing_and_leaves_nothing_behind() {
    if no_engine("the demo") {
        return;
    }
    let (net, printed) = Net::up(&["--demo"]);
    let url = printed.lines().next_back().unwrap().to_owned();
    let page = |url: &str| {
        until("the page shows a number", || {
            fetch(url).as_deref().and_then(count)
        })
    };
    let first = page(&url);
    until("the counter grows", || (page(&url) > first).then_some(()));

    let leases = net.json(&["market", "leases"]);
    assert!(leases.to_string().contains("active"), "{leases}");
    let network = net.record();
    let provider = &network.providers[0];
    assert_eq!(net.containers(provider).len(), 2);
    let again = net.again(&["--demo"]);
    assert_eq!(again.lines().next_back().unwrap(), url);

    // Without the provider nobody starts the counter again, and the page says that it is gone.
    network.processes[&provider.name].kill().unwrap();
    let socket = network.engine.clone().unwrap().socket;
    let counter = net
        .containers(provider)
        .into_iter()
        .find(|one| one["Labels"]["welkin.service"] == "counter")
        .unwrap();
    let id = counter["Id"].as_str().unwrap();
    let stop = format!("/containers/{id}/stop?t=1");
    let stopped = block_on(over_socket(&socket, "POST", &stop, Default::default())).unwrap();
    assert!(stopped.status.is_success(), "{}", stopped.text());
    until("the page says that the counter is gone", || {
        fetch(&url).filter(|page| count(page).is_none())
    });

    net.down(&["--purge"]);
    assert!(!net.folder().exists());
    assert_eq!(strays(&net.folder()), []);
    let tables = output(Command::new("nft").args(["list", "tables"]));
    let tables = String::from_utf8_lossy(&tables.stdout).into_owned();
    assert!(
        !tables.contains(&format!("welkin_{}", provider.instance)),
        "{tables}"
    );
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(
        !mounts.contains(net.folder().to_str().unwrap()),
        "a mount stayed"
    );
}

#[test]
fn a_network_of_another_size_is_refused_with_the_remedy_and_bad_numbers_with_the_range() {
    let (net, _) = Net::up(&["--validators", "1", "--providers", "0"]);
    let up = |arguments: &[&str]| {
        let mut up = Command::new(program());
        let place = [
            "up",
            "--name",
            &net.name,
            "--dir",
            net.dir.path().to_str().unwrap(),
        ];
        let output = output(up.args(place).args(arguments));
        assert!(!output.status.success());
        assert_eq!(output.stdout, b"");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(up(&["--validators", "2"]).contains("--fresh"));
    assert!(up(&["--validators", "8"]).contains("1 to 7"));
    assert!(up(&["--providers", "4"]).contains("0 to 3"));
}
