use super::*;
use crate::types::{
    BlockId, Digest, PartSetHeader, Proposal, Signature, Timestamp, Vote, VoteType,
};

fn key() -> PrivValidatorKey {
    PrivValidatorKey(SigningKey::from_seed(&[7; 32]))
}

#[test]
fn key_files_are_read_as_they_were_printed() {
    let printed = key().to_json();
    let read = PrivValidatorKey::from_json(&printed).unwrap();
    assert_eq!(read.0.seed(), key().0.seed());
    assert_eq!(read.to_json(), printed);
    let value: serde_json::Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(value["priv_key"]["type"], "tendermint/PrivKeyEd25519");
    assert_eq!(value["pub_key"]["type"], "tendermint/PubKeyEd25519");
    assert_eq!(value["address"], key().address().to_string());
    let private = json::from_base64(value["priv_key"]["value"].as_str().unwrap()).unwrap();
    assert_eq!(private, [[7; 32], key().0.public_key()].concat());

    let node = NodeKey(SigningKey::from_seed(&[7; 32]));
    assert_eq!(node.node_id(), key().address().to_string().to_lowercase());
    let read = NodeKey::from_json(&node.to_json()).unwrap();
    assert_eq!(read.node_id(), node.node_id());
}

#[test]
fn key_files_whose_parts_do_not_belong_together_are_refused_without_showing_them() {
    let other = PrivValidatorKey(SigningKey::from_seed(&[8; 32]));
    let printed = key().to_json();
    let public = json::to_base64(&key().0.public_key());
    let secret = json::to_base64(&[[7; 32], key().0.public_key()].concat());
    let mismatched = json::to_base64(&[[7; 32], other.0.public_key()].concat());
    let cases = [
        printed.replace(&key().address().to_string(), &other.address().to_string()),
        printed.replace(&public, &json::to_base64(&other.0.public_key())),
        printed.replace(&secret, &mismatched),
        printed.replace(&secret, &json::to_base64(&[7; 32])),
        printed.replace("PrivKeyEd25519", "PrivKeySecp256k1"),
        printed[..printed.len() / 2].to_owned(),
        printed.replace(&format!("\"{}\"", key().address()), "7"),
    ];
    for text in cases {
        let why = PrivValidatorKey::from_json(&text).unwrap_err().to_string();
        assert!(
            !why.contains(&secret) && !why.contains(&mismatched),
            "{why}"
        );
    }
}

fn vote(vote_type: VoteType, round: u32, seconds: i64, block: u8) -> Vote {
    let hash = Digest::new([block; 32]);
    Vote {
        vote_type,
        height: 5,
        round,
        block_id: BlockId {
            hash,
            part_set_header: PartSetHeader { total: 1, hash },
        },
        timestamp: Timestamp { seconds, nanos: 0 },
        validator_address: ValidatorAddress::default(),
        validator_index: 0,
        signature: None,
    }
}

fn decide(state: &SignState, vote: &Vote) -> Result<Decision, Refusal> {
    state.decide(
        vote.height,
        vote.round,
        vote.vote_type.into(),
        &vote.sign_bytes("c"),
    )
}

#[test]
fn nothing_is_signed_twice_or_backwards() {
    let first = vote(VoteType::Prevote, 1, 10, 1);
    let signature = Signature([9; 64]);
    let state = SignState::signed(5, 1, Step::Prevote, first.sign_bytes("c"), signature);
    let again = Decision::Reuse {
        signature,
        timestamp: first.timestamp,
    };
    assert_eq!(decide(&state, &first), Ok(again.clone()), "the same");
    assert_eq!(
        decide(&state, &vote(VoteType::Prevote, 1, 99, 1)),
        Ok(again),
        "only later"
    );
    assert_eq!(
        decide(&state, &vote(VoteType::Prevote, 1, 10, 2)),
        Err(Refusal::Conflict)
    );
    assert_eq!(
        decide(&state, &vote(VoteType::Precommit, 1, 10, 2)),
        Ok(Decision::Sign)
    );
    assert_eq!(
        decide(&state, &vote(VoteType::Prevote, 2, 10, 2)),
        Ok(Decision::Sign)
    );
    let earlier = decide(&state, &vote(VoteType::Precommit, 0, 10, 1));
    let passed = Refusal::Regression {
        height: 5,
        round: 1,
        step: Step::Prevote,
    };
    assert_eq!(earlier, Err(passed));
    assert_eq!(
        decide(&SignState::default(), &first),
        Ok(Decision::Sign),
        "nothing signed before"
    );
    let torn = SignState {
        signature: None,
        sign_bytes: Vec::new(),
        ..state
    };
    assert_eq!(decide(&torn, &first), Err(Refusal::Incomplete));
}

#[test]
fn a_proposal_asked_for_again_gets_its_first_time() {
    let proposal = |seconds, pol_round| Proposal {
        height: 5,
        round: 1,
        pol_round,
        block_id: vote(VoteType::Prevote, 1, 0, 1).block_id,
        timestamp: Timestamp { seconds, nanos: 3 },
        signature: None,
    };
    let first = proposal(10, None);
    let signature = Signature([9; 64]);
    let state = SignState::signed(5, 1, Step::Propose, first.sign_bytes("c"), signature);
    let ask = |asked: &Proposal| state.decide(5, 1, Step::Propose, &asked.sign_bytes("c"));
    let reuse = Decision::Reuse {
        signature,
        timestamp: first.timestamp,
    };
    assert_eq!(ask(&proposal(11, None)), Ok(reuse));
    assert_eq!(ask(&proposal(10, Some(0))), Err(Refusal::Conflict));
}

#[test]
fn the_sign_state_has_cometbfts_format() {
    let fresh = SignState::default().to_json();
    assert_eq!(
        fresh,
        "{\n  \"height\": \"0\",\n  \"round\": 0,\n  \"step\": 0\n}"
    );
    let signature = json::to_base64(&[9; 64]);
    let cometbft = format!(
        r#"{{ "height": "12", "round": 1, "step": 3,
            "signature": "{signature}", "signbytes": "0AFF" }}"#
    );
    let state = SignState::from_json(&cometbft).unwrap();
    let sign_bytes = vec![0x0a, 0xff];
    let expected = SignState::signed(12, 1, Step::Precommit, sign_bytes, Signature([9; 64]));
    assert_eq!(state, expected);
    assert_eq!(SignState::from_json(&state.to_json()).unwrap(), state);
    for bad in [
        "",
        "{}",
        r#"{"height":"1","round":0,"step":4}"#,
        r#"{"height":"1","round":0,"step":1,"signbytes":"00"}"#,
        r#"{"height":"-1","round":0,"step":1}"#,
    ] {
        assert!(SignState::from_json(bad).is_err(), "`{bad}` was accepted");
    }
}
