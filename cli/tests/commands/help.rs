//! The help of every command.

use std::collections::BTreeMap;

use crate::golden::Golden;
use crate::support::{run, welkin};

/// The help of a command and of all below it.
fn helps(path: &[&str], found: &mut BTreeMap<String, String>) {
    let ran = run(&mut welkin(&[path, &["--help"]].concat()));
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, ""),
        "help is data: {path:?}"
    );
    let below: Vec<String> = ran
        .out
        .lines()
        .skip_while(|line| *line != "SUBCOMMANDS:")
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    let name = [&["welkin"], path].concat().join("-");
    found.insert(name, ran.out);
    for command in below.iter().filter(|name| *name != "help") {
        helps(&[path, &[command.as_str()]].concat(), found);
    }
}

#[test]
fn every_command_says_what_it_does() {
    let mut found = BTreeMap::new();
    helps(&[], &mut found);
    let names = found
        .keys()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join("\n");
    let mut golden = Golden::new("help");
    golden.check("commands", &format!("{names}\n"));
    for (name, help) in &found {
        golden.check(name, help);
        assert!(
            !help.contains('\u{1b}'),
            "no colour where no terminal is: {name}"
        );
    }
    golden.finish();
}

#[test]
fn calls_and_queries_are_described_by_the_metadata() {
    let mut golden = Golden::new("help");
    for words in [
        &["tx", "accounts"][..],
        &["tx", "deployment", "create", "--help"],
        &["query", "market"],
        &["query", "market", "bids-on", "--help"],
    ] {
        let ran = run(&mut welkin(words));
        golden.check(
            &format!("welkin-{}", words.join("-").replace("---help", "")),
            ran.data(),
        );
    }
    golden.finish();
}

#[test]
fn every_flag_has_a_variable() {
    let mut found = BTreeMap::new();
    helps(&[], &mut found);
    for (name, help) in found {
        for flag in flags(&help) {
            let is_claps = flag.starts_with("-h,") || flag.starts_with("-V,");
            assert!(is_claps || flag.contains("[env: WELKIN_"), "{name}: {flag}");
        }
    }
}

/// Each flag with its text on one line.
fn flags(help: &str) -> Vec<String> {
    let mut flags: Vec<String> = Vec::new();
    let mut is_one = false;
    for line in help.lines() {
        let text = line.trim_start();
        if text.starts_with('-') {
            flags.push(text.to_owned());
            is_one = true;
        } else if !line.starts_with("        ") {
            is_one = false;
        } else if let Some(flag) = flags.last_mut().filter(|_| is_one) {
            flag.push(' ');
            flag.push_str(text);
        }
    }
    flags
}

#[test]
fn completions_come_for_each_shell_and_know_every_command() {
    for (shell, mark) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef welkin"),
        ("fish", "complete -c welkin"),
    ] {
        let ran = run(&mut welkin(&["completions", shell]));
        let script = ran.data();
        assert!(script.contains(mark), "{shell}: {script}");
        for command in [
            "deploy",
            "plan",
            "deployment",
            "lease",
            "market",
            "provider",
            "keys",
        ] {
            assert!(script.contains(command), "{shell} does not know {command}");
        }
        assert_eq!(ran.err, "");
    }
    assert_eq!(run(&mut welkin(&["completions", "tcsh"])).code, 2);
}

#[test]
fn a_flag_whose_value_was_forgotten_is_said_and_takes_no_default() {
    for words in [
        &["deployment", "list", "-o"][..],
        &["deploy", "app.yaml", "--timeout"],
        &["deploy", "app.yaml", "--deposit", "--strict"],
        &["deployment", "update", "1", "app.yaml", "--bid-wait"],
    ] {
        let ran = run(&mut welkin(words));
        assert_eq!(ran.code, 2, "{words:?}: {}", ran.err);
        assert!(ran.err.contains("requires a value"), "{}", ran.err);
    }
}
