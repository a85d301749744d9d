//! What the runtime says of itself.

use serde_json::Value;
use welkin_runtime::{Metadata, Runtime, Time, entry};

use crate::demo::{Board, Purse, RUNTIME, purse};

/// Any change of calls, queries, answers, events, errors or storage shows in this file. To accept
/// one, run the test with `WELKIN_UPDATE_GOLDEN=1`.
#[test]
fn the_description_is_the_golden_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/metadata.json");
    let described = serde_json::to_value(RUNTIME.metadata()).unwrap();
    if std::env::var_os("WELKIN_UPDATE_GOLDEN").is_some() {
        let text = serde_json::to_string_pretty(&described).unwrap();
        std::fs::write(path, text + "\n").unwrap();
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(
        described == golden,
        "the metadata differs from {path}: {described:#}"
    );
}

#[test]
fn a_reader_finds_calls_with_their_docs_and_fields() {
    let text = serde_json::to_string(&RUNTIME.metadata()).unwrap();
    let metadata: Metadata = serde_json::from_str(&text).unwrap();
    let purse = metadata.module("purse").unwrap();
    let [transfer] = purse.calls().try_into().expect("one call");
    assert_eq!(
        (transfer.name.as_str(), transfer.doc.as_str()),
        ("transfer", "Gives money to another account.",)
    );
    let mut fields: Vec<_> = transfer
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field.doc.as_str()))
        .collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        [("amount", "How much it is."), ("to", "Who receives it.")]
    );
    assert!(transfer.fields.iter().all(|field| field.required));

    let [account] = purse.answers().try_into().expect("one answer");
    assert_eq!(
        account.fields.len(),
        2,
        "a content that is a struct is shown by its fields"
    );

    let board = metadata.module("board").unwrap();
    let queries = board.queries();
    let mut names: Vec<_> = queries.iter().map(|query| query.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["by", "now"]);
    let by = queries.iter().find(|query| query.name == "by").unwrap();
    let required: Vec<_> = by.fields.iter().filter(|field| field.required).collect();
    assert_eq!(required.len(), 1);
    assert_eq!(board.errors.len(), 2);
    assert_eq!(
        (board.errors[1].code, board.errors[1].name.as_str()),
        (2, "glued")
    );
    assert_eq!(board.errors[1].doc, "This note cannot be taken down.");
}

#[test]
fn a_table_with_a_slip_is_refused_at_start_up() {
    assert_eq!(RUNTIME.check_table(), Ok(()));
    let table = |entries| Runtime {
        entries,
        accounts: &purse::HOOKS,
    };
    let twice = table(&const { [entry::<Purse>(1), entry::<Purse>(1)] });
    assert!(twice.check_table().unwrap_err().contains("used twice"));
    let same_number = table(&const { [entry::<Purse>(1), entry::<Board>(1)] });
    assert!(
        same_number
            .check_table()
            .unwrap_err()
            .contains("module number 1 is used twice")
    );
    let other_number = table(&const { [entry::<Purse>(3)] });
    assert!(
        other_number
            .check_table()
            .unwrap_err()
            .contains("purse/account")
    );
}

#[test]
fn a_genesis_with_a_slip_is_refused() {
    let refused = |app_state: Value| {
        RUNTIME
            .genesis(&app_state, Time(0))
            .expect_err("it has a slip")
            .to_string()
    };
    let error = refused(serde_json::json!({ "purs": {} }));
    assert!(error.contains("app_state.purs"), "{error}");
    let error = refused(serde_json::json!({ "purse": { "balances": { "nobody": "1" } } }));
    assert!(
        error.contains("purse") && error.contains("not an address"),
        "{error}"
    );
    let error = refused(serde_json::json!([]));
    assert!(error.contains("not an object"), "{error}");
    assert!(RUNTIME.genesis(&Value::Null, Time(0)).is_ok());
}
