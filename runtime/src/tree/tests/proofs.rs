//! Proofs: what they show, and that a changed one shows nothing else.

use super::super::hash::leaf_hash;
use super::super::{Extent, Node, PartialState, Proof, ProofError, TreeError};
use super::*;
use crate::state::{Read, Recorder, StateError, StateRead, key_after};

/// A tree with a few versions, and what each holds.
fn trial(seed: u64) -> (StateTree, Vec<Model>, Dice) {
    let mut dice = Dice(seed);
    let (tree, store) = empty_tree(20);
    let mut models: Vec<Model> = Vec::new();
    for version in 0..6 {
        let mut model = models.last().cloned().unwrap_or_default();
        let mut writes = random_writes(&mut dice, &model);
        if version == 2 {
            writes.extend((0..200).map(|_| (random_key(&mut dice), Some(dice.bytes(5)))));
        }
        apply(&mut model, &writes);
        commit(&tree, &*store, version, &writes);
        models.push(model);
    }
    (tree, models, dice)
}

fn random_read(dice: &mut Dice, model: &Model) -> Read {
    let present = |dice: &mut Dice| {
        let index = dice.below(model.len() as u64) as usize;
        model.keys().nth(index).cloned()
    };
    let key = match dice.below(2) {
        0 => present(dice).unwrap_or_else(|| random_key(dice)),
        _ => random_key(dice),
    };
    match dice.below(6) {
        0 => Read::Range {
            from: key,
            to: random_key(dice),
        },
        1 => Read::Range {
            from: key[..1].to_vec(),
            to: crate::state::prefix_end(&key[..1]),
        },
        2 => {
            let near = model.range(key.clone()..).nth(dice.below(20) as usize);
            let to = near.map_or_else(|| key_after(&key), |(near, _)| near.clone());
            Read::Range { from: key, to }
        }
        // Not a key of any kind: the beginning of one, or more than one.
        3 => Read::Key(key[..key.len() - 1].to_vec()),
        4 => Read::Key(key_after(&key)),
        _ => Read::Key(key),
    }
}

/// Answers what the model says, or that it does not know; says which.
fn agrees(shown: &PartialState, model: &Model, read: &Read) -> bool {
    let answer = match read {
        Read::Key(key) => shown.get(key).map(|value| {
            assert_eq!(value.as_ref(), model.get(key), "{read}");
        }),
        Read::Range { from, to } => shown.range(from, to, usize::MAX).map(|rows| {
            let inside = model.iter().filter(|(key, _)| *key >= from && *key < to);
            let inside: Vec<_> = inside
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect();
            assert_eq!(rows, inside, "{read}");
        }),
    };
    match answer {
        Ok(()) => true,
        Err(StateError::NotCovered(_)) => false,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_proof_shows_all_that_was_asked_for_at_any_version() {
    for seed in 0..20 {
        let (tree, models, mut dice) = trial(seed);
        for round in 0..30 {
            let version = dice.below(models.len() as u64);
            let model = &models[version as usize];
            let reads: Vec<_> = (0..dice.below(5))
                .map(|_| random_read(&mut dice, model))
                .collect();
            let proof = tree.prove(version, &reads).unwrap();
            let decoded = Proof::decode(&proof.encode()).unwrap();
            assert_eq!(decoded, proof);
            let shown = decoded.verify(&naive_root(model)).unwrap();
            for read in &reads {
                assert!(
                    agrees(&shown, model, read),
                    "seed {seed}, round {round}: {read}"
                );
            }
            for _ in 0..20 {
                agrees(&shown, model, &random_read(&mut dice, model));
            }
        }
    }
}

#[test]
fn nothing_is_known_of_what_was_not_asked_for() {
    let (tree, store) = empty_tree(3);
    let keys: Writes = (0..=255)
        .map(|byte| (vec![1, byte], Some(vec![byte])))
        .collect();
    let root = commit(&tree, &*store, 0, &keys);
    let shown = tree
        .prove(0, &[Read::Key(vec![1, 77])])
        .unwrap()
        .verify(&root)
        .unwrap();
    assert_eq!(shown.shown().len(), 1);
    for byte in 0..=255 {
        let known = shown.get(&[1, byte]);
        match byte {
            77 => assert_eq!(known, Ok(Some(vec![77]))),
            _ => assert_eq!(known, Err(StateError::NotCovered(Read::Key(vec![1, byte])))),
        }
    }
    // All keys begin with 1: that is shown, too.
    assert_eq!(shown.get(&[2]), Ok(None));
    assert_eq!(shown.range(&[2], &[9], 5), Ok(vec![]));

    let nothing = tree.prove(0, &[]).unwrap();
    assert_eq!(nothing.nodes(), [Node::Stub(root)]);
    let shown = nothing.verify(&root).unwrap();
    assert!(matches!(shown.get(&[2]), Err(StateError::NotCovered(_))));
    assert!(matches!(
        shown.range(&[], &[1], 1),
        Err(StateError::NotCovered(_))
    ));
    assert_eq!(
        shown.range(&[1], &[1], 1),
        Ok(vec![]),
        "an empty range holds nothing anywhere"
    );
}

#[test]
fn an_absent_key_next_to_a_long_value_does_not_carry_it() {
    let (tree, store) = empty_tree(3);
    let writes = Writes::from([(vec![1, 1], Some(vec![9; 60_000]))]);
    let root = commit(&tree, &*store, 0, &writes);
    let proof = tree.prove(0, &[Read::Key(vec![1, 2])]).unwrap();
    assert!(proof.encode().len() < 100);
    let shown = proof.verify(&root).unwrap();
    assert_eq!(shown.get(&[1, 2]), Ok(None));
    assert!(
        matches!(shown.get(&[1, 1]), Err(StateError::NotCovered(_))),
        "it is there, not absent"
    );
    assert!(matches!(
        shown.range(&[1], &[2], 9),
        Err(StateError::NotCovered(_))
    ));
}

#[test]
fn a_recorded_query_can_be_run_again_over_its_proof() {
    let (tree, models, mut dice) = trial(7);
    let model = &models[5];
    for _ in 0..100 {
        let asked: Vec<_> = (0..3)
            .map(|_| (random_read(&mut dice, model), dice.below(8) as usize))
            .collect();
        let run = |state: &dyn StateRead| -> Result<Vec<Vec<(Vec<u8>, Vec<u8>)>>, StateError> {
            let answer = |(read, limit): &(Read, usize)| match read {
                Read::Key(key) => Ok(state
                    .get(key)?
                    .into_iter()
                    .map(|v| (key.clone(), v))
                    .collect()),
                Read::Range { from, to } => state.range(from, to, *limit),
            };
            asked.iter().map(answer).collect()
        };
        let view = tree.view(5).unwrap();
        let recorder = Recorder::new(&view);
        let answer = run(&recorder).unwrap();
        let proof = tree.prove(5, &recorder.into_reads()).unwrap();
        assert_eq!(run(&proof.verify(&view.root()).unwrap()), Ok(answer));
    }
}

#[test]
fn one_changed_byte_is_found_or_changes_nothing() {
    for seed in 0..6 {
        let (tree, models, mut dice) = trial(seed);
        let (model, root) = (&models[5], naive_root(&models[5]));
        let reads: Vec<_> = (0..2).map(|_| random_read(&mut dice, model)).collect();
        let proof = tree.prove(5, &reads).unwrap();
        let shown = proof.verify(&root).unwrap();
        let bytes = proof.encode();
        for at in 0..bytes.len().min(4_000) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << dice.below(8);
            if let Ok(other) = Proof::decode(&changed).and_then(|proof| proof.verify(&root)) {
                assert_eq!(other, shown, "seed {seed}, byte {at}");
            }
        }
        for length in (0..bytes.len()).step_by(1 + bytes.len() / 300) {
            assert!(
                Proof::decode(&bytes[..length]).is_err(),
                "{length} bytes of {}",
                bytes.len()
            );
        }
        assert!(Proof::decode(&[&bytes[..], &[0]].concat()).is_err());
    }
}

#[test]
fn one_changed_node_is_found_or_only_hides_something() {
    for seed in 0..6 {
        let (tree, models, mut dice) = trial(seed);
        let (model, root) = (&models[5], naive_root(&models[5]));
        let reads: Vec<_> = (0..3).map(|_| random_read(&mut dice, model)).collect();
        let proof = tree.prove(5, &reads).unwrap();
        for _ in 0..400 {
            let changed = changed_node(&proof, &mut dice);
            if let Ok(shown) = changed.verify(&root) {
                for read in &reads {
                    agrees(&shown, model, read);
                }
                for _ in 0..5 {
                    agrees(&shown, model, &random_read(&mut dice, model));
                }
            }
        }
    }
}

fn changed_node(proof: &Proof, dice: &mut Dice) -> Proof {
    let mut nodes = proof.nodes().to_vec();
    if nodes.is_empty() {
        return Proof::of(vec![Node::Stub(Hash([0; 32]))]);
    }
    let at = dice.below(nodes.len() as u64) as usize;
    let other = dice.below(nodes.len() as u64) as usize;
    match dice.below(6) {
        0 => drop(nodes.remove(at)),
        1 => nodes.insert(at, nodes[other].clone()),
        2 => nodes.swap(at, other),
        3 => nodes[at] = nodes[other].clone(),
        _ => {
            nodes[at] = match nodes[at].clone() {
                // The two honest ways to show less of a leaf.
                Node::Leaf { key, value } if dice.below(2) == 0 => {
                    Node::Stub(leaf_hash(&key, &blake3_hash(&value)))
                }
                Node::Leaf { key, value } => Node::Neighbour {
                    value_hash: blake3_hash(&value),
                    key,
                },
                Node::Neighbour { key, value_hash } => Node::Stub(leaf_hash(&key, &value_hash)),
                Node::Stub(hash) => Node::Neighbour {
                    key: random_key(dice),
                    value_hash: hash,
                },
                Node::Branch { skip, mut bits } => {
                    let wider = bits.iter().any(|byte| *byte != 0);
                    bits.iter_mut().for_each(|byte| *byte = 0);
                    Node::Branch {
                        skip: skip + u16::from(!wider && skip % 8 != 0),
                        bits,
                    }
                }
            }
        }
    }
    Proof::of(nodes)
}

/// The attack that a list of bids must withstand: the server leaves one out.
#[test]
fn a_range_with_one_entry_left_out_never_reads_as_complete() {
    let (tree, models, _) = trial(3);
    let (model, root) = (&models[5], naive_root(&models[5]));
    let (from, to) = (vec![2], vec![3]);
    let proof = tree
        .prove(
            5,
            &[Read::Range {
                from: from.clone(),
                to: to.clone(),
            }],
        )
        .unwrap();
    let nodes = proof.nodes();
    let listed: Vec<usize> = (0..nodes.len())
        .filter(|at| matches!(&nodes[*at], Node::Leaf { key, .. } if *key >= from && *key < to))
        .collect();
    assert!(listed.len() > 10, "a range worth the name");
    assert_eq!(listed.len(), model.range(from.clone()..to.clone()).count());
    for at in listed {
        let Node::Leaf { key, value } = &nodes[at] else {
            unreachable!("filtered")
        };
        let value_hash = blake3_hash(value);
        for hidden in [
            Node::Stub(leaf_hash(key, &value_hash)),
            Node::Neighbour {
                key: key.clone(),
                value_hash,
            },
        ] {
            let mut hiding = nodes.to_vec();
            hiding[at] = hidden;
            let shown = Proof::of(hiding).verify(&root).unwrap();
            let answer = shown.range(&from, &to, usize::MAX);
            assert!(
                matches!(answer, Err(StateError::NotCovered(_))),
                "{answer:?}"
            );
            assert!(matches!(shown.get(key), Err(StateError::NotCovered(_))));
        }
        // Without the leaf its sibling takes the place of their branch: another trie.
        let mut without = nodes.to_vec();
        without.remove(at);
        let branch = (0..at)
            .rev()
            .find(|at| matches!(nodes[*at], Node::Branch { .. }));
        without.remove(branch.unwrap());
        assert!(Proof::of(without).verify(&root).is_err());
    }
}

#[test]
fn a_proof_of_another_tree_says_so() {
    let (tree, store) = empty_tree(3);
    let put = |value| Writes::from([(vec![1, 1], Some(vec![value])), (vec![1, 2], Some(vec![]))]);
    let found = commit(&tree, &*store, 0, &put(0));
    let expected = commit(&tree, &*store, 1, &put(1));
    let proof = tree.prove(0, &[Read::Key(vec![1, 1])]).unwrap();
    assert_eq!(
        proof.verify(&expected),
        Err(ProofError::OtherRoot { found, expected })
    );
    assert!(Proof::of(vec![]).verify(&expected).is_err());
    assert!(Proof::of(vec![]).verify(&blake3_hash(b"")).is_ok());
}

#[test]
fn bombs_are_refused_before_they_are_allocated() {
    // A count of four thousand million nodes, then nothing.
    assert!(Proof::decode(&[0xff; 4]).is_err());
    // A long row of branches with nothing below.
    let row = [&100_000_u32.to_le_bytes()[..], &[3, 0, 0].repeat(100_000)].concat();
    assert!(Proof::decode(&row).is_err());
    // A leaf that announces a value of four gigabytes.
    let leaf = [
        &1_u32.to_le_bytes()[..],
        &[1],
        &1_u32.to_le_bytes(),
        &[7],
        &[0xff; 4],
    ]
    .concat();
    assert!(Proof::decode(&leaf).is_err());
    // A branch that goes on below the longest key.
    let long = |skip| Node::Branch {
        skip,
        bits: vec![0; usize::from(skip).div_ceil(8)],
    };
    let stubs = [Node::Stub(Hash([1; 32])), Node::Stub(Hash([2; 32]))];
    let proof = |skip| Proof::of([&[long(skip)][..], &stubs].concat());
    assert!(matches!(
        proof(1_024).verify(&Hash::default()),
        Err(ProofError::Malformed(_))
    ));
    assert!(matches!(
        proof(1_023).verify(&Hash::default()),
        Err(ProofError::OtherRoot { .. })
    ));
    let nested = Proof::of([&[long(1_023), long(0)][..], &stubs, &stubs[..1]].concat());
    assert!(matches!(
        nested.verify(&Hash::default()),
        Err(ProofError::Malformed(_))
    ));
    assert!(Proof::decode(&vec![0; super::super::MAX_PROOF_BYTES + 1]).is_err());
}

#[test]
fn random_bytes_never_panic() {
    let mut dice = Dice(1);
    for _ in 0..3_000 {
        let count = dice.below(6) as u32;
        let mut bytes = count.to_le_bytes().to_vec();
        for _ in 0..dice.below(200) {
            bytes.push(if dice.below(2) == 0 {
                dice.below(4) as u8
            } else {
                dice.below(256) as u8
            });
        }
        if let Ok(proof) = Proof::decode(&bytes) {
            assert!(proof.verify(&Hash::default()).is_err());
        }
    }
}

#[test]
fn a_proof_that_nobody_would_accept_is_not_made() {
    let (tree, store) = empty_tree(3);
    let writes: Writes = (0..80)
        .map(|byte| (vec![1, byte], Some(vec![byte; 60_000])))
        .collect();
    commit(&tree, &*store, 0, &writes);
    let all = Read::Range {
        from: vec![],
        to: vec![9],
    };
    assert!(matches!(
        tree.prove(0, &[all]),
        Err(TreeError::ProofTooLarge(_))
    ));
    tree.verify(0, Extent::Full).unwrap();
}
