//! What a block does to state.

use welkin_runtime::execute::{BlockInput, ExecuteError, Invariants, ValidatorUpdate};
use welkin_runtime::tx::RawCall;
use welkin_runtime::{Address, Amount, BlockInfo, Coded, Event, RuntimeError, StateError};
use welkin_runtime::{StateRead, Writes};

use crate::demo::{
    Board, Draft, MINUTE, RUNTIME, address, balance, board, chain, pay, post, purse,
};

fn collector() -> Address {
    Address::of_module(purse::COLLECTOR)
}

#[test]
fn a_transfer_moves_money_and_tells_so() {
    let mut chain = chain();
    let output = chain
        .next_block(1, &[Draft::new(1, 0).pay(3, 100)])
        .unwrap();
    let result = &output.tx_results[0];
    assert_eq!((result.code, result.codespace.as_str()), (0, ""));
    assert_eq!(result.gas_wanted, 100_000);
    assert!(
        result.gas_used > 1_000 && result.gas_used < 2_000,
        "{}",
        result.gas_used
    );
    assert_eq!(result.data, borsh::to_vec(&result.events).unwrap());
    assert_eq!(result.events[0].name, "transferred");
    assert_eq!(
        RUNTIME.event_to_json(&result.events[0]).unwrap(),
        serde_json::json!({ "from": address(1), "to": address(3), "amount": "100" }),
    );
    assert_eq!(balance(&chain, address(1)), 890);
    assert_eq!(balance(&chain, address(3)), 100);
    assert_eq!(balance(&chain, collector()), 10);
}

#[test]
fn a_failing_call_undoes_all_calls_of_its_transaction_and_keeps_the_fee() {
    let mut chain = chain();
    let calls = vec![pay(3, 100), post("hello"), post("")];
    let output = chain.next_block(1, &[Draft::new(1, 0).raw(calls)]).unwrap();
    let result = &output.tx_results[0];
    assert_eq!((result.code, result.codespace.as_str()), (1, "board"));
    assert_eq!(result.log, "empty text");
    assert!(result.events.is_empty() && result.data.is_empty());
    assert_eq!(balance(&chain, address(1)), 990);
    assert_eq!(balance(&chain, address(3)), 0);
    let query = board::Query::By {
        author: address(1),
        after: None,
    };
    assert_eq!(
        chain.query::<Board>(query).unwrap(),
        board::Answer::By(Vec::new())
    );
    // The number of the undone note is given again.
    let output = chain
        .next_block(1, &[Draft::new(1, 1).raw(vec![post("again")])])
        .unwrap();
    let posted = RUNTIME
        .event_to_json(&output.tx_results[0].events[0])
        .unwrap();
    assert_eq!(posted, serde_json::json!({ "number": 0 }));
}

#[test]
fn an_error_of_another_module_keeps_its_name() {
    let mut chain = chain();
    let output = chain
        .next_block(1, &[Draft::new(1, 0).pay(3, 991)])
        .unwrap();
    let result = &output.tx_results[0];
    assert_eq!((result.code, result.codespace.as_str()), (1, "purse"));
    assert_eq!(result.log, "insufficient funds: holds 990, needs 991");

    let poor = vec![pay(3, 986), post("five are missing")];
    let output = chain.next_block(1, &[Draft::new(2, 0).raw(poor)]).unwrap();
    assert_eq!(output.tx_results[0].codespace, "purse");
}

/// The first account's fee is taken before the second one's transfer could pay for it, and the
/// last transfer finds what the first pass left.
#[test]
fn all_fees_are_taken_before_the_first_call() {
    let mut chain = chain();
    let all = Draft::new(1, 0).pay(2, 980);
    let late = Draft::new(1, 1).pay(2, 1);
    let output = chain.next_block(1, &[all, late]).unwrap();
    assert_eq!(output.tx_results[0].code, 0);
    assert_eq!(
        output.tx_results[1].log,
        "insufficient funds: holds 0, needs 1"
    );
    assert_eq!(balance(&chain, collector()), 20);
}

#[test]
fn gas_that_ran_out_fails_the_transaction_even_if_a_module_looks_away() {
    let mut chain = chain();
    let forever = RUNTIME.call_of::<Board>(&board::Call::ReadForever).unwrap();
    let calls = vec![post("kept only if all goes well"), forever];
    let output = chain.next_block(1, &[Draft::new(1, 0).raw(calls)]).unwrap();
    let result = &output.tx_results[0];
    assert_eq!(result.codespace, "runtime");
    assert_eq!(result.code, RuntimeError::OutOfGas.code());
    assert_eq!(result.gas_used, result.gas_wanted);
    assert_eq!(balance(&chain, address(1)), 990);
}

#[test]
fn hooks_do_bounded_work_say_what_is_left_and_survive_a_failure() {
    let mut chain = chain();
    let calls = ["a", "glued", "c", "d"].map(post).to_vec();
    let output = chain.next_block(1, &[Draft::new(1, 0).raw(calls)]).unwrap();
    assert!(!output.due_work);
    let numbers = |events: &[Event]| -> Vec<u64> {
        let json = events
            .iter()
            .map(|event| RUNTIME.event_to_json(event).unwrap());
        json.map(|json| json["number"].as_u64().unwrap()).collect()
    };
    let output = chain.next_block(MINUTE, &[]).unwrap();
    assert!(output.due_work);
    assert_eq!(numbers(&output.events), [0]);
    let [failure] = output.hook_failures.as_slice() else {
        panic!("{output:?}")
    };
    assert_eq!(failure.what, "taking down a note");
    assert!(failure.error.is(board::Error::Glued));
    // The glued one is still there and stands first.
    let output = chain.next_block(1, &[]).unwrap();
    assert_eq!(numbers(&output.events), [2]);
}

#[test]
fn of_several_updates_of_a_validator_the_last_one_holds() {
    let mut chain = chain();
    let call = RUNTIME.call_of::<Board>(&board::Call::BecomeValidator {
        public_key: [5; 32],
    });
    let raw = Draft::new(1, 0).raw(vec![call.unwrap()]);
    let output = chain.next_block(1, &[raw]).unwrap();
    assert_eq!(
        output.validator_updates,
        [ValidatorUpdate {
            public_key: [5; 32],
            power: 2
        }]
    );
}

#[test]
fn the_same_block_gives_the_same_output_and_touches_the_same_keys() {
    let block = || {
        let transactions = [
            Draft::new(1, 0).raw(vec![post("a")]),
            Draft::new(2, 0).pay(1, 3),
        ];
        chain().next_block(7, &transactions).unwrap()
    };
    assert_eq!(block(), block());
    let prefixes: Vec<_> = block().writes.keys().map(|key| [key[0], key[1]]).collect();
    assert!(prefixes.is_sorted());
    assert!(prefixes.contains(&[0, 1]) && prefixes.contains(&[2, 1]));
}

#[test]
fn a_block_that_was_not_valid_has_no_output() {
    let chain = chain();
    let run = |transactions: &[Vec<u8>]| {
        let block = BlockInfo {
            height: 1,
            ..BlockInfo::default()
        };
        let input = BlockInput {
            block,
            transactions,
            invariants: Invariants::Trusted,
        };
        RUNTIME.execute_block(&chain.state, input).unwrap_err()
    };
    let garbage = run(&[Draft::new(1, 0).pay(2, 1), vec![1, 2, 3]]);
    assert!(matches!(
        garbage,
        ExecuteError::InvalidTransaction { position: 1, .. }
    ));
    let mut poor = Draft::new(3, 0);
    poor.terms.fee = Amount(1);
    let poor = run(&[poor.pay(2, 1)]);
    assert!(matches!(
        poor,
        ExecuteError::InvalidTransaction { position: 0, .. }
    ));
}

/// State that fails at its n-th read, as a disk does.
struct Failing<'a>(&'a dyn StateRead, std::cell::Cell<u32>);

impl Failing<'_> {
    fn count(&self) -> Result<(), StateError> {
        let left = self.1.get().checked_sub(1);
        self.1.set(left.unwrap_or(0));
        left.map(drop)
            .ok_or_else(|| StateError::Broken("bad sector".to_owned()))
    }
}

impl StateRead for Failing<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        self.count()?;
        self.0.get(key)
    }

    fn range(
        &self,
        from: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, Vec<u8>)>, StateError> {
        self.count()?;
        self.0.range(from, to, limit)
    }
}

#[test]
fn a_read_error_stops_the_block_and_never_becomes_a_result() {
    let chain = chain();
    let forever = RUNTIME.call_of::<Board>(&board::Call::ReadForever).unwrap();
    let raw = Draft::new(1, 0).raw(vec![post("a"), forever]);
    let run = |reads: u32| -> Result<Writes, ExecuteError> {
        let state = Failing(&chain.state, std::cell::Cell::new(reads));
        let block = BlockInfo {
            height: 1,
            ..BlockInfo::default()
        };
        let transactions = std::slice::from_ref(&raw);
        let input = BlockInput {
            block,
            transactions,
            invariants: Invariants::Trusted,
        };
        RUNTIME
            .execute_block(&state, input)
            .map(|output| output.writes)
    };
    let enough = (0..).find(|reads| run(*reads).is_ok()).unwrap();
    assert!(enough > 5);
    for reads in 0..enough {
        assert!(
            matches!(run(reads), Err(ExecuteError::State(StateError::Broken(_)))),
            "{reads}"
        );
    }
}

#[test]
fn a_broken_invariant_is_named() {
    let mut chain = chain();
    chain.state.0.retain(|key, _| key.as_slice() != [1, 2]);
    let error = chain.next_block(1, &[]).unwrap_err().to_string();
    assert!(
        error.contains("supply is constant") && error.contains("purse"),
        "{error}"
    );
}

#[test]
fn a_call_of_an_unknown_module_fails_alone() {
    let mut chain = chain();
    let unknown = RawCall {
        module: 77,
        bytes: Vec::new(),
    };
    let output = chain
        .next_block(1, &[Draft::new(1, 0).raw(vec![unknown])])
        .unwrap();
    assert_eq!(
        output.tx_results[0].code,
        RuntimeError::UnknownModule.code()
    );
}
