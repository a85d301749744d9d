//! What a lease's containers reach, and what they do not.
//!
//! Each address has a listener that answers from a control container outside of the provider's firewall, so that an
//! address that is merely dead does not pass for one that is out of reach. The "internet" is a network namespace of the
//! test's own behind the host.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use welkin_modules::ids::LeaseId;
use welkin_provider::backend::container::{Config, ContainerBackend};
use welkin_provider::backend::*;
use welkin_provider::firewall::Firewall;
use welkin_runtime::types::{Address, Hash};

const IMAGE: &str = "welkin.local/hello:1";
/// Where the demo program's counter listens, on every address of its namespace.
const PORT: u16 = 8081;
/// The cloud's metadata service, where machines keep credentials.
const METADATA: &str = "169.254.169.254";
/// A private address of somebody else's network.
const PRIVATE: &str = "172.31.255.9";
/// An address of the public internet (TEST-NET-3, RFC 5737, which no one routes).
const PUBLIC: &str = "203.0.113.9";

fn testnet() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("testnet")
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {out}{err}");
    out.trim().to_owned()
}

fn ip(line: &str) {
    run(Command::new("ip").args(line.split(' ')));
}

/// The world behind the host: one namespace with the three addresses, and the counter listening on all of them.
struct World {
    name: String,
    listener: Option<Listener>,
}

/// The demo's counter as a process of the test's own.
struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
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
        ip(&format!("address add 198.51.100.1/30 dev {outer}"));
        ip(&format!("link set {outer} up"));
        ip(&format!(
            "-n {name} address add 198.51.100.2/30 dev {inner}"
        ));
        ip(&format!("-n {name} link set {inner} up"));
        ip(&format!("-n {name} link set lo up"));
        ip(&format!("-n {name} route add default via 198.51.100.1"));
        for address in [METADATA, PRIVATE, PUBLIC] {
            ip(&format!("-n {name} address add {address}/32 dev lo"));
            ip(&format!("route add {address}/32 via 198.51.100.2"));
        }
        world.listener = Some(counter(Command::new("ip").args(["netns", "exec", &name])));
        world
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.listener.take());
        // The veth pair and the routes over it go with the namespace.
        let _ = Command::new("ip")
            .args(["netns", "delete", &self.name])
            .status();
    }
}

/// Starts the counter, and returns once it listens.
fn counter(command: &mut Command) -> Listener {
    let program = testnet().join("apps/hello/target/release/hello");
    let mut child = command
        .arg(program)
        .arg("counter")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let output = child.stdout.as_mut().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line).unwrap();
    assert!(line.contains("listening"), "{line}");
    Listener(child)
}

/// An engine of the test's own, gone with everything in it when dropped.
struct Engine {
    folder: tempfile::TempDir,
    socket: PathBuf,
    control: String,
}

impl Engine {
    fn start() -> Engine {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("hello.tar");
        run(Command::new(testnet().join("apps/build-image.sh")).arg(&image));
        let mut script = Command::new(testnet().join("engine.sh"));
        let socket = run(script.arg("start").arg(folder.path().join("engine"))).into();
        let mut engine = Engine {
            folder,
            socket,
            control: String::new(),
        };
        engine.curl(
            &[
                "-X",
                "POST",
                "-H",
                "content-type: application/x-tar",
                "--data-binary",
            ],
            "/images/load",
            |c| {
                c.arg(format!("@{}", image.display()));
            },
        );
        engine.control = engine.start_control();
        engine
    }

    fn curl(
        &self,
        options: &[&str],
        path: &str,
        more: impl FnOnce(&mut Command),
    ) -> serde_json::Value {
        let mut command = Command::new("curl");
        command
            .args(["-fsS", "--unix-socket"])
            .arg(&self.socket)
            .args(options);
        more(&mut command);
        let answer = run(command.arg(format!("http://engine/v1.41{path}")));
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn post(&self, path: &str, body: serde_json::Value) -> serde_json::Value {
        self.curl(
            &["-X", "POST", "-H", "content-type: application/json", "-d"],
            path,
            |command| {
                command.arg(body.to_string());
            },
        )
    }

    /// A container that no firewall of ours knows.
    fn start_control(&self) -> String {
        self.post(
            "/networks/create",
            serde_json::json!({ "Name": "control", "Driver": "bridge" }),
        );
        let ulimits = ["nofile", "nproc"]
            .map(|name| serde_json::json!({"Name": name, "Soft": 1000, "Hard": 1000}));
        let made = self.post(
            "/containers/create?name=control",
            serde_json::json!({
                "Image": IMAGE, "Cmd": ["/hello", "web"],
                "HostConfig": { "NetworkMode": "control", "Ulimits": ulimits },
            }),
        );
        let id = made["Id"].as_str().unwrap().to_owned();
        self.post(&format!("/containers/{id}/start"), serde_json::json!({}));
        id
    }

    /// Whether the control container gets an answer from `address`.
    fn control_reaches(&self, address: &str) -> bool {
        let command = serde_json::json!({ "Cmd": probe(address), "AttachStdout": true });
        let id = self.post(&format!("/containers/{}/exec", self.control), command)["Id"].clone();
        let id = id.as_str().unwrap().to_owned();
        self.curl(
            &[
                "-X",
                "POST",
                "-H",
                "content-type: application/json",
                "-o",
                "/dev/null",
                "-d",
                "{}",
            ],
            &format!("/exec/{id}/start"),
            |_| {},
        );
        // The end of the output comes a little before the engine knows the exit code.
        loop {
            let seen = self.curl(&[], &format!("/exec/{id}/json"), |_| {});
            if seen["Running"] == false {
                return seen["ExitCode"] == 0;
            }
        }
    }

    fn instance(&self) -> Instance {
        let hash = blake3::hash(self.folder.path().as_os_str().as_encoded_bytes());
        Instance {
            genesis: Hash(*hash.as_bytes()),
            provider: Address([1; 20]),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let script = testnet().join("engine.sh");
        let _ = Command::new(script)
            .arg("purge")
            .arg(self.folder.path().join("engine"))
            .status();
        let _ = Firewall::new(&self.instance().short()).remove();
    }
}

fn probe(address: &str) -> Vec<String> {
    ["/hello", "ask", address, &PORT.to_string(), "/health"]
        .map(str::to_owned)
        .to_vec()
}

fn lease(deployment: u64) -> LeaseSpec {
    let lease: LeaseId = format!("{deployment}/1/1").parse().unwrap();
    let service = |name: &str| ServiceSpec {
        name: name.to_owned(),
        image: IMAGE.to_owned(),
        credentials: None,
        command: vec!["/hello".to_owned(), name.to_owned()],
        args: Vec::new(),
        env: Vec::new(),
        cpu_millis: 100,
        memory_bytes: 64 << 20,
        disk_bytes: 64 << 20,
        replicas: 1,
        volumes: Vec::new(),
        ports: Vec::new(),
    };
    LeaseSpec {
        key: LeaseKey {
            lease,
            creation_height: 3,
        },
        version: Hash([1; 32]),
        services: vec![service("counter"), service("web")],
    }
}

async fn reaches(backend: &ContainerBackend, key: LeaseKey, address: &str) -> bool {
    let command = probe(address);
    let request = ExecRequest {
        service: "web".to_owned(),
        replica: 0,
        command,
        tty: None,
    };
    let mut session = backend.exec(key, request).await.unwrap();
    while let Some(piece) = session.output.recv().await {
        if let ExecOutput::Exit(code) = piece.unwrap() {
            return code == 0;
        }
    }
    panic!("the probe ended without a code");
}

async fn counter_address(backend: &ContainerBackend, key: LeaseKey) -> String {
    let leases = backend.observe().await.unwrap();
    let lease = leases.into_iter().find(|lease| lease.key == key).unwrap();
    let counter = lease
        .replicas
        .into_iter()
        .find(|replica| replica.service == "counter")
        .unwrap();
    counter.address.unwrap().to_string()
}

#[tokio::test]
async fn a_lease_reaches_itself_and_the_internet_and_nothing_else() {
    if std::env::var("WELKIN_TEST_NO_ENGINE").as_deref() == Ok("1") {
        println!("left out: there is no container engine on this machine");
        return;
    }
    let engine = Engine::start();
    let _world = World::start();
    let _on_host = counter(&mut Command::new("env"));
    let config = Config {
        engine_socket: Some(engine.socket.clone()),
        instance: engine.instance(),
        allow_root: false,
        local_images: vec![IMAGE.to_owned()],
    };
    let backend = config.build().await.unwrap();
    assert!(
        backend.capabilities().network_isolated,
        "the firewall's table is in place"
    );
    let (own, other) = (lease(1), lease(2));
    backend.apply(&own).await.unwrap();
    backend.apply(&other).await.unwrap();

    let host = "198.51.100.1";
    for address in [METADATA, PRIVATE, PUBLIC, host] {
        assert!(
            engine.control_reaches(address),
            "nothing answers at {address}, so the test shows nothing"
        );
    }
    let own_counter = counter_address(&backend, own.key).await;
    let other_counter = counter_address(&backend, other.key).await;
    assert!(
        reaches(&backend, other.key, &other_counter).await,
        "the other lease's counter answers"
    );

    for address in ["counter", own_counter.as_str(), PUBLIC] {
        assert!(
            reaches(&backend, own.key, address).await,
            "{address} ought to be in reach"
        );
    }
    for address in [METADATA, PRIVATE, host, other_counter.as_str()] {
        assert!(
            !reaches(&backend, own.key, address).await,
            "{address} ought to be out of reach"
        );
    }
}
