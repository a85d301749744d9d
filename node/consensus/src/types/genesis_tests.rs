use super::*;

const KEY: &str =
    r#"{"type":"tendermint/PubKeyEd25519","value":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#;

fn text(fields: &str) -> String {
    format!(
        r#"{{"genesis_time": "2024-01-01T00:00:00Z", "chain_id": "test",
            "validators": [{{"pub_key": {KEY}, "power": "10"}}]{fields}}}"#
    )
}

#[test]
fn what_is_left_out_is_filled_in() {
    let genesis = Genesis::from_json(&text("")).unwrap();
    assert_eq!(genesis.initial_height, 1);
    assert_eq!(genesis.consensus_params, ConsensusParams::default());
    let own = PublicKey([0; 32]).address();
    assert_eq!(genesis.validators[0].address, own);
    let again = Genesis::from_json(&genesis.to_json()).unwrap();
    assert_eq!(again, genesis);
    let explicit = r#", "initial_height": "1", "app_hash": "", "app_state": null"#;
    let explicit = Genesis::from_json(&text(explicit)).unwrap();
    assert_eq!(explicit.hash().unwrap(), genesis.hash().unwrap());
}

#[test]
fn the_hash_depends_on_content_and_not_on_layout() {
    let one = Genesis::from_json(&text(r#", "app_state": {"a": 1, "b": ["x"]}"#)).unwrap();
    let same = Genesis::from_json(&text(r#", "app_state": { "b":["\u0078"],"a":1 }"#)).unwrap();
    let other = Genesis::from_json(&text(r#", "app_state": {"a": 2, "b": ["x"]}"#)).unwrap();
    assert_eq!(one.hash().unwrap(), same.hash().unwrap());
    assert_ne!(one.hash().unwrap(), other.hash().unwrap());
    let reprinted = Genesis::from_json(&one.to_json()).unwrap();
    assert_eq!(reprinted.hash().unwrap(), one.hash().unwrap());
}

#[test]
fn a_genesis_that_no_chain_can_start_from_is_refused() {
    let key = |power: &str| format!(r#"{{"pub_key": {KEY}, "power": "{power}"}}"#);
    let validators = |list: &str| {
        format!(
            r#"{{"genesis_time": "2024-01-01T00:00:00Z", "chain_id": "x", "validators": {list}}}"#
        )
    };
    let address = "0000000000000000000000000000000000000000";
    let cases = [
        ("nothing", "{}".to_owned()),
        ("no time", text("").replace("genesis_time", "other")),
        ("a time before 1970", text("").replace("2024", "1969")),
        ("no chain id", text("").replace(r#""test""#, r#""""#)),
        ("a long chain id", text("").replace("test", &"x".repeat(51))),
        ("a negative height", text(r#", "initial_height": "-1""#)),
        (
            "a height that is a number",
            text(r#", "initial_height": 1"#),
        ),
        ("no validators", validators("[]")),
        ("null validators", validators("null")),
        (
            "a validator without power",
            validators(&format!("[{}]", key("0"))),
        ),
        (
            "a validator with negative power",
            validators(&format!("[{}]", key("-1"))),
        ),
        (
            "too much power",
            validators(&format!("[{}]", key("1152921504606846976"))),
        ),
        (
            "a validator twice",
            validators(&format!("[{0},{0}]", key("1"))),
        ),
        (
            "a wrong address",
            text("").replace(
                r#"{"pub_key""#,
                &format!(r#"{{"address": "{address}", "pub_key""#),
            ),
        ),
        (
            "a fraction in the state",
            text(r#", "app_state": {"a": 1.5}"#),
        ),
        (
            "a huge number in the state",
            text(r#", "app_state": [9007199254740993]"#),
        ),
        (
            "a key of another kind",
            text("").replace("Ed25519", "Secp256k1"),
        ),
    ];
    for (what, text) in cases {
        assert!(Genesis::from_json(&text).is_err(), "{what} was accepted");
    }
}

#[test]
fn parameters_that_this_chain_cannot_keep_are_refused() {
    let change = |change: fn(&mut ConsensusParams)| {
        let mut params = ConsensusParams::default();
        change(&mut params);
        params.validate_basic()
    };
    assert!(change(|_| ()).is_ok());
    assert!(change(|params| params.block.max_bytes = -1).is_ok());
    assert!(change(|params| params.block.max_bytes = 0).is_err());
    assert!(change(|params| params.block.max_bytes = 104_857_601).is_err());
    assert!(change(|params| params.block.max_gas = -2).is_err());
    assert!(change(|params| params.evidence.max_age_num_blocks = 0).is_err());
    assert!(change(|params| params.evidence.max_age_duration_ns = 0).is_err());
    assert!(change(|params| params.evidence.max_bytes = 22_020_097).is_err());
    assert!(change(|params| params.evidence.max_bytes = -1).is_err());
    assert!(change(|params| params.validator.pub_key_types.clear()).is_err());
    assert!(change(|params| params.abci.vote_extensions_enable_height = 1).is_err());
}
