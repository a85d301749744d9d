//! What needs no chain: usage, keys, configuration, and what goes where.

use std::process::Stdio;

use crate::golden::Golden;
use crate::support::{Ran, run, welkin};

const WORDS: &str =
    "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";

#[test]
fn wrong_usage_exits_2_and_says_what_is_right() {
    let home = tempfile::tempdir().unwrap();
    for (words, says) in [
        (&["deplyo"][..], "deplyo"),
        (&["deploy"], "<file>"),
        (&["deployment", "show", "one"], "one"),
        (&["deploy", "x.yaml", "--deposit", "-5"], "-5"),
        (&["version", "-o", "xml"], "table, json or yaml"),
        (&["market", "bids", "1-1-1"], "1-1-1"),
        (&["tx", "nothing"], "accounts, provider"),
        (&["tx", "accounts", "steal"], "transfer"),
        (
            &["tx", "accounts", "transfer", "--whom", "x"],
            "--amount, --to",
        ),
        (
            &["tx", "accounts", "transfer", "--to", "x", "--amount", "1"],
            "--to: ",
        ),
        (
            &["query", "escrow", "account", "--deployment", "abc"],
            "--deployment: ",
        ),
        (&["query", "market", "bids-on", "--order"], "no value"),
        (&["keys", "show", "../../etc/passwd"], "name"),
        (&["version", "--context", "nowhere"], "nowhere"),
    ] {
        let ran = run(welkin(words).env("WELKIN_HOME", home.path()));
        assert!(ran.failure(2).contains(says), "{words:?}: {}", ran.err);
        assert!(
            !ran.err.contains('\u{1b}'),
            "no colour where no terminal is"
        );
    }
}

#[test]
fn data_is_on_stdout_in_the_form_that_was_asked_for() {
    let golden_version = env!("CARGO_PKG_VERSION");
    let table = run(&mut welkin(&["version"]));
    assert_eq!(
        (table.data(), table.err.as_str()),
        (&*format!("welkin {golden_version}\n"), "")
    );
    let json = run(&mut welkin(&["version", "-o", "json"])).json();
    assert_eq!(json["version"], golden_version);
    let yaml = run(welkin(&["version"]).env("WELKIN_OUTPUT", "yaml"));
    assert_eq!(yaml.data(), format!("version: \"{golden_version}\"\n"));
    // A flag goes before its variable.
    let both = run(welkin(&["version", "-o", "json"]).env("WELKIN_OUTPUT", "yaml"));
    assert!(both.data().starts_with('{'));
}

#[test]
fn a_reader_that_has_enough_is_no_failure() {
    let mut child = welkin(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
}

#[test]
#[expect(clippy::too_many_lines, reason = "one life of two keys")]
fn keys_are_made_shown_and_deleted_and_secrets_are_not_data_unless_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let keys = |words: &[&str]| {
        let mut command = welkin(&[&["keys"], words].concat());
        command
            .env("WELKIN_HOME", home.path())
            .env("WELKIN_KEYRING_PASSWORD", "secret")
            .env("WELKIN_OUTPUT", "json");
        command
    };
    let mut golden = Golden::new("json");
    let made = run(&mut keys(&["add", "one"]));
    golden.check_shape("keys-add", &made.json());
    let words = made
        .err
        .lines()
        .find(|line| line.split_whitespace().count() == 24);
    assert!(
        !made.out.contains(words.unwrap().trim()),
        "the phrase is for eyes only"
    );

    let mut import = keys(&["import", "two"]);
    let mut child = import
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(
        &mut child.stdin.take().unwrap(),
        format!("{WORDS}\n").as_bytes(),
    )
    .unwrap();
    let imported = Ran::of(child.wait_with_output().unwrap());
    golden.check_shape("keys-import", &imported.json());
    let listed = run(&mut keys(&["list"])).json();
    golden.check_shape("keys-list", &listed);
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let shown = run(&mut keys(&["show", "two"])).json();
    golden.check_shape("keys-show", &shown);
    assert_eq!(shown, imported.json(), "the same words give the same key");

    run(&mut keys(&["export", "two"])).failure(2);
    let exported = run(&mut keys(&["export", "two", "--unsafe-print"])).json();
    golden.check_shape("keys-export", &exported);
    assert_eq!(
        run(keys(&["export", "two"]).env("WELKIN_UNSAFE_PRINT", "1")).json(),
        exported
    );
    let wrong =
        run(keys(&["export", "two", "--unsafe-print"]).env("WELKIN_KEYRING_PASSWORD", "wrong"));
    assert!(wrong.failure(1).contains("password"), "{}", wrong.err);

    // A file that is none of ours is named, and hides no key.
    let damaged = home.path().join("keys/three.json");
    std::fs::write(&damaged, "not a key").unwrap();
    std::fs::set_permissions(
        &damaged,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let listed = run(&mut keys(&["list"]));
    assert_eq!(listed.code, 1);
    assert!(
        listed.err.contains("\"three\" is damaged"),
        "{}",
        listed.err
    );
    let listed: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    std::fs::remove_file(damaged).unwrap();

    run(&mut keys(&["add", "one"])).failure(2);
    run(&mut keys(&["delete", "one"])).failure(2);
    assert!(
        run(keys(&["delete", "one"]).env("WELKIN_YES", "perhaps"))
            .failure(2)
            .contains("WELKIN_YES")
    );
    assert_eq!(
        run(keys(&["delete", "one"]).env("WELKIN_YES", "1")).data(),
        ""
    );
    run(&mut keys(&["show", "one"])).failure(3);
    golden.finish();
}

#[test]
fn a_key_file_that_cannot_be_used_is_one_sentence_with_the_remedy() {
    let home = tempfile::tempdir().unwrap();
    let with = |words: &[&str]| {
        let mut command = welkin(words);
        command
            .env("WELKIN_HOME", home.path())
            .env("WELKIN_KEYRING_PASSWORD", "secret");
        command
    };
    run(&mut with(&["keys", "add", "one"])).data();
    let folder = home.path().join("keys");
    let file = std::fs::read_dir(&folder)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    std::fs::write(&file, "not a key").unwrap();
    let ran = run(&mut with(&["keys", "export", "one", "--unsafe-print"]));
    let said = ran.failure(1);
    assert!(
        said.contains("the key \"one\" is damaged") && said.contains("restore it"),
        "{said}"
    );
    assert_eq!(said.trim().lines().count(), 1, "{said}");

    std::fs::write(home.path().join("config.toml"), "current = 5").unwrap();
    let ran = run(&mut with(&["version"]));
    assert!(ran.failure(2).contains("config.toml"), "{}", ran.err);
}

#[test]
fn files_that_a_command_cannot_use_are_named_with_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let failed = |words: &[&str], variables: &[(&str, &str)], code: u8| {
        let mut command = welkin(words);
        command
            .env("WELKIN_HOME", home.path())
            .env("WELKIN_KEYRING_PASSWORD", "secret")
            .envs(variables.iter().copied());
        run(&mut command).failure(code.into()).to_owned()
    };
    let orders = ["market", "orders"];
    let wrong = file("passwd", "root:x:0:0:root:/root:/bin/sh\n");
    for path in [
        wrong.as_path(),
        home.path(),
        "/nowhere/genesis.json".as_ref(),
    ] {
        let path = path.to_str().unwrap();
        let said = failed(&orders, &[("WELKIN_GENESIS", path)], 1);
        assert!(
            said.contains(path) && said.contains("--genesis FILE"),
            "{said}"
        );
    }
    std::fs::create_dir_all(home.path().join("chain")).unwrap();
    let copy = file("chain/genesis.json", "{");
    let said = failed(&orders, &[], 1);
    assert!(said.contains(copy.to_str().unwrap()), "{said}");
    assert!(said.contains("remove it"), "{said}");

    run(welkin(&["keys", "add", "one"])
        .env("WELKIN_HOME", home.path())
        .env("WELKIN_KEYRING_PASSWORD", "secret"))
    .data();
    let export = ["keys", "export", "one", "--unsafe-print"];
    let said = failed(&export, &[("WELKIN_KEYRING_PASSWORD", "wrong")], 1);
    assert!(said.contains("correct WELKIN_KEYRING_PASSWORD"), "{said}");
    let said = failed(&export, &[("WELKIN_PASSWORD_FILE", "/nowhere/password")], 1);
    assert!(said.contains("/nowhere/password"), "{said}");
    assert!(said.contains("--password-file"), "{said}");

    file("config.toml", "current = [");
    let said = failed(&orders, &[], 2);
    assert!(said.contains("config.toml: TOML parse error"), "{said}");
    assert!(said.contains("help: correct it, or move it away"), "{said}");
}

#[test]
fn without_a_password_and_without_a_terminal_nobody_is_asked() {
    let home = tempfile::tempdir().unwrap();
    let ran = run(welkin(&["keys", "add", "one"]).env("WELKIN_HOME", home.path()));
    assert!(
        ran.failure(2).contains("WELKIN_KEYRING_PASSWORD"),
        "{}",
        ran.err
    );
    let file = home.path().join("password");
    std::fs::write(&file, "secret\n").unwrap();
    let mut with_file = welkin(&["keys", "add", "one"]);
    with_file
        .env("WELKIN_HOME", home.path())
        .env("WELKIN_PASSWORD_FILE", &file);
    run(&mut with_file).data();
}
