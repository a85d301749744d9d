//! The provider's configuration: a TOML file, over which `WELKIN_PROVIDER_*` variables go.
//!
//! A variable is named like its key, upper case, `_` for the dot: `WELKIN_PROVIDER_HTTP_LISTEN`,
//! `WELKIN_PROVIDER_PRICES_CPU_UWLK_PER_CORE_HOUR`. Names carry their units.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use welkin_modules::spec::Attributes;

use crate::backend::kubernetes::settings::{IngressSettings, Settings};
use crate::backend::{Instance, Isolation};
use crate::bid::PriceTable;
use crate::firewall::Subnet;

/// What variables of the environment begin with.
pub const ENV_PREFIX: &str = "WELKIN_PROVIDER_";

/// Everything that an operator decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the provider keeps its state; relative paths below are relative to it.
    pub home: PathBuf,
    /// RPC addresses of nodes, tried in turn: `http://127.0.0.1:26657`. None needs to be trusted.
    pub rpc: Vec<String>,
    /// The chain's genesis file, from which everything is verified.
    pub genesis: PathBuf,
    /// The folder with the account's key.
    pub keyring: PathBuf,
    /// The name of the account's key in it.
    pub key: String,
    /// The file with the key's password, readable by the provider's user only.
    pub password_file: PathBuf,
    /// Where the peer channel listens, as multiaddresses.
    pub channel_listen: Vec<String>,
    /// Where tenants reach the peer channel, as registered on chain; what is listened on where empty.
    #[serde(default)]
    pub channel_announce: Vec<String>,
    /// The domain under which services get names. `*.DOMAIN` must lead to this machine.
    #[serde(default = "default_domain")]
    pub domain: String,
    /// Where the ingress serves HTTP.
    pub http_listen: SocketAddr,
    /// The port that tenants use for HTTP, where that differs (behind a load balancer).
    #[serde(default)]
    pub http_public_port: Option<u16>,
    /// The address on which the ingress opens ports for TCP and UDP.
    pub ports_listen: IpAddr,
    /// The name or address that tenants use for these ports.
    pub ports_public_host: String,
    /// The lowest port that tenants may get.
    pub ports_first: u16,
    /// The highest.
    pub ports_last: u16,
    /// Connections through the ingress at a time.
    #[serde(default = "default_connections")]
    pub max_connections: usize,
    /// The cluster that runs leases; a container engine does where not given.
    #[serde(default)]
    pub kubernetes: Option<KubernetesConfig>,
    /// The engine's socket; found where it usually is when not given.
    #[serde(default)]
    pub engine_socket: Option<PathBuf>,
    /// Images that are taken from the engine as they are, never pulled.
    #[serde(default)]
    pub local_images: Vec<String>,
    /// Lets images of root run on a shared kernel (isolation=none). Tenants are hostile; think twice.
    #[serde(default)]
    pub allow_root: bool,
    /// What the provider says of itself beside what it finds out (`isolation`, `network`).
    #[serde(default)]
    pub attributes: Attributes,
    /// A page for people.
    #[serde(default)]
    pub website: String,
    /// How to reach the operator.
    #[serde(default)]
    pub contact: String,
    /// What may be sold; all that the machine has where not given.
    #[serde(default)]
    pub capacity: Capacity,
    /// What it costs.
    #[serde(default)]
    pub prices: PriceTable,
    /// How often everything is looked at again, in milliseconds, when nothing happens.
    #[serde(default = "default_reconcile")]
    pub reconcile_interval_ms: u64,
    /// How often earned money is taken out of escrow, in seconds.
    #[serde(default = "default_withdraw")]
    pub withdraw_interval_s: u64,
    /// Where Prometheus metrics are served; nowhere if not given.
    #[serde(default)]
    pub metrics_listen: Option<SocketAddr>,
}

/// What may be sold. What is not given is what the machine has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Capacity {
    /// Thousandths of a processor core.
    pub cpu_millis: Option<u64>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of disk for containers' own file systems; 64 GiB where not given.
    pub storage_bytes: Option<u64>,
}

/// A cluster that runs leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesConfig {
    /// How to reach the cluster; the one that this program runs in where not given.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// How tenants' processes are kept in.
    #[serde(default = "default_isolation")]
    pub isolation: Isolation,
    /// The runtime class of sandboxed pods.
    #[serde(default = "default_sandbox_class")]
    pub sandbox_class: String,
    /// The image of the pod that tries whether the network policies hold: one with `sh` and busybox's `nc`.
    #[serde(default = "default_probe_image")]
    pub probe_image: String,
    /// The ingress controller.
    pub ingress: IngressSettings,
    /// Ranges that no lease reaches beside the private ones: nodes, API server, pods and services.
    #[serde(default)]
    pub forbidden: Vec<String>,
    /// From classes of the SDL to the cluster's storage classes; a class that is not named here is its own.
    #[serde(default)]
    pub storage_classes: BTreeMap<String, String>,
}

impl KubernetesConfig {
    /// What the back end needs to know.
    pub fn settings(&self, config: &Config, instance: Instance) -> Settings {
        Settings {
            instance,
            isolation: self.isolation,
            sandbox_class: self.sandbox_class.clone(),
            local_images: config.local_images.iter().cloned().collect(),
            probe_image: self.probe_image.clone(),
            domain: config.domain.clone(),
            ingress: self.ingress.clone(),
            // What is no range was refused when the file was read.
            forbidden: self
                .forbidden
                .iter()
                .filter_map(|range| range.parse().ok())
                .collect(),
            storage_classes: self.storage_classes.clone(),
        }
    }
}

fn default_isolation() -> Isolation {
    Isolation::Restricted
}

fn default_probe_image() -> String {
    "docker.io/library/busybox:1.37".to_owned()
}

fn default_sandbox_class() -> String {
    "gvisor".to_owned()
}

fn default_domain() -> String {
    "localhost".to_owned()
}

fn default_connections() -> usize {
    4096
}

fn default_reconcile() -> u64 {
    2_000
}

fn default_withdraw() -> u64 {
    3_600
}

/// What is wrong with a configuration, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {source}; name the file with --config, or make one from provider/provider.example.toml", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key that does not exist, or a value of another type.
    #[error("{}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and cause.
        message: String,
    },
    /// A value that cannot be.
    #[error("{}: `{key}` {problem}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong with it.
        problem: String,
    },
}

impl Config {
    /// Reads `path`, puts the variables over it, and checks the values.
    ///
    /// # Errors
    /// [`ConfigError`], naming the file and the key.
    pub fn read(
        path: &Path,
        environment: &BTreeMap<String, String>,
    ) -> Result<Config, ConfigError> {
        let read = |source| ConfigError::Read {
            path: path.to_owned(),
            source,
        };
        let parse = |message: String| ConfigError::Parse {
            path: path.to_owned(),
            message,
        };
        let text = std::fs::read_to_string(path).map_err(read)?;
        // First as it is, because only then an error has its line and column.
        let mut table: toml::Table =
            toml::from_str(&text).map_err(|error| parse(error.to_string()))?;
        let changed = put_over(&mut table, environment);
        let config: Config = if changed {
            table
                .try_into()
                .map_err(|error: toml::de::Error| parse(error.to_string()))?
        } else {
            toml::from_str(&text).map_err(|error| parse(error.to_string()))?
        };
        config.check(path)?;
        Ok(config.with_absolute_paths(path))
    }

    fn check(&self, path: &Path) -> Result<(), ConfigError> {
        let value = |key, problem: &str| {
            Err(ConfigError::Value {
                path: path.to_owned(),
                key,
                problem: problem.to_owned(),
            })
        };
        if self.rpc.is_empty() {
            return value(
                "rpc",
                "names no node; give at least one address like http://127.0.0.1:26657",
            );
        }
        if self.channel_listen.is_empty() {
            return value(
                "channel_listen",
                "is empty; give at least one like /ip4/0.0.0.0/tcp/8443",
            );
        }
        if self.ports_first > self.ports_last || self.ports_first < 1024 {
            return value(
                "ports_first",
                "must be at least 1024 and not above `ports_last`",
            );
        }
        if self.domain.is_empty() || self.domain.len() > 200 {
            return value("domain", "must be a domain name of at most 200 characters");
        }
        if !(100..=600_000).contains(&self.reconcile_interval_ms) {
            return value("reconcile_interval_ms", "must be from 100 to 600000");
        }
        let ranges = self
            .kubernetes
            .iter()
            .flat_map(|cluster| &cluster.forbidden);
        if let Some(range) = ranges
            .clone()
            .find(|range| range.parse::<Subnet>().is_err())
        {
            let text =
                format!("has {range:?}, which is no address range; write it like 10.96.0.0/16");
            return value("kubernetes.forbidden", &text);
        }
        if self.withdraw_interval_s == 0 {
            return value("withdraw_interval_s", "must be at least 1");
        }
        Ok(())
    }

    fn with_absolute_paths(mut self, path: &Path) -> Config {
        let base = path.parent().unwrap_or(Path::new("."));
        if self.home.is_relative() {
            self.home = base.join(&self.home);
        }
        let kubeconfig = self
            .kubernetes
            .as_mut()
            .and_then(|cluster| cluster.kubeconfig.as_mut());
        if let Some(path) = kubeconfig
            && path.is_relative()
        {
            *path = self.home.join(&*path);
        }
        for path in [
            &mut self.genesis,
            &mut self.keyring,
            &mut self.password_file,
        ] {
            if path.is_relative() {
                *path = self.home.join(&*path);
            }
        }
        self
    }

    /// The port of the URLs that tenants get.
    pub fn public_http_port(&self) -> u16 {
        self.http_public_port.unwrap_or(self.http_listen.port())
    }
}

/// Puts `WELKIN_PROVIDER_*` over the table; whether there were any.
fn put_over(table: &mut toml::Table, environment: &BTreeMap<String, String>) -> bool {
    let mut changed = false;
    for (name, text) in environment {
        let Some(key) = name.strip_prefix(ENV_PREFIX) else {
            continue;
        };
        let key = key.to_ascii_lowercase();
        // What reads as a TOML value is one; everything else is text.
        let value = toml::from_str::<toml::Table>(&format!("value = {text}"))
            .ok()
            .and_then(|mut parsed| parsed.remove("value"))
            .unwrap_or_else(|| toml::Value::String(text.clone()));
        let part = ["prices", "capacity"]
            .into_iter()
            .find_map(|part| Some((part, key.strip_prefix(part)?.strip_prefix('_')?.to_owned())));
        changed = true;
        match part {
            Some((part, inner)) => {
                let entry = table
                    .entry(part)
                    .or_insert_with(|| toml::Value::Table(toml::Table::new()));
                if let Some(table) = entry.as_table_mut() {
                    table.insert(inner, value);
                }
            }
            None => {
                table.insert(key, value);
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("provider.toml");
        std::fs::write(&path, text).unwrap();
        let variables = variables
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Config::read(&path, &variables)
    }

    const EXAMPLE: &str = include_str!("../provider.example.toml");

    #[test]
    fn the_example_is_a_configuration() {
        let config = read(EXAMPLE, &[]).unwrap();
        assert_eq!(config.public_http_port(), 8080);
        assert!(config.genesis.is_absolute(), "paths are made absolute");
    }

    #[test]
    fn variables_go_over_the_file() {
        let config = read(
            EXAMPLE,
            &[
                ("WELKIN_PROVIDER_HTTP_LISTEN", "127.0.0.1:9999"),
                ("WELKIN_PROVIDER_PRICES_CPU_UWLK_PER_CORE_HOUR", "77"),
                ("WELKIN_PROVIDER_RPC", "[\"http://a:1\", \"http://b:2\"]"),
                ("OTHER", "1"),
            ],
        )
        .unwrap();
        assert_eq!(config.http_listen.port(), 9999);
        assert_eq!(config.prices.cpu_uwlk_per_core_hour, 77);
        assert_eq!(config.rpc.len(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (text, variables, word) in [
            ("home = 1", vec![], "line 1"),
            (&*EXAMPLE.replace("domain =", "domian ="), vec![], "domian"),
            (
                &*EXAMPLE.replace("ports_first = 30000", "ports_first = 80"),
                vec![],
                "ports_first",
            ),
            (
                EXAMPLE,
                vec![("WELKIN_PROVIDER_NO_SUCH_KEY", "1")],
                "no_such_key",
            ),
        ] {
            let error = read(text, &variables).unwrap_err().to_string();
            assert!(error.contains(word), "{word} is not in {error}");
        }
    }
}
