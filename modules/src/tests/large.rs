//! The states that benchmarks use, made small.

use welkin_runtime::execute::{BlockInput, Invariants};

use crate::RUNTIME;
use crate::escrow::Escrow;
use crate::test_support::leased_state;

#[test]
fn as_many_accounts_are_due_in_the_next_block_as_were_asked_for() {
    let made = leased_state(20, 5);
    let input = BlockInput {
        block: made.next_block,
        transactions: &[],
        invariants: Invariants::Checked,
    };
    let output = RUNTIME.execute_block(&made.state, input).unwrap();
    let exhausted = output
        .events
        .iter()
        .filter(|event| event.name == "exhausted");
    assert_eq!(exhausted.count(), 5);
    assert!(!output.due_work);
    assert_eq!(output.hook_failures, []);
    let mut state = made.state;
    state.apply(output.writes);
    let query = crate::escrow::Query::Account {
        deployment: crate::DeploymentId(5),
    };
    let answer = RUNTIME.query_as::<Escrow>(&state, query).unwrap();
    let crate::escrow::Answer::Account(Some(view)) = answer else {
        panic!("no account")
    };
    assert_eq!(view.account.state, crate::escrow::AccountState::Exhausted);
}

/// Settling writes as much in a state with many leases as in one with few.
#[test]
fn a_block_that_settles_does_not_touch_what_is_not_due() {
    let writes = |open| {
        let made = leased_state(open, 5);
        let transactions = &[];
        let invariants = Invariants::Trusted;
        let input = BlockInput {
            block: made.next_block,
            transactions,
            invariants,
        };
        RUNTIME
            .execute_block(&made.state, input)
            .unwrap()
            .writes
            .len()
    };
    assert_eq!(writes(5), writes(200));
}
