//! What is in reach from inside a tenant's container, by the command that a tenant types.
//!
//! Each address that must be out of reach has a listener that answers from a control container, which no firewall of
//! ours knows: an address that is merely dead shows nothing. The world behind the host is a network namespace.

use crate::harness::{Net, block_on, no_engine, output, run, until};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use welkin_node::config::{Home, NodeConfig};
use welkin_testnet::network::engine::IMAGE;
use welkin_testnet::network::http::over_socket;
use welkin_testnet::network::{ready, sources};

/// Where machines of clouds keep credentials.
const METADATA: &str = "169.254.169.254";
/// A private address of somebody else's network.
const PRIVATE: &str = "172.31.255.9";
/// An address of the public internet (TEST-NET-3, RFC 5737, which no one routes).
const PUBLIC: &str = "203.0.113.9";
/// The host, as the world sees it.
const HOST: &str = "198.51.100.1";
/// Where the demo's counter listens, on every address of its namespace.
const PORT: u16 = 8081;

/// The namespace behind the host, with the demo's counter listening on all of its addresses.
struct World {
    name: String,
    listener: Option<Child>,
}

fn ip(line: &str) {
    run(Command::new("ip").args(line.split(' ')));
}

impl World {
    fn start() -> World {
        let id = std::process::id();
        let (name, outer, inner) = (
            format!("welkin-world-{id}"),
            format!("wo{id}"),
            format!("wi{id}"),
        );
        let mut world = World {
            name: name.clone(),
            listener: None,
        };
        ip(&format!("netns add {name}"));
        ip(&format!(
            "link add {outer} type veth peer name {inner} netns {name}"
        ));
        ip(&format!("address add {HOST}/30 dev {outer}"));
        ip(&format!("link set {outer} up"));
        ip(&format!(
            "-n {name} address add 198.51.100.2/30 dev {inner}"
        ));
        ip(&format!("-n {name} link set {inner} up"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} route add default via {HOST}"));
        for address in [METADATA, PRIVATE, PUBLIC] {
            ip(&format!("-n {name} address add {address}/32 dev lo"));
            ip(&format!("route add {address}/32 via 198.51.100.2"));
        }
        let mut counter = Command::new("ip")
            .args(["netns", "exec", &name])
            .arg(sources().join("apps/hello/target/release/hello"))
            .arg("counter")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // It goes on writing: its output stays open as long as it lives.
        let mut line = String::new();
        BufReader::new(counter.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        world.listener = Some(counter);
        assert!(line.contains("listening"), "{line}");
        world
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut listener) = self.listener.take() {
            let _ = (listener.kill(), listener.wait());
        }
        // The pair of links and the routes over it go with the namespace.
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
    }
}

/// A container in the network's engine that no firewall of ours knows.
struct Control<'a> {
    net: &'a Net,
    id: String,
}

impl<'a> Control<'a> {
    fn start(net: &'a Net) -> Control<'a> {
        let mut control = Control {
            net,
            id: String::new(),
        };
        let network = json!({ "Name": "control", "Driver": "bridge" });
        control.post("/networks/create", network);
        let ulimits =
            ["nofile", "nproc"].map(|name| json!({"Name": name, "Soft": 1000, "Hard": 1000}));
        let container = json!({
            "Image": IMAGE, "Cmd": ["/hello", "web"],
            "HostConfig": { "NetworkMode": "control", "Ulimits": ulimits },
        });
        let made = control.post("/containers/create?name=control", container);
        control.id = made["Id"].as_str().unwrap().to_owned();
        control.post(&format!("/containers/{}/start", control.id), json!({}));
        control
    }

    fn post(&self, path: &str, body: Value) -> Value {
        let socket = self.net.record().engine.unwrap().socket;
        let body = body.to_string().into();
        let answer = block_on(over_socket(&socket, "POST", path, body)).unwrap();
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_default()
    }

    fn reaches(&self, address: &str, port: u16) -> bool {
        let command = json!({ "Cmd": ask(address, port), "AttachStdout": true });
        let made = self.post(&format!("/containers/{}/exec", self.id), command);
        let id = made["Id"].as_str().unwrap();
        self.post(&format!("/exec/{id}/start"), json!({}));
        let socket = self.net.record().engine.unwrap().socket;
        let path = format!("/exec/{id}/json");
        until("the control container has asked", || {
            let seen = block_on(over_socket(&socket, "GET", &path, Default::default())).unwrap();
            let seen = seen.json().unwrap();
            (seen["Running"] == false).then(|| seen["ExitCode"] == 0)
        })
    }
}

fn ask(address: &str, port: u16) -> Vec<String> {
    ["/hello", "ask", address, &port.to_string(), "/health"]
        .map(str::to_owned)
        .to_vec()
}

/// Whether the service `web` of a lease gets an answer from there.
fn reaches(net: &Net, account: &str, lease: &str, address: &str, port: u16) -> bool {
    let asked = ask(address, port);
    let mut words = vec!["lease", "shell", lease, "--service", "web", "--"];
    words.extend(asked.iter().map(String::as_str));
    let ended = output(&mut net.welkin(account, &words));
    match ended.status.code() {
        Some(0) => true,
        Some(1) => false,
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&ended.stderr)),
    }
}

/// The address of a lease's counter.
fn counter(net: &Net, lease: &str) -> String {
    let containers = net.containers(&net.provider());
    let counter = containers
        .iter()
        .find(|one| {
            one["Labels"]["welkin.lease"] == lease && one["Labels"]["welkin.service"] == "counter"
        })
        .unwrap();
    let networks = counter["NetworkSettings"]["Networks"].as_object().unwrap();
    let network = networks.values().next().unwrap();
    network["IPAddress"].as_str().unwrap().to_owned()
}

/// Lets the validator's RPC listen on every address of the host; its port.
fn open_rpc(net: &Net) -> u16 {
    let validator = net.record().validators[0].clone();
    net.kill(&validator.name);
    let path = Home::new(&validator.home).node_toml();
    let text = std::fs::read_to_string(&path).unwrap();
    let mut config = NodeConfig::from_toml(&text, &path).unwrap();
    let port = config.rpc.listen.port();
    config.rpc.listen = SocketAddr::from(([0, 0, 0, 0], port));
    std::fs::write(&path, config.to_toml()).unwrap();
    net.start_validator(&validator);
    until("the validator answers again", || {
        block_on(ready::height(&validator.rpc))
    });
    port
}

#[test]
fn a_container_reaches_its_own_lease_and_the_internet_and_neither_others_nor_the_host() {
    if no_engine("what a container reaches") {
        return;
    }
    let (net, _) = Net::up(&["--validators", "1"]);
    let _world = World::start();
    let rpc = open_rpc(&net);
    let own = net.deploy().leases.remove(0);
    let hello = sources().join("apps/hello/hello.yaml");
    let other = net.deploy_as("bob", &hello, &[]).leases.remove(0);
    let control = Control::start(&net);
    let forbidden = [(METADATA, PORT), (PRIVATE, PORT), (HOST, rpc)];
    for (address, port) in forbidden.into_iter().chain([(PUBLIC, PORT)]) {
        assert!(
            control.reaches(address, port),
            "nothing answers at {address}:{port}, so the test shows nothing"
        );
    }
    let (own_counter, other_counter) = (counter(&net, &own), counter(&net, &other));
    assert!(
        reaches(&net, "bob", &other, &other_counter, PORT),
        "the other lease's counter answers"
    );

    for address in ["counter", own_counter.as_str(), PUBLIC] {
        let in_reach = reaches(&net, "alice", &own, address, PORT);
        assert!(in_reach, "{address} ought to be in reach");
    }
    for (address, port) in forbidden
        .into_iter()
        .chain([(other_counter.as_str(), PORT)])
    {
        let in_reach = reaches(&net, "alice", &own, address, port);
        assert!(!in_reach, "{address}:{port} ought to be out of reach");
    }
}
