//! The provider's own nftables table, which keeps leases apart and off the host and its neighbourhood.
//!
//! ```text
//!   from a lease to                        | verdict
//!   ---------------------------------------+--------------------------------------------
//!   its own network                        | passes
//!   the resolver at its network's gateway  | passes, port 53 only
//!   the host, whatever its address         | dropped (hook `input`)
//!   another lease, private, link-local ... | dropped (hook `forward`)
//!   the rest of the internet               | passes; the engine masquerades it
//!   ---------------------------------------+--------------------------------------------
//!   to a lease from other machines         | dropped unless it answers what the lease began
//!   to a lease from the host (the ingress) | passes
//! ```
//!
//! The table is replaced as a whole in one transaction, so there is no moment with half of the rules. A drop here is
//! final, whatever tables of others say. Rendering is pure; [`Firewall`] runs `nft`.
//!
//! Not here: rules between containers of one lease. They share a bridge, and may speak.

mod ruleset;
mod subnet;

use std::io::Write;
use std::process::{Command, Stdio};

pub use ruleset::{FORBIDDEN_IPV4, FORBIDDEN_IPV6, LeaseNetwork, ruleset};
pub use subnet::{ParseSubnetError, Subnet};

/// Why the table could not be put in place.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// There is no `nft`.
    #[error(
        "`nft` is not installed, so leases cannot be kept apart; install it: apt-get install nftables"
    )]
    Missing,
    /// `nft` could not be run.
    #[error("`nft` cannot be run: {0}")]
    Run(#[from] std::io::Error),
    /// The kernel refused.
    #[error(
        "the firewall table cannot be installed: {0}; run the provider as root or with CAP_NET_ADMIN, \
         or accept that it says `network=open` on chain"
    )]
    Refused(String),
}

/// One provider's table.
#[derive(Clone, Debug)]
pub struct Firewall {
    table: String,
}

impl Firewall {
    /// The table of one provider on one chain: `instance` is hexadecimal and differs for each such pair.
    ///
    /// # Panics
    /// Never for hexadecimal text, which is what the provider passes.
    pub fn new(instance: &str) -> Firewall {
        debug_assert!(instance.bytes().all(|byte| byte.is_ascii_hexdigit()));
        Firewall {
            table: format!("welkin_{instance}"),
        }
    }

    /// The table's name in the family `inet`.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Replaces the table by one for these networks; with none it still stands, empty of leases.
    ///
    /// # Errors
    /// [`FirewallError`]; the old table is then still whole.
    pub fn install(&self, networks: &[LeaseNetwork]) -> Result<(), FirewallError> {
        nft(&ruleset(&self.table, networks))
    }

    /// Whether the table stands.
    ///
    /// # Errors
    /// [`FirewallError::Refused`] when it does not, with what `nft` said.
    pub fn check(&self) -> Result<(), FirewallError> {
        run(
            Command::new("nft").args(["list", "table", "inet", &self.table]),
            "",
        )
    }

    /// Takes the table away; that it is not there is no error.
    ///
    /// # Errors
    /// [`FirewallError`] when `nft` cannot do it.
    pub fn remove(&self) -> Result<(), FirewallError> {
        let table = &self.table;
        nft(&format!("table inet {table}\ndelete table inet {table}\n"))
    }
}

fn nft(script: &str) -> Result<(), FirewallError> {
    run(Command::new("nft").args(["-f", "-"]), script)
}

fn run(command: &mut Command, script: &str) -> Result<(), FirewallError> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => FirewallError::Missing,
            _ => FirewallError::Run(error),
        })?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(FirewallError::Refused(
        said.lines().next().unwrap_or("no reason given").to_owned(),
    ))
}
