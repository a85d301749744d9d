//! Files: `plan --offline` and `deploy` refuse the same ones, with the place, before anything is sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{Ran, run, sample, welkin};

fn plan(file: &Path) -> Ran {
    let home = tempfile::tempdir().unwrap();
    let mut command = welkin(&["plan", "--offline"]);
    run(command.arg(file).env("WELKIN_HOME", home.path()))
}

#[test]
fn the_projects_own_samples_are_accepted() {
    let folder = sample("minimal.yaml").parent().unwrap().to_owned();
    let files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(files.len() > 20);
    for file in files {
        let ran = plan(&file);
        assert_eq!(
            (ran.code, ran.out.as_str()),
            (0, "accepted\n"),
            "{}: {}",
            file.display(),
            ran.err
        );
    }
}

#[test]
fn what_is_no_file_of_a_tenant_is_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let large = folder.path().join("large.yaml");
    std::fs::write(&large, "#".repeat((1 << 20) + 1)).unwrap();
    for (path, cause, help) in [
        (
            large.as_path(),
            "more than 1048576 bytes",
            "help: move large data",
        ),
        (
            folder.path(),
            "Is a directory",
            "help: give the path of the SDL file in it",
        ),
        (
            &folder.path().join("none.yaml"),
            "No such file",
            "help: give the path",
        ),
    ] {
        let ran = plan(path);
        let said = ran.failure(2);
        assert!(said.contains(path.to_str().unwrap()), "{said}");
        assert!(said.contains(cause) && said.contains(help), "{said}");
    }
}

/// The corpus that lies beside the tree: each verdict is the exit code. Where it is not there, that is said.
#[test]
fn the_corpus_gets_its_verdicts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/sdl");
    let Ok(index) = std::fs::read_to_string(root.join("INDEX.tsv")) else {
        assert_ne!(
            std::env::var("CI").as_deref(),
            Ok("true"),
            "CI leaves nothing out"
        );
        eprintln!("left out: there is no {}", root.display());
        return;
    };
    let mut lines = index.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let (path, verdict) = (column("path"), column("go_parser"));
    // One file of each combination of folder and verdict: the parser's own tests read all of them.
    let mut chosen = BTreeMap::new();
    for line in lines {
        let fields: Vec<&str> = line.split('\t').collect();
        let folder = fields[path]
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        chosen
            .entry((
                folder.split('/').next().unwrap_or_default().to_owned(),
                fields[verdict].to_owned(),
            ))
            .or_insert_with(Vec::new)
            .push(fields[path].to_owned());
    }
    for ((_, verdict), files) in chosen {
        for file in files.iter().take(5) {
            let ran = plan(&root.join(file));
            let wanted = i32::from(verdict != "accept") * 2;
            assert_eq!(
                ran.code, wanted,
                "{file} ({verdict}): {}{}",
                ran.out, ran.err
            );
        }
    }
}

/// What is wrong with a file, its text, where that is found, and a word of the cause.
fn bad_files() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let good = std::fs::read_to_string(sample("minimal.yaml")).unwrap();
    let spoilt = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replace(from, to)
    };
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    vec![
        (
            "a wrong type",
            spoilt("image: nginx:1.29", "image: [nginx]"),
            ":5:12:",
            "services.web.image",
        ),
        (
            "an unknown key",
            spoilt("services:\n", "servcies: {}\nservices:\n"),
            ":3:1:",
            "services",
        ),
        ("an alias bomb", bomb, ":", "aliases"),
        (
            "2 MiB of text",
            format!("{good}#{}", "x".repeat(2 << 20)),
            ":1:1:",
            "at most",
        ),
        (
            "a price of 0",
            spoilt("amount: 100", "amount: 0"),
            ":25:19:",
            "amount",
        ),
        (
            "a negative quantity",
            spoilt("size: 256Mi", "size: -256Mi"),
            ":17:17:",
            "size",
        ),
        (
            "an overflowing quantity",
            spoilt("size: 1Gi", "size: 99999999999999999999Ei"),
            ":19:17:",
            "size",
        ),
        (
            "a price in fractions of nothing",
            spoilt("amount: 100", "amount: 18446744073709551616"),
            ":25:19:",
            "amount",
        ),
        ("no YAML at all", "a: [".to_owned(), ":", "YAML"),
    ]
}

#[test]
fn bad_files_get_place_cause_and_remedy_exit_2_and_leave_nothing() {
    for (what, text, place, words) in bad_files() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("app.yaml");
        std::fs::write(&file, text).unwrap();
        let planned = plan(&file);
        let said = planned.failure(2);
        let start = format!("{}{place}", file.display());
        assert!(said.contains(&start), "{what} at {place}: {said}");
        assert!(said.contains(words), "{what}: {said}");
        // `deploy` says the same before it looks for a key or a chain.
        let deployed = run(welkin(&["deploy"])
            .arg(&file)
            .env("WELKIN_HOME", home.path().join("home")));
        assert_eq!(deployed.failure(2), said, "{what}");
        assert!(
            !home.path().join("home").exists(),
            "{what}: nothing is begun"
        );
    }
}

#[test]
fn what_is_only_warned_about_is_refused_with_strict_by_flag_and_by_variable() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("app.yaml");
    let text = std::fs::read_to_string(sample("minimal.yaml")).unwrap();
    std::fs::write(
        &file,
        text.replace("    image:", "    privileged: true\n    image:"),
    )
    .unwrap();
    let warned = plan(&file);
    assert_eq!(warned.data(), "accepted\n");
    assert!(
        warned.err.contains("warning: services.web"),
        "warnings are no data: {}",
        warned.err
    );
    for strict in [
        welkin(&["plan", "--offline", "--strict"]).arg(&file),
        welkin(&["plan"])
            .arg(&file)
            .env("WELKIN_STRICT", "1")
            .env("WELKIN_OFFLINE", "true"),
    ] {
        run(strict.env("WELKIN_HOME", home.path())).failure(2);
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let ran = plan(Path::new("/nowhere/app.yaml"));
    assert!(ran.failure(2).contains("/nowhere/app.yaml"), "{}", ran.err);
}
