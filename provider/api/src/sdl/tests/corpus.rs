//! Files that people really wrote. They lie beside the project, not in it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::sdl::{Sdl, Strictness, parse};

/// The folder of the files, or nothing if it is not there; a missing folder fails in CI.
pub(super) fn corpus() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/sdl");
    if folder.join("INDEX.tsv").is_file() {
        return Some(folder);
    }
    eprintln!(
        "LEFT OUT: {} is not there, so the corpus was not read",
        folder.display()
    );
    assert_ne!(
        std::env::var("CI").as_deref(),
        Ok("true"),
        "the SDL corpus is missing in CI"
    );
    None
}

/// A line of the index.
pub(super) struct Entry {
    pub path: String,
    pub accepted: bool,
    pub reason: String,
    pub bytes: Vec<u8>,
}

pub(super) fn entries(folder: &Path) -> Vec<Entry> {
    let index = std::fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    index
        .lines()
        .skip(1)
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            Entry {
                path: columns[0].to_owned(),
                accepted: columns[2] == "accept",
                reason: columns.get(5).copied().unwrap_or_default().to_owned(),
                bytes: std::fs::read(folder.join(columns[0])).unwrap(),
            }
        })
        .collect()
}

fn read(entry: &Entry) -> Result<Sdl, crate::sdl::Diagnostics> {
    parse(&entry.path, &entry.bytes, Strictness::Lenient)
}

#[test]
fn every_verdict_is_that_of_the_existing_parser() {
    let Some(folder) = corpus() else { return };
    let entries = entries(&folder);
    assert_eq!(entries.len(), 290);
    let wrong: Vec<String> = entries
        .iter()
        .filter_map(|entry| match read(entry) {
            Ok(_) if !entry.accepted => {
                Some(format!("{}: accepted, but {}", entry.path, entry.reason))
            }
            Err(remarks) if entry.accepted => Some(format!("rejected: {remarks}")),
            _ => None,
        })
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of 290:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

/// A word of the first message for each class of reasons in the index.
fn meaning(reason: &str) -> &'static str {
    let meanings = BTreeMap::from([
        ("memory: bad quantity suffix/number", "not a size"),
        ("storage: bad quantity suffix/number", "not a size"),
        (
            "cpu.units: type (want string)",
            "is expected here, not a list",
        ),
        ("zero global services", "from outside"),
        ("port range", "no port"),
        ("yaml syntax", "not YAML"),
        ("reclamation: >0", "must be above 0"),
        ("params: mount not absolute", "mount path"),
        ("params: unknown volume", "no volume"),
        ("params: duplicate mount", "is taken by volume"),
        ("credentials: missing field", "credentials have no host"),
        ("gpu: attributes required", "not which"),
        ("gpu: no vendor", "no vendor"),
        ("storage: persistent w/o mount", "is not mounted"),
    ]);
    meanings.get(reason).copied().unwrap_or("?")
}

#[test]
fn each_rejection_has_the_meaning_of_its_class_and_a_place() {
    let Some(folder) = corpus() else { return };
    let mut told = String::new();
    for entry in entries(&folder).iter().filter(|entry| !entry.accepted) {
        let remarks = read(entry).unwrap_err();
        let first = remarks.first().unwrap();
        let lines = entry.bytes.split(|byte| *byte == b'\n').count();
        assert!(
            (1..=lines).contains(&first.at.line),
            "{}: {:?}",
            entry.path,
            first.at
        );
        assert!(first.at.column >= 1 && !first.remedy.is_empty());
        let part = entry.reason.split(':').next().unwrap();
        let said = format!("{}: {}", first.path, first.cause);
        assert!(
            said.contains(meaning(&entry.reason)),
            "{}: {said}",
            entry.reason
        );
        if ["memory", "storage"].contains(&part) && entry.reason.contains("quantity") {
            assert!(first.path.contains(part), "{}: {said}", entry.reason);
        }
        told.push_str(&format!("{remarks}\n"));
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/sdl-rejections.txt");
    crate::golden::check(&golden, &told);
}
