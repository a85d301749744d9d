//! Summaries and answers.

use super::*;

const ROOM: usize = 1 << 20;

/// Lets `from` tell `to` what it lacks, until nothing comes any more; number of messages.
fn pull(from: &Bench, to: &mut Bench, max_bytes: usize) -> usize {
    let mut messages = 0;
    for _ in 0..20 {
        let answer = from.machine.answer(&to.machine.summary(), max_bytes);
        if answer.is_empty() {
            break;
        }
        messages += answer.len();
        for message in answer {
            to.gossip(message);
        }
    }
    messages
}

#[test]
fn a_validator_that_heard_nothing_pulls_everything_up_to_the_decision() {
    let mut full = Bench::following();
    let a = full.block_with(vec![vec![3; 150_000]], Commit::default());
    full.next_round();
    full.propose(1, &a, None);
    full.prevotes(3, 1, a.id);
    full.precommits(2, 1, a.id);
    assert!(full.decided().is_some());
    let mut empty = Bench::following();
    pull(&full, &mut empty, ROOM);
    assert_eq!(empty.decided().map(|d| d.block_id), Some(a.id));
}

#[test]
fn small_answers_lead_to_the_same_end() {
    let mut full = Bench::following();
    let a = full.block_with(vec![vec![3; 150_000]], Commit::default());
    full.propose(0, &a, None);
    full.prevotes(3, 0, a.id);
    let mut empty = Bench::following();
    pull(&full, &mut empty, 70_000);
    assert_eq!(empty.precommit(0), Some(a.id));
}

#[test]
fn two_that_have_the_same_have_nothing_to_say() {
    let mut one = Bench::following();
    let a = one.block("a");
    one.propose(0, &a, None);
    one.prevotes(2, 0, a.id);
    let summary = one.machine.summary();
    assert_eq!(one.machine.answer(&summary, ROOM), []);
}

#[test]
fn nothing_is_sent_that_the_peer_has() {
    let mut full = Bench::following();
    let a = full.block("a");
    full.propose(0, &a, None);
    full.prevotes(3, 0, a.id);
    let mut half = Bench::following();
    half.propose(0, &a, None);
    half.prevotes(2, 0, a.id);
    let answer = full.machine.answer(&half.machine.summary(), ROOM);
    let votes = answer
        .iter()
        .filter(|message| matches!(message, Gossip::Vote(_)));
    assert_eq!(
        (answer.len(), votes.count()),
        (1, 1),
        "the vote that is missing: {answer:?}"
    );
}

#[test]
fn the_polka_that_an_equivocator_hid_is_pulled_as_a_certificate() {
    let mut full = Bench::following();
    let a = full.block("a");
    full.timeout(TimeoutKind::Propose);
    full.prevotes(3, 0, a.id);
    let mut fooled = Bench::following();
    fooled.timeout(TimeoutKind::Propose);
    let nil = fooled.vote(fooled.others()[0], VoteType::Prevote, 0, BlockId::NIL);
    fooled.gossip(Gossip::Vote(nil));
    pull(&full, &mut fooled, ROOM);
    assert!(fooled.machine.summary().rounds[0].polka);
}

#[test]
fn a_hidden_lock_is_pulled_even_rounds_later() {
    let mut locked = Bench::following();
    let a = locked.block("a");
    locked.propose(0, &a, None);
    locked.prevotes(3, 0, a.id);
    let mut other = Bench::following();
    for bench in [&mut locked, &mut other] {
        for _ in 0..5 {
            bench.next_round();
        }
    }
    assert_eq!(other.machine.valid(), None);
    pull(&locked, &mut other, ROOM);
    assert_eq!(other.machine.valid(), Some((0, a.id)));
}

#[test]
fn a_validator_in_an_earlier_round_is_pulled_into_the_later_one() {
    let mut ahead = Bench::following();
    for _ in 0..4 {
        ahead.next_round();
    }
    ahead.prevotes(2, 4, BlockId::NIL);
    let mut behind = Bench::following();
    pull(&ahead, &mut behind, ROOM);
    assert_eq!(behind.machine.round(), 4);
}

#[test]
fn late_precommits_are_pulled_while_they_are_of_use() {
    let start = |precommits| {
        let mut bench = Bench::following();
        let a = bench.block("a");
        bench.propose(0, &a, None);
        bench.prevotes(2, 0, a.id);
        bench.precommits(precommits, 0, a.id);
        bench.apply();
        bench
    };
    let (all, mut few) = (start(3), start(2));
    assert_eq!(few.machine.step(), Step::NewHeight);
    pull(&all, &mut few, ROOM);
    assert_eq!(few.machine.step(), Step::NewRound);
}

#[test]
fn a_peer_one_height_behind_gets_the_decision() {
    let mut ahead = Bench::following();
    let a = ahead.block("a");
    ahead.propose(0, &a, None);
    ahead.prevotes(3, 0, a.id);
    ahead.precommits(3, 0, a.id);
    ahead.apply();
    let mut behind = Bench::following();
    behind.propose(0, &a, None);
    pull(&ahead, &mut behind, ROOM);
    assert_eq!(behind.decided().map(|d| d.block_id), Some(a.id));
    let elsewhere = Summary {
        height: 9,
        ..Summary::default()
    };
    assert_eq!(ahead.machine.answer(&elsewhere, ROOM), []);
}

#[test]
fn an_answer_is_no_larger_than_asked_for() {
    let mut full = Bench::following();
    let a = full.block_with(vec![vec![3; 300_000]], Commit::default());
    full.propose(0, &a, None);
    full.prevotes(3, 0, a.id);
    let mut peer = Bench::following();
    let proposal = peer.proposal(0, &a, None);
    peer.gossip(Gossip::Proposal(proposal));
    for max_bytes in [0, 500, 70_000, 140_000, 1 << 20] {
        let answer = full.machine.answer(&peer.machine.summary(), max_bytes);
        let size: usize = answer.iter().map(Gossip::size).sum();
        assert!(size <= max_bytes, "{size} of {max_bytes}");
    }
}
