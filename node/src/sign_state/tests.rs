use super::*;
use crate::disk::{Fault, ModelDisk, Open};
use welkin_consensus::types::{BlockId, Digest, PartSetHeader, ValidatorAddress, Vote, VoteType};
use welkin_runtime::crypto::SigningKey;

const PATH: &str = "/data/priv_validator_state.json";

fn key() -> PrivValidatorKey {
    PrivValidatorKey(SigningKey::from_seed(&[3; 32]))
}

fn open(disk: &ModelDisk) -> Result<Signer, StorageError> {
    let lock = Arc::new(FolderLock::acquire(disk, Path::new("/data"))?);
    Signer::open(Arc::new(disk.clone()), Path::new(PATH), key(), lock)
}

fn fresh() -> (ModelDisk, Signer) {
    let disk = ModelDisk::default();
    Signer::create_state(&disk, Path::new(PATH)).unwrap();
    let signer = open(&disk).unwrap();
    (disk, signer)
}

/// Sign bytes of a vote; block 0 is nil.
fn vote(height: u64, round: u32, vote_type: VoteType, block: u8, seconds: i64) -> Vec<u8> {
    let hash = Digest::new([block; 32]);
    let complete = BlockId {
        hash,
        part_set_header: PartSetHeader { total: 1, hash },
    };
    let vote = Vote {
        vote_type,
        height,
        round,
        block_id: if block == 0 { BlockId::NIL } else { complete },
        timestamp: Timestamp { seconds, nanos: 5 },
        validator_address: ValidatorAddress([0; 20]),
        validator_index: 0,
        signature: None,
    };
    vote.sign_bytes("welkin-test")
}

fn sign(
    signer: &mut Signer,
    height: u64,
    round: u32,
    block: u8,
    seconds: i64,
) -> Result<Signed, SignError> {
    let bytes = vote(height, round, VoteType::Precommit, block, seconds);
    signer.sign(height, round, Step::Precommit, &bytes)
}

fn refusal(refused: Result<Signed, SignError>) -> Refusal {
    match refused.unwrap_err() {
        SignError::Refused(refusal) => refusal,
        SignError::Storage(why) => panic!("{why}"),
    }
}

#[test]
fn a_signature_is_durable_when_it_is_returned() {
    let (disk, mut signer) = fresh();
    let Signed::Fresh(signature) = sign(&mut signer, 5, 0, 1, 10).unwrap() else {
        panic!("not fresh")
    };
    let bytes = vote(5, 0, VoteType::Precommit, 1, 10);
    assert!(signer.public_key().verify(&bytes, &signature));
    for seed in 0..50 {
        let found = open(&disk.power_cut(seed)).unwrap();
        assert_eq!(
            found.state(),
            &SignState::signed(5, 0, Step::Precommit, bytes.clone(), signature)
        );
    }
}

#[test]
fn the_same_gets_the_same_signature_and_another_time_the_old_one() {
    let (disk, mut signer) = fresh();
    let Signed::Fresh(first) = sign(&mut signer, 5, 0, 1, 10).unwrap() else {
        panic!("not fresh")
    };
    drop(signer);
    let mut signer = open(&disk).unwrap();
    let earlier = Signed::Earlier {
        signature: first,
        timestamp: Timestamp {
            seconds: 10,
            nanos: 5,
        },
    };
    assert_eq!(sign(&mut signer, 5, 0, 1, 10).unwrap(), earlier);
    assert_eq!(sign(&mut signer, 5, 0, 1, 99).unwrap(), earlier);
}

#[test]
fn what_was_passed_or_contradicts_is_refused_and_changes_nothing() {
    let (disk, mut signer) = fresh();
    sign(&mut signer, 5, 2, 1, 10).unwrap();
    let before = disk.bytes(Path::new(PATH)).unwrap();
    assert_eq!(refusal(sign(&mut signer, 5, 2, 2, 10)), Refusal::Conflict);
    assert_eq!(refusal(sign(&mut signer, 5, 2, 0, 10)), Refusal::Conflict);
    assert!(matches!(
        refusal(sign(&mut signer, 5, 1, 1, 10)),
        Refusal::Regression { round: 2, .. }
    ));
    assert!(matches!(
        refusal(sign(&mut signer, 4, 9, 1, 10)),
        Refusal::Regression { height: 5, .. }
    ));
    let prevote = vote(5, 2, VoteType::Prevote, 1, 10);
    assert!(matches!(
        refusal(signer.sign(5, 2, Step::Prevote, &prevote)),
        Refusal::Regression { .. }
    ));
    assert_eq!(disk.bytes(Path::new(PATH)).unwrap(), before);
    sign(&mut signer, 5, 3, 2, 10).unwrap();
}

#[test]
fn after_a_failure_nothing_is_signed_until_the_state_was_read_again() {
    for fault in [Fault::Full, Fault::Write, Fault::Sync] {
        let (disk, mut signer) = fresh();
        sign(&mut signer, 5, 0, 1, 10).unwrap();
        disk.fail(fault, 0);
        assert!(matches!(
            sign(&mut signer, 6, 0, 1, 10),
            Err(SignError::Storage(StorageError::Io { .. }))
        ));
        let again = sign(&mut signer, 7, 0, 1, 10);
        assert!(matches!(
            again,
            Err(SignError::Storage(StorageError::Stopped { .. }))
        ));
        drop(signer);
        sign(&mut open(&disk).unwrap(), 7, 0, 1, 10).unwrap();
    }
}

#[test]
fn a_state_that_was_never_made_durable_is_durable_before_its_signature_leaves() {
    for seed in 0..50 {
        let (disk, mut signer) = fresh();
        let disk = {
            sign(&mut signer, 5, 0, 1, 10).unwrap();
            drop(signer);
            disk.power_cut(seed)
        };
        let mut signer = open(&disk).unwrap();
        // The file is synced, the sync of the folder fails, and the process ends.
        disk.fail(Fault::Sync, 1);
        assert!(sign(&mut signer, 6, 0, 1, 10).is_err());
        drop(signer);
        let mut signer = open(&disk).unwrap();
        let earlier = sign(&mut signer, 6, 0, 1, 10).unwrap();
        assert!(matches!(earlier, Signed::Earlier { .. }));
        let found = open(&disk.power_cut(seed)).unwrap();
        assert_eq!(found.state().height, 6);
    }
}

#[test]
fn the_state_of_a_key_is_created_once_and_never_silently() {
    let disk = ModelDisk::default();
    let missing = open(&disk).unwrap_err().to_string();
    assert!(
        missing.starts_with(&format!("cannot open {PATH}")),
        "{missing}"
    );
    Signer::create_state(&disk, Path::new(PATH)).unwrap();
    let twice = Signer::create_state(&disk, Path::new(PATH))
        .unwrap_err()
        .to_string();
    assert!(twice.contains("exists already"), "{twice}");
}

#[test]
fn a_state_that_is_not_readable_is_an_error_that_says_what_is_at_stake() {
    for text in [
        "",
        "{}x",
        "[]",
        r#"{"height":"1","round":0,"step":9}"#,
        r#"{"height":"-1","round":0,"step":1}"#,
    ] {
        let disk = ModelDisk::default();
        let file = disk
            .open(Path::new(PATH), Open::Create(Mode::Private))
            .unwrap();
        file.write_at(0, text.as_bytes()).unwrap();
        let told = open(&disk).unwrap_err().to_string();
        assert!(
            told.contains("not a sign state") && told.contains("retire the key"),
            "{text}: {told}"
        );
    }
}

#[test]
fn only_one_process_signs() {
    let (disk, _signer) = fresh();
    assert!(matches!(open(&disk), Err(StorageError::Locked { .. })));
    let elsewhere = Arc::new(FolderLock::acquire(&disk, Path::new("/other")).unwrap());
    let outside = Signer::open(Arc::new(disk.clone()), Path::new(PATH), key(), elsewhere);
    let told = outside.unwrap_err().to_string();
    assert!(
        told.contains("lies outside the locked folder /other"),
        "{told}"
    );
}

#[test]
fn the_file_is_the_one_that_cometbft_reads() {
    let (disk, mut signer) = fresh();
    let text = |disk: &ModelDisk| {
        let bytes = disk.bytes(Path::new(PATH)).unwrap();
        assert_eq!(bytes.len(), 1024);
        String::from_utf8(bytes).unwrap().trim_end().to_owned()
    };
    let empty = "{\n  \"height\": \"0\",\n  \"round\": 0,\n  \"step\": 0\n}";
    assert_eq!(text(&disk), empty);
    sign(&mut signer, 5, 2, 0, 10).unwrap();
    let golden = include_str!("../../tests/golden/priv_validator_state.json");
    assert_eq!(text(&disk), golden.trim_end());
}
