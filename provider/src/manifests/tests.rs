use proptest::prelude::*;
use welkin_provider_api::manifest::Salt;
use welkin_runtime::Address;

use super::*;

fn instance(provider: u8) -> Instance {
    Instance {
        genesis: Hash([1; 32]),
        provider: Address([provider; 20]),
    }
}

fn store(folder: &Path, provider: u8) -> Manifests {
    Manifests::open(
        folder.to_owned(),
        instance(provider),
        SealingKey::derive(&[9; 32]),
    )
    .unwrap()
}

fn key(number: u64) -> LeaseKey {
    LeaseKey {
        lease: format!("{number}/1/1").parse().unwrap(),
        creation_height: 57,
    }
}

fn version(byte: u8) -> Hash {
    Hash([byte; 32])
}

fn kept(text: &str) -> Kept {
    let opening = Opening {
        index: 0,
        salt: Salt([5; 32]),
        siblings: vec![version(8)],
    };
    Kept {
        manifest: text.as_bytes().to_vec(),
        opening,
    }
}

#[test]
fn a_version_that_is_not_wanted_any_more_when_its_turn_comes_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1);
    let second = store
        .accept(key(1), version(2), &kept("two"), || true)
        .unwrap();
    let late = store.accept(key(1), version(1), &kept("one"), || {
        assert!(
            store.change.try_lock().is_err(),
            "nothing is accepted in between"
        );
        false
    });
    assert_eq!(late.unwrap(), None);
    assert_eq!(Some(store.versions(key(1)).unwrap()), second);
    assert!(store.get(key(1), version(1)).unwrap().is_none());
}

#[test]
fn what_was_kept_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path(), 1);
    first
        .accept(key(1), version(1), &kept("one"), || true)
        .unwrap();
    first.note_good(key(1), version(1)).unwrap();
    first
        .accept(key(1), version(2), &kept("two"), || true)
        .unwrap();
    let failure = Failure {
        version: version(2),
        cause: "it ended with code 1".to_owned(),
    };
    first.note_failed(key(1), failure.clone()).unwrap();

    let again = store(folder.path(), 1);
    let expected = Versions {
        accepted: Some(version(2)),
        last_good: Some(version(1)),
        failed: Some(failure),
    };
    assert_eq!(again.leases().unwrap(), BTreeSet::from([key(1)]));
    assert_eq!(again.versions(key(1)).unwrap(), expected);
    assert!(again.get(key(1), version(1)).unwrap().unwrap() == kept("one"));
    assert!(again.get(key(1), version(3)).unwrap().is_none());
    again.forget(key(1)).unwrap();
    again.forget(key(1)).unwrap();
    assert!(again.leases().unwrap().is_empty());
}

#[test]
fn only_the_versions_that_are_named_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1);
    for byte in 1..=5 {
        store
            .accept(key(1), version(byte), &kept("text"), || true)
            .unwrap();
        store.note_good(key(1), version(byte)).unwrap();
    }
    let files = fs::read_dir(folder.path().join("1-1-1@57"))
        .unwrap()
        .count();
    assert_eq!(files, 2, "one state and one version");
}

#[test]
fn a_version_that_failed_and_is_sent_again_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1);
    store
        .accept(key(1), version(1), &kept("one"), || true)
        .unwrap();
    store
        .note_failed(
            key(1),
            Failure {
                version: version(1),
                cause: "no image".to_owned(),
            },
        )
        .unwrap();
    assert_eq!(
        store
            .accept(key(1), version(1), &kept("one"), || true)
            .unwrap()
            .and_then(|versions| versions.failed),
        None
    );
}

#[test]
fn nothing_of_a_manifest_can_be_read_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    store(folder.path(), 1)
        .accept(key(1), version(1), &kept("CANARY-in-a-variable"), || true)
        .unwrap();
    for entry in fs::read_dir(folder.path().join("1-1-1@57"))
        .unwrap()
        .flatten()
    {
        let bytes = fs::read(entry.path()).unwrap();
        assert!(
            !bytes.windows(6).any(|window| window == b"CANARY"),
            "{entry:?}"
        );
    }
}

#[test]
fn a_file_opens_only_where_it_was_sealed_for() {
    let folder = tempfile::tempdir().unwrap();
    let first = store(folder.path(), 1);
    first
        .accept(key(1), version(1), &kept("one"), || true)
        .unwrap();
    first
        .accept(key(2), version(1), &kept("two"), || true)
        .unwrap();
    fs::copy(
        first.sealed_path(key(2), version(1)),
        first.sealed_path(key(1), version(1)),
    )
    .unwrap();
    assert!(matches!(
        first.get(key(1), version(1)),
        Err(ManifestsError::Damaged { .. })
    ));
    // The same folder under another provider's name.
    let other = store(folder.path(), 2);
    assert!(matches!(
        other.get(key(2), version(1)),
        Err(ManifestsError::Damaged { .. })
    ));
}

proptest! {
    #[test]
    fn a_changed_file_is_refused(at in any::<prop::sample::Index>(), flip in 1u8..=255) {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path(), 1);
        store.accept(key(1), version(1), &kept("one"), || true).unwrap();
        let path = store.sealed_path(key(1), version(1));
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        fs::write(&path, bytes).unwrap();
        prop_assert!(store.get(key(1), version(1)).is_err());
    }
}

#[test]
fn a_version_that_runs_after_all_did_not_fail() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1);
    store
        .accept(key(1), version(1), &kept("one"), || true)
        .unwrap();
    let failure = |byte| Failure {
        version: version(byte),
        cause: "the registry did not answer".to_owned(),
    };
    let failed = store.note_failed(key(1), failure(1)).unwrap();
    assert_eq!(failed.wanted(), Some(version(1)), "it is tried again");
    let ran = store.note_good(key(1), version(1)).unwrap();
    assert_eq!(ran.failed, None);

    store
        .accept(key(1), version(2), &kept("two"), || true)
        .unwrap();
    let failed = store.note_failed(key(1), failure(2)).unwrap();
    assert_eq!(
        failed.wanted(),
        Some(version(1)),
        "the last good one runs on"
    );
    let good = store.note_good(key(1), version(1)).unwrap();
    assert_eq!(good.failed, Some(failure(2)), "another one's failure stays");
}

#[test]
fn sending_again_mends_a_damaged_state() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1);
    store
        .accept(key(1), version(1), &kept("one"), || true)
        .unwrap();
    std::fs::write(store.lease_folder(key(1)).join("state.json"), "{").unwrap();
    assert!(matches!(
        store.versions(key(1)),
        Err(ManifestsError::Damaged { .. })
    ));
    assert!(
        store.note_good(key(1), version(1)).is_err(),
        "nothing is made up"
    );
    store
        .accept(key(1), version(1), &kept("one"), || true)
        .unwrap();
    assert_eq!(store.versions(key(1)).unwrap().accepted, Some(version(1)));
}

#[test]
fn a_version_that_is_accepted_while_another_is_judged_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path(), 1);
    store
        .accept(key(1), version(0), &kept("zero"), || true)
        .unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::SeqCst) {
                store.note_good(key(1), version(0)).unwrap();
            }
        });
        let lost = (1..=100).find(|byte| {
            store
                .accept(key(1), version(*byte), &kept("new"), || true)
                .unwrap();
            let named = store.versions(key(1)).unwrap().accepted;
            let is_kept = store.get(key(1), version(*byte)).unwrap().is_some();
            named != Some(version(*byte)) || !is_kept
        });
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(lost, None);
    });
}
