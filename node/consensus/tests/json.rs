//! JSON as CometBFT v0.38 prints it, with its quirks.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that helpers are tests"
)]

mod common;

use common::chain::Validators;
use serde_json::{Value, json};
use welkin_consensus::types::*;

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[test]
fn the_first_block_is_printed_as_cometbft_prints_it() {
    let validators = Validators::new(1);
    let state = validators.state(&[10]);
    let step = validators.advance(&state, Commit::default(), Vec::new());
    let nothing = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    let empty_id = json!({"hash": "", "parts": {"total": 0, "hash": ""}});
    let set = state.validators.hash().to_string();
    let expected = json!({
        "header": {
            "version": {"block": "11", "app": "0"},
            "chain_id": "test-chain",
            "height": "1",
            "time": "2024-01-01T00:00:00Z",
            "last_block_id": empty_id,
            "last_commit_hash": nothing,
            "data_hash": step.block.data.hash().to_string(),
            "validators_hash": set,
            "next_validators_hash": set,
            "consensus_hash": "048091BC7DDC283F77BFBF91D73C44DA58C3DF8A9CBC867405D8B7F3DAADA22F",
            "app_hash": "07".repeat(32),
            "last_results_hash": nothing,
            "evidence_hash": nothing,
            "proposer_address": state.validators.proposer().address.to_string(),
        },
        "data": {"txs": ["AAAAAAAAAAE="]},
        "evidence": {"evidence": []},
        "last_commit": {"height": "0", "round": 0, "block_id": empty_id, "signatures": []},
    });
    assert_eq!(json_of(&step.block), expected);
    assert_eq!(
        serde_json::from_value::<Block>(expected).unwrap(),
        step.block
    );
}

#[test]
fn an_absent_signature_has_gos_zero_time() {
    let expected = json!({
        "block_id_flag": 1,
        "validator_address": "",
        "timestamp": "0001-01-01T00:00:00Z",
        "signature": null,
    });
    assert_eq!(json_of(&CommitSig::Absent), expected);
}

#[test]
fn evidence_keeps_its_go_cased_names() {
    let vote = |vote_type| Vote {
        vote_type,
        height: 3,
        round: 1,
        block_id: BlockId::NIL,
        timestamp: Timestamp {
            seconds: 1,
            nanos: 1_000_000,
        },
        validator_address: ValidatorAddress([0xab; 20]),
        validator_index: 2,
        signature: Some(Signature([0; 64])),
    };
    let evidence = DuplicateVoteEvidence {
        vote_a: vote(VoteType::Prevote),
        vote_b: vote(VoteType::Precommit),
        total_voting_power: 40,
        validator_power: 10,
        timestamp: Timestamp::default(),
    };
    let zeros = "A".repeat(86) + "==";
    let vote = |number: u8| {
        json!({
            "type": number,
            "height": "3",
            "round": 1,
            "block_id": {"hash": "", "parts": {"total": 0, "hash": ""}},
            "timestamp": "1970-01-01T00:00:01.001Z",
            "validator_address": "AB".repeat(20),
            "validator_index": 2,
            "signature": zeros,
            "extension": null,
            "extension_signature": null,
        })
    };
    let list = EvidenceList(vec![Evidence::DuplicateVote(Box::new(evidence))]);
    let expected = json!({"evidence": [{
        "type": "tendermint/DuplicateVoteEvidence",
        "value": {
            "vote_a": vote(1),
            "vote_b": vote(2),
            "TotalVotingPower": "40",
            "ValidatorPower": "10",
            "Timestamp": "1970-01-01T00:00:00Z",
        },
    }]});
    assert_eq!(json_of(&list), expected);
    assert_eq!(
        serde_json::from_value::<EvidenceList>(expected).unwrap(),
        list
    );
    assert_eq!(
        serde_json::from_value::<EvidenceList>(json!({"evidence": null})).unwrap(),
        EvidenceList::default()
    );
}

#[test]
fn an_attack_keeps_its_go_cased_names() {
    let validators = Validators::new(2);
    let state = validators.state(&[10, 20]);
    let step = validators.advance(&state, Commit::default(), Vec::new());
    let attack = Evidence::LightClientAttack(Box::new(LightClientAttackEvidence {
        conflicting_block: step.light_block(),
        common_height: 1,
        byzantine_validators: state.validators.validators().to_vec(),
        total_voting_power: 30,
        timestamp: Timestamp::default(),
    }));
    let printed = json_of(&attack);
    assert_eq!(printed["type"], "tendermint/LightClientAttackEvidence");
    let names: Vec<_> = printed["value"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let expected = [
        "ByzantineValidators",
        "CommonHeight",
        "ConflictingBlock",
        "Timestamp",
        "TotalVotingPower",
    ];
    assert_eq!(names, expected);
    let first = &printed["value"]["ConflictingBlock"]["validator_set"]["validators"][0];
    let key = json!({
        "type": "tendermint/PubKeyEd25519",
        "value": first["pub_key"]["value"],
    });
    let expected = json!({
        "address": state.validators.get(0).unwrap().address.to_string(),
        "pub_key": key,
        "voting_power": "20",
        "proposer_priority": first["proposer_priority"].as_str().unwrap(),
    });
    assert_eq!(first, &expected);
    assert_eq!(serde_json::from_value::<Evidence>(printed).unwrap(), attack);
}

#[test]
fn consensus_params_are_printed_as_cometbft_prints_them() {
    let expected = json!({
        "block": {"max_bytes": "22020096", "max_gas": "-1"},
        "evidence": {
            "max_age_num_blocks": "100000",
            "max_age_duration": "172800000000000",
            "max_bytes": "1048576",
        },
        "validator": {"pub_key_types": ["ed25519"]},
        "version": {"app": "0"},
        "abci": {"vote_extensions_enable_height": "0"},
    });
    assert_eq!(json_of(&ConsensusParams::default()), expected);
    let read: ConsensusParams = serde_json::from_value(expected).unwrap();
    assert_eq!(read, ConsensusParams::default());
}

#[test]
fn integers_must_be_strings_and_must_not_be_negative() {
    for height in [
        "3",
        "\"-3\"",
        "\"\"",
        "\"3.0\"",
        "\"9223372036854775808\"",
        "\" 3\"",
    ] {
        let text = format!(
            r#"{{"height": {height}, "round": 0, "block_id": {{"hash": "", "parts":
            {{"total": 0, "hash": ""}}}}, "signatures": []}}"#
        );
        assert!(
            serde_json::from_str::<Commit>(&text).is_err(),
            "{height} was accepted"
        );
    }
}
