use super::*;

fn leaves(count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| number.to_be_bytes().to_vec())
        .collect()
}

/// RFC 6962 trees over the leaves, and with the roots, of Certificate Transparency's test program.
#[test]
fn roots_are_those_of_rfc_6962() {
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
    ]
    .map(|text| hex::decode(text).unwrap());
    let expected = [
        (
            0,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            1,
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        ),
        (
            2,
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        ),
        (
            3,
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        ),
        (
            4,
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ),
        (
            5,
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        ),
        (
            6,
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        ),
        (
            7,
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        ),
    ];
    for (count, root_hex) in expected {
        assert_eq!(
            hex::encode(root(&inputs[..count])),
            root_hex,
            "{count} leaves"
        );
    }
}

#[test]
fn every_leaf_has_a_proof_and_no_other_leaf_passes_with_it() {
    for count in 1..40 {
        let leaves = leaves(count);
        let (root, proofs) = root_and_proofs(&leaves);
        for (index, proof) in proofs.iter().enumerate() {
            assert_eq!(proof.index, index as u64);
            proof.verify(&root, &leaves[index]).unwrap();
            let other = &leaves[(index + 1) % count];
            assert_eq!(proof.verify(&root, other).is_ok(), count == 1);
            assert!(proof.verify(&[0; 32], &leaves[index]).is_err());
        }
    }
}

#[test]
fn forged_proofs_are_refused() {
    let leaves = leaves(5);
    let (root, proofs) = root_and_proofs(&leaves);
    let genuine = &proofs[1];
    let forge = |change: fn(&mut Proof)| {
        let mut proof = genuine.clone();
        change(&mut proof);
        proof.verify(&root, &leaves[1])
    };
    assert!(forge(|_| ()).is_ok());
    assert!(
        forge(|proof| proof.total = 0).is_err(),
        "no leaves (VSA-2022-100)"
    );
    assert!(
        forge(|proof| proof.index = 5).is_err(),
        "a place beyond the last leaf"
    );
    assert!(forge(|proof| proof.index = 0).is_err(), "another place");
    assert!(
        forge(|proof| proof.leaf_hash = [0; 32]).is_err(),
        "another leaf's hash"
    );
    assert!(
        forge(|proof| proof.aunts.truncate(1)).is_err(),
        "too short a way"
    );
    assert!(
        forge(|proof| proof.aunts.push([0; 32])).is_err(),
        "too long a way"
    );
    assert!(
        forge(|proof| proof.aunts = vec![[0; 32]; MAX_AUNTS + 1]).is_err(),
        "far too long"
    );
    assert!(
        forge(|proof| proof.total = u64::MAX).is_err(),
        "a huge tree"
    );
    let alone = Proof {
        total: 1,
        index: 0,
        leaf_hash: root,
        aunts: Vec::new(),
    };
    assert!(
        alone.verify(&root, b"").is_err(),
        "an inner hash passed off as a leaf"
    );
}

#[test]
fn a_proof_with_too_many_hashes_is_not_read() {
    let mut proof = Proof {
        total: 1,
        index: 0,
        leaf_hash: [1; 32],
        aunts: vec![[2; 32]; MAX_AUNTS],
    };
    assert_eq!(Proof::decode(&proof.encode()).unwrap(), proof);
    proof.aunts.push([2; 32]);
    assert!(matches!(
        Proof::decode(&proof.encode()),
        Err(DecodeError::TooMany(_))
    ));
}
