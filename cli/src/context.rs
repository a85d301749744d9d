//! Where a command finds its chain, its key and its folder: flags, `WELKIN_*` variables, `config.toml`, defaults.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use welkin_client::keyring::Keyring;
use welkin_client::{Chain, ClientError, Config, Trust};
use welkin_runtime::crypto::SigningKey;

use crate::args::Global;
use crate::failure::{Failure, Outcome, code};
use crate::output::Format;

/// `config.toml` in the folder: named contexts, and which of them is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    current: Option<String>,
    contexts: std::collections::BTreeMap<String, Named>,
}

/// One network, as `config.toml` names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Named {
    node: Option<String>,
    genesis: Option<PathBuf>,
    key: Option<String>,
}

/// What a command works with.
pub struct Context {
    /// The folder of the CLI.
    pub home: PathBuf,
    /// The form of output.
    pub format: Format,
    node: String,
    genesis: Option<PathBuf>,
    key: String,
    password_file: Option<PathBuf>,
    /// Where the genesis and verified headers of the context's network are.
    chain: PathBuf,
}

impl Context {
    /// Puts flags over the context of `config.toml` over defaults.
    ///
    /// # Errors
    /// `config.toml` is damaged, or names no such context.
    pub fn new(global: &Global) -> Outcome<Context> {
        let home = match &global.home {
            Some(home) => home.clone(),
            None => std::env::home_dir()
                .ok_or_else(|| Failure::usage("there is no home folder; give --home"))?
                .join(".welkin"),
        };
        let file = read_file(&home.join("config.toml"))?;
        let name = global.context.clone().or(file.current);
        let chain = match &name {
            None => home.join("chain"),
            Some(name) => home.join("contexts").join(folder_of(name)?).join("chain"),
        };
        let named = match &name {
            None => Named::default(),
            Some(name) => file.contexts.get(name).cloned().ok_or_else(|| {
                Failure::usage(format!(
                    "{} has no context {name:?}",
                    home.join("config.toml").display()
                ))
            })?,
        };
        Ok(Context {
            format: global.output.unwrap_or(Format::Table),
            node: global
                .node
                .clone()
                .or(named.node)
                .unwrap_or_else(|| "http://127.0.0.1:26657".to_owned()),
            genesis: global.genesis.clone().or(named.genesis),
            key: global
                .key
                .clone()
                .or(named.key)
                .unwrap_or_else(|| "default".to_owned()),
            password_file: global.password_file.clone(),
            chain,
            home,
        })
    }

    /// The keyring.
    pub fn keyring(&self) -> Keyring {
        Keyring::new(self.home.join("keys"))
    }

    /// The chain, verified from its genesis on.
    ///
    /// # Errors
    /// The genesis is missing or another network's; servers are asked only later.
    pub async fn chain(&self) -> Outcome<Chain> {
        let trust = match &self.genesis {
            Some(path) => Trust::File(path.clone()),
            None => Trust::Pinned,
        };
        let endpoints = self
            .node
            .split(',')
            .map(|node| node.trim().to_owned())
            .collect();
        let folder = &self.chain;
        std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, &error))?;
        let connected = Chain::connect(Config::new(endpoints, folder, trust)).await;
        Ok(connected.map_err(|error| self.with_remedy(error))?)
    }

    /// What to do about a genesis file that cannot be used.
    fn with_remedy(&self, error: ClientError) -> ClientError {
        let ClientError::File { path, reason } = error else {
            return error;
        };
        let remedy = if self.genesis.as_ref() == Some(&path) {
            "; give the network's genesis file, by `--genesis FILE` or WELKIN_GENESIS (the \
             env.sh of a test network sets it)"
        } else if path.parent() == Some(&self.chain) && path.ends_with("genesis.json") {
            "; this copy of the genesis is damaged: remove it, and give the network's own once, \
             by `--genesis FILE` or \
             WELKIN_GENESIS"
        } else {
            ""
        };
        let reason = format!("{reason}{remedy}");
        ClientError::File { path, reason }
    }

    /// The name of the key that signs.
    pub fn key_name(&self) -> &str {
        &self.key
    }

    /// The key that signs.
    ///
    /// # Errors
    /// There is none of that name, or the password does not open it.
    pub fn key(&self) -> Outcome<SigningKey> {
        // Nobody is asked for the password of a key that is not there.
        self.keyring().show(&self.key)?;
        Ok(self
            .keyring()
            .open(&self.key, &self.password("Password of the key")?)?)
    }

    /// The password: from its file, its variable, or the person.
    ///
    /// # Errors
    /// There is none and nobody to ask.
    pub fn password(&self, prompt: &str) -> Outcome<String> {
        if let Some(path) = &self.password_file {
            let text = std::fs::read_to_string(path).map_err(|error| {
                let path = path.display();
                let text = format!(
                    "the password file {path}: {error}; --password-file and WELKIN_PASSWORD_FILE \
                     name a file with the key's \
                     password"
                );
                Failure::new(code::FAILED, text)
            })?;
            return Ok(text.trim_end_matches('\n').to_owned());
        }
        if let Ok(password) = std::env::var("WELKIN_KEYRING_PASSWORD") {
            return Ok(password);
        }
        if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
            return Err(Failure::usage(
                "the key's password is needed; set WELKIN_KEYRING_PASSWORD or give --password-file",
            ));
        }
        dialoguer::Password::new()
            .with_prompt(prompt)
            .allow_empty_password(true)
            .interact()
            .map_err(|error| Failure::new(1, format!("the password could not be read: {error}")))
    }
}

/// A context has a folder of its own, since two of them may be two networks.
fn folder_of(context: &str) -> Outcome<&str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match context.chars().all(fits) && !context.is_empty() && !context.starts_with('.') {
        true => Ok(context),
        false => Err(Failure::usage(format!(
            "{context:?} is no name of a context: letters, digits, -, _ and . are"
        ))),
    }
}

/// What to do about a `config.toml` that cannot be used.
const REMEDY: &str = "  help: correct it, or move it away: it names contexts, and without it \
    flags and variables count";

fn read_file(path: &Path) -> Outcome<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text).map_err(|error| {
            let error = error.to_string();
            Failure::usage(format!(
                "{}: {}\n{REMEDY}",
                path.display(),
                error.trim_end()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(File::default()),
        Err(error) => {
            let text = format!("{}: {error}\n{REMEDY}", path.display());
            Err(Failure::new(code::FAILED, text))
        }
    }
}
