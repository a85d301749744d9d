//! The commands of `welkind`.

use anyhow::{Context as _, bail};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use structopt::StructOpt;
use tokio::signal::unix::{SignalKind, signal};
use welkin_modules::genesis::LeftOut;
use welkin_node::config::{Home, NodeConfig};
use welkin_node::disk::RealDisk;
use welkin_node::export;
use welkin_node::init::{self, Keys};
use welkin_node::ledger::Ledger;
use welkin_node::shell::now;
use welkin_node::start;
use welkin_node::stop::{Reason, Stop};

/// How long a node may take to end before the process ends anyway. Nothing is lost then: the block
/// log is the truth.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs a validator or full node of a Welkin network
#[derive(Debug, StructOpt)]
#[structopt(name = "welkind")]
pub enum Command {
    /// Makes a home: new keys, a genesis with this node as its only validator, a configuration
    Init(InitOptions),
    /// Runs the node until it is told to end
    Start(HomeOption),
    /// Prints a genesis document from which a new chain starts where this one stands
    ///
    /// The new chain has the same rules, the same validators and all of the money. The node must
    /// not run.
    ///
    /// A genesis cannot hold deployments, bids, providers and attestations. They are ended as the
    /// chain itself ends them: leases are paid up to the newest block, what is left in escrow,
    /// deposits and bonds go back to their owners. How many there were is said on stderr. Sequence
    /// numbers begin at 0.
    Export(ExportOptions),
    /// Removes blocks and state; keys, configuration and sign state stay
    UnsafeReset(HomeOption),
}

/// Where the node lives.
#[derive(Debug, StructOpt)]
pub struct HomeOption {
    /// The node's folder [default: .welkind]
    // The parser takes a default that it knows where the value was forgotten: `unsafe-reset --home` would reset another
    // node. So it knows none, here and below.
    #[structopt(long, env = "WELKIN_NODE_HOME", parse(from_os_str))]
    home: Option<PathBuf>,
}

impl HomeOption {
    fn home(self) -> Home {
        Home::new(self.home.unwrap_or_else(|| PathBuf::from(".welkind")))
    }
}

/// Options of `export`.
#[derive(Debug, StructOpt)]
pub struct ExportOptions {
    #[structopt(flatten)]
    home: HomeOption,
    /// Prints the raw state instead, to compare two nodes: chain id, height, app hash, and every key
    /// with its value in hexadecimal digits; no chain starts from it
    #[structopt(long)]
    raw: bool,
}

/// Options of `init`.
#[derive(Debug, StructOpt)]
pub struct InitOptions {
    #[structopt(flatten)]
    home: HomeOption,
    /// The name of the new network [default: welkin-local]
    #[structopt(long)]
    chain_id: Option<String>,
    /// The node's name, for people [default: node]
    #[structopt(long)]
    moniker: Option<String>,
    /// Takes the genesis from this file instead of making one
    #[structopt(long, parse(from_os_str))]
    genesis: Option<PathBuf>,
}

/// Does what the command says.
pub fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(options) => initialise(options),
        Command::Start(option) => run_node(&option.home()),
        Command::Export(options) if options.raw => print_state(&options.home.home()),
        Command::Export(options) => print_genesis(&options.home.home()),
        Command::UnsafeReset(option) => reset(&option.home()),
    }
}

fn initialise(options: InitOptions) -> anyhow::Result<()> {
    let home = options.home.home();
    let chain_id = options.chain_id.as_deref().unwrap_or("welkin-local");
    let moniker = options.moniker.as_deref().unwrap_or("node");
    let keys = Keys::random();
    let genesis = match &options.genesis {
        Some(path) => read_genesis(path)?,
        None => {
            let validators = vec![keys.genesis_validator(10, moniker)];
            let app_state = welkin_modules::genesis::AppState::default().to_json();
            init::genesis(chain_id, now(), validators, app_state)
        }
    };
    genesis.validate().context("genesis")?;
    let config = NodeConfig {
        moniker: moniker.to_owned(),
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
        let asked = stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            asked.ask();
        });
        // Also while it starts, which takes long where state has to be made again: what is then left half done, the
        // next start makes anew, as after a crash.
        let running = tokio::select! {
            running = start::start(home, config, stop.clone()) => running?,
            reason = stop.wait() => return Ok(reason),
        };
        if let Some(address) = running.rpc_address {
            tracing::info!(target: "welkin::node", rpc = %address, "started");
        }
        let reason = stop.wait().await;
        tracing::info!(target: "welkin::node", "stopping");
        if tokio::time::timeout(DRAIN, running.stop()).await.is_err() {
            tracing::warn!(
                target: "welkin::node",
                "not everything ended in time; the next start checks the state"
            );
        }
        anyhow::Ok(reason)
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    match reason? {
        Reason::Asked => Ok(()),
        Reason::Failed(why) => bail!(why),
    }
}

/// Opens the chain of a node that does not run.
fn at_rest<T>(home: &Home, work: impl FnOnce(&Ledger) -> T) -> anyhow::Result<T> {
    let config = start::read_config(home)?;
    let genesis = start::read_genesis(home)?;
    let _lock = start::lock(home)?;
    let ledger = start::open_ledger(home, &config, genesis, Stop::default())?;
    let done = work(&ledger);
    ledger.close();
    Ok(done)
}

fn print_state(home: &Home) -> anyhow::Result<()> {
    at_rest(home, |ledger| {
        let mut to = std::io::BufWriter::new(std::io::stdout().lock());
        export::write_state(ledger, &mut to).and_then(|()| Ok(to.flush()?))
    })??;
    Ok(())
}

fn print_genesis(home: &Home) -> anyhow::Result<()> {
    let (made, height) = at_rest(home, |ledger| {
        (export::genesis(ledger), ledger.tip().height())
    })?;
    let (genesis, left_out) = made?;
    let mut to = std::io::stdout().lock();
    writeln!(to, "{}", genesis.to_json().trim_end()).and_then(|()| to.flush())?;
    eprintln!("the chain {} after block {height}", genesis.chain_id);
    let LeftOut {
        deployments,
        bids,
        providers,
        attestations,
    } = left_out;
    if left_out != LeftOut::default() {
        eprintln!(
            "ended, because a genesis cannot hold them: {deployments} deployments with their \
             leases, {bids} open bids, {providers} providers, {attestations} attestations; their \
             money is in the accounts of those whose it \
             is"
        );
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use structopt::clap::ErrorKind;

    fn parse(words: &[&str]) -> Result<Command, ErrorKind> {
        let words = ["welkind"].iter().chain(words);
        Command::from_iter_safe(words).map_err(|refusal| refusal.kind)
    }

    #[test]
    fn a_flag_whose_value_was_forgotten_is_refused() {
        for words in [
            &["start", "--home"][..],
            &["unsafe-reset", "--home"],
            &["export", "--home"],
            &["export", "--home", "--raw"],
            &["init", "--home"],
            &["init", "--chain-id"],
            &["init", "--moniker", "--home", "x"],
            &["init", "--genesis"],
        ] {
            assert_eq!(
                parse(words).unwrap_err(),
                ErrorKind::EmptyValue,
                "{words:?}"
            );
        }
    }

    #[test]
    fn without_the_flag_the_home_is_that_of_the_help() {
        let Ok(Command::Start(option)) = parse(&["start", "--home", "elsewhere"]) else {
            panic!("it is taken");
        };
        assert_eq!(option.home(), Home::new("elsewhere"));
        let option = HomeOption { home: None };
        assert_eq!(option.home(), Home::new(".welkind"));
    }
}
