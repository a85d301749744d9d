//! The container engine: one that runs, or a private one in the network's folder; the demo's image in it; and what
//! providers left in it.

use super::http::over_socket;
use super::record::Engine;
use super::waiting::told;
use super::{say, sources};
use anyhow::{Context, ensure};
use futures::future::try_join_all;
use hyper::StatusCode;
use hyper::body::Bytes;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use welkin_provider::backend::container::engine::find_socket;
use welkin_provider::firewall::{Firewall, FirewallError};

/// The image of the demo.
pub const IMAGE: &str = "welkin.local/hello:1";
/// What tells a provider's objects from others (a label of the provider's).
const LABEL: &str = "welkin.instance";
/// How long an engine is waited for before it counts as one that does not run.
const PING: Duration = Duration::from_secs(3);

/// The engine that the network had, or one that runs, or a new private one; it answers.
///
/// # Errors
/// A private one cannot be started; the text says why.
pub async fn ensure(known: Option<&Engine>, folder: &Path) -> anyhow::Result<Engine> {
    if let Some(known) = known {
        check(known).await?;
        return match &known.private {
            Some(own) => start_private(own).await,
            None => Ok(known.clone()),
        };
    }
    if let Ok(socket) = find_socket(None)
        && answers(&socket).await
    {
        return Ok(Engine {
            socket,
            private: None,
        });
    }
    start_private(&folder.join("engine")).await
}

/// Whether the network's engine can be had: a private one is started when it is needed.
///
/// # Errors
/// It is somebody else's, and does not answer.
pub async fn check(known: &Engine) -> anyhow::Result<()> {
    ensure!(
        known.private.is_some() || answers(&known.socket).await,
        "the container engine on {} does not answer; start it",
        known.socket.display()
    );
    Ok(())
}

/// Whether an engine answers on a socket.
pub async fn answers(socket: &Path) -> bool {
    let ping = over_socket(socket, "GET", "/_ping", Bytes::new());
    matches!(tokio::time::timeout(PING, ping).await, Ok(Ok(answer)) if answer.status.is_success())
}

async fn start_private(folder: &Path) -> anyhow::Result<Engine> {
    let socket = script("start", folder).await?;
    Ok(Engine {
        socket: PathBuf::from(socket),
        private: Some(folder.to_owned()),
    })
}

/// Ends a private engine's service; with `purge` everything that it has as well.
///
/// # Errors
/// The script failed.
pub async fn end_private(folder: &Path, action: &str) -> anyhow::Result<()> {
    script(action, folder).await.map(|_| ())
}

async fn script(action: &str, folder: &Path) -> anyhow::Result<String> {
    let run = tokio::process::Command::new(sources().join("engine.sh"))
        .arg(action)
        .arg(folder)
        .stdin(Stdio::null())
        .output();
    let what = match action {
        "purge" => "the container engine to go with all that it has",
        "stop" => "the container engine to end",
        _ => "the container engine to answer",
    };
    let output = told(what, run).await.context("engine.sh cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "engine.sh {action}: {}",
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Makes the demo's image, if the engine has none, and loads it.
///
/// # Errors
/// It cannot be built (the text names what is missing), or the engine refuses it.
pub async fn load_image(engine: &Engine, folder: &Path) -> anyhow::Result<()> {
    let there = over_socket(
        &engine.socket,
        "GET",
        &format!("/images/{IMAGE}/json"),
        Bytes::new(),
    )
    .await?;
    if there.status.is_success() {
        return Ok(());
    }
    let archive = make_image(folder).await?;
    let bytes = Bytes::from(std::fs::read(&archive)?);
    let loaded = over_socket(&engine.socket, "POST", "/images/load", bytes).await?;
    ensure!(
        loaded.status.is_success(),
        "the engine refuses the demo's image: {}",
        loaded.text().trim()
    );
    std::fs::remove_file(&archive)?;
    Ok(())
}

/// Makes an archive of the demo's image in a network's folder.
///
/// # Errors
/// It cannot be built; the text names what is missing.
pub async fn make_image(folder: &Path) -> anyhow::Result<PathBuf> {
    say("making the demo's image");
    let archive = folder.join("hello.tar");
    let built = tokio::process::Command::new(sources().join("apps/build-image.sh"))
        .arg(&archive)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .context("apps/build-image.sh cannot be run")?;
    ensure!(
        built.success(),
        "the demo's image could not be made; what is missing stands above"
    );
    Ok(archive)
}

/// Containers of a provider, running or not, as the engine lists them.
///
/// # Errors
/// The engine does not answer.
pub async fn containers(socket: &Path, instance: &str) -> anyhow::Result<Vec<Value>> {
    let path = format!("/containers/json?all=true&filters={}", filter(instance));
    let listed = over_socket(socket, "GET", &path, Bytes::new())
        .await?
        .json()?;
    Ok(listed.as_array().cloned().unwrap_or_default())
}

/// Stops a provider's containers; they stay.
///
/// # Errors
/// The engine does not answer.
pub async fn stop_containers(socket: &Path, instance: &str) -> anyhow::Result<()> {
    let listed = containers(socket, instance).await?;
    let ids = ids(&listed);
    let stops = ids.iter().map(|id| {
        let path = format!("/containers/{id}/stop?t=1");
        async move { over_socket(socket, "POST", &path, Bytes::new()).await }
    });
    told("the containers to stop", try_join_all(stops)).await?;
    Ok(())
}

/// Removes a provider's containers and networks.
///
/// # Errors
/// The engine does not answer, or does not let one go.
pub async fn remove_objects(socket: &Path, instance: &str) -> anyhow::Result<()> {
    let listed = containers(socket, instance).await?;
    let ids = ids(&listed);
    let removals = ids.iter().map(|id| async move {
        // Podman asks a container to end before it removes it by force, and waits ten seconds for the answer.
        let kill = format!("/containers/{id}/kill");
        over_socket(socket, "POST", &kill, Bytes::new()).await?;
        remove(socket, &format!("/containers/{id}?force=true&v=true")).await
    });
    told("the containers to go", try_join_all(removals)).await?;
    let path = format!("/networks?filters={}", filter(instance));
    let networks = over_socket(socket, "GET", &path, Bytes::new())
        .await?
        .json()?;
    for network in networks.as_array().into_iter().flatten() {
        let id = network["Id"].as_str().unwrap_or_default();
        remove(socket, &format!("/networks/{id}")).await?;
    }
    Ok(())
}

/// Removes one object; that it is not there any more is no error.
async fn remove(socket: &Path, path: &str) -> anyhow::Result<()> {
    let answer = over_socket(socket, "DELETE", path, Bytes::new()).await?;
    ensure!(
        answer.status.is_success() || answer.status == StatusCode::NOT_FOUND,
        "the engine keeps {path}: {}",
        answer.text().trim()
    );
    Ok(())
}

fn ids(containers: &[Value]) -> Vec<&str> {
    let ids = containers.iter();
    ids.filter_map(|container| container["Id"].as_str())
        .collect()
}

/// Removes a provider's firewall table.
///
/// # Errors
/// The table stands, and stays; what `nft` said.
pub fn remove_table(instance: &str) -> Result<(), FirewallError> {
    let firewall = Firewall::new(instance);
    match firewall.remove() {
        Err(why) if firewall.check().is_ok() => Err(why),
        // Without `nft`, or the right to use it, there was none to make a table.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// `{"label":["welkin.instance=..."]}`, in a URL.
fn filter(instance: &str) -> String {
    format!("%7B%22label%22%3A%5B%22{LABEL}%3D{instance}%22%5D%7D")
}
