//! The peer: CometBFT with its sample application, four validators on this machine, under the same loader.
//!
//! Its transactions carry no signature and its application keeps a map, so it does less for each than Welkin does.
//! The settings are the best that are known for one machine; with its defaults it is twenty times slower when idle.

use super::blocks;
use super::chain::{self, ChainFigures};
use super::load;
use super::machine::{self, Work};
use super::rpc::{Connection, number, request};
use crate::network::process::{Process, Start};
use crate::network::say;
use anyhow::{Context, ensure};
use hyper::body::Bytes;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What is measured.
const VERSION: &str = "v0.38.26";
const PACKAGE: &str = "github.com/cometbft/cometbft/cmd/cometbft";
/// Validators.
const VALIDATORS: usize = 4;
/// Their addresses are 127.0.7.1 and so on: their ports are fixed, and other networks have them on 127.0.0.1.
const FIRST_ADDRESS: &str = "127.0.7.1";
/// Connections that send, all to one node, which is what it does best with.
const CONNECTIONS: usize = 8;
/// Transactions that are prepared for each second of the load.
const PER_SECOND: usize = 8_000;
/// Bytes of a transaction.
const TX_BYTES: usize = 170;
/// How long the nodes may take to make their first block.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is changed in each node's settings.
const SETTINGS: [(&str, &str); 9] = [
    ("proxy_app", "\"kvstore\""),
    ("log_level", "\"error\""),
    ("timeout_commit", "\"0s\""),
    ("create_empty_blocks", "false"),
    ("size", "50000"),
    ("recheck", "false"),
    ("peer_gossip_sleep_duration", "\"2ms\""),
    ("flush_throttle_timeout", "\"1ms\""),
    ("pprof_laddr", "\"\""),
];

/// Builds it if need be, runs it, measures it, and removes what it wrote.
///
/// # Errors
/// Go is missing, or it does not come up.
pub async fn measure(dir: &Path) -> anyhow::Result<ChainFigures> {
    let program = program()?;
    std::fs::create_dir_all(dir)?;
    let home = tempfile::tempdir_in(dir)?;
    let nodes = Nodes::start(&program, home.path())?;
    nodes.measure().await
}

/// The program, in this user's cache.
fn program() -> anyhow::Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let folder = cache.context("neither XDG_CACHE_HOME nor HOME is set")?;
    let folder = folder.join("welkin").join(format!("cometbft-{VERSION}"));
    let program = folder.join("cometbft");
    if program.is_file() {
        return Ok(program);
    }
    say(format!(
        "building CometBFT {VERSION} in {}",
        folder.display()
    ));
    let built = Command::new("go")
        .args(["install", &format!("{PACKAGE}@{VERSION}")])
        .env("GOBIN", &folder)
        .stdin(Stdio::null())
        .status()
        .context("go cannot be run; install Go 1.22 or newer from https://go.dev/dl")?;
    ensure!(built.success(), "go install {PACKAGE}@{VERSION} failed");
    Ok(program)
}

/// Running nodes, ended when this is dropped.
struct Nodes {
    processes: Vec<Process>,
    rpc: Vec<String>,
}

impl Nodes {
    fn start(program: &Path, folder: &Path) -> anyhow::Result<Nodes> {
        let made = Command::new(program)
            .args(["testnet", "--v", &VALIDATORS.to_string(), "--o"])
            .arg(folder)
            .args([
                "--populate-persistent-peers",
                "--starting-ip-address",
                FIRST_ADDRESS,
            ])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()?;
        ensure!(made.success(), "cometbft testnet failed");
        let mut nodes = Nodes {
            processes: Vec::new(),
            rpc: Vec::new(),
        };
        for index in 0..VALIDATORS {
            let home = folder.join(format!("node{index}"));
            let address = format!("127.0.7.{}", index + 1);
            configure(&home.join("config/config.toml"), &address)?;
            let start = Start {
                program: program.to_owned(),
                arguments: vec!["start".into(), "--home".into(), home.display().to_string()],
                variables: Vec::new(),
                log: folder.join(format!("node{index}.log")),
            };
            nodes.processes.push(start.start()?);
            nodes.rpc.push(format!("http://{address}:26657"));
        }
        Ok(nodes)
    }

    async fn measure(&self) -> anyhow::Result<ChainFigures> {
        let mut connection = self.connect().await?;
        let singles: Vec<Bytes> = (0..chain::SINGLE)
            .map(|number| transaction("broadcast_tx_commit", "single", number))
            .collect();
        let no_floor_ms = chain::single(&mut connection, &singles, Duration::ZERO).await?;

        let each = PER_SECOND * chain::LOAD.as_secs() as usize / CONNECTIONS;
        let rows = (0..CONNECTIONS).map(|row| {
            let name = format!("row{row}");
            (0..each)
                .map(|number| transaction("broadcast_tx_async", &name, number))
                .collect()
        });
        let rows = rows.collect();
        let first = blocks::newest(&mut connection).await? + 1;
        let pids: Vec<i32> = self.processes.iter().map(|process| process.pid).collect();
        let work = Work::begin(&pids);
        let sent = load::send(&self.rpc[..1], rows, chain::LOAD).await?;
        let work = work.end();
        // It closes connections that say nothing for ten seconds.
        let mut connection = Connection::open(&self.rpc[0]).await?;
        let last = chain::until_empty(&mut connection).await?;
        let counted = blocks::read(&mut connection, first, last).await?;
        Ok(ChainFigures {
            throughput: blocks::throughput(&counted, chain::LOAD.as_secs_f64())?,
            sent,
            work,
            resident_bytes: pids.iter().map(|pid| machine::resident_bytes(*pid)).sum(),
            no_floor_ms,
        })
    }

    /// A connection to the first node, once it answers and takes part.
    async fn connect(&self) -> anyhow::Result<Connection> {
        let began = Instant::now();
        loop {
            // While it starts it listens, and closes connections unanswered.
            if let Ok(connection) = connected(&self.rpc[0]).await {
                return Ok(connection);
            }
            for process in &self.processes {
                ensure!(process.is_alive(), "a node of CometBFT ended at once");
            }
            ensure!(began.elapsed() < PATIENCE, "CometBFT does not come up");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for process in &self.processes {
            if let Err(why) = process.kill() {
                say(format!("{why:#}"));
            }
        }
    }
}

/// A connection to a node that all the others are connected to.
async fn connected(rpc: &str) -> anyhow::Result<Connection> {
    let mut connection = Connection::open(rpc).await?;
    let peers = number(&connection.call("net_info", json!({})).await?["n_peers"])?;
    ensure!(peers == VALIDATORS as u64 - 1, "it has {peers} peers");
    Ok(connection)
}

fn transaction(method: &str, name: &str, number: usize) -> Bytes {
    let key = format!("{name}-{number}=");
    let tx = format!("{key:v<TX_BYTES$}");
    request(method, json!({ "tx": super::base64(tx.as_bytes()) }))
}

/// Sets what stands in [`SETTINGS`], and where the node listens.
fn configure(path: &Path, address: &str) -> anyhow::Result<()> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut section = String::new();
    let lines = text.lines().map(|line| {
        if line.starts_with('[') {
            section = line.to_owned();
        }
        let Some((key, _)) = line.split_once(" = ") else {
            return line.to_owned();
        };
        let listen = match (section.as_str(), key) {
            ("[rpc]", "laddr") => Some(format!("\"tcp://{address}:26657\"")),
            ("[p2p]", "laddr") => Some(format!("\"tcp://{address}:26656\"")),
            _ => None,
        };
        let known = SETTINGS.iter().find(|(name, _)| *name == key);
        let set = listen.or_else(|| known.map(|(_, value)| (*value).to_owned()));
        set.map_or_else(|| line.to_owned(), |value| format!("{key} = {value}"))
    });
    let changed: Vec<String> = lines.collect();
    std::fs::write(path, changed.join("\n") + "\n")?;
    Ok(())
}
