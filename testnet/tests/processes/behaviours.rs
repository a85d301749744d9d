//! What a tenant can expect of a lease whatever runs it: one suite, on containers and on Kubernetes. What one of them does
//! not offer is printed.

use crate::harness::{Deployed, Net, fetch, no_cluster, no_engine, output, run, until};
use serde_json::Value;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::Duration;

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
        let namespaces = suite.net.kubectl(0, &["get", "namespaces", "-o=name"]);
        (!namespaces.contains("namespace/welkin-")).then_some(())
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
    let events = run(&mut suite.net.welkin("alice", &["lease", "events", lease]));
    assert!(events.contains("running"), "{events}");
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
