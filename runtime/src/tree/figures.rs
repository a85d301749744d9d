//! Measuring the tree over a store.

use std::sync::Arc;

use crate::crypto::blake3_hash;
use crate::state::{Read, Writes, key_after};
use crate::store::Store;

use super::{Extent, StateTree, TreeConfig, TreeError};

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// The median.
    pub p50: u64,
    /// What nine of ten stay below.
    pub p90: u64,
    /// In which unit.
    pub unit: &'static str,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Load {
    /// Accounts in the state.
    pub keys: u64,
    /// Accounts that a block changes.
    pub keys_per_block: u64,
    /// Blocks.
    pub blocks: u64,
}

/// The key of an account: two bytes of storage item and twenty of address.
fn key(index: u64) -> Vec<u8> {
    let hash = blake3_hash(&index.to_be_bytes());
    [&[1, 1], &hash.0[..20]].concat()
}

fn value(index: u64, version: u64) -> Vec<u8> {
    [
        blake3_hash(&index.to_be_bytes()).0.as_slice(),
        &version.to_be_bytes(),
    ]
    .concat()
}

fn figure(name: &'static str, unit: &'static str, mut samples: Vec<u64>) -> Figure {
    samples.sort_unstable();
    let at = |part: usize| samples[(samples.len() - 1) * part / 10];
    Figure {
        name,
        unit,
        p50: at(5),
        p90: at(9),
    }
}

/// Fills the empty `store`, then commits blocks and makes proofs; `now_us` is a clock.
pub fn measure(
    store: Arc<dyn Store>,
    config: TreeConfig,
    load: &Load,
    now_us: &dyn Fn() -> u64,
) -> Result<Vec<Figure>, TreeError> {
    let tree = StateTree::open(Arc::clone(&store), config)?;
    let mut version = 0;
    let mut filled = 0;
    let started = now_us();
    while filled < load.keys {
        let until = load.keys.min(filled + 10_000);
        let writes = (filled..until).map(|index| (key(index), Some(value(index, 0))));
        let (_, batch) = tree.commit(version, &writes.collect())?;
        store.commit(batch, version)?;
        tree.applied(version);
        (version, filled) = (version + 1, until);
    }
    store.sync()?;
    let mut figures = vec![figure("fill", "us", vec![now_us() - started])];

    let mut dice = 1_u64;
    let mut random = |bound: u64| {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % bound
    };
    let (mut commits, mut applies, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
    let (mut records, mut bytes) = (Vec::new(), Vec::new());
    for _ in 0..load.blocks {
        let changed = (0..load.keys_per_block).map(|_| random(load.keys));
        let writes: Writes = changed
            .map(|index| (key(index), Some(value(index, version))))
            .collect();
        let start = now_us();
        let (_, batch) = tree.commit(version, &writes)?;
        let committed = now_us();
        records.push(batch.len() as u64);
        bytes.push(batch.size_bytes() as u64 / 1024);
        store.commit(batch, version)?;
        tree.applied(version);
        let applied = now_us();
        store.sync()?;
        commits.push(committed - start);
        applies.push(applied - committed);
        syncs.push(now_us() - applied);
        version += 1;
    }
    figures.push(figure("commit: root and batch", "us", commits));
    figures.push(figure("store: apply the batch", "us", applies));
    figures.push(figure("store: sync", "us", syncs));
    figures.push(figure("records in a batch", "records", records));
    figures.push(figure("bytes in a batch", "KiB", bytes));

    let newest = version - 1;
    for (back, one, hundred) in [
        (0, "prove one key, newest", "prove a range of 100, newest"),
        (
            1,
            "prove one key, one back",
            "prove a range of 100, one back",
        ),
        (
            load.blocks.min(50),
            "prove one key, 50 back",
            "prove a range of 100, 50 back",
        ),
    ] {
        let at = newest - back;
        let (mut times, mut sizes) = (Vec::new(), Vec::new());
        for _ in 0..50 {
            let read = [Read::Key(key(random(load.keys)))];
            let start = now_us();
            let proof = tree.prove(at, &read)?;
            times.push(now_us() - start);
            sizes.push(proof.encode().len() as u64);
        }
        figures.push(figure(one, "us", times));
        figures.push(figure("  its size", "bytes", sizes));
        let (mut times, mut sizes) = (Vec::new(), Vec::new());
        for _ in 0..20 {
            let from = key(random(load.keys));
            let rows = tree.range(at, &from, &[2], 100)?;
            let Some((last, _)) = rows.last() else {
                continue;
            };
            let read = [Read::Range {
                from,
                to: key_after(last),
            }];
            let start = now_us();
            let proof = tree.prove(at, &read)?;
            times.push(now_us() - start);
            sizes.push(proof.encode().len() as u64);
        }
        figures.push(figure(hundred, "us", times));
        figures.push(figure("  its size", "bytes", sizes));
    }
    let start = now_us();
    tree.verify(newest, Extent::Full)?;
    figures.push(figure("verify all", "us", vec![now_us() - start]));
    drop(tree);
    let start = now_us();
    StateTree::open(Arc::clone(&store), TreeConfig::default())?;
    figures.push(figure("open the tree", "us", vec![now_us() - start]));
    figures.push(figure("disk", "MiB", vec![store.size_bytes()? >> 20]));
    Ok(figures)
}
