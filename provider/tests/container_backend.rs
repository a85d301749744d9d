//! The container back end against a real engine: a Podman of the test's own, started by `testnet/engine.sh`.
//!
//! Left out only where `WELKIN_TEST_NO_ENGINE=1` says that there can be no engine.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use welkin_modules::ids::LeaseId;
use welkin_provider::backend::container::{Config, ContainerBackend};
use welkin_provider::backend::*;
use welkin_provider::daemon::book::Book;
use welkin_provider::daemon::knock::knock;
use welkin_provider::firewall::Firewall;
use welkin_runtime::types::{Address, Hash};

const IMAGE: &str = "welkin.local/hello:1";

fn testnet() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("testnet")
}

/// The demo's image, made once for all tests.
fn image() -> &'static Path {
    static IMAGE_FILE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE_FILE.get_or_init(|| {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hello.tar");
        run(Command::new(testnet().join("apps/build-image.sh")).arg(&file));
        file
    })
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

/// An engine of the test's own; gone with everything in it when dropped.
struct Engine {
    folder: tempfile::TempDir,
    socket: PathBuf,
}

impl Engine {
    fn start() -> Option<Engine> {
        if std::env::var("WELKIN_TEST_NO_ENGINE").as_deref() == Ok("1") {
            println!("left out: there is no container engine on this machine");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let script = testnet().join("engine.sh");
        let socket = run(Command::new(script)
            .arg("start")
            .arg(folder.path().join("engine")))
        .into();
        let engine = Engine { folder, socket };
        engine.post("/images/load", image());
        Some(engine)
    }

    fn post(&self, path: &str, file: &Path) {
        let mut curl = Command::new("curl");
        curl.args([
            "-fsS",
            "-X",
            "POST",
            "-H",
            "content-type: application/x-tar",
            "--data-binary",
        ]);
        run(curl
            .arg(format!("@{}", file.display()))
            .arg("--unix-socket")
            .arg(&self.socket)
            .arg(format!("http://engine/v1.41{path}")));
    }

    fn get(&self, path: &str) -> serde_json::Value {
        let mut curl = Command::new("curl");
        curl.args(["-fsS", "--unix-socket"]).arg(&self.socket);
        let answer = run(curl.arg(format!("http://engine/v1.41{path}")));
        serde_json::from_str(&answer).unwrap()
    }

    async fn backend(&self, provider: u8) -> ContainerBackend {
        config(self, provider).build().await.unwrap()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let script = testnet().join("engine.sh");
        let _ = Command::new(script)
            .arg("purge")
            .arg(self.folder.path().join("engine"))
            .status();
        for provider in 1..=2 {
            let _ = Firewall::new(&instance(self, provider).short()).remove();
        }
    }
}

/// A provider of its own for each test, so that tests that run at once have tables of their own.
fn instance(engine: &Engine, provider: u8) -> Instance {
    let genesis =
        Hash(*blake3::hash(engine.folder.path().as_os_str().as_encoded_bytes()).as_bytes());
    Instance {
        genesis,
        provider: Address([provider; 20]),
    }
}

fn config(engine: &Engine, provider: u8) -> Config {
    Config {
        engine_socket: Some(engine.socket.clone()),
        instance: instance(engine, provider),
        allow_root: false,
        local_images: vec![IMAGE.to_owned()],
    }
}

fn key(deployment: u64) -> LeaseKey {
    let lease: LeaseId = format!("{deployment}/1/1").parse().unwrap();
    LeaseKey {
        lease,
        creation_height: 7,
    }
}

fn service(name: &str) -> ServiceSpec {
    ServiceSpec {
        name: name.to_owned(),
        image: IMAGE.to_owned(),
        credentials: None,
        command: vec!["/hello".to_owned(), name.to_owned()],
        args: Vec::new(),
        env: vec![("GREETING".to_owned(), "Good morning".to_owned())],
        cpu_millis: 100,
        memory_bytes: 64 << 20,
        disk_bytes: 64 << 20,
        replicas: 1,
        volumes: Vec::new(),
        ports: Vec::new(),
    }
}

fn lease(deployment: u64) -> LeaseSpec {
    LeaseSpec {
        key: key(deployment),
        version: Hash([1; 32]),
        services: vec![service("counter"), service("web")],
    }
}

/// Applies as the reconcile loop does: engines that start side by side get in each other's way in the system's packet
/// filter, and the next try succeeds.
async fn apply(backend: &ContainerBackend, lease: &LeaseSpec) {
    for _ in 0..5 {
        match backend.apply(lease).await {
            Err(error) if error.to_string().contains("Chain already exists") => {}
            other => return other.unwrap(),
        }
    }
    backend.apply(lease).await.unwrap();
}

async fn seen(backend: &ContainerBackend, key: LeaseKey) -> SeenLease {
    let mut leases = backend.observe().await.unwrap();
    leases.retain(|lease| lease.key == key);
    leases.pop().expect("the lease is there")
}

async fn address(backend: &ContainerBackend, key: LeaseKey, service: &str) -> String {
    let lease = seen(backend, key).await;
    let replica = lease
        .replicas
        .into_iter()
        .find(|replica| replica.service == service)
        .unwrap();
    replica.address.unwrap().to_string()
}

/// Standard output and exit code of a shell command in a replica.
async fn shell(
    backend: &ContainerBackend,
    key: LeaseKey,
    service: &str,
    line: &str,
) -> (String, i64) {
    let command = ["sh", "-c", line].map(str::to_owned).to_vec();
    let request = ExecRequest {
        service: service.to_owned(),
        replica: 0,
        command,
        tty: None,
    };
    let session = backend.exec(key, request).await.unwrap();
    collect(session).await
}

async fn collect(mut session: ExecSession) -> (String, i64) {
    drop(session.input);
    let mut out = Vec::new();
    while let Some(piece) = session.output.recv().await {
        match piece.unwrap() {
            ExecOutput::Stdout(bytes) => out.extend_from_slice(&bytes),
            ExecOutput::Stderr(_) => {}
            ExecOutput::Exit(code) => return (String::from_utf8_lossy(&out).into_owned(), code),
        }
    }
    panic!("the command ended without a code");
}

fn http(address: &str) -> String {
    let mut curl = Command::new("curl");
    run(curl.args([
        "-fsS",
        "--retry",
        "20",
        "--retry-connrefused",
        "--retry-delay",
        "0",
        address,
    ]))
}

#[tokio::test]
async fn services_of_a_lease_find_each_other_by_name_and_removal_leaves_nothing() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    apply(&backend, &lease(1)).await;
    let web = address(&backend, key(1), "web").await;
    let page = http(&format!("http://{web}:8080/"));
    assert!(
        page.contains("Good morning") && page.contains("served <b"),
        "{page}"
    );

    // Applying the same again changes nothing; a restarted daemon knows what is there.
    let before = seen(&backend, key(1)).await;
    let restarted = engine.backend(1).await;
    apply(&restarted, &lease(1)).await;
    assert_eq!(seen(&restarted, key(1)).await, before);

    restarted.remove(key(1)).await.unwrap();
    restarted.remove(key(1)).await.unwrap();
    assert_eq!(restarted.observe().await.unwrap(), []);
    assert_eq!(
        engine.get("/containers/json?all=true"),
        serde_json::json!([])
    );
}

#[tokio::test]
async fn limits_and_confinement_are_those_of_the_definition() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    apply(&backend, &lease(1)).await;
    let (status, code) = shell(&backend, key(1), "web", "cat /proc/self/status").await;
    assert_eq!(code, 0);
    for line in [
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    assert!(status.contains("Uid:\t1000\t1000"), "{status}");
    let containers = engine.get("/containers/json?all=true");
    for container in containers.as_array().unwrap() {
        let id = container["Id"].as_str().unwrap();
        let host = &engine.get(&format!("/containers/{id}/json"))["HostConfig"];
        assert_eq!(host["Memory"], 64 << 20);
        assert_eq!(host["NanoCpus"], 100_000_000);
        assert_eq!(host["PidsLimit"], 512);
        assert_eq!(host["Privileged"], false);
        assert_eq!(host["Binds"].as_array().map_or(0, Vec::len), 0);
    }
}

#[tokio::test]
async fn commands_have_input_an_exit_code_and_a_terminal() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    apply(&backend, &lease(1)).await;
    assert_eq!(
        shell(&backend, key(1), "web", "echo out; exit 7").await,
        ("out\n".to_owned(), 7)
    );

    let cat = |tty| ExecRequest {
        service: "web".to_owned(),
        replica: 0,
        command: vec!["cat".to_owned()],
        tty,
    };
    let session = backend.exec(key(1), cat(None)).await.unwrap();
    session
        .input
        .send(ExecInput::Stdin(Bytes::from_static(b"x\n")))
        .await
        .unwrap();
    session.input.send(ExecInput::StdinEnd).await.unwrap();
    assert_eq!(collect(session).await, ("x\n".to_owned(), 0));

    let size = ExecRequest {
        command: ["sh", "-c", "read x; stty size"]
            .map(str::to_owned)
            .to_vec(),
        ..cat(Some((80, 24)))
    };
    let session = backend.exec(key(1), size).await.unwrap();
    session
        .input
        .send(ExecInput::Resize(101, 37))
        .await
        .unwrap();
    session
        .input
        .send(ExecInput::Stdin(Bytes::from_static(b"go\n")))
        .await
        .unwrap();
    let (out, code) = collect(session).await;
    assert_eq!(code, 0);
    assert!(out.contains("37 101"), "{out:?}");

    let missing = ExecRequest {
        service: "nobody".to_owned(),
        ..cat(None)
    };
    assert!(matches!(
        backend.exec(key(1), missing).await,
        Err(BackendError::Missing(_))
    ));
}

#[tokio::test]
async fn a_command_that_leaves_input_unread_tells_its_code_and_all_that_it_said() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    apply(&backend, &lease(1)).await;
    let piece = Bytes::from(vec![0; 8 * 1024]);
    for (pieces, tty) in [(128, None), (1, None), (1, Some((80, 24)))] {
        let request = ExecRequest {
            service: "web".to_owned(),
            replica: 0,
            command: ["sh", "-c", "echo hi; exit 3"].map(str::to_owned).to_vec(),
            tty,
        };
        let ExecSession { input, mut output } = backend.exec(key(1), request).await.unwrap();
        let piece = piece.clone();
        let typing = tokio::spawn(async move {
            for _ in 0..pieces {
                if input.send(ExecInput::Stdin(piece.clone())).await.is_err() {
                    return;
                }
            }
        });
        let mut said = Vec::new();
        let code = loop {
            match output.recv().await.unwrap().unwrap() {
                ExecOutput::Stdout(bytes) => said.extend_from_slice(&bytes),
                ExecOutput::Stderr(bytes) => panic!("{}", String::from_utf8_lossy(&bytes)),
                ExecOutput::Exit(code) => break code,
            }
        };
        // A terminal shows the input too.
        let said = String::from_utf8_lossy(&said).replace("\r\n", "\n");
        assert_eq!((said.contains("hi\n"), code), (true, 3), "{said:?}");
        assert!(!said.contains("Error"), "{said:?}");
        typing.await.unwrap();
    }
}

/// Handles of the command that runs in a replica, and of what it started.
fn command_on_the_host(engine: &Engine) -> Vec<OwnedFd> {
    let containers = engine.get("/containers/json");
    let ids = containers.as_array().unwrap().iter();
    let commands: Vec<String> = ids
        .flat_map(|one| {
            let seen = engine.get(&format!("/containers/{}/json", one["Id"].as_str().unwrap()));
            seen["ExecIDs"].as_array().cloned().unwrap_or_default()
        })
        .map(|id| id.as_str().unwrap().to_owned())
        .collect();
    let mut handles = Vec::new();
    for command in commands {
        let seen = engine.get(&format!("/exec/{command}/json"));
        if seen["Running"] != true {
            continue;
        }
        let leader = seen["Pid"].as_i64().unwrap();
        let children =
            std::fs::read_to_string(format!("/proc/{leader}/task/{leader}/children")).unwrap();
        let children = children.split_whitespace().map(|pid| pid.parse().unwrap());
        for process in children.chain([i32::try_from(leader).unwrap()]) {
            let process = Pid::from_raw(process).unwrap();
            handles.push(pidfd_open(process, PidfdFlags::empty()).unwrap());
        }
    }
    handles
}

async fn have_ended(processes: Vec<OwnedFd>) {
    for process in processes {
        let ended = tokio::task::spawn_blocking(move || {
            let mut asked = [PollFd::new(&process, PollFlags::IN)];
            let minute = Timespec::try_from(Duration::from_secs(60)).unwrap();
            poll(&mut asked, Some(&minute)).unwrap()
        });
        assert_eq!(ended.await.unwrap(), 1, "it has ended");
    }
}

#[tokio::test]
async fn a_daemon_that_starts_ends_the_commands_of_one_that_was_killed() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    apply(&backend, &lease(1)).await;
    let request = ExecRequest {
        service: "web".to_owned(),
        replica: 0,
        command: ["sh", "-c", "sleep 4000 & echo started; wait"]
            .map(str::to_owned)
            .to_vec(),
        tty: None,
    };
    let mut session = backend.exec(key(1), request).await.unwrap();
    session.output.recv().await.unwrap().unwrap();
    let processes = command_on_the_host(&engine);
    assert_eq!(processes.len(), 2, "the shell and what it started");
    // Who was killed ends nothing itself: its session is still held here.
    let restarted = engine.backend(1).await;
    have_ended(processes).await;
    assert!(session.output.recv().await.is_some());
    assert_eq!(seen(&restarted, key(1)).await.replicas.len(), 2);
}

#[tokio::test]
async fn a_command_and_what_it_started_end_when_nobody_hears_it_any_more() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    apply(&backend, &lease(1)).await;
    let before = seen(&backend, key(1)).await;
    let waits = "sleep 4000 & echo started; wait";
    let deaf = format!("trap '' HUP; {waits}");
    for (tty, line) in [(None, waits), (Some((80, 24)), waits), (None, &deaf)] {
        let request = ExecRequest {
            service: "web".to_owned(),
            replica: 0,
            command: ["sh", "-c", line].map(str::to_owned).to_vec(),
            tty,
        };
        let mut session = backend.exec(key(1), request).await.unwrap();
        let said = session.output.recv().await.unwrap().unwrap();
        assert!(matches!(said, ExecOutput::Stdout(bytes) if bytes.starts_with(b"started")));
        let processes = command_on_the_host(&engine);
        assert_eq!(processes.len(), 2, "the shell and what it started");
        drop(session);
        have_ended(processes).await;
    }
    assert_eq!(seen(&backend, key(1)).await, before, "the rest runs on");
    let findings = backend.doctor().await;
    let commands = findings.iter().find(|one| one.subject == "remote commands");
    assert!(commands.is_some_and(|one| one.healthy), "{findings:?}");
}

#[tokio::test]
async fn logs_come_with_their_service_and_follow() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    apply(&backend, &lease(1)).await;
    let request = LogRequest {
        service: Some("web".to_owned()),
        follow: true,
        tail: Some(10),
    };
    let mut logs = backend.logs(key(1), request).await.unwrap();
    let web = address(&backend, key(1), "web").await;
    http(&format!("http://{web}:8080/health"));
    let mut text = String::new();
    while !text.contains("GET /health 200 OK") {
        let chunk = logs.next().await.unwrap().unwrap();
        assert_eq!(chunk.service, "web");
        text.push_str(&String::from_utf8_lossy(&chunk.bytes));
    }
    let none = LogRequest {
        service: Some("nobody".to_owned()),
        follow: false,
        tail: None,
    };
    assert!(matches!(
        backend.logs(key(1), none).await,
        Err(BackendError::Missing(_))
    ));
}

#[tokio::test]
async fn the_last_lines_of_two_streams_are_whole_and_as_many_as_were_asked_for() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    let mut talks = service("web");
    let line = "i=0; while [ $i -lt 4000 ]; do echo out-line-number-$i; echo err-line-number-$i >&2; \
                i=$((i+1)); done; echo over; sleep 100000";
    talks.command = ["sh", "-c", line].map(str::to_owned).to_vec();
    talks.cpu_millis = 1_000;
    let spec = LeaseSpec {
        services: vec![talks],
        ..lease(1)
    };
    apply(&backend, &spec).await;
    let request = |follow, tail| LogRequest {
        service: None,
        follow,
        tail,
    };
    let mut written = backend.logs(key(1), request(true, None)).await.unwrap();
    let mut end = String::new();
    while !end.ends_with("over\n") {
        let piece = written.next().await.unwrap().unwrap();
        end = String::from_utf8_lossy(&piece.bytes).into_owned();
    }
    for (follow, tail) in [(false, 1), (false, 3000), (true, 3000), (false, 100_000)] {
        let wanted = usize::try_from(tail).unwrap().min(8001);
        let mut pieces = backend
            .logs(key(1), request(follow, Some(tail)))
            .await
            .unwrap();
        let (mut open, mut lines) = ([String::new(), String::new()], 0);
        while lines < wanted {
            let piece = pieces.next().await.expect("there are more lines").unwrap();
            let open = &mut open[usize::from(piece.is_stderr)];
            open.push_str(&String::from_utf8_lossy(&piece.bytes));
            if let Some(line) = open.strip_suffix('\n') {
                let stream = if piece.is_stderr { "err" } else { "out" };
                let rest = line.strip_prefix(stream);
                let number = rest.and_then(|rest| rest.strip_prefix("-line-number-"));
                let is_whole = number.is_some_and(|number| number.parse::<u32>().is_ok());
                assert!(is_whole || line == "over", "{line:?}");
                open.clear();
                lines += 1;
            }
        }
        if !follow {
            assert!(pieces.next().await.is_none(), "no more than {tail}");
        }
    }
}

#[tokio::test]
async fn an_update_that_fails_leaves_the_last_good_version_running() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    apply(&backend, &lease(1)).await;
    let before = seen(&backend, key(1)).await;

    let mut broken = lease(1);
    broken.version = Hash([2; 32]);
    broken.services[1].command = vec!["/hello".to_owned(), "nothing-of-the-kind".to_owned()];
    let error = backend.apply(&broken).await.unwrap_err();
    assert!(
        matches!(&error, BackendError::Refused(text) if text.contains("last good")),
        "{error}"
    );
    assert_eq!(seen(&backend, key(1)).await, before);

    let mut better = lease(1);
    better.version = Hash([3; 32]);
    better.services[1].env = vec![("GREETING".to_owned(), "Good evening".to_owned())];
    apply(&backend, &better).await;
    let web = address(&backend, key(1), "web").await;
    assert!(http(&format!("http://{web}:8080/")).contains("Good evening"));
    let after = seen(&backend, key(1)).await;
    assert_eq!(after.replicas.len(), 2);
    let counter = |lease: &SeenLease| {
        lease
            .replicas
            .iter()
            .find(|replica| replica.service == "counter")
            .cloned()
            .unwrap()
    };
    assert_eq!(
        counter(&after),
        counter(&before),
        "what did not change was not touched"
    );
}

/// Looks until the web service of the lease runs, and was started again so often.
async fn wait_for_restarts(backend: &ContainerBackend, book: &Book, wanted: u32) {
    let mut changes = backend.changes();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        let leases = backend.observe().await.unwrap();
        let runs = leases[0].replicas[0].state == ReplicaState::Running;
        book.note_seen(leases);
        let count = book.restarts(key(1), "web", 1);
        assert!(count <= wanted, "{count} instead of {wanted}");
        if runs && count == wanted {
            return;
        }
        // A hint, which may come too early to be heard.
        let _ = tokio::time::timeout(Duration::from_millis(500), changes.next()).await;
    }
    panic!("it was not started again");
}

/// Looks until the only replica has ended with this code.
async fn wait_for_the_end(backend: &ContainerBackend, wanted: i64) {
    let mut changes = backend.changes();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(60) {
        let seen = seen(backend, key(1)).await;
        if let ReplicaState::Exited { code, .. } = seen.replicas[0].state {
            assert_eq!(code, wanted);
            return;
        }
        // A hint, which may come too early to be heard.
        let _ = tokio::time::timeout(Duration::from_millis(500), changes.next()).await;
    }
    panic!("it did not end");
}

#[tokio::test]
async fn a_service_is_ready_when_its_port_takes_connections_and_not_before() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    let spec = LeaseSpec {
        services: vec![service("web")],
        ..lease(1)
    };
    let book = Book::default();
    let ports = |port: u16| BTreeMap::from([("web".to_owned(), BTreeSet::from([port]))]);
    book.note_planned(&spec, ports(8080));
    apply(&backend, &spec).await;
    let web = address(&backend, key(1), "web").await;
    http(&format!("http://{web}:8080/health"));
    book.note_seen(backend.observe().await.unwrap());
    let hold_up = |port: u16| {
        let now = Instant::now();
        let said = book.with_health(key(1), |health, seen| {
            health.hold_up(&seen[0], ports(port).get("web"), now)
        });
        said.unwrap()
    };
    assert!(hold_up(8080).is_some());
    assert!(knock(&book, key(1), &ports(8080)).await);
    assert_eq!(hold_up(8080), None);
    assert!(!knock(&book, key(1), &ports(81)).await);
    let said = "nobody listens on port 81 of replica 0";
    assert_eq!(hold_up(81).as_deref(), Some(said));
}

#[tokio::test]
async fn every_new_start_of_a_replica_is_counted_whoever_starts_it() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let backend = engine.backend(1).await;
    let mut falls = service("web");
    falls.command = ["sh", "-c", "sleep 100000; exit 3"]
        .map(str::to_owned)
        .to_vec();
    let spec = LeaseSpec {
        services: vec![falls],
        ..lease(1)
    };
    apply(&backend, &spec).await;
    let book = Book::default();
    wait_for_restarts(&backend, &book, 0).await;

    // The engine leaves what fell to the provider.
    let fell = "until kill $(busybox pidof sleep); do :; done";
    for times in 1..=2 {
        let request = ExecRequest {
            service: "web".to_owned(),
            replica: 0,
            command: ["sh", "-c", fell].map(str::to_owned).to_vec(),
            tty: None,
        };
        // The command falls with its container, however that shows.
        let mut session = backend.exec(key(1), request).await.unwrap();
        while session.output.recv().await.is_some() {}
        wait_for_the_end(&backend, 3).await;
        apply(&backend, &spec).await;
        book.note_seen(backend.observe().await.unwrap());
        assert_eq!(book.restarts(key(1), "web", 1), times - 1, "nobody did yet");
        backend.start_again(key(1), "web", 0).await.unwrap();
        wait_for_restarts(&backend, &book, times).await;
    }

    // What somebody stopped the provider starts too.
    let id = seen(&backend, key(1)).await.replicas[0].run.id.clone();
    let mut curl = Command::new("curl");
    curl.args(["-fsS", "-X", "POST", "--unix-socket"])
        .arg(&engine.socket);
    run(curl.arg(format!("http://engine/v1.41/containers/{id}/stop?t=0")));
    book.note_seen(backend.observe().await.unwrap());
    backend.start_again(key(1), "web", 0).await.unwrap();
    wait_for_restarts(&backend, &book, 3).await;

    // What is made afresh was started again too; and a restarted daemon still knows.
    backend.evict_replica(key(1), "web", 0).await.unwrap();
    book.note_seen(backend.observe().await.unwrap());
    apply(&backend, &spec).await;
    wait_for_restarts(&backend, &book, 4).await;
    let restarted = Book::new(book.take_unkept().into_iter().collect());
    wait_for_restarts(&backend, &restarted, 4).await;
}

#[tokio::test]
async fn an_image_that_the_operator_lists_and_lacks_is_refused_by_name() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let mut spec = lease(1);
    spec.services[0].image = "welkin.local/no-such-image:1".to_owned();
    let local = vec![IMAGE.to_owned(), spec.services[0].image.clone()];
    let config = Config {
        local_images: local,
        ..config(&engine, 1)
    };
    let backend = config.build().await.unwrap();
    let error = backend.apply(&spec).await.unwrap_err();
    assert!(
        matches!(&error, BackendError::Refused(text) if text.contains("no-such-image")),
        "{error}"
    );
    backend.remove(key(1)).await.unwrap();
}

#[tokio::test]
async fn two_providers_on_one_engine_do_not_see_each_other() {
    let Some(engine) = Engine::start() else {
        return;
    };
    let (first, second) = (engine.backend(1).await, engine.backend(2).await);
    apply(&first, &lease(1)).await;
    apply(&second, &lease(1)).await;
    assert_eq!(first.observe().await.unwrap().len(), 1);
    second.remove(key(1)).await.unwrap();
    assert_eq!(second.observe().await.unwrap(), []);
    let lease = seen(&first, key(1)).await;
    assert!(
        lease
            .replicas
            .iter()
            .all(|replica| replica.state == ReplicaState::Running)
    );
}
