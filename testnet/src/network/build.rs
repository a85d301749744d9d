//! Building a network's folder: keys, genesis, homes, configurations, accounts.

use super::ports::{self, Ports};
use super::record::{Account, Faucet, Network, Provider, Validator};
use super::shell_word;
use crate::cluster::layout::{self, Member};
use crate::cluster::{self, Cluster};
use anyhow::Context;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use welkin_client::files::replace_durably;
use welkin_client::keyring::{KdfCost, Keyring};
use welkin_consensus::types::Genesis;
use welkin_modules::RUNTIME;
use welkin_modules::genesis::AppState;
use welkin_node::config::{Home, MetricsConfig, NodeConfig, P2pConfig, RpcConfig};
use welkin_node::disk::RealDisk;
use welkin_node::init::{self, Keys};
use welkin_provider::backend::kubernetes::settings::{IngressSettings, IngressSource};
use welkin_provider::backend::{Instance, Isolation};
use welkin_provider::config::{Capacity, Config as ProviderConfig, KubernetesConfig};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::{Address, Amount, Time};

/// Money of the faucet: a thousand million tokens.
const FAUCET_BALANCE: Amount = Amount(1_000_000_000_000_000);
/// Money of each test account: a million tokens.
const ACCOUNT_BALANCE: Amount = Amount(1_000_000_000_000);
/// Money of each provider: a thousand tokens, of which it deposits its bond and its bids.
const PROVIDER_BALANCE: Amount = Amount(1_000_000_000);
/// The test accounts.
const ACCOUNTS: [&str; 3] = ["alice", "bob", "carol"];
/// The name of the only key in a keyring of the faucet or of a provider.
pub const KEY: &str = "key";

/// What network is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Validators, 1 to 7.
    pub validators: u16,
    /// Providers, 0 to 3.
    pub providers: u16,
    /// Whether each of them has a Kubernetes cluster instead of containers.
    pub kubernetes: bool,
    /// What is laid over the genesis' `app_state`.
    pub rules: Option<Value>,
}

/// A key that was just made.
struct Made {
    name: String,
    key: SigningKey,
    balance: Amount,
}

impl Made {
    fn new(name: impl Into<String>, balance: Amount) -> Made {
        Made {
            name: name.into(),
            key: SigningKey::from_seed(&rand::random()),
            balance,
        }
    }

    fn address(&self) -> Address {
        self.key.address()
    }

    fn account(&self) -> Account {
        Account {
            name: self.name.clone(),
            address: self.address(),
            balance: self.balance,
        }
    }
}

/// Builds a network in `folder`, which holds nothing yet. The record is written last.
///
/// # Errors
/// The disk refuses, or all ports are taken.
pub fn build(folder: &Path, name: &str, plan: Plan) -> anyhow::Result<Network> {
    let ports = ports::claim(&ports::claims(), folder)?;
    std::fs::create_dir_all(folder.join("logs"))?;
    let faucet = Made::new("faucet", FAUCET_BALANCE);
    let accounts: Vec<Made> = ACCOUNTS
        .iter()
        .map(|name| Made::new(*name, ACCOUNT_BALANCE))
        .collect();
    let providers: Vec<Made> = (0..plan.providers)
        .map(|index| Made::new(format!("provider-{index}"), PROVIDER_BALANCE))
        .collect();

    let funded = providers.iter().chain(&accounts).chain([&faucet]);
    let state = AppState::for_testnet(funded.map(|made| (made.address(), made.balance)));
    let state = match &plan.rules {
        Some(rules) => with_rules(&state.to_json(), rules)?,
        None => state.to_json(),
    };
    let keys: Vec<Keys> = (0..plan.validators).map(|_| Keys::random()).collect();
    let members = keys
        .iter()
        .enumerate()
        .map(|(index, keys)| keys.genesis_validator(10, format!("validator-{index}")));
    let chain_id = format!("welkin-{name}");
    let genesis = init::genesis(
        chain_id.clone(),
        welkin_node::shell::now(),
        members.collect(),
        state,
    );
    let genesis_file = folder.join("genesis.json");
    std::fs::write(&genesis_file, genesis.to_json())?;

    let validators = validators(folder, ports, &keys, &genesis)?;
    let nodes: Vec<String> = validators.iter().map(|one| one.rpc.clone()).collect();
    let placed = Placed {
        folder,
        ports,
        genesis: &genesis,
        genesis_file: &genesis_file,
        nodes: &nodes,
        kubernetes: plan.kubernetes,
    };
    let network = Network {
        name: name.to_owned(),
        chain_id,
        folder: folder.to_owned(),
        genesis: genesis_file.clone(),
        home: folder.join("home"),
        ports,
        providers: providers
            .iter()
            .zip(0..)
            .map(|(made, index)| placed.provider(made, index))
            .collect::<Result<_, _>>()?,
        validators,
        faucet: Faucet {
            address: faucet.address(),
            url: format!("http://127.0.0.1:{}", ports.faucet()),
        },
        accounts: accounts.iter().map(Made::account).collect(),
        engine: None,
        processes: BTreeMap::new(),
    };
    keep_keys(&network, &faucet, &accounts)?;
    network.write()?;
    Ok(network)
}

/// Seals the faucet's and the accounts' keys, and writes what a shell has to know of them.
fn keep_keys(network: &Network, faucet: &Made, accounts: &[Made]) -> anyhow::Result<()> {
    let home = network.folder.join("faucet");
    seal(&home, KEY, &faucet.key, &new_password(&home)?)?;
    let password = new_password(&network.home)?;
    for made in accounts {
        seal(&network.home, &made.name, &made.key, &password)?;
    }
    let file = network.folder.join("env.sh");
    write_private(&file, &environment(network, &password))
}

/// An `app_state` with `rules` laid over it: objects key by key, everything else whole.
///
/// # Errors
/// The result is no `app_state`; the text names the key at fault.
pub fn with_rules(state: &Value, rules: &Value) -> anyhow::Result<Value> {
    fn lay_over(place: &mut Value, over: &Value) {
        match (place, over) {
            (Value::Object(fields), Value::Object(over)) => {
                for (key, value) in over {
                    lay_over(fields.entry(key).or_insert(Value::Null), value);
                }
            }
            (place, over) => *place = over.clone(),
        }
    }
    let mut changed = state.clone();
    lay_over(&mut changed, rules);
    let state: AppState = serde_json::from_value(changed).context("the rules of the genesis")?;
    Ok(state.to_json())
}

/// Whether a genesis can have these rules.
///
/// # Errors
/// It cannot; the text names what is at fault.
pub fn check_rules(rules: &Value) -> anyhow::Result<()> {
    let state = with_rules(&AppState::for_testnet([]).to_json(), rules)?;
    RUNTIME
        .genesis(&state, Time(0))
        .context("the rules of the genesis")?;
    Ok(())
}

fn validators(
    folder: &Path,
    ports: Ports,
    keys: &[Keys],
    genesis: &Genesis,
) -> anyhow::Result<Vec<Validator>> {
    let mut made = Vec::new();
    for (own, index) in keys.iter().zip(0..) {
        let port = ports.validator(index);
        let others = || keys.iter().zip(0..).filter(|(_, other)| *other != index);
        let config = NodeConfig {
            moniker: format!("validator-{index}"),
            p2p: P2pConfig {
                listen: vec![format!("/ip4/127.0.0.1/tcp/{}", port.p2p)],
                persistent_peers: others()
                    .map(|(keys, other)| {
                        format!(
                            "/ip4/127.0.0.1/tcp/{}/p2p/{}",
                            ports.validator(other).p2p,
                            keys.peer_id()
                        )
                    })
                    .collect(),
                explicit_peers: others()
                    .map(|(keys, _)| keys.peer_id().to_string())
                    .collect(),
                ..P2pConfig::default()
            },
            rpc: RpcConfig {
                listen: local(port.rpc),
                ..RpcConfig::default()
            },
            metrics: MetricsConfig {
                listen: local(port.metrics),
            },
            ..NodeConfig::default()
        };
        let home = folder.join(&config.moniker);
        init::write_home(&RealDisk, &Home::new(&home), &config, genesis, own)?;
        made.push(Validator {
            name: config.moniker,
            home,
            rpc: format!("http://127.0.0.1:{}", port.rpc),
            metrics: format!("http://127.0.0.1:{}/metrics", port.metrics),
        });
    }
    Ok(made)
}

/// What all providers of a network have in common.
struct Placed<'a> {
    folder: &'a Path,
    ports: Ports,
    genesis: &'a Genesis,
    genesis_file: &'a Path,
    nodes: &'a [String],
    kubernetes: bool,
}

impl Placed<'_> {
    fn provider(&self, made: &Made, index: u16) -> anyhow::Result<Provider> {
        let home = self.folder.join(&made.name);
        let port = self.ports.provider(index);
        seal(&home, KEY, &made.key, &new_password(&home)?)?;
        let config = ProviderConfig {
            home: home.clone(),
            rpc: self.nodes.to_vec(),
            genesis: self.genesis_file.to_owned(),
            keyring: home.join("keys"),
            key: KEY.to_owned(),
            password_file: home.join("password"),
            channel_listen: vec![
                format!("/ip4/127.0.0.1/tcp/{}", port.channel),
                format!("/ip4/127.0.0.1/udp/{}/quic-v1", port.channel),
            ],
            channel_announce: Vec::new(),
            domain: "localhost".to_owned(),
            http_listen: local(port.http),
            http_public_port: None,
            ports_listen: Ipv4Addr::LOCALHOST.into(),
            ports_public_host: "localhost".to_owned(),
            ports_first: port.first,
            ports_last: port.last,
            max_connections: 1_024,
            // Put in once an engine is found, or a cluster is there.
            engine_socket: None,
            kubernetes: None,
            local_images: vec![super::engine::IMAGE.to_owned()],
            allow_root: false,
            attributes: BTreeMap::from([("region".to_owned(), format!("local-{index}"))]),
            website: String::new(),
            contact: String::new(),
            capacity: Capacity::default(),
            prices: Default::default(),
            reconcile_interval_ms: 1_000,
            withdraw_interval_s: 3_600,
            metrics_listen: Some(local(port.metrics)),
        };
        let path = home.join("provider.toml");
        write_provider_config(&path, &config)?;
        let instance = Instance {
            genesis: self.genesis.hash().context("the hash of the genesis")?,
            provider: made.address(),
        };
        Ok(Provider {
            name: made.name.clone(),
            address: made.address(),
            home,
            config: path,
            channel: format!("127.0.0.1:{}", port.channel),
            http_port: port.http,
            instance: instance.short(),
            cluster: self.kubernetes.then(|| cluster::folder(self.folder, index)),
        })
    }
}

/// Writes a provider's configuration.
///
/// # Errors
/// The disk refuses.
pub fn write_provider_config(path: &Path, config: &ProviderConfig) -> anyhow::Result<()> {
    // Through a table, which puts plain values before tables as TOML wants them.
    let text = toml::to_string(&toml::Table::try_from(config)?)?;
    replace_durably(path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Tells a provider which engine to use; nothing is written where it knows.
///
/// # Errors
/// Its configuration cannot be read or written.
pub fn set_engine(provider: &Provider, socket: &Path) -> anyhow::Result<()> {
    let mut config = ProviderConfig::read(&provider.config, &BTreeMap::new())?;
    if config.engine_socket.as_deref() == Some(socket) {
        return Ok(());
    }
    config.engine_socket = Some(socket.to_owned());
    write_provider_config(&provider.config, &config)
}

/// Tells a provider of its cluster and where the world reaches it; nothing is written where it knows.
///
/// # Errors
/// Its configuration cannot be read or written.
pub fn set_cluster(provider: &Provider, cluster: &Cluster) -> anyhow::Result<()> {
    let layout = cluster.layout();
    let known = ProviderConfig::read(&provider.config, &BTreeMap::new())?;
    let (ingress4, ingress6) = layout.addresses(Member::Control);
    let ranges = [layout::PODS, layout::SERVICES].map(|both| both.split(','));
    let mut config = known.clone();
    config.http_public_port = Some(layout.http_port());
    config.kubernetes = Some(KubernetesConfig {
        kubeconfig: Some(cluster.kubeconfig()),
        isolation: Isolation::Gvisor,
        sandbox_class: "gvisor".to_owned(),
        probe_image: super::engine::IMAGE.to_owned(),
        ingress: IngressSettings {
            class: "contour".to_owned(),
            from: IngressSource::Addresses(vec![ingress4.into(), ingress6.into()]),
        },
        forbidden: ranges
            .into_iter()
            .flatten()
            .map(str::to_owned)
            .chain(layout.ranges())
            .collect(),
        storage_classes: BTreeMap::new(),
    });
    if config == known {
        return Ok(());
    }
    write_provider_config(&provider.config, &config)
}

/// The least cost that a key file may have: these keys guard play money, and their passwords lie beside them.
fn cost() -> KdfCost {
    KdfCost {
        memory_kib: 19 * 1024,
        passes: 1,
        lanes: 1,
    }
}

fn seal(home: &Path, name: &str, key: &SigningKey, password: &str) -> anyhow::Result<()> {
    Keyring::new(home.join("keys"))
        .with_cost(cost())
        .add(name, key, password)?;
    Ok(())
}

/// Makes a folder with a new password in it.
fn new_password(home: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(home)?;
    let password = hex::encode(rand::random::<[u8; 16]>());
    write_private(&home.join("password"), &password)?;
    Ok(password)
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    replace_durably(path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// Variables with which the command line speaks to this network as alice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Variables(pub Vec<(String, String)>);

impl Variables {
    /// Of a network.
    pub fn of(network: &Network, password: &str) -> Variables {
        let text = |path: &Path| path.display().to_string();
        let pairs = [
            ("WELKIN_HOME", text(&network.home)),
            ("WELKIN_NODE", network.nodes()),
            ("WELKIN_GENESIS", text(&network.genesis)),
            ("WELKIN_KEY", ACCOUNTS[0].to_owned()),
            ("WELKIN_KEYRING_PASSWORD", password.to_owned()),
        ];
        Variables(pairs.map(|(name, value)| (name.to_owned(), value)).to_vec())
    }
}

/// `env.sh`.
fn environment(network: &Network, password: &str) -> String {
    let mut text = format!(
        "# Sourced, this makes `welkin` speak to the network {} as alice.\n",
        network.name
    );
    for (name, value) in Variables::of(network, password).0 {
        text.push_str(&format!("export {name}={}\n", shell_word(&value)));
    }
    let binaries = std::env::current_exe()
        .ok()
        .and_then(|own| own.parent().map(PathBuf::from));
    if let Some(binaries) = binaries {
        text.push_str(&format!(
            "export PATH={}:\"$PATH\"\n",
            shell_word(&binaries.display().to_string())
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_change_what_they_name_and_a_name_that_is_none_is_refused() {
        let state = AppState::for_testnet([]).to_json();
        let changed = with_rules(&state, &json!({"escrow": {"params": {"grace_seconds": 7}}}));
        let changed: AppState = serde_json::from_value(changed.unwrap()).unwrap();
        let mut wanted = AppState::for_testnet([]);
        wanted.escrow.params.grace_seconds = 7;
        assert_eq!(changed, wanted);
        let wrong = with_rules(&state, &json!({"escrow": {"params": {"grace": 7}}}));
        assert!(format!("{:#}", wrong.unwrap_err()).contains("`grace`"));
    }

    #[test]
    fn rules_that_no_chain_can_begin_with_are_refused_before_one_is_built() {
        let lived = json!({"escrow": {"params": {"grace_seconds": 20}}});
        check_rules(&lived).unwrap();
        let wrong = json!({"market": {"params": {"bid_lifetime_seconds": 0}}});
        let why = format!("{:#}", check_rules(&wrong).unwrap_err());
        assert!(why.contains("market: bad params"), "{why}");
    }
}
