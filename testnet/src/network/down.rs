//! `down`: ends a network; `--purge` leaves nothing of it.

use super::lock::FolderLock;
use super::process::{Process, kill_all, stop_all, strays};
use super::record::{FAUCET, Network, Provider};
use super::traces::{self, Trace, homes};
use super::waiting::told;
use super::{Place, engine, ports, say};
use crate::cluster;
use anyhow::{Context, ensure};
use std::path::Path;
use structopt::StructOpt;

/// Ends a network; its folder stays, and `up` goes on with it
#[derive(Debug, StructOpt)]
pub struct Down {
    #[structopt(flatten)]
    place: Place,
    /// Removes everything: processes, containers, networks, firewall tables, mounts, files
    #[structopt(long)]
    purge: bool,
}

impl Down {
    /// Takes the network down.
    ///
    /// # Errors
    /// What does not go.
    pub fn run(&self) -> anyhow::Result<()> {
        let folder = self.place.folder()?;
        if !folder.exists() {
            ports::release(&ports::claims(), &folder)?;
            say(format!("there is no network {}", self.place.name()));
            return Ok(());
        }
        Network::check_is_at_home(&folder)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        runtime.block_on(async {
            if self.purge {
                return purge(&folder).await;
            }
            let _lock = FolderLock::acquire(&folder)?;
            if let Some(network) = Network::read(&folder)? {
                stop(&network).await?;
            }
            anyhow::Ok(())
        })?;
        let what = if self.purge {
            "gone".to_owned()
        } else {
            format!(
                "down; ./testnet/up.sh{} goes on with it",
                self.place.flags()
            )
        };
        say(format!("the network {} is {what}", self.place.name()));
        Ok(())
    }
}

/// Ends all processes and containers of a network.
async fn stop(network: &Network) -> anyhow::Result<()> {
    stop_processes(network)?;
    for provider in &network.providers {
        if let Some(cluster) = provider.read_cluster()? {
            cluster::down::stop(&cluster)?;
        }
    }
    let Some(known) = &network.engine else {
        return Ok(());
    };
    if engine::answers(&known.socket).await {
        for provider in &network.providers {
            engine::stop_containers(&known.socket, &provider.instance).await?;
        }
    }
    match &known.private {
        Some(own) => engine::end_private(own, "stop").await,
        None => Ok(()),
    }
}

/// First those who depend on the others; those who do not, together.
fn stop_processes(network: &Network) -> anyhow::Result<()> {
    let of = |names: &mut dyn Iterator<Item = String>| -> Vec<Process> {
        names
            .filter_map(|name| network.processes.get(&name).copied())
            .collect()
    };
    let providers = || network.providers.iter();
    let daemons = of(&mut providers().map(|one| one.name.clone()));
    stop_all("the providers to end", &daemons)?;
    let between = of(&mut providers()
        .filter_map(Provider::ingress)
        .chain([FAUCET.to_owned()]));
    stop_all("ingress and faucet to end", &between)?;
    let validators = of(&mut network.validators.iter().map(|one| one.name.clone()));
    stop_all("the validators to end", &validators)
}

/// Removes a network with everything that it has, also one that was built or run only in part.
///
/// # Errors
/// What does not go.
pub async fn purge(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        let _lock = FolderLock::acquire(folder)?;
        let traces = traces::of(folder);
        // A record that cannot be read is no reason to leave the rest.
        let network = Network::read(folder).ok().flatten();
        let known = network
            .iter()
            .flat_map(|network| network.processes.values().copied());
        let own = rustix::process::getpid().as_raw_nonzero().get();
        let mut processes: Vec<Process> = known.chain(strays(folder)).collect();
        processes.retain(|process| process.pid != own);
        // Their files go as well, so nobody needs time to put them in order.
        kill_all("its processes to end", &processes)?;
        // A private engine goes with all that it has, and needs nobody who takes it away piece by piece.
        let own_engine = folder.join("engine");
        if own_engine.exists() {
            engine::end_private(&own_engine, "purge").await?;
        }
        remove_all(traces, folder).await?;
        for cluster in homes(folder, "cluster-") {
            cluster::down::purge(&cluster)
                .with_context(|| format!("the cluster in {} stays", cluster.display()))?;
        }
        let files = folder.to_owned();
        let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(files));
        told("its files to be removed", removed)
            .await?
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    ports::release(&ports::claims(), folder)
}

/// Removes what lies outside the folder. The folder stays as long as something of that does: it says whose it is.
async fn remove_all(traces: Vec<anyhow::Result<Trace>>, folder: &Path) -> anyhow::Result<()> {
    let mut stays = Vec::new();
    for trace in traces {
        let removed = match trace {
            Ok(trace) => trace.remove().await,
            Err(why) => Err(why),
        };
        stays.extend(removed.err().map(|why| format!("\n  {why:#}")));
    }
    ensure!(
        stays.is_empty(),
        "not everything of the network is gone:{}\nits files in {} stay as well; once the rest \
         is gone, remove them",
        stays.concat(),
        folder.display()
    );
    Ok(())
}
