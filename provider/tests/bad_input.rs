//! `welkin-provider` where something is missing: one sentence with the remedy, exit code 1, and nothing begun.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use welkin_client::keyring::{KdfCost, Keyring};
use welkin_runtime::crypto::SigningKey;

/// A genesis of a chain that nobody runs: to get to the engine, none is asked.
const GENESIS: &str = r#"{
    "genesis_time": "2026-01-01T00:00:00Z",
    "chain_id": "nowhere-1",
    "validators": [{
        "pub_key": {
            "type": "tendermint/PubKeyEd25519",
            "value": "bNNlGls5R25wC3Sd8720F/3+7IZBhXcD22MNFtPk/v0="
        },
        "power": "10",
        "name": ""
    }]
}"#;

/// A provider's folder with all that a start needs but an engine.
fn made() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let example = include_str!("../provider.example.toml")
        .replace("/var/lib/welkin-provider", folder.path().to_str().unwrap())
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace(
            "# engine_socket = \"/var/run/docker.sock\"",
            "engine_socket = \"no-engine.sock\"",
        );
    std::fs::write(at("provider.toml"), example).unwrap();
    std::fs::write(at("genesis.json"), GENESIS).unwrap();
    std::fs::write(at("password"), "secret\n").unwrap();
    let cost = KdfCost {
        memory_kib: 19 * 1024,
        passes: 1,
        lanes: 1,
    };
    let keys = Keyring::new(at("keys")).with_cost(cost);
    keys.add("provider", &SigningKey::from_seed(&[1; 32]), "secret")
        .unwrap();
    folder
}

/// What it says when it fails, as it must.
fn refused(folder: &Path, command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_welkin-provider"))
        .args([command, "--config", "provider.toml"])
        .current_dir(folder)
        .env("WELKIN_LOG", "off")
        .env_remove("DOCKER_HOST")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    // TOML's own errors draw the line beneath.
    let is_one = said.trim().lines().count() == 1 || said.contains("TOML parse error");
    assert!(is_one, "one sentence: {said}");
    assert!(
        said.matches("os error").count() <= 1,
        "a cause is told once: {said}"
    );
    said
}

#[test]
fn an_engine_that_is_not_there_is_named_with_the_remedy() {
    let folder = made();
    let said = refused(folder.path(), "start");
    assert!(
        said.contains("no-engine.sock") && said.contains("start the engine"),
        "{said}"
    );
    assert!(!folder.path().join("manifests").exists());
}

#[test]
fn a_port_in_use_is_named_with_the_setting() {
    let folder = made();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let path = folder.path().join("provider.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, text.replace("127.0.0.1:0\"", &format!("{address}\""))).unwrap();
    let said = refused(folder.path(), "ingress");
    assert!(
        said.contains(&address) && said.contains("http_listen"),
        "{said}"
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    for (name, content, words) in [
        ("provider.toml", None, "provider.toml"),
        ("provider.toml", Some("home = 1"), "line 1"),
        ("password", None, "password"),
        ("password", Some("wrong"), "does not open the key"),
        ("genesis.json", None, "genesis.json"),
        ("genesis.json", Some("{}"), "genesis.json"),
    ] {
        let folder = made();
        let path = folder.path().join(name);
        match content {
            Some(content) => std::fs::write(path, content).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let said = refused(folder.path(), "start");
        assert!(said.contains(words), "{name}: {said}");
    }
}

#[test]
fn the_folder_of_another_network_is_refused() {
    let folder = made();
    refused(folder.path(), "start");
    let other = GENESIS.replace("nowhere-1", "elsewhere-1");
    std::fs::write(folder.path().join("genesis.json"), other).unwrap();
    let said = refused(folder.path(), "start");
    assert!(said.contains("another"), "{said}");
}
