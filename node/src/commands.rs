//! The commands of `welkind`.

use anyhow::{Context as _, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use structopt::StructOpt;
use tokio::signal::unix::{SignalKind, signal};
use welkin_node::config::{Home, NodeConfig};
use welkin_node::disk::RealDisk;
use welkin_node::export;
use welkin_node::init::{self, Keys};
use welkin_node::shell::now;
use welkin_node::start;
use welkin_node::stop::{Reason, Stop};

/// How long a node may take to end before the process ends anyway. Nothing is lost then: the block
/// log is the truth.
const DRAIN: Duration = Duration::from_secs(20);

/// What to do.
#[derive(Debug, StructOpt)]
pub enum Command {
    /// Make a home: new keys, a genesis with this node as its only validator, a configuration.
    Init(InitOptions),
    /// Run the node.
    Start(HomeOption),
    /// Print the newest state as JSON: height, app hash, and every key with its value. The node
    /// must not run.
    Export(HomeOption),
    /// Remove blocks and state. Keys, configuration and sign state stay.
    UnsafeReset(HomeOption),
}

/// Where the node lives.
#[derive(Debug, StructOpt)]
pub struct HomeOption {
    /// The node's folder.
    #[structopt(
        long,
        env = "WELKIN_NODE_HOME",
        default_value = ".welkind",
        parse(from_os_str)
    )]
    home: PathBuf,
}

/// Options of `init`.
#[derive(Debug, StructOpt)]
pub struct InitOptions {
    #[structopt(flatten)]
    home: HomeOption,
    /// Name of the new network.
    #[structopt(long, default_value = "welkin-local")]
    chain_id: String,
    /// A name for people.
    #[structopt(long, default_value = "node")]
    moniker: String,
    /// Take the genesis from this file instead of making one.
    #[structopt(long, parse(from_os_str))]
    genesis: Option<PathBuf>,
}

/// Does what the command says.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(options) => initialise(&options),
        Command::Start(option) => run_node(&Home::new(option.home)),
        Command::Export(option) => print_export(&Home::new(option.home)),
        Command::UnsafeReset(option) => reset(&Home::new(option.home)),
    }
}

fn initialise(options: &InitOptions) -> anyhow::Result<()> {
    let home = Home::new(&options.home.home);
    let keys = Keys::random();
    let genesis = match &options.genesis {
        Some(path) => read_genesis(path)?,
        None => {
            let validators = vec![keys.genesis_validator(10, &options.moniker)];
            let app_state = welkin_modules::genesis::AppState::default().to_json();
            init::genesis(&options.chain_id, now(), validators, app_state)
        }
    };
    genesis.validate().context("genesis")?;
    let config = NodeConfig {
        moniker: options.moniker.clone(),
        ..NodeConfig::default()
    };
    init::write_home(&RealDisk, &home, &config, &genesis, &keys)?;
    println!("home       {}", home.path().display());
    println!("chain id   {}", genesis.chain_id);
    println!("peer id    {}", keys.peer_id());
    println!("validator  {}", keys.validator.address());
    Ok(())
}

fn read_genesis(path: &Path) -> anyhow::Result<welkin_consensus::types::Genesis> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(welkin_consensus::types::Genesis::from_json(&text)?)
}

fn run_node(home: &Home) -> anyhow::Result<()> {
    let config = start::read_config(home)?;
    crate::start_logging(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let stop = Stop::default();
    let reason = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let running = start::start(home, config, stop.clone()).await?;
        if let Some(address) = running.rpc_address {
            tracing::info!(target: "welkin::node", rpc = %address, "started");
        }
        let asked = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            asked.ask();
        });
        let reason = stop.wait().await;
        tracing::info!(target: "welkin::node", "stopping");
        if tokio::time::timeout(DRAIN, running.stop()).await.is_err() {
            tracing::warn!(target: "welkin::node", "not everything ended in time; the next start checks the state");
        }
        anyhow::Ok(reason)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match reason? {
        Reason::Asked => Ok(()),
        Reason::Failed(why) => bail!(why),
    }
}

fn print_export(home: &Home) -> anyhow::Result<()> {
    let config = start::read_config(home)?;
    let genesis = start::read_genesis(home)?;
    let _lock = start::lock(home)?;
    let ledger = start::open_ledger(home, &config, genesis, Stop::default())?;
    let mut to = std::io::BufWriter::new(std::io::stdout().lock());
    let written = export::write_state(&ledger, &mut to).and_then(|()| Ok(to.flush()?));
    ledger.close();
    Ok(written?)
}

fn reset(home: &Home) -> anyhow::Result<()> {
    let _lock = start::lock(home)?;
    init::reset(home)?;
    println!(
        "removed blocks, WAL, state and snapshots of {}",
        home.path().display()
    );
    println!("kept keys, configuration and sign state");
    Ok(())
}
