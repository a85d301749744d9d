//! `welkind` as an operator meets it: what it says, and how it ends.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

fn welkind(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_welkind"));
    command
        .args(arguments)
        .arg("--home")
        .arg(home)
        .env("WELKIN_LOG", "off");
    command.output().unwrap()
}

fn refused(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn made(home: &Path) {
    let output = welkind(home, &["init", "--chain-id", "local-1"]);
    assert!(output.status.success(), "{output:?}");
}

/// Makes a home whose node listens on ports that nobody else uses.
fn made_with_free_ports(home: &Path) {
    made(home);
    set(home, "127.0.0.1:26657", "127.0.0.1:0");
    set(home, "127.0.0.1:26660", "127.0.0.1:0");
    set(home, "/tcp/26656", "/tcp/0");
}

fn set(home: &Path, from: &str, to: &str) {
    let path = home.join("config/node.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from));
    std::fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_wrong_command_line_ends_with_2_and_help_says_what_each_command_does() {
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_welkind"));
        command.args(arguments).output().unwrap()
    };
    for wrong in [&["stat"][..], &["start", "--hom", "x"], &[]] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
    let output = run(&["--help"]);
    assert!(output.status.success() && output.stderr.is_empty());
    let help = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        help.lines().nth(1),
        Some("Runs a validator or full node of a Welkin network")
    );
    let commands = help.split_once("SUBCOMMANDS:").unwrap().1;
    for (command, does) in [
        ("export", "Prints a genesis document"),
        ("init", "Makes a home"),
        ("start", "Runs the node"),
        ("unsafe-reset", "Removes blocks and state"),
    ] {
        let mut lines = commands.lines().map(str::trim);
        let line = lines.find(|line| line.starts_with(command)).unwrap();
        assert!(line[command.len()..].trim().starts_with(does), "{line}");
    }
}

#[test]
fn a_second_init_overwrites_nothing() {
    let home = tempfile::tempdir().unwrap();
    made(home.path());
    let key = std::fs::read(home.path().join("config/priv_validator_key.json")).unwrap();
    let why = refused(&welkind(home.path(), &["init"]));
    assert!(why.contains("genesis.json: exists already"), "{why}");
    assert_eq!(
        std::fs::read(home.path().join("config/priv_validator_key.json")).unwrap(),
        key
    );
}

#[test]
fn a_home_that_is_not_there_is_named_with_the_remedy() {
    let home = tempfile::tempdir().unwrap();
    let why = refused(&welkind(&home.path().join("nowhere"), &["start"]));
    assert!(
        why.contains("node.toml") && why.contains("welkind init"),
        "{why}"
    );
}

#[test]
fn a_port_in_use_is_named_and_nothing_is_written() {
    let home = tempfile::tempdir().unwrap();
    made_with_free_ports(home.path());
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let toml = home.path().join("config/node.toml");
    let text = std::fs::read_to_string(&toml).unwrap();
    std::fs::write(&toml, text.replacen("127.0.0.1:0", &address, 1)).unwrap();
    let why = refused(&welkind(home.path(), &["start"]));
    assert!(
        why.contains(&address) && why.contains("rpc.listen"),
        "{why}"
    );
    assert!(!home.path().join("data/blocks").exists());
}

#[test]
fn a_key_file_that_others_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    made_with_free_ports(home.path());
    let key = home.path().join("config/node_key.json");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let why = refused(&welkind(home.path(), &["start"]));
    assert!(
        why.contains("node_key.json") && why.contains("chmod 600"),
        "{why}"
    );
}

#[test]
fn the_data_of_another_network_is_refused_until_it_is_removed() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made_with_free_ports(home.path());
    made_with_free_ports(other.path());
    // Both begin their chains: to print the state, the genesis is executed.
    for home in [home.path(), other.path()] {
        let output = welkind(home, &["export"]);
        assert!(output.status.success(), "{output:?}");
    }
    let genesis = |home: &Path| home.join("config/genesis.json");
    std::fs::copy(genesis(other.path()), genesis(home.path())).unwrap();
    let why = refused(&welkind(home.path(), &["start"]));
    assert!(
        why.contains("another network") && why.contains("unsafe-reset"),
        "{why}"
    );
    let state = home.path().join("data/priv_validator_state.json");
    let signed = std::fs::read(&state).unwrap();
    assert!(welkind(home.path(), &["unsafe-reset"]).status.success());
    assert_eq!(std::fs::read(&state).unwrap(), signed);
    assert!(welkind(home.path(), &["export"]).status.success());
}

#[test]
fn the_raw_state_is_printed_as_json() {
    let home = tempfile::tempdir().unwrap();
    made_with_free_ports(home.path());
    let output = welkind(home.path(), &["export", "--raw"]);
    let state: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(state["chain_id"], "local-1");
    assert_eq!(state["height"], "0");
    assert!(!state["state"].as_object().unwrap().is_empty());
}

#[test]
fn what_is_exported_is_a_genesis_from_which_a_chain_starts_and_exports_the_same() {
    let (home, next) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made_with_free_ports(home.path());
    let file = next.path().join("exported.json");
    let exported = |home: &Path| {
        let output = welkind(home, &["export"]);
        assert!(output.status.success(), "{output:?}");
        // Nothing had to be ended, and that is not data.
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("after block 0") && !said.contains("ended"),
            "{said}"
        );
        output.stdout
    };
    let genesis = exported(home.path());
    std::fs::write(&file, &genesis).unwrap();
    let new = next.path().join("node");
    let output = welkind(&new, &["init", "--genesis", file.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(exported(&new), genesis);
    let value: serde_json::Value = serde_json::from_slice(&genesis).unwrap();
    assert_eq!(value["validators"][0]["name"], "node");
    assert!(value["app_state"]["accounts"].is_object(), "{value}");
}

#[test]
fn a_key_file_that_is_damaged_is_named_and_nothing_is_written() {
    let home = tempfile::tempdir().unwrap();
    made_with_free_ports(home.path());
    let key = home.path().join("config/priv_validator_key.json");
    std::fs::write(&key, "{}").unwrap();
    let why = refused(&welkind(home.path(), &["start"]));
    assert!(
        why.contains("priv_validator_key.json: not a key file"),
        "{why}"
    );
    assert_eq!(why.trim().lines().count(), 1, "{why}");
    assert!(!home.path().join("data/blocks").exists());
}

#[test]
fn a_second_node_of_the_same_home_is_told_which_process_has_it() {
    let home = tempfile::tempdir().unwrap();
    made_with_free_ports(home.path());
    let mut first = Command::new(env!("CARGO_BIN_EXE_welkind"))
        .args(["start", "--home"])
        .arg(home.path())
        .env("WELKIN_LOG", "off")
        .spawn()
        .unwrap();
    // Its WAL is opened after the lock is held.
    let wal = home.path().join("data/wal");
    while !wal.exists() {
        assert!(first.try_wait().unwrap().is_none(), "it runs");
        std::thread::yield_now();
    }
    let why = refused(&welkind(home.path(), &["start"]));
    let held = format!("in use by process {}", first.id());
    first.kill().unwrap();
    first.wait().unwrap();
    assert!(
        why.contains(&held) && why.contains("stop that process first"),
        "{why}"
    );
}

/// A limit on the size of files stands in for a disk that is full: writes fail in the middle.
#[test]
fn a_disk_that_takes_no_more_is_named_and_nothing_is_half_written() {
    let home = tempfile::tempdir().unwrap();
    let limited = |arguments: &str, kib: u32| {
        let program = env!("CARGO_BIN_EXE_welkind");
        let folder = home.path().display();
        // Without the signal, a write fails as on a full disk.
        let script = format!(
            "trap '' XFSZ; ulimit -f {kib}; exec '{program}' {arguments} --home '{folder}'"
        );
        Command::new("bash")
            .args(["-c", &script])
            .env("WELKIN_LOG", "off")
            .output()
            .unwrap()
    };
    let why = refused(&limited("init", 0));
    assert!(
        why.contains("cannot write") && why.contains("node_key.json"),
        "{why}"
    );
    assert_eq!(why.trim().lines().count(), 1, "{why}");
    // Once there is room, it is as if nothing had happened.
    made_with_free_ports(home.path());
    let why = refused(&limited("start", 1));
    assert!(why.contains(home.path().to_str().unwrap()), "{why}");
    let output = welkind(home.path(), &["export"]);
    assert!(
        output.status.success(),
        "what there is can be read: {output:?}"
    );
}
