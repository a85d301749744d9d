//! When the next block is made, and what it may carry.

use super::*;
use std::time::Duration;

/// At the start of height 2, in which it is this machine's turn, after a block with these
/// transactions that was decided just now.
fn after_block(txs: Vec<Vec<u8>>, proof_wanted: bool, work_waiting: bool) -> Bench {
    let mut bench = Bench::new(1);
    let a = bench.block_with(txs, Commit::default());
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(3, 0, a.id);
    let decided = bench.decided().unwrap().clone();
    let executed = crate::state::Executed {
        app_hash: AppHash(vec![2; 32]),
        results: vec![Default::default(); decided.block.data.txs.len()],
        validator_updates: Vec::new(),
        consensus_params: None,
    };
    bench.chain = bench
        .chain
        .apply(&decided.block.header, decided.block_id, &executed)
        .unwrap();
    bench.effects.clear();
    let start = Start::after(&bench.chain, decided.commit);
    let start = Start {
        proof_wanted,
        work_waiting,
        ..start
    };
    bench.handle(Input::Applied(Box::new(start)));
    bench
}

fn wait(bench: &Bench) -> Option<Duration> {
    bench.effects.iter().rev().find_map(|effect| match effect {
        Effect::Schedule(timeout, wait) if timeout.kind == TimeoutKind::BlockInterval => {
            Some(*wait)
        }
        _ => None,
    })
}

#[test]
fn a_block_that_did_something_is_followed_by_one_at_once() {
    let bench = after_block(vec![b"a".to_vec()], true, false);
    assert_eq!(bench.machine.step(), Step::Propose);
    let request = bench.request().unwrap();
    assert_eq!(
        request.transactions,
        Transactions::LeftOut,
        "too early for the next ones"
    );
}

#[test]
fn an_idle_chain_waits_the_empty_interval() {
    let mut bench = after_block(Vec::new(), false, false);
    assert_eq!(bench.machine.step(), Step::NewRound);
    assert_eq!(wait(&bench), Some(Duration::from_millis(1_000)));
    bench.pass_ms(400);
    bench.timeout(TimeoutKind::BlockInterval);
    assert_eq!(
        wait(&bench),
        Some(Duration::from_millis(600)),
        "woken too early"
    );
    bench.pass_ms(600);
    bench.timeout(TimeoutKind::BlockInterval);
    assert_eq!(bench.machine.step(), Step::Propose);
}

#[test]
fn on_an_idle_chain_transactions_are_taken_at_once() {
    let mut bench = after_block(Vec::new(), false, false);
    assert_eq!(bench.handle(Input::WorkWaiting), Verdict::Accepted);
    assert_eq!(bench.machine.step(), Step::Propose);
    assert_eq!(bench.request().unwrap().transactions, Transactions::Allowed);
    assert_eq!(
        bench.handle(Input::WorkWaiting),
        Verdict::Ignored(Ignored::Known)
    );
}

#[test]
fn after_transactions_the_next_ones_wait_for_the_least_interval() {
    let mut bench = after_block(vec![b"a".to_vec()], false, true);
    assert_eq!(bench.machine.step(), Step::NewRound);
    assert_eq!(wait(&bench), Some(Duration::from_millis(100)));
    bench.pass_ms(100);
    bench.timeout(TimeoutKind::BlockInterval);
    assert_eq!(bench.request().unwrap().transactions, Transactions::Allowed);
}

#[test]
fn a_proof_block_takes_transactions_if_the_least_interval_is_over() {
    // Executing the block before took long.
    let mut bench = Bench::new(1);
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(3, 0, a.id);
    bench.pass_ms(150);
    bench.apply();
    bench.handle(Input::WorkWaiting);
    assert_eq!(bench.request().unwrap().transactions, Transactions::Allowed);
}

#[test]
fn a_clock_that_jumps_back_delays_a_block_by_no_more_than_the_interval() {
    let mut bench = after_block(Vec::new(), false, false);
    bench.now = bench.now.plus_nanos(-3_600_000_000_000);
    bench.timeout(TimeoutKind::BlockInterval);
    assert_eq!(wait(&bench), Some(Duration::from_millis(1_000)));
}

#[test]
fn others_that_have_gone_on_end_the_wait() {
    let mut bench = Bench::new(2);
    let a = bench.block_with(Vec::new(), Commit::default());
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(3, 0, a.id);
    bench.apply();
    assert_eq!(bench.machine.step(), Step::NewRound);
    bench.prevotes(1, 0, BlockId::NIL);
    assert_eq!(bench.machine.step(), Step::NewRound);
    bench.prevotes(2, 0, BlockId::NIL);
    assert_eq!(bench.machine.step(), Step::Propose);
}

#[test]
fn a_fresh_proposal_with_transactions_from_long_ago_is_prevoted_nil() {
    // 2 x 1 s + 10 s after genesis, whose time the first block carries.
    let cases = [
        (
            "with transactions, in time",
            vec![b"a".to_vec()],
            12_000,
            true,
        ),
        (
            "with transactions, too old",
            vec![b"a".to_vec()],
            12_001,
            false,
        ),
        ("empty, too old", Vec::new(), 3_600_000, true),
    ];
    for (name, txs, age_ms, accepted) in cases {
        let mut bench = Bench::following();
        let a = bench.block_with(txs, Commit::default());
        bench.now = a.block.header.time;
        bench.pass_ms(age_ms);
        bench.propose(0, &a, None);
        let expected = if accepted { a.id } else { BlockId::NIL };
        assert_eq!(bench.prevote(0), Some(expected), "{name}");
        let told = bench.noticed(&Notice::StaleProposal {
            round: 0,
            block_id: a.id,
        });
        assert_eq!(told, !accepted, "{name}");
    }
}

#[test]
fn a_block_from_long_ago_that_has_a_polka_is_prevoted() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.next_round();
    bench.pass_ms(3_600_000);
    bench.prevotes(3, 0, a.id);
    bench.propose(1, &a, Some(0));
    assert_eq!(bench.prevote(1), Some(a.id));
}

#[test]
fn after_a_halt_a_proposer_leaves_transactions_out() {
    // The first block carries genesis time, the second the time of the first one's precommits.
    let mut first = Bench::sleeping(0);
    first.now = first.chain.last_block_time.plus_nanos(6_000_000_001);
    first.wake();
    assert_eq!(first.request().unwrap().transactions, Transactions::LeftOut);
    let mut fresh = Bench::sleeping(0);
    fresh.now = fresh.chain.last_block_time.plus_nanos(6_000_000_000);
    fresh.wake();
    assert_eq!(fresh.request().unwrap().transactions, Transactions::Allowed);

    let mut second = after_block(Vec::new(), false, false);
    second.pass_ms(3_600_000);
    second.handle(Input::WorkWaiting);
    assert_eq!(
        second.request().unwrap().transactions,
        Transactions::LeftOut
    );
}

#[test]
fn only_blocks_that_did_something_want_a_proof() {
    let bench = Bench::following();
    let (empty, full) = (
        bench.block_with(Vec::new(), Commit::default()),
        bench.block("a"),
    );
    assert!(!wants_proof(&empty.block, false));
    assert!(wants_proof(&empty.block, true));
    assert!(wants_proof(&full.block, false));
}
