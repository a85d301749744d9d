//! What a network has outside its folder: its providers' objects on engines of others, and their firewall tables.
//!
//! The record names them. Where it is damaged or missing, they follow from what else the folder holds: a provider's
//! instance is a hash of the genesis and the provider's address, and its configuration names the engine.

use super::build::KEY;
use super::engine;
use super::record::{Engine, Network};
use anyhow::{Context, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use welkin_client::keyring::Keyring;
use welkin_consensus::types::Genesis;
use welkin_provider::backend::Instance;
use welkin_provider::config::Config as ProviderConfig;
use welkin_runtime::Hash;

/// What one provider leaves outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The provider: `provider-0`.
    pub provider: String,
    /// What its objects and its table are named with.
    pub instance: String,
    /// The engine that has its objects; none where that is the network's own, which goes as a whole.
    pub engine: Option<PathBuf>,
}

/// The traces of a network, and why those of a provider are not known.
pub fn of(folder: &Path) -> Vec<anyhow::Result<Trace>> {
    match Network::read(folder) {
        Ok(Some(network)) => recorded(&network).into_iter().map(Ok).collect(),
        Ok(None) | Err(_) => found(folder),
    }
}

fn recorded(network: &Network) -> Vec<Trace> {
    let shared = |engine: &Engine| engine.private.is_none().then(|| engine.socket.clone());
    let engine = network.engine.as_ref().and_then(shared);
    let providers = network.providers.iter();
    let trace = |provider: &super::record::Provider| Trace {
        provider: provider.name.clone(),
        instance: provider.instance.clone(),
        engine: engine.clone(),
    };
    providers.map(trace).collect()
}

fn found(folder: &Path) -> Vec<anyhow::Result<Trace>> {
    let homes = homes(folder, "provider-");
    // Written last: a provider without it was never started.
    let built = homes
        .into_iter()
        .filter(|home| home.join("provider.toml").exists());
    built.map(|home| trace(folder, &home)).collect()
}

/// The folders of a network's members of one kind, in order.
pub fn homes(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let is_one = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with(prefix);
    let mut homes: Vec<PathBuf> = entries
        .filter(|entry| is_one(&entry.file_name()) && entry.path().is_dir())
        .map(|entry| entry.path())
        .collect();
    homes.sort();
    homes
}

fn trace(folder: &Path, home: &Path) -> anyhow::Result<Trace> {
    let name = home.file_name().unwrap_or_default().to_string_lossy();
    let unknown = || {
        format!(
            "{name}: which firewall table and containers are its is not known; `nft list tables` \
             shows tables (welkin_INSTANCE), and containers carry the label \
             welkin.instance=INSTANCE"
        )
    };
    let of_home = || {
        let key = Keyring::new(home.join("keys")).show(KEY)?;
        let instance = Instance {
            genesis: genesis(folder)?,
            provider: key.address,
        };
        let config = ProviderConfig::read(&home.join("provider.toml"), &BTreeMap::new())?;
        anyhow::Ok(Trace {
            provider: name.to_string(),
            instance: instance.short(),
            engine: config.engine_socket,
        })
    };
    of_home().with_context(unknown)
}

/// The genesis' hash: the network's own file, or a validator's copy.
fn genesis(folder: &Path) -> anyhow::Result<Hash> {
    let copies = homes(folder, "validator-");
    let copies = copies.iter().map(|home| home.join("config/genesis.json"));
    let hash = |path: PathBuf| {
        let text = std::fs::read_to_string(path).ok()?;
        Genesis::from_json(&text).ok()?.hash().ok()
    };
    [folder.join("genesis.json")]
        .into_iter()
        .chain(copies)
        .find_map(hash)
        .with_context(|| format!("no genesis in {} can be read", folder.display()))
}

impl Trace {
    /// Removes what the provider left.
    ///
    /// # Errors
    /// What stays, why, and what to do.
    pub async fn remove(&self) -> anyhow::Result<()> {
        let Trace {
            provider, instance, ..
        } = self;
        if let Some(socket) = self.engine.as_ref().filter(|socket| !is_gone(socket)) {
            ensure!(
                engine::answers(socket).await,
                "{provider}: its containers stay, and its firewall table welkin_{instance}: the \
                 engine on {} does not answer; start it, and run this \
                 again",
                socket.display()
            );
            let removed = engine::remove_objects(socket, instance).await;
            removed.with_context(|| {
                let socket = socket.display();
                format!(
                    "{provider}: containers (label welkin.instance={instance}) stay on {socket}"
                )
            })?;
        }
        engine::remove_table(instance)
            .with_context(|| format!("{provider}: the firewall table welkin_{instance} stays"))
    }
}

/// Whether a socket was that of a network's own engine, which went with all that it had. `engine.sh` names its folder.
fn is_gone(socket: &Path) -> bool {
    let folder = socket.parent().and_then(Path::file_name);
    let is_private =
        folder.is_some_and(|name| name.to_string_lossy().starts_with("welkin-engine-"));
    is_private && !socket.exists()
}

#[cfg(test)]
mod tests {
    use super::super::build::{Plan, build, set_engine};
    use super::super::ports;
    use super::*;

    /// A network that was built and never started, with two providers on an engine of others.
    fn built(dir: &Path) -> Network {
        let plan = Plan {
            validators: 2,
            providers: 2,
            kubernetes: false,
            rules: None,
        };
        let folder = dir.join("net");
        let mut network = build(&folder, "net", plan).unwrap();
        ports::release(&ports::claims(), &folder).unwrap();
        for provider in &network.providers {
            set_engine(provider, Path::new("/run/engine.sock")).unwrap();
        }
        network.engine = Some(Engine {
            socket: "/run/engine.sock".into(),
            private: None,
        });
        network.write().unwrap();
        network
    }

    fn known(folder: &Path) -> Vec<Trace> {
        of(folder).into_iter().map(Result::unwrap).collect()
    }

    #[test]
    fn what_a_network_leaves_outside_is_known_without_its_record_and_its_genesis() {
        let dir = tempfile::tempdir().unwrap();
        let network = built(dir.path());
        let wanted = known(&network.folder);
        assert_eq!(wanted, recorded(&network));
        assert_eq!(wanted.len(), 2);
        assert_ne!(wanted[0].instance, wanted[1].instance);
        for damaged in ["{}", "{\"name\": \"ne", ""] {
            std::fs::write(Network::file(&network.folder), damaged).unwrap();
            assert_eq!(known(&network.folder), wanted, "{damaged:?}");
        }
        std::fs::remove_file(Network::file(&network.folder)).unwrap();
        std::fs::write(&network.genesis, "{").unwrap();
        assert_eq!(known(&network.folder), wanted);
    }

    #[test]
    fn a_provider_whose_key_is_damaged_as_well_is_named_and_one_that_was_never_started_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let network = built(dir.path());
        std::fs::remove_file(Network::file(&network.folder)).unwrap();
        std::fs::write(network.providers[0].home.join("keys/key.json"), "{").unwrap();
        std::fs::create_dir(network.folder.join("provider-2")).unwrap();
        let traces = of(&network.folder);
        let why = format!("{:#}", traces[0].as_ref().unwrap_err());
        assert!(why.contains("provider-0") && why.contains("nft"), "{why}");
        assert_eq!(traces[1].as_ref().unwrap().provider, "provider-1");
        assert_eq!(traces.len(), 2);
    }

    #[tokio::test]
    async fn what_stays_because_its_engine_is_off_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let trace = |engine: PathBuf| Trace {
            provider: "provider-0".to_owned(),
            instance: "0123456789ab".to_owned(),
            engine: Some(engine),
        };
        let off = trace(dir.path().join("engine.sock"));
        let why = off.remove().await.unwrap_err().to_string();
        assert!(why.contains("welkin_0123456789ab"), "{why}");
        assert!(why.contains(dir.path().to_str().unwrap()), "{why}");
        let own = trace(dir.path().join("welkin-engine-0123/api.sock"));
        assert!(is_gone(own.engine.as_ref().unwrap()));
    }
}
