//! Whole networks of real processes on this machine.
//!
//! ```text
//!   up ──> build: keys, genesis, homes ──> record (testnet.json) ──> process: start what is not running
//!            │                                                          │
//!          ports                 engine (found, or one of our own) ─────┤
//!                                                                       ▼
//!   down <── the record says what is whose          ready: every validator commits, every provider bids ──> demo
//! ```
//!
//! A network lies in one folder. Its record is written once everything else is, and is the only thing that later runs
//! go by, so a run that was cut off anywhere is continued by the next one.
//!
//! Invariants: one process at a time changes a folder (`lock`); a process is told from a later one of the same number by
//! its start time; two networks never share a port (`ports`, by `claims`).
//!
//! Not here: what a node, a provider or the command line does. They are run as their own binaries.

pub mod build;
pub mod claims;
pub mod demo;
pub mod down;
pub mod engine;
pub mod faucet;
pub mod http;
pub mod lock;
pub mod ports;
pub mod process;
pub mod ready;
pub mod record;
pub mod traces;
pub mod up;
pub mod waiting;

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use structopt::StructOpt;

pub use down::Down;
pub use faucet::FaucetCommand;
pub use record::Network;
pub use up::Up;

/// Which network is meant.
#[derive(Clone, Debug, StructOpt)]
pub struct Place {
    /// The network's name [default: default]
    // The parser takes a default that it knows where the value was forgotten: `--purge --name` would end another network.
    #[structopt(long, env = "WELKIN_TESTNET_NAME", parse(try_from_str = network_name))]
    pub name: Option<String>,
    /// The folder of all networks [default: testnet/.run]
    #[structopt(long, env = "WELKIN_TESTNET_DIR", parse(from_os_str))]
    pub dir: Option<PathBuf>,
}

fn network_name(text: &str) -> Result<String, &'static str> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_valid = (1..=32).contains(&text.len()) && text.chars().all(fits);
    is_valid
        .then(|| text.to_owned())
        .ok_or("1 to 32 lower-case letters, digits and `-`")
}

impl Place {
    /// The network's folder, absolute. It need not exist.
    ///
    /// # Errors
    /// There is no current folder.
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        let dir = self.dir.as_deref().unwrap_or(Path::new("testnet/.run"));
        let absolute = std::path::absolute(dir);
        let absolute = absolute.with_context(|| format!("the folder {}", dir.display()))?;
        Ok(absolute.join(self.name()))
    }

    /// The flags that name it, as they were given: empty, or with a space before each.
    pub fn flags(&self) -> String {
        let name = self.name.iter().map(|name| format!(" --name {name}"));
        let dir = self.dir.iter();
        let dir = dir.map(|dir| format!(" --dir {}", shell_word(&dir.display().to_string())));
        name.chain(dir).collect()
    }

    /// The network's name.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("default")
    }
}

/// `text` as one word of a shell command.
pub fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+,=".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// The folder of this crate, where scripts and applications lie.
pub fn sources() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A binary of this workspace, built beside this one.
///
/// # Errors
/// It is not there; the text says how to build it.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("the path of this program")?;
    let mut folder = own.parent().unwrap_or(Path::new("."));
    // Test programs lie one folder deeper.
    if folder.ends_with("deps") {
        folder = folder.parent().unwrap_or(folder);
    }
    let path = folder.join(name);
    ensure!(
        path.is_file(),
        "{} is missing; run: cargo build -p welkin-node -p welkin-provider -p welkin-cli -p \
         welkin-testnet",
        path.display()
    );
    Ok(path)
}

/// Says something to the person at the terminal, on stderr.
pub fn say(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_itself_in_words_of_a_shell() {
        let place = |name: Option<&str>, dir: Option<&str>| Place {
            name: name.map(str::to_owned),
            dir: dir.map(PathBuf::from),
        };
        assert_eq!(place(None, None).flags(), "");
        assert_eq!(
            place(Some("a"), Some("/tmp/b")).flags(),
            " --name a --dir /tmp/b"
        );
        assert_eq!(
            place(None, Some("my nets/it's")).flags(),
            r" --dir 'my nets/it'\''s'"
        );
    }
}
