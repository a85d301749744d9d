//! Networks for tests: each in a folder of its own, removed with everything that it had, also when the test fails.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use welkin_client::{Chain, Config, Trust};
use welkin_testnet::network::process::{Process, Start};
use welkin_testnet::network::record::{Provider, Validator};
use welkin_testnet::network::{Network, binary, demo, engine, sources};

/// Two tests at a time: much of each is waiting, and a machine that runs ten networks is too slow for any.
static TURNS: [Mutex<()>; 2] = [Mutex::new(()), Mutex::new(())];
/// The longest that anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(180);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// A network of a test.
pub struct Net {
    pub dir: TempDir,
    pub name: String,
    _turn: Option<MutexGuard<'static, ()>>,
}

/// What `welkin deploy` made.
pub struct Deployed {
    pub deployment: String,
    pub leases: Vec<String>,
    pub urls: Vec<String>,
    /// Like `tcp://localhost:31000`.
    pub ports: Vec<String>,
}

/// Waits until one of the turns is free, however long the tests before take.
fn wait_for_turn() -> MutexGuard<'static, ()> {
    loop {
        for turn in &TURNS {
            match turn.try_lock() {
                Ok(turn) => return turn,
                Err(TryLockError::Poisoned(turn)) => return turn.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        std::thread::sleep(LOOK);
    }
}

/// Whether tests with containers are left out; says so.
pub fn no_engine(test: &str) -> bool {
    let left_out = std::env::var("WELKIN_TEST_NO_ENGINE").as_deref() == Ok("1");
    if left_out {
        eprintln!("{test}: left out, because WELKIN_TEST_NO_ENGINE=1");
    }
    left_out
}

/// Whether tests with Kubernetes clusters are left out; says so, and what is missing.
pub fn no_cluster(test: &str) -> bool {
    if std::env::var("WELKIN_TEST_NO_KUBERNETES").as_deref() == Ok("1") {
        eprintln!("{test}: left out, because WELKIN_TEST_NO_KUBERNETES=1");
        return true;
    }
    let built = output(Command::new(sources().join("kubernetes/build.sh")).arg("--check"));
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        eprintln!(
            "{test}: left out; testnet/kubernetes/build.sh builds it: {}",
            said.trim()
        );
    }
    !built.status.success()
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
        Net::up_with(&[], arguments)
    }

    /// The same with variables for everything that it starts.
    pub fn up_with(variables: &[(&str, String)], arguments: &[&str]) -> (Net, String) {
        let net = Net::new(Some(wait_for_turn()));
        let printed = net.bring_up(variables, arguments);
        (net, printed)
    }

    /// Another network, beside this one.
    pub fn beside(&self, arguments: &[&str]) -> Net {
        self.beside_with(&[], arguments)
    }

    /// The same with variables for everything that it starts.
    pub fn beside_with(&self, variables: &[(&str, String)], arguments: &[&str]) -> Net {
        let net = Net::new(None);
        net.bring_up(variables, arguments);
        net
    }

    fn new(turn: Option<MutexGuard<'static, ()>>) -> Net {
        Net {
            dir: tempfile::tempdir().unwrap(),
            name: format!("test-{}", hex::encode(rand::random::<[u8; 4]>())),
            _turn: turn,
        }
    }

    /// `up` again.
    pub fn again(&self, arguments: &[&str]) -> String {
        self.bring_up(&[], arguments)
    }

    fn bring_up(&self, variables: &[(&str, String)], arguments: &[&str]) -> String {
        let variables = variables.iter().map(|(name, value)| (name, value));
        run(Command::new(program())
            .arg("up")
            .args(self.place())
            .args(arguments)
            .envs(variables))
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

    /// Deploys the demo as alice.
    pub fn deploy(&self) -> Deployed {
        let file = sources().join("apps/hello/hello.yaml");
        self.deploy_as("alice", &file, &[])
    }

    /// Deploys a file.
    pub fn deploy_as(&self, account: &str, file: &Path, arguments: &[&str]) -> Deployed {
        let mut deploy = self.welkin(account, &["deploy", file.to_str().unwrap(), "-o", "json"]);
        let printed = run(deploy.args(arguments));
        let deployed: serde_json::Value = serde_json::from_str(&printed).unwrap();
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let all = |list: &serde_json::Value| list.as_array().unwrap().clone();
        Deployed {
            deployment: text(&deployed["deployment"]),
            leases: all(&deployed["leases"])
                .iter()
                .map(|one| text(&one["lease"]))
                .collect(),
            urls: all(&deployed["urls"]).iter().map(text).collect(),
            ports: all(&deployed["ports"]).iter().map(text).collect(),
        }
    }

    /// The chain, as a client that verifies sees it.
    pub fn chain(&self) -> Chain {
        let network = self.record();
        let nodes = network
            .validators
            .iter()
            .map(|one| one.rpc.clone())
            .collect();
        let folder = network.folder.join("client");
        let config = Config::new(nodes, folder, Trust::File(network.genesis));
        block_on(Chain::connect(config)).unwrap()
    }

    /// The only provider, or the first.
    pub fn provider(&self) -> Provider {
        self.record().providers[0].clone()
    }

    /// The containers of a provider, as the engine lists them.
    pub fn containers(&self, provider: &Provider) -> Vec<serde_json::Value> {
        let socket = &self.record().engine.unwrap().socket;
        block_on(engine::containers(socket, &provider.instance)).unwrap()
    }

    /// Runs `kubectl` in the cluster of a provider; what it printed.
    pub fn kubectl(&self, provider: usize, arguments: &[&str]) -> String {
        let cluster = self.record().providers[provider].cluster.clone().unwrap();
        run(Command::new(cluster.join("kubectl")).args(arguments))
    }

    /// Kills a process of the network.
    pub fn kill(&self, name: &str) {
        self.record().processes[name].kill().unwrap();
    }

    /// Starts a provider's daemon alone, and goes on at once.
    pub fn start_daemon(&self, provider: &Provider) -> Process {
        let start = self.record().start_daemon(provider).unwrap();
        self.start(&provider.name, &start)
    }

    /// Starts a validator alone, and goes on at once.
    pub fn start_validator(&self, validator: &Validator) -> Process {
        let start = self.record().start_validator(validator).unwrap();
        self.start(&validator.name, &start)
    }

    fn start(&self, name: &str, start: &Start) -> Process {
        let mut network = self.record();
        let process = start.start().unwrap();
        network.processes.insert(name.to_owned(), process);
        network.write().unwrap();
        process
    }

    /// What a process will say from now on.
    pub fn log(&self, process: &str) -> Log {
        let path = self.record().log(process);
        let from = std::fs::read(&path).map_or(0, |bytes| bytes.len());
        Log { path, from }
    }
}

/// The end of a log.
pub struct Log {
    path: PathBuf,
    from: usize,
}

impl Log {
    /// What was said since.
    pub fn text(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap();
        String::from_utf8_lossy(&bytes[self.from.min(bytes.len())..]).into_owned()
    }

    /// Waits until it says this.
    pub fn until_it_says(&self, words: &str) {
        until(&format!("the log says {words:?}"), || {
            self.text().contains(words).then_some(())
        });
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
    try_fetch(url).ok()
}

/// Fetches a URL; its body, or why there is none.
pub fn try_fetch(url: &str) -> Result<String, String> {
    use welkin_testnet::network::http::over_tcp;
    let answer = block_on(over_tcp("GET", url, Default::default()));
    let answer = answer.map_err(|why| format!("{why:#}"))?;
    match answer.status.as_u16() {
        200 => Ok(answer.text()),
        status => Err(format!("status {status}: {}", answer.text())),
    }
}

/// Runs asynchronous work to its end.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}
