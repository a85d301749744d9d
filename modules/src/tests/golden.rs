//! What others parse or build on: metadata and storage keys, as they stand in `tests/golden`.
//!
//! A test that fails here says that the wire format or the stored state has changed. If that is
//! meant, run the tests again with `UPDATE_GOLDEN=1` and commit the new files with the reason.

use std::path::Path;

use crate::RUNTIME;
use crate::market::Market;
use crate::test_support::{World, account};

fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "{} differs from what the code makes; UPDATE_GOLDEN=1 rewrites it",
        path.display(),
    );
}

#[test]
fn the_table_fits_together() {
    assert_eq!(RUNTIME.check_table(), Ok(()));
}

#[test]
fn metadata_is_as_recorded() {
    let metadata = serde_json::to_string_pretty(&RUNTIME.metadata()).unwrap();
    golden("metadata.json", &(metadata + "\n"));
}

#[test]
fn everything_on_the_wire_is_described() {
    for module in RUNTIME.metadata().modules {
        for variant in [module.calls(), module.queries(), module.events()].concat() {
            assert!(
                !variant.doc.is_empty(),
                "{}: {} has no doc",
                module.name,
                variant.name
            );
            for field in variant.fields {
                let name = (&module.name, &variant.name, &field.name);
                assert!(!field.doc.is_empty(), "{name:?} has no doc");
            }
        }
        for error in module.errors {
            assert!(
                !error.doc.is_empty(),
                "{}: {} has no doc",
                module.name,
                error.name
            );
        }
    }
}

/// The raw keys and values of a small chain with one of everything.
#[test]
fn storage_is_as_recorded() {
    let mut world = World::new(|_| ());
    let provider = world.provider(1);
    let rival = world.provider(2);
    let attest = crate::provider::Call::Attest {
        provider,
        attributes: crate::test_support::profile().attributes,
    };
    world
        .call::<crate::provider::Providers>(account(3), attest)
        .unwrap();
    let lease = world.lease(account(0), provider, 3_600, 1_000_000).unwrap();
    world.block_after_seconds(1);
    let other = world
        .create(
            account(0),
            vec![crate::test_support::spec(10)],
            500_000,
            Default::default(),
        )
        .unwrap();
    let order = crate::GroupId {
        deployment: other,
        group: 1,
    }
    .order(1);
    world.bid(rival, order, 9).unwrap();
    let withdraw = crate::escrow::Call::Withdraw { lease };
    world
        .call::<crate::escrow::Escrow>(provider, withdraw)
        .unwrap();
    let close = crate::market::Call::CloseLease {
        lease,
        reason: crate::Reason::UNSTABLE,
    };
    world.call::<Market>(provider, close).unwrap();
    let mut found = String::new();
    for (key, value) in &world.chain.state.0 {
        found.push_str(&format!("{} {}\n", hex(key), hex(value)));
    }
    golden("storage.txt", &found);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
