//! Random changes of real files. Whatever comes out, nothing panics.

use super::corpus::{corpus, entries};
use super::*;
use crate::golden::Random;
use crate::manifest::build;

/// Changes of each file; enough for minutes when `SDL_MUTATIONS` asks for more.
fn rounds() -> usize {
    std::env::var("SDL_MUTATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20)
}

#[test]
fn random_changes_of_real_files_never_panic() {
    let mut files: Vec<Vec<u8>> = vec![PLAIN.into()];
    if let Some(folder) = corpus() {
        files.extend(entries(&folder).into_iter().map(|entry| entry.bytes));
    }
    let mut random = Random(7);
    for file in &files {
        for _ in 0..rounds() {
            let mut bytes = file.clone();
            for _ in 0..=random.below(8) {
                random.change(&mut bytes);
            }
            check(&bytes);
        }
    }
}

#[test]
fn parts_of_one_file_in_another_never_panic() {
    let Some(folder) = corpus() else { return };
    let files: Vec<Vec<u8>> = entries(&folder)
        .into_iter()
        .map(|entry| entry.bytes)
        .collect();
    let mut random = Random(8);
    let lines = |bytes: &[u8]| -> Vec<Vec<u8>> {
        bytes
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect()
    };
    for _ in 0..rounds() * 50 {
        let mut left = lines(&files[random.below(files.len())]);
        let right = lines(&files[random.below(files.len())]);
        for _ in 0..=random.below(6) {
            let to = random.below(left.len());
            left[to] = right[random.below(right.len())].clone();
        }
        check(&left.join(&b'\n'));
    }
}

/// Reads it; whatever is accepted can be built or is refused with a place.
fn check(bytes: &[u8]) {
    match parse("mutant.yaml", bytes, Strictness::Lenient) {
        Ok(sdl) => match build(&sdl) {
            Ok(built) => {
                for group in built {
                    let bytes = group.manifest.encode();
                    let again = crate::manifest::GroupManifest::decode(&bytes).unwrap();
                    assert_eq!(again, group.manifest);
                    crate::manifest::check_fit(&group.manifest, &group.spec).unwrap();
                }
            }
            Err(remarks) => assert!(!remarks.is_empty()),
        },
        Err(remarks) => {
            let first = remarks.first().unwrap();
            assert!(first.at.line >= 1 && first.at.column >= 1);
        }
    }
}
