//! `down`: ends a network; `--purge` leaves nothing of it.

use super::lock::FolderLock;
use super::process::{Process, strays};
use super::record::{FAUCET, Network, ingress_of};
use super::{Place, engine, ports, say};
use anyhow::Context;
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
            say(format!("there is no network {}", self.place.name));
            return Ok(());
        }
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
            "gone"
        } else {
            "down; ./testnet/up.sh goes on with it"
        };
        say(format!("the network {} is {what}", self.place.name));
        Ok(())
    }
}

/// Ends all processes and containers of a network.
async fn stop(network: &Network) -> anyhow::Result<()> {
    stop_processes(network)?;
    let Some(known) = &network.engine else {
        return Ok(());
    };
    if engine::answers(&known.socket).await {
        for provider in &network.providers {
            engine::stop_containers(&known.socket, &provider.instance).await?;
        }
    }
    match &known.private {
        Some(own) => engine::end_private(own, "stop"),
        None => Ok(()),
    }
}

/// First those who depend on the others.
fn stop_processes(network: &Network) -> anyhow::Result<()> {
    let providers = network.providers.iter();
    let order = providers
        .flat_map(|one| [one.name.clone(), ingress_of(one)])
        .chain([FAUCET.to_owned()]);
    for name in order {
        if let Some(process) = network.processes.get(&name) {
            process.stop()?;
        }
    }
    let validators: Vec<Process> = network
        .validators
        .iter()
        .filter_map(|one| network.processes.get(&one.name))
        .copied()
        .collect();
    // Together, so that the time for one is enough.
    for validator in &validators {
        validator.signal(rustix::process::Signal::TERM)?;
    }
    validators.iter().try_for_each(|validator| validator.stop())
}

/// Removes a network with everything that it has, also one that was built or run only in part.
///
/// # Errors
/// What does not go.
pub async fn purge(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        let _lock = FolderLock::acquire(folder)?;
        // A record that cannot be read is no reason to leave the rest.
        let network = Network::read(folder).ok().flatten();
        // Their files go as well, so nobody needs time to put them in order.
        let known = network
            .iter()
            .flat_map(|network| network.processes.values().copied());
        let own = rustix::process::getpid().as_raw_nonzero().get();
        for process in known
            .chain(strays(folder))
            .filter(|process| process.pid != own)
        {
            process.kill()?;
        }
        if let Some(network) = &network {
            remove_leases(network).await?;
        }
        let own_engine = folder.join("engine");
        if own_engine.exists() {
            engine::end_private(&own_engine, "purge")?;
        }
        std::fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    ports::release(&ports::claims(), folder)
}

async fn remove_leases(network: &Network) -> anyhow::Result<()> {
    if let Some(known) = &network.engine
        && engine::answers(&known.socket).await
    {
        for provider in &network.providers {
            engine::remove_objects(&known.socket, &provider.instance).await?;
        }
    }
    for provider in &network.providers {
        engine::remove_table(&provider.instance);
    }
    Ok(())
}
