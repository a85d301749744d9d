//! Encoding and decoding.

use super::*;

#[test]
fn a_manifest_survives_its_encoding() {
    let bytes = group().encode();
    assert_eq!(bytes[0], 1, "the version comes first");
    assert_eq!(GroupManifest::decode(&bytes).unwrap(), group());
}

#[test]
fn the_encoding_is_fixed_to_the_byte() {
    let digest = welkin_runtime::crypto::blake3_hash(&group().encode()).to_string();
    assert_eq!(
        digest,
        "0f7b854d79a9ff214468f4117ee3aa5b44f8ceb9cbbba2f2fca0958ed19f6ff0"
    );
}

#[test]
fn other_versions_other_bytes_and_too_many_are_refused() {
    let bytes = group().encode();
    let mut newer = bytes.clone();
    newer[0] = 2;
    let error = GroupManifest::decode(&newer).unwrap_err();
    assert_eq!(error, ManifestError::UnknownVersion { version: 2 });
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(
        GroupManifest::decode(&longer),
        Err(ManifestError::Malformed)
    );
    assert_eq!(
        GroupManifest::decode(&bytes[..bytes.len() - 1]),
        Err(ManifestError::Malformed)
    );
    assert_eq!(GroupManifest::decode(&[]), Err(ManifestError::Malformed));
    // A list that claims four thousand million entries costs nothing.
    let bomb = [1, 1, 0, 0, 0, b'g', 255, 255, 255, 255];
    assert_eq!(GroupManifest::decode(&bomb), Err(ManifestError::Malformed));
    let long = vec![1; MAX_MANIFEST_BYTES + 1];
    let error = GroupManifest::decode(&long).unwrap_err();
    assert_eq!(
        error,
        ManifestError::TooLong {
            bytes: MAX_MANIFEST_BYTES + 1
        }
    );
}

#[test]
fn a_changed_byte_never_panics_and_never_gives_the_same_manifest() {
    let bytes = group().encode();
    for position in 0..bytes.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[position] ^= flip;
            if let Ok(other) = GroupManifest::decode(&changed) {
                assert_ne!(other, group());
                assert_eq!(other.encode(), changed, "one value has one encoding");
            }
        }
    }
}

#[test]
fn debug_shows_no_secret() {
    let shown = format!("{:?}", group());
    assert!(
        shown.contains("PASSWORD") && !shown.contains("canary"),
        "{shown}"
    );
    assert!(!format!("{:?}", Salt([0xab; 32])).contains("ab"));
}
