//! What a newcomer waits for: the default network until it is ready, its memory then, and a deployment until it answers.

use super::STAGE;
use super::figure::{Figure, Goal, quantile};
use super::machine::resident_bytes;
use crate::network::{Network, binary, demo, down, http, sources};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How often each is done.
const TIMES: usize = 3;
/// How long an application may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks whether it does.
const LOOK: Duration = Duration::from_millis(10);

/// Brings networks up and deploys on the last.
///
/// # Errors
/// A network does not come up, or nothing can be deployed.
pub async fn figures(dir: &Path) -> anyhow::Result<Vec<Figure>> {
    let dir = std::path::absolute(dir)?;
    let folder = dir.join(STAGE);
    down::purge(&folder).await?;
    let measured = measure(&dir, &folder).await;
    down::purge(&folder).await?;
    measured
}

async fn measure(dir: &Path, folder: &Path) -> anyhow::Result<Vec<Figure>> {
    let mut ready = Vec::new();
    for _ in 0..TIMES {
        down::purge(folder).await?;
        ready.push(up(dir)?);
    }
    let network = Network::read(folder)?.context("the network has no record")?;
    let engine = match network
        .engine
        .as_ref()
        .and_then(|engine| engine.private.as_ref())
    {
        Some(_) => "with a container engine and an image of its own",
        None => "with the machine's container engine",
    };
    let ready_note =
        format!("4 validators, 1 provider, nothing there before, {engine}; median of {ready:.1?}");
    let resident = resident(&network);
    let sum: u64 = resident.iter().map(|(_, megabytes)| megabytes).sum();
    let each: Vec<String> = resident
        .iter()
        .map(|(name, megabytes)| format!("{name} {megabytes}"))
        .collect();
    let resident_note = format!("VmRSS of all but the engine: {}", each.join(", "));
    let mut deployed = Vec::new();
    for _ in 0..TIMES {
        deployed.push(deploy(&network).await?);
    }
    let deploy_note = format!(
        "`welkin deploy` of the demo until its URL answers 200, image present; median of \
         {deployed:.1?}"
    );
    Ok(vec![
        Figure::new("ready_seconds", quantile(&ready, 0.5), "s", ready_note)
            .with_goal(Goal::AtMost(5.0)),
        Figure::new("resident_when_ready", sum as f64, "MB", resident_note)
            .with_goal(Goal::AtMost(400.0)),
        Figure::new("deploy_seconds", quantile(&deployed, 0.5), "s", deploy_note)
            .with_goal(Goal::AtMost(4.0)),
    ])
}

/// Seconds until a new network is ready.
fn up(dir: &Path) -> anyhow::Result<f64> {
    let began = Instant::now();
    let output = Command::new(binary("welkin-testnet")?)
        .args(["up", "--name", STAGE, "--dir"])
        .arg(dir)
        .stdin(Stdio::null())
        .output()
        .context("welkin-testnet cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "up: {}", said.trim());
    Ok(began.elapsed().as_secs_f64())
}

/// Megabytes of each process.
fn resident(network: &Network) -> Vec<(String, u64)> {
    let known = network.processes.iter();
    known
        .map(|(name, process)| (name.clone(), resident_bytes(process.pid) / 1_000_000))
        .collect()
}

/// Seconds from the command until the application answers; it is closed again.
async fn deploy(network: &Network) -> anyhow::Result<f64> {
    let file = sources().join("apps/hello/hello.yaml");
    let file = file.to_str().context("the path of this program's source")?;
    let began = Instant::now();
    let deployed = welkin(network, &["deploy", file])?;
    let url = deployed["urls"][0]
        .as_str()
        .context("the deployment has no URL")?;
    loop {
        let answer = http::over_tcp("GET", url, Default::default()).await;
        if answer.is_ok_and(|answer| answer.status.is_success()) {
            break;
        }
        ensure!(began.elapsed() < PATIENCE, "{url} does not answer");
        tokio::time::sleep(LOOK).await;
    }
    let taken = began.elapsed().as_secs_f64();
    let number = match &deployed["deployment"] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    welkin(network, &["deployment", "close", &number])?;
    Ok(taken)
}

/// What the command line prints as JSON, as the first test account.
fn welkin(network: &Network, arguments: &[&str]) -> anyhow::Result<Value> {
    let output = Command::new(binary("welkin")?)
        .args(arguments)
        .args(["-o", "json"])
        .envs(demo::variables(network)?.0)
        .stdin(Stdio::null())
        .output()
        .context("welkin cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "welkin {}: {}",
        arguments[0],
        said.trim()
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
