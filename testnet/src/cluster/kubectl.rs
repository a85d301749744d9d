//! The API server, spoken to with the `kubectl` that was built for it.

use super::record::Cluster;
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// Runs it; what it printed.
///
/// # Errors
/// It failed: what it said.
pub async fn run(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new(cluster.program("control-plane"))
        .arg("kubectl")
        .args(arguments)
        .env("KUBECONFIG", cluster.kubeconfig())
        .env("KUBECACHEDIR", cluster.folder.join("kubectl-cache"))
        .stdin(Stdio::null())
        .output()
        .await
        .context("kubectl cannot be run")?;
    ensure!(
        output.status.success(),
        "kubectl {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks for JSON.
///
/// # Errors
/// It failed: what it said.
pub async fn json(cluster: &Cluster, arguments: &[&str]) -> anyhow::Result<Value> {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["-o", "json"]).collect();
    let text = run(cluster, &arguments).await?;
    serde_json::from_str(&text).context("kubectl printed no JSON")
}

/// Makes the objects in a file, or in the files of a folder, be as they stand there.
///
/// # Errors
/// One is refused: why.
pub async fn apply(cluster: &Cluster, path: &Path) -> anyhow::Result<()> {
    let path = path.display().to_string();
    let arguments = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--field-manager=welkin-testnet",
        // The API server does that itself.
        "--validate=false",
        "-f",
        &path,
    ];
    run(cluster, &arguments).await.map(|_| ())
}
