//! The command line in an environment of its own, and a chain of one validator for it to speak to.

use std::ffi::OsStr;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use serde_json::Value;
use tempfile::TempDir;
use welkin_client::keyring::{KdfCost, Keyring};
use welkin_modules::genesis::AppState;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::{Address, Amount};

/// Longest wait for anything; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);
/// The accounts of a test chain, by the number of their seed.
const ACCOUNTS: [(&str, u8); 2] = [("alice", 1), ("bob", 2)];
/// What each holds at first.
pub const WEALTH: u64 = 1_000_000_000_000;

/// What a command did.
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    pub fn of(output: Output) -> Ran {
        Ran {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The data of a command that succeeded.
    pub fn data(&self) -> &str {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        &self.out
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(self.data()).unwrap_or_else(|why| panic!("{why}: {}", self.out))
    }

    /// What a command that failed with this code says. Nothing of it is on stdout.
    pub fn failure(&self, code: i32) -> &str {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        assert_eq!(self.out, "", "a failure is no data");
        assert!(self.err.contains("error: "), "{}", self.err);
        &self.err
    }
}

/// `welkin` without any variable of whoever runs the tests.
pub fn welkin(arguments: &[impl AsRef<OsStr>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_welkin"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WELKIN_") {
            command.env_remove(name);
        }
    }
    command
}

pub fn run(command: &mut Command) -> Ran {
    Ran::of(command.output().unwrap())
}

/// A sample of the project's own.
pub fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../provider/api/samples")
        .join(name)
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

/// A running validator, and a home with the keys of alice and bob.
pub struct Chain {
    folder: TempDir,
    port: u16,
    node: Option<Child>,
}

impl Chain {
    /// Makes a chain and waits until it takes transactions.
    pub fn start() -> Chain {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut chain = Chain {
            folder,
            port,
            node: None,
        };
        let init = welkind()
            .args(["init", "--chain-id", "cli-1", "--home"])
            .arg(chain.node_home())
            .output();
        Ran::of(init.unwrap()).data();
        chain.write_genesis();
        chain.write_config();
        let keys = Keyring::new(chain.home().join("keys")).with_cost(KdfCost {
            memory_kib: 19 * 1024,
            passes: 1,
            lanes: 1,
        });
        for (name, seed) in ACCOUNTS {
            keys.add(name, &SigningKey::from_seed(&[seed; 32]), "secret")
                .unwrap();
        }
        chain.start_node();
        chain
    }

    fn node_home(&self) -> PathBuf {
        self.folder.path().join("node")
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    fn genesis(&self) -> PathBuf {
        self.node_home().join("config/genesis.json")
    }

    fn write_genesis(&self) {
        let text = std::fs::read_to_string(self.genesis()).unwrap();
        let mut genesis: Value = serde_json::from_str(&text).unwrap();
        let rows = ACCOUNTS.map(|(name, _)| (address(name), Amount(WEALTH)));
        genesis["app_state"] = AppState::for_testnet(rows).to_json();
        std::fs::write(self.genesis(), genesis.to_string()).unwrap();
    }

    fn write_config(&self) {
        let path = self.node_home().join("config/node.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text
            .replace("127.0.0.1:26657", &format!("127.0.0.1:{}", self.port))
            .replace("127.0.0.1:26660", "127.0.0.1:0")
            .replace("/tcp/26656", "/tcp/0");
        std::fs::write(path, text).unwrap();
    }

    /// Starts the validator, again if need be.
    pub fn start_node(&mut self) {
        let node = welkind()
            .arg("start")
            .arg("--home")
            .arg(self.node_home())
            .env("WELKIN_LOG", "off")
            .spawn();
        self.node = Some(node.unwrap());
        until("the chain takes transactions", || {
            let ran = run(&mut self.welkin("alice", &["query", "accounts", "params"]));
            (ran.code == 0).then_some(())
        });
    }

    /// The validator's process.
    pub fn node(&self) -> Pid {
        Pid::from_child(self.node.as_ref().unwrap())
    }

    /// Ends the validator at once.
    pub fn stop_node(&mut self) {
        let mut node = self.node.take().unwrap();
        node.kill().unwrap();
        node.wait().unwrap();
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A folder of the test's own.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command line as one of the accounts.
    pub fn welkin(&self, account: &str, arguments: &[&str]) -> Command {
        let mut command = welkin(arguments);
        command
            .env("WELKIN_HOME", self.home())
            .env("WELKIN_GENESIS", self.genesis())
            .env("WELKIN_NODE", self.url())
            .env("WELKIN_KEY", account)
            .env("WELKIN_KEYRING_PASSWORD", "secret");
        command
    }

    pub fn run(&self, account: &str, arguments: &[&str]) -> Ran {
        run(&mut self.welkin(account, arguments))
    }

    /// What a command prints as JSON.
    pub fn json(&self, account: &str, arguments: &[&str]) -> Value {
        run(self.welkin(account, arguments).env("WELKIN_OUTPUT", "json")).json()
    }

    /// Makes bob a provider that nobody can reach.
    pub fn register_provider(&self) {
        let profile = serde_json::json!({
            "peer_id": "12D3KooWGRUVh2VYQ9Uq6QhN3mWSTAFgpFDRk6a6cYtUiS4n2kD8",
            // Port 1 of this machine: refused at once.
            "addresses": ["/ip4/127.0.0.1/tcp/1"],
            "attributes": {},
            "website": "",
            "contact": "",
        });
        let call = ["tx", "provider", "register", "--json", &profile.to_string()];
        self.run("bob", &call).data();
    }

    /// Lets bob bid on an order.
    pub fn bid(&self, order: &str) {
        let bid = ["--rate-uwlk-per-hour", "100", "--deposit", "500000"];
        let mut call = vec!["tx", "market", "bid", "--order", order];
        call.extend(bid);
        self.run("bob", &call).data();
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        if self.node.is_some() {
            self.stop_node();
        }
    }
}

/// The address of a test account.
pub fn address(account: &str) -> Address {
    let seed = ACCOUNTS
        .iter()
        .find(|(name, _)| *name == account)
        .unwrap()
        .1;
    SigningKey::from_seed(&[seed; 32]).address()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The validator, which is another crate's program: built beside this one, or now.
fn welkind() -> Command {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    Command::new(BUILT.get_or_init(|| {
        let path = Path::new(env!("CARGO_BIN_EXE_welkin")).with_file_name("welkind");
        if !path.is_file() {
            let build = [
                "build",
                "--locked",
                "--quiet",
                "-p",
                "welkin-node",
                "--bin",
                "welkind",
            ];
            let built = Command::new(env!("CARGO")).args(build).status().unwrap();
            assert!(built.success());
        }
        path
    }))
}
