//! `up`: a network that runs, from whatever is there.

use super::build::{self, Plan};
use super::lock::FolderLock;
use super::ports::Listener;
use super::process::{Start, strays};
use super::record::{FAUCET, Network, Provider};
use super::{Place, demo, down, engine, ports, ready, say, shell_word};
use crate::cluster::up::Wanted;
use crate::cluster::{self, Cluster};
use anyhow::{Context, bail, ensure};
use futures::future::try_join_all;
use serde_json::Value;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use structopt::StructOpt;

/// How long ports that are taken are looked at before that is said.
const PORT_PATIENCE: Duration = Duration::from_secs(2);
const PORT_LOOK: Duration = Duration::from_millis(50);

/// Builds a network if there is none, starts what does not run, and waits until it is ready
#[derive(Debug, StructOpt)]
pub struct Up {
    #[structopt(flatten)]
    place: Place,
    /// Validators, 1 to 7 [default: 4]
    #[structopt(long, parse(try_from_str = validators))]
    validators: Option<u16>,
    /// Providers, 0 to 3 [default: 1]
    #[structopt(long, parse(try_from_str = providers))]
    providers: Option<u16>,
    /// Gives each provider a Kubernetes cluster of its own instead of containers; needs root's rights and Go
    #[structopt(long)]
    kubernetes: bool,
    /// A JSON file that is laid over the genesis' `app_state`, such as {"escrow":{"params":{"grace_seconds":20}}}
    #[structopt(long, parse(from_os_str), value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Deploys the sample application and prints its URL as the last line
    #[structopt(long)]
    demo: bool,
    /// Removes the network of this name first, with all that it has
    #[structopt(long)]
    fresh: bool,
}

fn validators(text: &str) -> Result<u16, String> {
    within(text, 1..=7)
}

fn providers(text: &str) -> Result<u16, String> {
    within(text, 0..=3)
}

fn within(text: &str, range: RangeInclusive<u16>) -> Result<u16, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("a number from {} to {}", range.start(), range.end()))
}

impl Up {
    /// Brings the network up.
    ///
    /// # Errors
    /// What could not be built, started or reached, and what to do.
    pub fn run(&self) -> anyhow::Result<()> {
        let folder = self.place.folder()?;
        Network::check_is_at_home(&folder)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(self.bring_up(&folder))
    }

    async fn bring_up(&self, folder: &Path) -> anyhow::Result<()> {
        // Before anything is removed, made or started for them.
        let rules = self.rules()?;
        let programs = self.cluster_programs()?;
        let began = Instant::now();
        if self.fresh {
            down::purge(folder).await?;
        }
        let _lock = FolderLock::acquire(folder)?;
        let mut network = self.network(folder, rules)?;
        if is_complete(&network) && ready::is_ready(&network).await {
            say(format!("the network {} runs already", network.name));
        } else {
            start(&mut network, programs.as_deref()).await?;
            say(format!(
                "the network {} is ready after {:.1} s",
                network.name,
                began.elapsed().as_secs_f64()
            ));
        }
        print!("{}", summary(&network));
        say(next_commands(&network));
        if self.demo {
            println!("{}", demo::deploy(&network)?);
        }
        Ok(())
    }

    /// What clusters consist of, built, where clusters are asked for.
    fn cluster_programs(&self) -> anyhow::Result<Option<PathBuf>> {
        if !self.kubernetes {
            return Ok(None);
        }
        cluster::require_root()?;
        cluster::up::build().map(Some)
    }

    /// The rules of the file, which a genesis can have.
    fn rules(&self) -> anyhow::Result<Option<Value>> {
        let Some(path) = &self.rules else {
            return Ok(None);
        };
        let rules = read_json(path)?;
        build::check_rules(&rules).with_context(|| format!("--rules {}", path.display()))?;
        Ok(Some(rules))
    }

    /// The network that is there, or a new one.
    fn network(&self, folder: &Path, rules: Option<Value>) -> anyhow::Result<Network> {
        if let Some(network) = Network::read(folder)? {
            let has = |wanted: Option<u16>, there: usize| {
                wanted.is_none_or(|wanted| usize::from(wanted) == there)
            };
            ensure!(
                has(self.validators, network.validators.len())
                    && has(self.providers, network.providers.len()),
                "the network {} has {} validator(s) and {} provider(s); --name {} --fresh \
                 removes it and builds a new one, another --name builds one beside \
                 it",
                network.name,
                network.validators.len(),
                network.providers.len(),
                network.name
            );
            if let Some(rules) = &rules {
                let genesis = read_json(&network.genesis)?;
                ensure!(
                    build::with_rules(&genesis["app_state"], rules)? == genesis["app_state"],
                    "the network {} began with other rules; --name {} --fresh removes it and \
                     builds a new one",
                    network.name,
                    network.name
                );
            }
            ensure!(
                !self.kubernetes || network.providers.iter().all(|one| one.cluster.is_some()),
                "the providers of the network {} run containers; --name {} --fresh removes it and builds a new one, \
                 another --name builds one beside it",
                network.name,
                network.name
            );
            return Ok(network);
        }
        // A build that was cut off: nothing of it was ever started.
        clear(folder)?;
        let plan = Plan {
            validators: self.validators.unwrap_or(4),
            providers: self.providers.unwrap_or(1),
            kubernetes: self.kubernetes,
            rules,
        };
        say(format!(
            "building {} validator(s), {} provider(s)",
            plan.validators, plan.providers
        ));
        build::build(folder, self.place.name(), plan).inspect_err(|_| discard(folder))
    }
}

/// Removes what there is of a network that was not built to its end. A Kubernetes cluster of that name is another thing.
fn clear(folder: &Path) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let removed = if Cluster::file(&path).exists() {
            continue;
        } else if path.is_dir() {
            std::fs::remove_dir_all(&path)
        } else {
            std::fs::remove_file(&path)
        };
        removed.with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Removes what there is of a network that could not be built. What stays, the next run removes.
fn discard(folder: &Path) {
    let removed = clear(folder).map(|()| {
        // It stays where a cluster is in it.
        let _ = std::fs::remove_dir(folder);
    });
    let released = removed.and_then(|()| ports::release(&ports::claims(), folder));
    if let Err(why) = released {
        say(format!("{} stays: {why:#}", folder.display()));
    }
}

fn read_json(path: &Path) -> anyhow::Result<Value> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
}

/// Starts what does not run, and waits until all is ready.
async fn start(network: &mut Network, programs: Option<&Path>) -> anyhow::Result<()> {
    // Processes of a run that ended between starting them and writing them down.
    for stray in strays(&network.folder) {
        if !network.processes.values().any(|known| *known == stray) && stray.pid != own_pid() {
            stray.stop()?;
        }
    }
    check_ports(network)?;
    if let Some(known) = &network.engine {
        engine::check(known).await?;
    }
    for validator in network.validators.clone() {
        let start = network.start_validator(&validator)?;
        start_one(network, &validator.name, &start)?;
    }
    let faucet = network.start_faucet()?;
    start_one(network, FAUCET, &faucet)?;
    start_providers(network, programs).await?;
    let image = async {
        match &network.engine {
            Some(engine) => engine::load_image(engine, &network.folder).await,
            None => Ok(()),
        }
    };
    tokio::try_join!(image, until_ready(network)).map(|_| ())
}

/// Whether every process that does not run yet will find its ports free.
fn check_ports(network: &Network) -> anyhow::Result<()> {
    // What was killed a moment ago, and others that look for free ports, may hold one for an instant.
    let patience = Instant::now() + PORT_PATIENCE;
    while let Some((process, taken)) = taken_port(network)? {
        if Instant::now() < patience {
            std::thread::sleep(PORT_LOOK);
            continue;
        }
        let holder = taken.holder();
        bail!(
            "port {} ({} of {process}) is taken by {}: end that and run this again, or build a \
             network with ports of its own under another \
             --name",
            taken.port,
            taken.what,
            holder.as_deref().unwrap_or("another program")
        );
    }
    Ok(())
}

/// The first port that a process will not find free.
fn taken_port(network: &Network) -> anyhow::Result<Option<(String, Listener)>> {
    let size = |count: usize| u16::try_from(count).context("the size of the network");
    let validators = size(network.validators.len())?;
    let providers = size(network.providers.len())?;
    let listeners = network.ports.listeners(validators, providers).into_iter();
    let mut awaited = listeners
        .map(|listener| (network.process_of(listener.owner), listener))
        .filter(|(process, _)| !network.is_alive(process));
    Ok(awaited.find(|(_, listener)| !listener.is_free()))
}

/// Starts providers with what they need. They wait for the chain by themselves.
async fn start_providers(network: &mut Network, programs: Option<&Path>) -> anyhow::Result<()> {
    if network.providers.is_empty() {
        return Ok(());
    }
    let own = network.providers.clone();
    if own.iter().any(|provider| provider.cluster.is_none()) {
        let engine = engine::ensure(network.engine.as_ref(), &network.folder).await?;
        network.engine = Some(engine.clone());
        network.write()?;
        for provider in &own {
            build::set_engine(provider, &engine.socket)?;
        }
    }
    let name = network.name.clone();
    let clusters = own
        .iter()
        .map(|provider| bring_up_cluster(&name, provider, programs));
    let (clusters, archive) = tokio::try_join!(try_join_all(clusters), image_for(network))?;
    for cluster in clusters.iter().flatten() {
        // Providers try with it whether their cluster keeps leases in.
        if let Some(archive) = &archive {
            cluster::load::load(cluster, archive).await?;
        }
    }
    if let Some(archive) = archive {
        std::fs::remove_file(archive)?;
    }
    for provider in &own {
        if let Some(ingress) = provider.ingress() {
            let start = network.start_ingress(provider, &ingress)?;
            start_one(network, &ingress, &start)?;
        }
        let daemon = network.start_daemon(provider)?;
        start_one(network, &provider.name, &daemon)?;
    }
    Ok(())
}

/// The archive of the demo's image, where clusters are to get it.
async fn image_for(network: &Network) -> anyhow::Result<Option<PathBuf>> {
    match network.providers.iter().any(|one| one.cluster.is_some()) {
        true => engine::make_image(&network.folder).await.map(Some),
        false => Ok(None),
    }
}

/// Brings the provider's cluster up, if it has one.
async fn bring_up_cluster(
    network: &str,
    provider: &Provider,
    programs: Option<&Path>,
) -> anyhow::Result<Option<Cluster>> {
    let Some(folder) = &provider.cluster else {
        return Ok(None);
    };
    let wanted = Wanted {
        name: network,
        nodes: None,
        programs: match programs {
            Some(programs) => programs.to_owned(),
            None => cluster::up::build()?,
        },
    };
    std::fs::create_dir_all(folder)?;
    let (cluster, _) = cluster::up::bring_up(folder, &wanted).await?;
    build::set_cluster(provider, &cluster)?;
    Ok(Some(cluster))
}

async fn until_ready(network: &Network) -> anyhow::Result<()> {
    say("waiting until all validators commit");
    ready::until_validators_commit(network).await?;
    if !network.providers.is_empty() {
        say("waiting until all providers bid");
    }
    ready::until_providers_bid(network).await?;
    ready::until_faucet_answers(network).await
}

fn own_pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

/// Starts a process unless it runs, and writes it down.
fn start_one(network: &mut Network, name: &str, start: &Start) -> anyhow::Result<()> {
    if network.is_alive(name) {
        return Ok(());
    }
    let process = start.start()?;
    network.processes.insert(name.to_owned(), process);
    network.write()
}

/// Whether all processes run.
fn is_complete(network: &Network) -> bool {
    let runs = |provider: &Provider| {
        let is_alive = |process: String| network.is_alive(&process);
        let cluster = provider.read_cluster().ok().flatten();
        network.is_alive(&provider.name)
            && provider.ingress().is_none_or(is_alive)
            && provider.cluster.is_none() == cluster.is_none()
            && cluster.is_none_or(|cluster| cluster.processes.values().all(|one| one.is_alive()))
    };
    network
        .validators
        .iter()
        .all(|one| network.is_alive(&one.name))
        && network.is_alive(FAUCET)
        && network.providers.iter().all(runs)
}

/// Endpoints and accounts.
fn summary(network: &Network) -> String {
    let mut text = format!(
        "network    {}\nchain id   {}\nfolder     {}\n",
        network.name,
        network.chain_id,
        network.folder.display()
    );
    for validator in &network.validators {
        text.push_str(&format!("rpc        {}\n", validator.rpc));
    }
    text.push_str(&format!("faucet     {}\n", network.faucet.url));
    for provider in &network.providers {
        text.push_str(&format!(
            "provider   {}  channel {}\n",
            provider.address, provider.channel
        ));
        if let Some(cluster) = provider.read_cluster().ok().flatten() {
            text.push_str(&format!("kubeconfig {}\n", cluster.kubeconfig().display()));
        }
    }
    for account in &network.accounts {
        let tokens = account.balance.0 / 1_000_000;
        text.push_str(&format!(
            "account    {}  {}  ({tokens} wlk at genesis)\n",
            account.address, account.name
        ));
    }
    text
}

/// What to type next.
fn next_commands(network: &Network) -> String {
    let variables = network.folder.join("env.sh");
    let app = super::sources().join("apps/hello/hello.yaml");
    let [variables, app] = [variables, app].map(|path| shell_word(&path.display().to_string()));
    format!("\nnext:\n  . {variables}\n  welkin deploy {app}\n  welkin deployment list\n")
}
