//! Networks for tests: each in a folder of its own, removed with everything that it had, also when the test fails.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use welkin_testnet::network::{Network, binary, demo, sources};

/// One network at a time: the tests measure nothing, but a machine that runs ten of them is too slow for any.
static TURN: Mutex<()> = Mutex::new(());
/// The longest that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A network of a test.
pub struct Net {
    pub dir: TempDir,
    pub name: String,
    _turn: MutexGuard<'static, ()>,
}

/// Whether tests with containers are left out; says so.
pub fn no_engine(test: &str) -> bool {
    let left_out = std::env::var("WELKIN_TEST_NO_ENGINE").as_deref() == Ok("1");
    if left_out {
        eprintln!("{test}: left out, because WELKIN_TEST_NO_ENGINE=1");
    }
    left_out
}

/// Runs a program; its output, whatever its exit code.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

/// Runs a program that must succeed; its stdout.
pub fn run(command: &mut Command) -> String {
    let output = output(command);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}\n{out}{err}");
    out.into_owned()
}

/// Looks until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(LOOK);
    }
}

impl Net {
    /// A network of its own name, brought up with these arguments; what `up` printed.
    pub fn up(arguments: &[&str]) -> (Net, String) {
        let turn = TURN
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let name = format!("test-{}", hex::encode(rand::random::<[u8; 4]>()));
        let net = Net {
            dir: tempfile::tempdir().unwrap(),
            name,
            _turn: turn,
        };
        let printed = net.again(arguments);
        (net, printed)
    }

    /// `up` again.
    pub fn again(&self, arguments: &[&str]) -> String {
        run(Command::new(program())
            .arg("up")
            .args(self.place())
            .args(arguments))
    }

    /// `down`.
    pub fn down(&self, arguments: &[&str]) -> String {
        run(Command::new(program())
            .arg("down")
            .args(self.place())
            .args(arguments))
    }

    fn place(&self) -> [String; 4] {
        [
            "--name".into(),
            self.name.clone(),
            "--dir".into(),
            self.dir.path().display().to_string(),
        ]
    }

    /// The network's folder.
    pub fn folder(&self) -> PathBuf {
        self.dir.path().join(&self.name)
    }

    /// What the network consists of, as it is now.
    pub fn record(&self) -> Network {
        Network::read(&self.folder()).unwrap().unwrap()
    }

    /// The command line, as one of the test accounts.
    pub fn welkin(&self, account: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("welkin").unwrap());
        command
            .envs(demo::variables(&self.record()).unwrap().0)
            .env("WELKIN_KEY", account)
            .args(arguments);
        command
    }

    /// What the command line prints as JSON, as alice.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let text = run(self.welkin("alice", arguments).args(["-o", "json"]));
        serde_json::from_str(&text).unwrap()
    }

    /// Deploys the demo as alice: its deployment, its lease, its URL.
    pub fn deploy(&self) -> (String, String, String) {
        let file = sources().join("apps/hello/hello.yaml");
        let deployed = self.json(&["deploy", file.to_str().unwrap()]);
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let lease = text(&deployed["leases"][0]["lease"]);
        (
            text(&deployed["deployment"]),
            lease,
            text(&deployed["urls"][0]),
        )
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for entry in std::fs::read_dir(self.folder().join("logs"))
                .into_iter()
                .flatten()
                .flatten()
            {
                let end = welkin_testnet::network::process::tail(&entry.path(), 15);
                eprintln!("--- {}\n{end}", entry.path().display());
            }
        }
        let mut purge = Command::new(program());
        let purged = purge
            .arg("down")
            .args(self.place())
            .arg("--purge")
            .stdin(Stdio::null())
            .status();
        if !purged.is_ok_and(|status| status.success()) {
            eprintln!(
                "the network {} could not be removed",
                self.folder().display()
            );
        }
    }
}

/// This crate's own program.
pub fn program() -> &'static str {
    env!("CARGO_BIN_EXE_welkin-testnet")
}

/// Fetches a URL; its body if the status is 200.
pub fn fetch(url: &str) -> Option<String> {
    let answer = block_on(welkin_testnet::network::http::over_tcp(
        "GET",
        url,
        Default::default(),
    ))
    .ok()?;
    (answer.status == 200).then(|| answer.text())
}

/// Runs asynchronous work to its end.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}
