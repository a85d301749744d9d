//! House rules that no lint can say, each with its reason in the message.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("testnet has a parent")
        .to_path_buf()
}

/// The files of the tree: those that git knows, else (in an archive) all that lie there.
fn files() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output();
    let files: Vec<String> = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
        _ => walk(&root(), ""),
    };
    files
        .into_iter()
        .filter(|file| root().join(file).is_file())
        .collect()
}

fn walk(folder: &Path, prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)
        .expect("a readable folder")
        .flatten()
    {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if ["target", ".git", "testnet/.run"].contains(&name.as_str()) || name.ends_with("/target")
        {
            continue;
        }
        if entry.path().is_dir() {
            found.extend(walk(&entry.path(), &format!("{name}/")));
        } else {
            found.push(name);
        }
    }
    found
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_default()
}

fn assert_none(rule: &str, offences: Vec<String>) {
    assert!(offences.is_empty(), "{rule}:\n  {}", offences.join("\n  "));
}

#[test]
fn the_top_level_holds_only_the_folders_of_the_design() {
    let allowed: BTreeSet<&str> = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "clippy.toml",
        "deny.toml",
        "rustfmt.toml",
        "node",
        "runtime",
        "modules",
        "p2p",
        "provider",
        "cli",
        "testnet",
    ]
    .into();
    let strangers: BTreeSet<String> = files()
        .iter()
        .map(|file| file.split('/').next().unwrap_or_default().to_owned())
        .filter(|name| !name.starts_with('.') && !allowed.contains(name.as_str()))
        .collect();
    assert_none(
        "the top level is fixed, so that a newcomer finds the rooms",
        strangers.into_iter().collect(),
    );
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let long = files()
        .into_iter()
        .filter(|file| file.ends_with(".rs") || file.ends_with(".sh"))
        .map(|file| (text(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > 1000)
        .map(|(lines, file)| format!("{file}: {lines} lines"))
        .collect();
    assert_none(
        "a file has at most 1,000 lines: cut it where an idea ends",
        long,
    );
}

#[test]
fn crates_use_only_the_crates_that_stand_above_them() {
    let may_use: BTreeMap<&str, &[&str]> = [
        ("runtime", &[][..]),
        ("modules", &["runtime"]),
        ("node/consensus", &["runtime"]),
        ("p2p", &[]),
        ("node/client", &["runtime", "modules", "consensus"]),
        (
            "node",
            &["runtime", "modules", "consensus", "p2p", "client"],
        ),
        ("provider/api", &["runtime", "modules", "p2p"]),
        (
            "provider",
            &[
                "runtime",
                "modules",
                "consensus",
                "p2p",
                "client",
                "provider-api",
            ],
        ),
        (
            "cli",
            &[
                "runtime",
                "modules",
                "consensus",
                "p2p",
                "client",
                "provider-api",
            ],
        ),
    ]
    .into();
    let mut offences = Vec::new();
    for (folder, allowed) in may_use {
        for line in text(&format!("{folder}/Cargo.toml"))
            .lines()
            .filter(|line| line.starts_with("welkin-"))
        {
            let name = line["welkin-".len()..]
                .split(['.', ' ', '='])
                .next()
                .unwrap_or_default();
            if !allowed.contains(&name) {
                offences.push(format!("{folder}/Cargo.toml uses welkin-{name}"));
            }
        }
    }
    assert_none(
        "arrows between crates only point to the crates that the design names",
        offences,
    );
}

#[test]
fn unfinished_work_is_named_with_a_reason() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
    ];
    let mut offences = Vec::new();
    for file in files()
        .iter()
        .filter(|file| file.ends_with(".rs") || file.ends_with(".sh"))
    {
        for (number, line) in text(file).lines().enumerate() {
            let marked = marks
                .iter()
                .any(|mark| line.contains(&format!("{mark}:")) || line.ends_with(mark));
            // `(because ...)` says why it cannot be done now.
            if marked && !line.contains("(because ") {
                offences.push(format!("{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none(
        "a mark of unfinished work says why: `(because ...)`",
        offences,
    );
}

#[test]
fn no_test_is_skipped() {
    let mark = concat!("#[ig", "nore");
    let skipped = files()
        .into_iter()
        .filter(|file| file.ends_with(".rs") && text(file).contains(mark))
        .collect();
    assert_none("a test that does not run shows nothing", skipped);
}

#[test]
fn every_module_has_the_same_shape() {
    let modules = root().join("modules/src");
    let mut offences = Vec::new();
    for entry in std::fs::read_dir(&modules).expect("modules/src").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.path().is_dir() || !entry.path().join("calls.rs").exists() {
            continue;
        }
        for part in ["mod", "types", "state", "calls", "queries", "tests"] {
            let file = entry.path().join(format!("{part}.rs"));
            if !file.exists() && !entry.path().join(part).join("mod.rs").exists() {
                offences.push(format!("modules/src/{name} has no {part}.rs"));
            }
        }
    }
    assert_none("after one module, all are known", offences);
}

/// What `up.sh` builds.
const PROGRAMS: [&str; 4] = [
    "welkin-node",
    "welkin-provider",
    "welkin-cli",
    "welkin-testnet",
];

/// The packages that cargo would compile, each with its features.
fn compiled(chosen: &[&str]) -> BTreeSet<String> {
    let fixed = ["tree", "--locked", "--prefix", "none", "-f", "{p} {f}"];
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(fixed)
        .args(chosen)
        .output()
        .expect("cargo runs: it runs this test");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("names of packages are text");
    // What is shown a second time is marked.
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)"));
    lines.map(str::to_owned).collect()
}

#[test]
fn nothing_is_compiled_twice() {
    let everything = compiled(&["--workspace", "-e", "all"]);
    let named = PROGRAMS.iter().flat_map(|name| ["-p", name]);
    let programs = compiled(&named.chain(["-e", "no-dev"]).collect::<Vec<_>>());
    let offences = programs.difference(&everything).cloned().collect();
    assert_none(
        "up.sh and check.sh compile the same; put the features that are missing into testnet/Cargo.toml",
        offences,
    );
}

#[test]
#[cfg(unix)]
fn scripts_can_be_run() {
    use std::os::unix::fs::PermissionsExt;
    let dead = files()
        .into_iter()
        .filter(|file| file.ends_with(".sh") || file == ".ci/run")
        .filter(|file| text(file).starts_with("#!"))
        .filter(|file| {
            let metadata = std::fs::metadata(root().join(file)).expect("a listed file");
            metadata.permissions().mode() & 0o111 == 0
        })
        .collect();
    assert_none(
        "a script with a first line that names its shell has its run bit",
        dead,
    );
}
