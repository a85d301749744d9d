//! What a tenant can expect of a lease whatever runs it: one suite, on containers and on Kubernetes. What one of them does
//! not offer is printed.

use crate::harness::{Deployed, Net, block_on, fetch, no_cluster, no_engine, output, run, until};
use crate::secrets::sdl;
use serde_json::Value;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use welkin_testnet::cluster::layout::Member;
use welkin_testnet::network::{ready, sources};

/// Three services: one with a host name, one with a TCP port, two replicas of one with a UDP port.
const SUITE: &str = r#"
version: "2.0"
services:
  web:
    image: welkin.local/hello:1
    command: ["/hello", "web"]
    env:
      - GREETING=First greeting
    dependencies:
      - service: counter
    expose:
      - {port: 8080, as: 80, to: [{global: true}]}
  counter:
    image: welkin.local/hello:1
    command: ["/hello", "counter"]
    expose:
      - {port: 8081, to: [{global: true}, {service: web}]}
  echo:
    image: welkin.local/hello:1
    command: ["/hello", "echo"]
    expose:
      - {port: 7070, proto: udp, to: [{global: true}]}
profiles:
  compute:
    small:
      resources:
        cpu: {units: 0.05}
        memory: {size: 64Mi}
        storage: {size: 64Mi}
  placement:
    anywhere:
      pricing:
        small: {denom: uwlk, amount: 1000}
deployment:
  web: {anywhere: {profile: small, count: 1}}
  counter: {anywhere: {profile: small, count: 1}}
  echo: {anywhere: {profile: small, count: 2}}
"#;

/// One service with a volume that outlives its containers.
const KEEPS: &str = r#"
version: "2.0"
services:
  web:
    image: welkin.local/hello:1
    command: ["/hello", "web"]
    params:
      storage:
        data: {mount: /data}
    expose:
      - {port: 8080, as: 80, to: [{global: true}]}
profiles:
  compute:
    keeps:
      resources:
        cpu: {units: 0.05}
        memory: {size: 64Mi}
        storage:
          - size: 64Mi
          - {name: data, size: 16Mi, attributes: {persistent: true, class: default}}
  placement:
    anywhere:
      pricing:
        keeps: {denom: uwlk, amount: 1000}
deployment:
  web: {anywhere: {profile: keeps, count: 1}}
"#;

/// A network whose only provider runs what the suite asks for.
struct Suite {
    net: Net,
    deployed: Deployed,
}

impl Suite {
    fn on(arguments: &[&str]) -> Suite {
        let (net, _) = Net::up(&[&["--validators", "1"], arguments].concat());
        let file = write(&net, "suite.yaml", SUITE);
        let deployed = net.deploy_as("alice", &file, &[]);
        Suite { net, deployed }
    }

    /// The URL that begins like this.
    fn url(&self, scheme: &str) -> &str {
        let mut all = self.deployed.urls.iter().chain(&self.deployed.ports);
        let found = all.find(|url| url.starts_with(scheme));
        found.unwrap_or_else(|| panic!("no {scheme}"))
    }

    fn page(&self) -> Option<String> {
        fetch(self.url("http://"))
    }

    fn lease(&self) -> &str {
        &self.deployed.leases[0]
    }

    fn status(&self) -> Value {
        self.net.json(&["lease", "status", self.lease()])
    }

    /// Another version of the suite's file: its path.
    fn changed(&self, name: &str, from: &str, to: &str) -> PathBuf {
        assert!(SUITE.contains(from));
        write(&self.net, name, &SUITE.replace(from, to))
    }

    fn update(&self, file: &std::path::Path) -> std::process::Output {
        let file = file.to_str().unwrap();
        let id = &self.deployed.deployment;
        output(
            &mut self
                .net
                .welkin("alice", &["deployment", "update", id, file]),
        )
    }
}

fn write(net: &Net, name: &str, text: &str) -> PathBuf {
    let file = net.dir.path().join(name);
    std::fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_lease_behaves_on_containers_as_its_tenant_expects() {
    if no_engine("the behaviours on containers") {
        return;
    }
    let suite = Suite::on(&[]);
    all(&suite);
    println!("containers do not offer: data that survives a replica's death");
    let net = &suite.net;
    let plan = net.json(&["plan", write(net, "keeps.yaml", KEEPS).to_str().unwrap()]);
    let candidate = &plan["groups"][0]["providers"][0];
    assert_eq!(candidate["could_run"], false, "{plan}");
    until("no container is left", || {
        net.containers(&net.provider()).is_empty().then_some(())
    });
}

#[test]
fn a_lease_behaves_on_kubernetes_as_its_tenant_expects() {
    if no_cluster("the behaviours on Kubernetes") {
        return;
    }
    let suite = Suite::on(&["--kubernetes"]);
    all(&suite);
    data_survives_a_pod(&suite.net);
    println!("Kubernetes offers all of it");
    until("no namespace of a lease is left", || {
        let left = ["get", "namespaces", "-o=name", "--selector=welkin/lease"];
        suite.net.kubectl(0, &left).is_empty().then_some(())
    });
}

fn all(suite: &Suite) {
    services_find_each_other_and_are_found(suite);
    a_tenant_looks_into_its_lease(suite);
    an_update_replaces_what_it_changes_and_one_that_fails_nothing(suite);
    run(&mut suite.net.welkin(
        "alice",
        &["deployment", "close", &suite.deployed.deployment],
    ));
    until("it is gone", || suite.page().is_none().then_some(()));
}

fn services_find_each_other_and_are_found(suite: &Suite) {
    let page = suite.page().unwrap();
    assert!(page.contains("First greeting"), "{page}");
    until("the counter is found by name", || {
        suite.page().filter(|page| page.contains("id=\"count\""))
    });
    let next = format!("{}/next", suite.url("tcp://").replace("tcp://", "http://"));
    assert!(
        until("the TCP port answers", || fetch(&next))
            .trim()
            .parse::<u64>()
            .is_ok()
    );

    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    let address = suite
        .url("udp://")
        .trim_start_matches("udp://")
        .replace("localhost", "127.0.0.1");
    until("the UDP port answers", || {
        socket.send_to(b"anybody there", &address).unwrap();
        let mut answer = [0; 32];
        let length = socket.recv(&mut answer).ok()?;
        (&answer[..length] == b"anybody there").then_some(())
    });
    let status = suite.status();
    let services = status["services"].as_array().unwrap();
    let echo = services.iter().find(|one| one["name"] == "echo").unwrap();
    assert_eq!(
        (&echo["ready"], &echo["wanted"]),
        (&2.into(), &2.into()),
        "{status}"
    );
}

fn a_tenant_looks_into_its_lease(suite: &Suite) {
    let lease = suite.lease();
    let logs = run(&mut suite.net.welkin("alice", &["lease", "logs", lease]));
    for line in [
        "web-0 | listening on port 8080",
        "echo-0 | listening",
        "echo-1 | listening",
    ] {
        assert!(logs.contains(line), "{line}: {logs}");
    }
    // What answers already is told by the provider's next look.
    until("it is told that it runs", || {
        let events = run(&mut suite.net.welkin("alice", &["lease", "events", lease]));
        events.contains("running").then_some(())
    });
    let shell = |script: &str| {
        let words = [
            "lease",
            "shell",
            lease,
            "--service",
            "web",
            "--",
            "sh",
            "-c",
            script,
        ];
        output(&mut suite.net.welkin("alice", &words))
    };
    let said = shell("echo out; echo err >&2; exit 7");
    let (out, err) = (
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr),
    );
    assert_eq!(
        (said.status.code(), &*out, &*err),
        (Some(7), "out\n", "err\n")
    );
}

fn an_update_replaces_what_it_changes_and_one_that_fails_nothing(suite: &Suite) {
    let second = suite.changed("second.yaml", "First greeting", "Second greeting");
    let updated = suite.update(&second);
    assert!(
        updated.status.success(),
        "{}",
        String::from_utf8_lossy(&updated.stderr)
    );
    // An ingress may lead to what goes for a moment longer.
    until("the second version answers", || {
        suite.page().filter(|page| page.contains("Second greeting"))
    });

    let bad = suite.changed("bad.yaml", r#"["/hello", "echo"]"#, r#"["/nothing"]"#);
    let failed = suite.update(&bad);
    let said = String::from_utf8_lossy(&failed.stderr);
    assert_eq!(failed.status.code(), Some(5), "{said}");
    assert!(said.contains("echo"), "{said}");
    // What of the failed version ran already is the second version again.
    until("the second version answers again", || {
        suite.page().filter(|page| page.contains("Second greeting"))
    });
}

fn data_survives_a_pod(net: &Net) {
    let file = write(net, "keeps.yaml", KEEPS);
    let deployed = net.deploy_as("alice", &file, &[]);
    let lease = &deployed.leases[0];
    let shell = |script: &str| {
        let words = ["lease", "shell", lease, "--", "sh", "-c", script];
        output(&mut net.welkin("alice", &words))
    };
    assert!(shell("echo kept > /data/word").status.success());
    net.kubectl(
        0,
        &[
            "delete",
            "pods",
            "--all-namespaces",
            "--selector=welkin/lease",
        ],
    );
    until("another pod has the word", || {
        let said = shell("cat /data/word");
        (said.status.success() && said.stdout == b"kept\n").then_some(())
    });
    run(&mut net.welkin("alice", &["deployment", "close", &deployed.deployment]));
}

#[test]
fn two_providers_have_a_cluster_each_win_a_group_each_and_remove_what_ended_while_they_were_down() {
    if no_cluster("two providers with a cluster each") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1", "--providers", "2", "--kubernetes"]);
    let file = write(&net, "groups.yaml", &sdl("group", ["one", "two"]));
    let deployed = net.deploy_as("alice", &file, &[]);
    let leased = |provider: usize| {
        let list = ["get", "namespaces", "-o=name", "--selector=welkin/lease"];
        net.kubectl(provider, &list).lines().count()
    };
    assert_eq!((leased(0), leased(1)), (1, 1));
    assert_eq!(deployed.urls.len(), 2);
    for url in &deployed.urls {
        assert!(fetch(url).is_some(), "{url}");
    }

    let provider = net.provider();
    net.kill(&provider.name);
    for url in &deployed.urls {
        assert!(fetch(url).is_some(), "{url} without its provider");
    }
    run(&mut net.welkin("alice", &["deployment", "close", &deployed.deployment]));
    until("the other provider's is gone", || {
        (leased(1) == 0).then_some(())
    });
    assert_eq!(leased(0), 1);
    net.start_daemon(&provider);
    until("what ended meanwhile is gone", || {
        (leased(0) == 0).then_some(())
    });
}

#[test]
fn a_provider_whose_cluster_enforces_no_policies_names_what_answered_and_does_not_bid() {
    if no_cluster("a cluster without policies") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1", "--kubernetes"]);
    let hello = sources().join("apps/hello/hello.yaml");
    let could_run = || {
        let plan = net.json(&["plan", hello.to_str().unwrap()]);
        plan["groups"][0]["providers"][0]["could_run"] == true
    };
    assert!(could_run());

    let provider = net.provider();
    let cluster = provider.read_cluster().unwrap().unwrap();
    let felix = cluster
        .processes
        .iter()
        .find(|(name, _)| name.ends_with("-felix"));
    felix
        .expect("a process of the node enforces policies")
        .1
        .kill()
        .unwrap();
    let node = cluster.layout().namespace_file(Member::Node(0));
    let in_node = |words: &[&str]| {
        run(Command::new("nsenter")
            .arg(format!("--net={}", node.display()))
            .args(words))
    };
    for table in in_node(&["nft", "list", "tables"]).lines() {
        let words: Vec<&str> = table.split(' ').collect();
        for line in in_node(&["nft", "list", words[0], words[1], words[2]]).lines() {
            if let Some(chain) = line
                .trim()
                .strip_prefix("chain ")
                .and_then(|rest| rest.strip_suffix(" {"))
                && chain.starts_with("cali-")
            {
                in_node(&["nft", "flush", "chain", words[1], words[2], chain]);
            }
        }
    }
    net.kill(&provider.name);
    net.start_daemon(&provider);
    let why = until("the provider says what answered", || {
        let status = block_on(ready::provider_status(&provider)).ok()?;
        status.fence.filter(|why| why.contains("answered"))
    });
    assert!(why.contains("198.18.") && why.contains(" 10250"), "{why}");
    assert!(!could_run());
}
