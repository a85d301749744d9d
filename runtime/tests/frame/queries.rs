//! Queries, and what a witness of them has to show.

use proptest::prelude::*;
use welkin_runtime::execute::ExecuteError;
use welkin_runtime::tx::RawCall;
use welkin_runtime::{Coded, MapState, Read, Recorder, RuntimeError, StateError, StateRead, Time};

use crate::demo::{
    Board, Draft, MINUTE, Purse, RUNTIME, address, board, chain, network, post, purse, tx_check,
};

#[test]
fn a_query_has_the_height_and_time_of_the_state_itself() {
    let mut chain = chain();
    let now = |chain: &welkin_runtime::testing::TestChain| {
        chain.query::<Board>(board::Query::Now).unwrap()
    };
    assert_eq!(now(&chain), board::Answer::Now(Time(1_000)));
    chain.next_block(MINUTE, &[]).unwrap();
    assert_eq!(now(&chain), board::Answer::Now(Time(1_000 + MINUTE)));
}

/// A part of state: exactly what was recorded.
struct Part<'a> {
    whole: &'a MapState,
    reads: Vec<Read>,
}

impl StateRead for Part<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let wanted = Read::Key(key.to_vec());
        if self.reads.contains(&wanted) {
            self.whole.get(key)
        } else {
            Err(StateError::NotCovered(wanted))
        }
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        let covers = |read: &Read| match read {
            Read::Key(_) => false,
            Read::Range {
                from: covered_from,
                to: covered_to,
            } => {
                let rows = self
                    .whole
                    .range(covered_from, covered_to, usize::MAX)
                    .unwrap();
                let seen = rows
                    .iter()
                    .filter(|(key, _)| key.as_slice() >= from)
                    .count();
                covered_from.as_slice() <= from && (covered_to.as_slice() >= to || seen >= limit)
            }
        };
        if self.reads.iter().any(covers) {
            self.whole.range(from, to, limit)
        } else {
            Err(StateError::NotCovered(Read::Range {
                from: from.to_vec(),
                to: to.to_vec(),
            }))
        }
    }
}

#[test]
fn what_was_recorded_is_enough_to_answer_again_and_less_is_not() {
    let mut chain = chain();
    let calls = (0..15)
        .map(|number| post(&format!("note {number}")))
        .collect();
    chain.next_block(1, &[Draft::new(1, 0).raw(calls)]).unwrap();
    let query = board::Query::By {
        author: address(1),
        after: Some(2),
    };
    let query = borsh::to_vec(&query).unwrap();

    let recorder = Recorder::new(&chain.state);
    let answer = RUNTIME.query(&recorder, "board", &query).unwrap();
    let reads = recorder.into_reads();
    // The block, a range of the index up to its tenth entry, and ten notes.
    assert_eq!(reads.len(), 12);
    let json = RUNTIME.answer_to_json("board", &answer).unwrap();
    assert_eq!(json["by"].as_array().unwrap().len(), 10);
    assert_eq!(json["by"][0]["text"], "note 3");

    let part = Part {
        whole: &chain.state,
        reads: reads.clone(),
    };
    assert_eq!(RUNTIME.query(&part, "board", &query), Ok(answer));
    for missing in 0..reads.len() {
        let mut reads = reads.clone();
        reads.remove(missing);
        let part = Part {
            whole: &chain.state,
            reads,
        };
        let answer = RUNTIME.query(&part, "board", &query);
        assert!(matches!(
            answer,
            Err(ExecuteError::State(StateError::NotCovered(_)))
        ));
    }
}

#[test]
fn a_bad_query_is_refused() {
    let chain = chain();
    let refused = |module: &str, query: &[u8]| match RUNTIME.query(&chain.state, module, query) {
        Err(ExecuteError::Refused(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(refused("nobody", &[]).is(RuntimeError::UnknownModule));
    assert!(refused("board", &[]).is(RuntimeError::MalformedCall));
    assert!(refused("board", &[9]).is(RuntimeError::MalformedCall));
    assert!(refused("board", &[2, 0]).is(RuntimeError::MalformedCall));
}

#[test]
fn calls_and_queries_are_built_from_json() {
    let call = serde_json::json!({ "transfer": { "to": address(2), "amount": 5 } });
    let built = RUNTIME.call_from_json("purse", &call).unwrap();
    let expected = purse::Call::Transfer {
        to: address(2),
        amount: welkin_runtime::Amount(5),
    };
    assert_eq!(built, RUNTIME.call_of::<Purse>(&expected).unwrap());
    assert_eq!(
        RUNTIME.call_to_json(&built).unwrap(),
        serde_json::json!({
            "module": "purse",
            "call": { "transfer": { "to": address(2), "amount": "5" } },
        }),
    );
    let unknown_field =
        serde_json::json!({ "transfer": { "to": address(2), "amount": 5, "memo": "x" } });
    let error = RUNTIME.call_from_json("purse", &unknown_field).unwrap_err();
    assert!(error.message.contains("memo"), "{error}");
    let query = RUNTIME
        .query_from_json("board", &serde_json::json!("now"))
        .unwrap();
    assert_eq!(query, [2]);
}

proptest! {
    #[test]
    fn bytes_from_a_stranger_are_answered_or_refused(
        module in "purse|board|[a-z]{0,8}",
        bytes in proptest::collection::vec(any::<u8>(), 0..64),
        number in 1u8..4,
    ) {
        let mut chain = chain();
        let answer = RUNTIME.query(&chain.state, &module, &bytes);
        prop_assert!(matches!(answer, Ok(_) | Err(ExecuteError::Refused(_))));
        let call = RawCall { module: number, bytes };
        let raw = Draft::new(1, 0).raw(vec![call.clone()]);
        let network = network();
        let checked = RUNTIME.check_tx(&chain.state, &tx_check(&network, 1), &raw);
        let output = chain.next_block(1, &[raw]).unwrap();
        // What the check lets through can fail, but never because it does not decode.
        if checked.is_ok() {
            let malformed = RuntimeError::MalformedCall.code();
            let result = &output.tx_results[0];
            prop_assert!(result.codespace != "runtime" || result.code != malformed);
            prop_assert!(RUNTIME.call_to_json(&call).is_ok());
        }
    }
}
