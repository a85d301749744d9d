//! The demo: the project's own application, deployed by the command line like any other.

use super::build::Variables;
use super::record::Network;
use super::{binary, sources};
use anyhow::{Context, ensure};
use std::process::{Command, Stdio};

/// Deploys the demo, or finds it running; its URL.
///
/// # Errors
/// The command line failed; what it said stands on stderr.
pub fn deploy(network: &Network) -> anyhow::Result<String> {
    ensure!(
        !network.providers.is_empty(),
        "the demo needs a provider; build the network with --providers 1"
    );
    let output = Command::new(binary("welkin")?)
        .args(["deploy", "--timeout", "180"])
        .arg(sources().join("apps/hello/hello.yaml"))
        .envs(variables(network)?.0)
        .env("WELKIN_OUTPUT", "table")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("welkin cannot be run")?;
    ensure!(output.status.success(), "the demo was not deployed");
    let text = String::from_utf8_lossy(&output.stdout);
    let url = text
        .lines()
        .next_back()
        .context("welkin deploy printed no URL")?;
    Ok(url.to_owned())
}

/// The variables with which the command line speaks to the network.
///
/// # Errors
/// The password cannot be read.
pub fn variables(network: &Network) -> anyhow::Result<Variables> {
    let path = network.home.join("password");
    let password = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    Ok(Variables::of(network, &password))
}
