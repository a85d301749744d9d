//! `testnet.json`: what a network consists of and where it is reached.

use super::ports::{Owner, Ports};
use super::process::{Process, Start};
use crate::cluster::Cluster;
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use welkin_runtime::{Address, Amount};

/// A network. The keys of its JSON are stable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// The chain's name.
    pub chain_id: String,
    /// Its folder.
    pub folder: PathBuf,
    /// The genesis file.
    pub genesis: PathBuf,
    /// `WELKIN_HOME` of the test accounts.
    pub home: PathBuf,
    /// Its ports.
    pub ports: Ports,
    /// The validators.
    pub validators: Vec<Validator>,
    /// The providers.
    pub providers: Vec<Provider>,
    /// The faucet.
    pub faucet: Faucet,
    /// Accounts with money, whose keys are in `home`.
    pub accounts: Vec<Account>,
    /// The container engine, once one was needed.
    pub engine: Option<Engine>,
    /// What was started, by name.
    pub processes: BTreeMap<String, Process>,
}

/// A validator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Validator {
    /// `validator-0`.
    pub name: String,
    /// Its folder.
    pub home: PathBuf,
    /// Where its JSON-RPC answers.
    pub rpc: String,
    /// Where Prometheus asks.
    pub metrics: String,
}

/// A provider.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provider {
    /// `provider-0`.
    pub name: String,
    /// Its account.
    pub address: Address,
    /// Its folder.
    pub home: PathBuf,
    /// Its configuration.
    pub config: PathBuf,
    /// Where its peer channel listens.
    pub channel: String,
    /// The port of the URLs of what it runs.
    pub http_port: u16,
    /// What its objects on the engine and its firewall table are named with.
    pub instance: String,
    /// The folder of the Kubernetes cluster that runs its leases; the container engine does where there is none.
    #[serde(default)]
    pub cluster: Option<PathBuf>,
}

impl Provider {
    /// The record of its cluster, if it has one that was built.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read_cluster(&self) -> anyhow::Result<Option<Cluster>> {
        let Some(folder) = &self.cluster else {
            return Ok(None);
        };
        Cluster::read(folder)
    }

    /// The name of its own ingress among the processes; a cluster has one itself.
    pub fn ingress(&self) -> Option<String> {
        self.cluster.is_none().then(|| ingress_of(self))
    }
}

/// The faucet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Faucet {
    /// Its account.
    pub address: Address,
    /// Where it answers.
    pub url: String,
}

/// A test account.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Account {
    /// The name of its key.
    pub name: String,
    /// Its address.
    pub address: Address,
    /// What it had in the genesis.
    pub balance: Amount,
}

/// A container engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Engine {
    /// Its socket.
    pub socket: PathBuf,
    /// The folder of the engine, where it is this network's own.
    pub private: Option<PathBuf>,
}

impl Network {
    /// Where the record of a network lies.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("testnet.json")
    }

    /// Reads a folder's record; `None` where there is none.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read(folder: &Path) -> anyhow::Result<Option<Network>> {
        let path = Network::file(folder);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).with_context(|| {
                let name = folder.file_name().unwrap_or_default().to_string_lossy();
                format!(
                    "{} is damaged or of another version; ./testnet/up.sh --name {name} --fresh \
                     builds the network anew, ./testnet/down.sh --name {name} --purge removes it",
                    path.display()
                )
            }),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(why).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Makes sure that the record in this folder is not of a network that lives elsewhere, as in a copy of its folder:
    /// whatever it names is that network's.
    ///
    /// # Errors
    /// It is: where the network lives, and what to do.
    pub fn check_is_at_home(folder: &Path) -> anyhow::Result<()> {
        let Ok(Some(network)) = Network::read(folder) else {
            return Ok(());
        };
        let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        anyhow::ensure!(
            real(&network.folder) == real(folder) || !network.folder.exists(),
            "{} is of the network {} in {}, of which this folder is a copy. Nothing was touched; remove the copy by hand: \
             rm -r {}",
            Network::file(folder).display(),
            network.name,
            network.folder.display(),
            folder.display()
        );
        Ok(())
    }

    /// Writes the record; a crash leaves the old one or the new one.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn write(&self) -> anyhow::Result<()> {
        let path = Network::file(&self.folder);
        let text = serde_json::to_string_pretty(self)? + "\n";
        welkin_client::files::replace_durably(&path, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The log of a process.
    pub fn log(&self, process: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{process}.log"))
    }

    /// Whether a process runs.
    pub fn is_alive(&self, process: &str) -> bool {
        self.processes
            .get(process)
            .is_some_and(|known| known.is_alive())
    }

    /// The name of a process.
    pub fn process_of(&self, owner: Owner) -> String {
        let provider = |index: u16| &self.providers[usize::from(index)];
        match owner {
            Owner::Validator(index) => self.validators[usize::from(index)].name.clone(),
            Owner::Faucet => FAUCET.to_owned(),
            Owner::Daemon(index) => provider(index).name.clone(),
            Owner::Ingress(index) => ingress_of(provider(index)),
        }
    }

    /// The addresses of all validators' RPC, as `WELKIN_NODE` wants them.
    pub fn nodes(&self) -> String {
        self.validators
            .iter()
            .map(|one| one.rpc.as_str())
            .collect::<Vec<_>>()
            .join(",")
    }

    /// What runs a validator.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn start_validator(&self, validator: &Validator) -> anyhow::Result<Start> {
        let arguments = vec![
            "start".to_owned(),
            "--home".to_owned(),
            validator.home.display().to_string(),
        ];
        self.start("welkind", arguments, &validator.name)
    }

    /// What runs a provider's daemon.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn start_daemon(&self, provider: &Provider) -> anyhow::Result<Start> {
        let arguments = vec![
            "--config".to_owned(),
            provider.config.display().to_string(),
            "start".to_owned(),
        ];
        self.start("welkin-provider", arguments, &provider.name)
    }

    /// What runs a provider's ingress, under this name.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn start_ingress(&self, provider: &Provider, name: &str) -> anyhow::Result<Start> {
        let arguments = vec![
            "--config".to_owned(),
            provider.config.display().to_string(),
            "ingress".to_owned(),
        ];
        self.start("welkin-provider", arguments, name)
    }

    /// What runs the faucet.
    ///
    /// # Errors
    /// The binary is missing.
    pub fn start_faucet(&self) -> anyhow::Result<Start> {
        let arguments = vec!["faucet".to_owned(), self.folder.display().to_string()];
        self.start("welkin-testnet", arguments, FAUCET)
    }

    fn start(&self, program: &str, arguments: Vec<String>, name: &str) -> anyhow::Result<Start> {
        let log = self.log(name);
        Ok(Start {
            program: super::binary(program)?,
            arguments,
            variables: Vec::new(),
            log,
        })
    }
}

/// The faucet's name among the processes.
pub const FAUCET: &str = "faucet";

fn ingress_of(provider: &Provider) -> String {
    format!("{}-ingress", provider.name)
}
