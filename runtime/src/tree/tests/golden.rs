//! What the store holds and how a proof is written, byte for byte: a change of either shows in
//! review, and needs a new layout.

use super::*;
use crate::state::Read;

fn lines(store: &dyn Store) -> String {
    let row = |(key, value): (Vec<u8>, Vec<u8>)| {
        let shown = if value.len() > 200 {
            &value[..8]
        } else {
            &value[..]
        };
        let more = if value.len() > 200 {
            format!("... {} bytes", value.len())
        } else {
            String::new()
        };
        let kind = char::from(key[1]);
        format!(
            "t {kind} {} = {}{more}\n",
            hex::encode(&key[2..]),
            hex::encode(shown)
        )
    };
    crate::store::conformance::contents(store)
        .into_iter()
        .map(row)
        .collect()
}

#[test]
fn the_records_in_the_store_are_the_golden_ones() {
    let (tree, store) = empty_tree(3);
    let mut first: Writes = (0..33)
        .map(|byte| (vec![1, 2, byte], Some(vec![byte; 3])))
        .collect();
    first.insert(vec![1, 3], Some(vec![5; 4_000]));
    commit(&tree, &*store, 0, &first);
    let second = Writes::from([
        (vec![1, 2, 0], None),
        (vec![1, 2, 40], Some(vec![])),
        (vec![1, 3], Some(vec![6; 3])),
    ]);
    commit(&tree, &*store, 1, &second);
    assert_eq!(lines(&*store), include_str!("store.golden"));
}

#[test]
fn the_bytes_of_a_proof_are_the_golden_ones() {
    let (tree, store) = empty_tree(3);
    let writes = [[1, 16], [1, 17], [1, 200], [2, 0]].map(|key| (key.to_vec(), Some(vec![key[1]])));
    let root = commit(&tree, &*store, 0, &Writes::from(writes));
    let reads = [
        Read::Key(vec![1, 17]),
        Read::Range {
            from: vec![1, 192],
            to: vec![1, 193],
        },
    ];
    let proof = hex::encode(tree.prove(0, &reads).unwrap().encode());
    assert_eq!(
        format!("root {root}\nproof {proof}\n"),
        include_str!("proof.golden")
    );
}
