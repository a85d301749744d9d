//! Published vectors: CometBFT's own known hashes and sign bytes, and the files of `tendermint-rs`
//! that lie beside the repository.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that helpers are tests"
)]

mod common;

use common::chain::sha256;
use serde::Deserialize;
use std::path::PathBuf;
use welkin_consensus::light::{self, LightError, Options};
use welkin_consensus::merkle;
use welkin_consensus::types::*;
use welkin_consensus::verify::TrustLevel;

/// The folder of shared vectors, or none: then the test says so, and fails where `CI` is `true`.
fn shared(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/vectors")
        .join(folder);
    if path.is_dir() {
        return Some(path);
    }
    let ci = std::env::var("CI").is_ok_and(|value| value == "true");
    assert!(!ci, "{} is missing", path.display());
    eprintln!("left out: {} is missing", path.display());
    None
}

fn hash(text: &str) -> Digest {
    Digest::new(sha256(text.as_bytes()))
}

/// `types/block_test.go: TestHeaderHash` of CometBFT.
#[test]
fn the_header_of_cometbfts_test_has_the_known_hash() {
    let zeros = Digest::new([0; 32]);
    let address = sha256(b"proposer_address");
    let mut header = Header {
        version: Version { block: 1, app: 2 },
        chain_id: "chainId".to_owned(),
        height: 3,
        time: "2019-10-13T16:14:44Z".parse().unwrap(),
        last_block_id: BlockId {
            hash: zeros,
            part_set_header: PartSetHeader {
                total: 6,
                hash: zeros,
            },
        },
        last_commit_hash: hash("last_commit_hash"),
        data_hash: hash("data_hash"),
        validators_hash: hash("validators_hash"),
        next_validators_hash: hash("next_validators_hash"),
        consensus_hash: hash("consensus_hash"),
        app_hash: AppHash(sha256(b"app_hash").to_vec()),
        last_results_hash: hash("last_results_hash"),
        evidence_hash: hash("evidence_hash"),
        proposer_address: ValidatorAddress(*address.first_chunk().unwrap()),
    };
    let known = "F740121F553B5418C3EFBD343C2DBFE9E007BB67B0D020A0741374BAB65242A4";
    assert_eq!(header.hash().to_string(), known);
    header.validators_hash = Digest::EMPTY;
    assert!(header.hash().is_empty());
}

#[test]
fn the_published_header_has_the_hash_that_its_chain_gave_it() {
    let Some(folder) = shared("blocks") else {
        return;
    };
    let text = std::fs::read_to_string(folder.join("header_with_known_hash.json")).unwrap();
    let header: Header = serde_json::from_str(&text).unwrap();
    let known = "F30A71F2409FB15AACAEDB6CC122DFA2525BEE9CAE521721B06BFDCA291B8D56";
    assert_eq!(header.hash().to_string(), known);

    let text = std::fs::read_to_string(folder.join("header.json")).unwrap();
    let old: Header = serde_json::from_str(&text).unwrap();
    assert!(
        old.validate_basic().is_err(),
        "block protocol 10 was accepted"
    );
}

#[test]
fn empty_things_have_the_known_hashes() {
    let nothing = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    assert_eq!(Commit::default().hash().to_string(), nothing);
    assert_eq!(Data::default().hash().to_string(), nothing);
    assert_eq!(EvidenceList::default().hash().to_string(), nothing);
    assert_eq!(
        welkin_consensus::state::results_hash(&[]).to_string(),
        nothing
    );
    let empty_leaf = merkle::root(&[b""]);
    let known = "6E340B9CFFB37A989CA544E6BB780A2C78901D3FB33738768511A30617AFA01D";
    assert_eq!(hex::encode_upper(empty_leaf), known);
    assert_eq!(hex::encode(BlockId::NIL.encode()), "1200");
    assert_eq!(
        hex::encode(CommitSig::Absent.encode()),
        "08011a0b088092b8c398feffffff01"
    );
}

#[test]
fn consensus_params_have_the_known_hashes() {
    let mut params = ConsensusParams::default();
    assert!(
        params.hash().to_string().starts_with("048091BC"),
        "{}",
        params.hash()
    );
    assert!(params.hash().to_string().ends_with("A22F"));
    params.block.max_bytes = 4_194_304;
    assert!(
        params.hash().to_string().starts_with("BAB5041D"),
        "{}",
        params.hash()
    );
    assert!(params.hash().to_string().ends_with("5BF2"));
}

/// `types/vote_test.go: TestVoteSignBytesTestVectors` of CometBFT, those with a vote type.
#[test]
fn votes_have_the_sign_bytes_of_cometbfts_test() {
    let vote = |vote_type| Vote {
        vote_type,
        height: 1,
        round: 1,
        block_id: BlockId::NIL,
        timestamp: Timestamp::ZERO,
        validator_address: ValidatorAddress::default(),
        validator_index: 0,
        signature: None,
    };
    let known = |kind: &str| {
        format!("21{kind}1101000000000000001901000000000000002a0b088092b8c398feffffff01")
    };
    assert_eq!(
        hex::encode(vote(VoteType::Precommit).sign_bytes("")),
        known("0802")
    );
    assert_eq!(
        hex::encode(vote(VoteType::Prevote).sign_bytes("")),
        known("0801")
    );
    let named = vote(VoteType::Precommit).sign_bytes("test_chain_id");
    let expected = known("0802").replacen("21", "30", 1) + "320d746573745f636861696e5f6964";
    assert_eq!(hex::encode(named), expected);
}

#[derive(Deserialize)]
struct SingleStep {
    initial: Initial,
    input: Vec<Input>,
}

#[derive(Deserialize)]
struct Initial {
    signed_header: SignedHeader,
    next_validator_set: ValidatorSet,
    trusting_period: String,
    now: Timestamp,
}

#[derive(Deserialize)]
struct Input {
    block: InputBlock,
    now: Timestamp,
    verdict: String,
}

#[derive(Deserialize)]
struct InputBlock {
    signed_header: SignedHeader,
    // In some bad blocks these are empty, which no reader accepts.
    validator_set: serde_json::Value,
    next_validator_set: serde_json::Value,
}

#[test]
fn light_client_steps_get_the_published_verdicts() {
    let Some(folder) = shared("light-client") else {
        return;
    };
    let (mut files, mut steps) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let name = path.display().to_string();
        let text = std::fs::read_to_string(&path).unwrap();
        let case: SingleStep =
            serde_json::from_str(&text).unwrap_or_else(|why| panic!("{name}: {why}"));
        steps += run(&name, case);
        files += 1;
    }
    assert!(files >= 20 && steps >= 40, "{files} files, {steps} steps");
}

/// Goes through one trace; every verdict of SUCCESS moves the trusted state. Returns the steps.
fn run(name: &str, case: SingleStep) -> usize {
    let Initial {
        signed_header,
        next_validator_set,
        trusting_period,
        now,
    } = case.initial;
    let options = Options {
        trusting_period_ns: trusting_period.parse().unwrap(),
        max_clock_drift_ns: 0,
        trust_level: TrustLevel::ONE_THIRD,
    };
    assert!(now >= signed_header.header.time, "{name}");
    let (mut trusted, mut next) = (signed_header.header, next_validator_set);
    let steps = case.input.len();
    for (
        step,
        Input {
            block,
            now,
            verdict,
        },
    ) in case.input.into_iter().enumerate()
    {
        let InputBlock {
            signed_header,
            validator_set,
            next_validator_set,
        } = block;
        let result = read_set(validator_set)
            .ok_or(None)
            .and_then(|validator_set| {
                let light_block = LightBlock {
                    signed_header: signed_header.clone(),
                    validator_set,
                };
                light::verify(&trusted, &next, &light_block, &options, now).map_err(Some)
            });
        let ours = match &result {
            Ok(()) => "SUCCESS",
            Err(Some(LightError::NotEnoughTrust(_))) => "NOT_ENOUGH_TRUST",
            Err(_) => "INVALID",
        };
        assert_eq!(ours, verdict, "{name}, step {step}: {result:?}");
        if result.is_ok() {
            (trusted, next) = (signed_header.header, read_set(next_validator_set).unwrap());
        }
    }
    steps
}

fn read_set(json: serde_json::Value) -> Option<ValidatorSet> {
    serde_json::from_value(json).ok()
}
