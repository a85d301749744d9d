//! Hostile bytes: no decoder panics, and what is accepted is written back as it was read.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that helpers are tests"
)]

mod common;

use common::random;
use proptest::collection::vec;
use proptest::prelude::*;
use welkin_consensus::merkle::Proof;
use welkin_consensus::types::*;

/// Decodes as every type; whatever is accepted must have exactly these bytes.
fn decode_as_everything(bytes: &[u8]) -> Result<(), TestCaseError> {
    fn one<M: Message>(bytes: &[u8]) -> Result<(), TestCaseError> {
        if let Ok(value) = M::decode(bytes) {
            prop_assert_eq!(value.encode(), bytes);
        }
        Ok(())
    }
    one::<Block>(bytes)?;
    one::<BlockId>(bytes)?;
    one::<Commit>(bytes)?;
    one::<CommitSig>(bytes)?;
    one::<ConsensusParams>(bytes)?;
    one::<Data>(bytes)?;
    one::<DuplicateVoteEvidence>(bytes)?;
    one::<Evidence>(bytes)?;
    one::<EvidenceList>(bytes)?;
    one::<Header>(bytes)?;
    one::<LightBlock>(bytes)?;
    one::<LightClientAttackEvidence>(bytes)?;
    one::<Part>(bytes)?;
    one::<PartSetHeader>(bytes)?;
    one::<Proof>(bytes)?;
    one::<Proposal>(bytes)?;
    one::<PublicKey>(bytes)?;
    one::<SignedHeader>(bytes)?;
    one::<Timestamp>(bytes)?;
    one::<Validator>(bytes)?;
    one::<ValidatorSet>(bytes)?;
    one::<Vote>(bytes)
}

/// A change to bytes: overwrite, insert or cut at a place.
fn mutate(bytes: &mut Vec<u8>, (kind, place, byte): (u8, usize, u8)) {
    let place = place % (bytes.len() + 1);
    match kind % 4 {
        0 if place < bytes.len() => bytes[place] = byte,
        1 if place < bytes.len() => bytes[place] ^= 1 << (byte % 8),
        2 => bytes.insert(place, byte),
        _ => bytes.truncate(place),
    }
}

proptest! {
    #![proptest_config(common::config(256))]

    #[test]
    fn random_bytes_never_panic_a_decoder(bytes in vec(any::<u8>(), 0..300)) {
        decode_as_everything(&bytes)?;
    }

    #[test]
    fn mutated_messages_never_panic_a_decoder(
        block in random::block(),
        vote in random::vote(),
        proposal in random::proposal(),
        light_block in random::light_block(),
        changes in vec(any::<(u8, usize, u8)>(), 1..4),
    ) {
        let part = PartSet::from_bytes(&block.encode()).get(0).unwrap().encode();
        for mut bytes in [block.encode(), vote.encode(), proposal.encode(), light_block.encode(), part] {
            changes.iter().for_each(|change| mutate(&mut bytes, *change));
            decode_as_everything(&bytes)?;
        }
    }

    #[test]
    fn mutated_json_never_panics_a_reader(
        block in random::consistent_block(),
        changes in vec(any::<(u8, usize, u8)>(), 1..4),
    ) {
        let mut bytes = serde_json::to_vec(&block).unwrap();
        changes.iter().for_each(|change| mutate(&mut bytes, *change));
        let _ = serde_json::from_slice::<Block>(&bytes);
        let _ = serde_json::from_slice::<Evidence>(&bytes);
    }

    #[test]
    fn mutated_blocks_never_panic_a_check(
        block in random::consistent_block(),
        changes in vec(any::<(u8, usize, u8)>(), 1..3),
    ) {
        let mut bytes = block.encode();
        changes.iter().for_each(|change| mutate(&mut bytes, *change));
        if let Ok(changed) = Block::decode(&bytes) {
            let _ = changed.validate_basic();
            let _ = changed.evidence.hash();
        }
    }
}

#[test]
fn unusual_encodings_of_a_value_are_refused() {
    let vote = b"\x08\x01\x22\x02\x12\x00\x2a\x00".to_vec();
    let address = [&b"\x32\x14"[..], &[7; 20]].concat();
    let canonical = [&vote[..], &address[..]].concat();
    assert!(Vote::decode(&canonical).is_ok());
    let with = |extra: &[u8]| [&canonical[..], extra].concat();
    let unusual = [
        ("an unknown field", with(b"\x78\x01")),
        ("an extension", with(b"\x4a\x01x")),
        ("a default written out", with(b"\x38\x00")),
        ("fields out of order", [&address[..], &vote[..]].concat()),
        ("a field twice", [b"\x08\x02", &canonical[..]].concat()),
        (
            "a long form of a number",
            [b"\x08\x81\x00", &canonical[2..]].concat(),
        ),
        (
            "a missing part set header",
            [b"\x08\x01\x22\x00", &canonical[6..]].concat(),
        ),
    ];
    for (what, bytes) in unusual {
        assert!(Vote::decode(&bytes).is_err(), "{what} was accepted");
    }
}

/// CometBFT #5860, #5946: messages that are tiny on the wire and large in memory.
#[test]
fn what_would_grow_when_it_is_read_is_refused() {
    let repeated = |field: &[u8], count: usize| field.repeat(count);
    assert!(
        Commit::decode(&repeated(b"\x22\x00", 10)).is_err(),
        "empty signatures"
    );
    assert!(
        Data::decode(&repeated(b"\x0a\x00", 10)).is_err(),
        "empty transactions"
    );
    assert!(
        EvidenceList::decode(&repeated(b"\x0a\x00", 10)).is_err(),
        "empty evidence"
    );
    assert!(
        ValidatorSet::decode(&repeated(b"\x0a\x00", 10)).is_err(),
        "empty validators"
    );
    assert!(Data::decode(&repeated(b"\x0a\x01x", MAX_TXS)).is_ok());
    assert!(
        Data::decode(&repeated(b"\x0a\x01x", MAX_TXS + 1)).is_err(),
        "tiny transactions"
    );
    let absent = [&[0x22, 0x0f][..], &CommitSig::Absent.encode()].concat();
    let many = [&b"\x1a\x02\x12\x00"[..], &repeated(&absent, MAX_VOTES + 1)].concat();
    assert!(
        Commit::decode(&many).is_err(),
        "more signatures than there can be validators"
    );
}
