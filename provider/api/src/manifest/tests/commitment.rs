//! One hash for all groups, opened one by one.

use proptest::prelude::*;
use welkin_runtime::{Address, Hash};

use super::*;

const SEED: [u8; 32] = [1; 32];
const NONCE: Nonce = [4; 16];

fn named(name: &str) -> GroupManifest {
    GroupManifest {
        group: name.to_owned(),
        ..group()
    }
}

fn salt(name: &str) -> Salt {
    derive_salt(&SEED, &Hash([2; 32]), &Address([3; 20]), &NONCE, name)
}

fn committed(names: &[&str]) -> (Vec<GroupManifest>, Commitment) {
    let groups: Vec<GroupManifest> = names.iter().map(|name| named(name)).collect();
    let commitment = commit(groups.iter().map(|group| (group, salt(&group.group))));
    (groups, commitment)
}

#[test]
fn every_group_opens_the_hash_and_no_other_place_in_it() {
    for names in [&["a"][..], &["a", "b"], &["a", "b", "c", "d"]] {
        let (groups, commitment) = committed(names);
        for (place, group) in groups.iter().enumerate() {
            let opening = &commitment.openings[place];
            let bytes = group.encode();
            assert_eq!(verify(&bytes, opening, &commitment.hash), Ok(()));
            for other in commitment.openings.iter().filter(|other| *other != opening) {
                let wrong = verify(&bytes, other, &commitment.hash);
                assert_eq!(wrong, Err(CommitmentError::Mismatch));
            }
        }
    }
}

#[test]
fn a_change_of_anything_is_seen() {
    let (groups, commitment) = committed(&["a", "b"]);
    let bytes = groups[0].encode();
    let opening = commitment.openings[0].clone();
    let mismatch = Err(CommitmentError::Mismatch);
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(verify(&changed, &opening, &commitment.hash), mismatch);
    let salted = Opening {
        salt: Salt([0; 32]),
        ..opening.clone()
    };
    assert_eq!(verify(&bytes, &salted, &commitment.hash), mismatch);
    let moved = Opening {
        index: 1,
        ..opening.clone()
    };
    assert_eq!(verify(&bytes, &moved, &commitment.hash), mismatch);
    let fewer = Opening {
        siblings: Vec::new(),
        ..opening.clone()
    };
    assert_eq!(verify(&bytes, &fewer, &commitment.hash), mismatch);
    assert_eq!(verify(&bytes, &opening, &Hash([0; 32])), mismatch);
}

#[test]
fn an_opening_for_no_deployment_is_refused_before_anything_is_hashed() {
    let opening = Opening {
        index: 2,
        salt: salt("a"),
        siblings: vec![Hash([0; 32])],
    };
    let error = verify(&[], &opening, &Hash([0; 32])).unwrap_err();
    assert_eq!(
        error,
        CommitmentError::BadOpening {
            index: 2,
            groups: 2
        }
    );
    let many = Opening {
        index: 0,
        salt: salt("a"),
        siblings: vec![Hash([0; 32]); MAX_GROUPS],
    };
    assert!(matches!(
        verify(&[], &many, &Hash([0; 32])),
        Err(CommitmentError::BadOpening { groups: 65, .. })
    ));
}

#[test]
fn a_salt_depends_on_everything_that_it_is_made_from() {
    let base = salt("a");
    assert_eq!(base, salt("a"), "the same on every machine");
    let (chain, owner) = (Hash([2; 32]), Address([3; 20]));
    let others = [
        derive_salt(&[9; 32], &chain, &owner, &NONCE, "a"),
        derive_salt(&SEED, &Hash([9; 32]), &owner, &NONCE, "a"),
        derive_salt(&SEED, &chain, &Address([9; 20]), &NONCE, "a"),
        derive_salt(&SEED, &chain, &owner, &[9; 16], "a"),
        derive_salt(&SEED, &chain, &owner, &NONCE, "b"),
    ];
    assert!(others.iter().all(|other| *other != base));
    assert_eq!(
        Hash(base.0).to_string(),
        "2a3621e0ddae03adddbef791b5ab55d3c0a16a479519140ac5f56aba46e1e838"
    );
}

#[test]
fn the_hash_is_what_the_design_says_computed_by_hand() {
    let (groups, commitment) = committed(&["a", "b"]);
    let mut over = Vec::new();
    for group in &groups {
        let mut material = [1; 32].to_vec();
        material.extend([2; 32]);
        material.extend([3; 20]);
        material.extend([4; 16]);
        material.extend(group.group.as_bytes());
        let salt = blake3::derive_key("welkin manifest salt v1", &material);
        over.extend(blake3::keyed_hash(&salt, &group.encode()).as_bytes());
    }
    assert_eq!(commitment.hash.0, *blake3::hash(&over).as_bytes());
}

proptest! {
    #[test]
    fn two_sets_of_manifests_never_share_a_hash(
        left in proptest::collection::vec("[a-c]{1,2}", 1..4),
        right in proptest::collection::vec("[a-c]{1,2}", 1..4),
    ) {
        let of = |names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            committed(&names).1.hash
        };
        prop_assert_eq!(left == right, of(&left) == of(&right));
    }
}
