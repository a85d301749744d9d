use super::*;

/// All encodings of points of small order: the eight torsion points, then the six encodings that
/// RFC 8032 calls non-canonical and ZIP-215 accepts.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

fn small_order() -> Vec<[u8; 32]> {
    SMALL_ORDER
        .iter()
        .map(|digits| digits.parse::<Hash>().unwrap().0)
        .collect()
}

/// The grid of ZIP-215's authors: with s = 0, any key and any R of small order satisfy the
/// cofactored equation.
#[test]
fn the_small_order_grid_is_valid_alone_and_in_a_batch() {
    let mut together = BatchVerifier::new();
    for key in small_order() {
        for r in small_order() {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&r);
            assert!(verify(&key, b"Zcash", &signature));
            let mut alone = BatchVerifier::new();
            alone.push(&key, b"Zcash", &signature);
            assert_eq!(alone.verify(), Ok(()));
            together.push(&key, b"Zcash", &signature);
        }
    }
    assert_eq!(together.len(), 196);
    assert_eq!(together.verify(), Ok(()));
}

#[test]
fn no_account_has_a_key_of_small_order() {
    for key in small_order() {
        assert!(!is_account_key(&key), "{}", hex::encode(key));
        let point = ed25519_dalek::VerifyingKey::from_bytes(&key).unwrap();
        assert!(point.is_weak(), "{}", hex::encode(key));
    }
    for seed in 0..50 {
        let key = SigningKey::from_seed(&[seed; 32]).public_key();
        assert!(is_account_key(&key));
        assert!(
            !ed25519_dalek::VerifyingKey::from_bytes(&key)
                .unwrap()
                .is_weak()
        );
    }
}

#[test]
fn a_key_that_is_no_point_signs_nothing() {
    let mut key = [0; 32];
    key[0] = 2;
    assert!(!verify(&key, b"", &[0; 64]));
    let mut batch = BatchVerifier::new();
    for _ in 0..2 {
        batch.push(&key, b"", &[0; 64]);
    }
    assert_eq!(batch.verify(), Err(0));
}

/// RFC 8032, section 7.1, test 2.
#[test]
fn a_published_signature_is_made_and_verified() {
    let seed = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
    let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
    let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                     085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
    let key = SigningKey::from_seed(&seed.parse::<Hash>().unwrap().0);
    assert_eq!(hex::encode(key.public_key()), public);
    assert_eq!(hex::encode(key.sign(&[0x72])), signature);
    assert!(verify(&key.public_key(), &[0x72], &key.sign(&[0x72])));
    assert!(!verify(&key.public_key(), &[0x73], &key.sign(&[0x72])));
}

#[test]
fn a_scalar_that_is_not_reduced_is_refused() {
    let key = SigningKey::from_seed(&[3; 32]);
    let mut signature = key.sign(b"m");
    // s + l, little-endian: the same residue, another encoding.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    let order = order.parse::<Hash>().unwrap().0;
    let mut carry = 0u16;
    for (digit, added) in signature[32..].iter_mut().zip(order) {
        carry += u16::from(*digit) + u16::from(added);
        *digit = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    assert!(!verify(&key.public_key(), b"m", &signature));
}

#[test]
fn a_batch_names_its_first_bad_signature_and_accepts_repeated_keys() {
    for bad in [None, Some(0), Some(7), Some(19)] {
        let mut batch = BatchVerifier::new();
        for position in 0..20u8 {
            let key = SigningKey::from_seed(&[position % 5; 32]);
            let signed: &[u8] = if bad == Some(position) {
                b"other"
            } else {
                b"this"
            };
            batch.push(&key.public_key(), b"this", &key.sign(signed));
        }
        let expected = bad.map_or(Ok(()), |position| Err(usize::from(position)));
        assert_eq!(batch.verify(), expected);
    }
    assert_eq!(BatchVerifier::new().verify(), Ok(()));
}

#[test]
fn the_secret_is_not_in_the_debug_output() {
    let key = SigningKey::from_seed(&[0xab; 32]);
    assert_eq!(format!("{key:?}"), format!("SigningKey({})", key.address()));
}

#[test]
fn hashes_are_the_published_ones() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(sha256(b"").to_string(), empty);
    let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(blake3_hash(b"").to_string(), empty);
    assert_ne!(blake3_keyed(&[0; 32], b""), blake3_hash(b""));
    assert_ne!(blake3_derive("a", b""), blake3_derive("b", b""));
}
