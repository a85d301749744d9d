//! What people type: help that says what each command does, and exit code 2 for what makes no sense.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn typed(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_welkin-provider"))
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[test]
fn help_says_what_the_program_is_and_what_each_command_does() {
    let mut text = String::new();
    for arguments in [
        &["--help"][..],
        &["start", "--help"],
        &["ingress", "--help"],
        &["status", "--help"],
        &["doctor", "--help"],
    ] {
        let output = typed(arguments);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let help = String::from_utf8(output.stdout).unwrap();
        // The first line has the version.
        let (_, rest) = help.split_once('\n').unwrap();
        text += &format!("$ welkin-provider {}\n{rest}\n", arguments.join(" "));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/help.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        text, expected,
        "run again with UPDATE_GOLDEN=1 and review the difference"
    );
}

#[test]
fn a_mistake_on_the_command_line_is_told_with_exit_code_2() {
    for arguments in [
        &[][..],
        &["begin"],
        &["start", "now"],
        &["--no-such-switch", "start"],
        &["--log-format", "xml", "start"],
        &["status", "-o", "yaml"],
    ] {
        let output = typed(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
