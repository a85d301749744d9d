//! Decisions, and the way to the next height.

use super::*;
use crate::types::CommitSig;

/// A bench that has decided its first height in round 0, with so many precommits of others.
fn decided(precommits: usize) -> (Bench, Made) {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(precommits, 0, a.id);
    assert!(bench.decided().is_some());
    (bench, a)
}

#[test]
fn precommits_of_an_earlier_round_decide() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(1, 0, a.id);
    let last = *bench.others().last().unwrap();
    let nil = bench.vote(last, VoteType::Precommit, 0, BlockId::NIL);
    bench.gossip(Gossip::Vote(nil));
    bench.timeout(TimeoutKind::Precommit);
    assert_eq!(bench.machine.round(), 1);
    let late = bench.vote(bench.others()[1], VoteType::Precommit, 0, a.id);
    bench.gossip(Gossip::Vote(late));
    assert_eq!(
        bench.decided().map(|d| (d.round, d.block_id)),
        Some((0, a.id))
    );
}

#[test]
fn precommits_of_a_later_round_decide() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.precommits(3, 4, a.id);
    assert_eq!(
        bench.decided().map(|d| (d.round, d.block_id)),
        Some((4, a.id))
    );
}

#[test]
fn a_decision_without_the_block_waits_for_its_parts() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.precommits(3, 0, a.id);
    assert!(bench.decided().is_none());
    assert_eq!(
        bench.machine.summary().parts[0].header,
        a.id.part_set_header
    );
    bench.send_parts(&a);
    assert!(bench.decided().is_some());
}

#[test]
fn a_decision_in_a_round_without_its_proposal_is_one() {
    let mut bench = Bench::following();
    let (a, b) = (bench.block("a"), bench.block("b"));
    bench.propose(0, &a, None);
    // The proposer told the others something else.
    bench.precommits(3, 0, b.id);
    bench.send_parts(&b);
    assert_eq!(bench.decided().map(|d| d.block_id), Some(b.id));
}

#[test]
fn two_thirds_are_not_more_than_two_thirds() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.timeout(TimeoutKind::Propose);
    bench.propose(0, &a, None);
    bench.precommits(2, 0, a.id);
    assert!(bench.decided().is_none(), "two of four");
    bench.precommits(2, 0, a.id);
    assert!(bench.decided().is_none(), "the same two again");
    bench.precommits(3, 0, a.id);
    assert!(bench.decided().is_some());
}

#[test]
fn a_decision_certificate_decides() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.send_parts(&a);
    let certificate = bench.certificate(VoteType::Precommit, 3, a.id);
    assert_eq!(
        bench.gossip(Gossip::Certificate(certificate)),
        Verdict::Accepted
    );
    bench.send_parts(&a);
    assert_eq!(
        bench.decided().map(|d| (d.round, d.block_id)),
        Some((3, a.id))
    );
}

#[test]
fn a_commit_from_a_peer_ends_the_height_without_another_vote() {
    let (donor, a) = decided(3);
    let commit = donor.decided().unwrap().commit.clone();
    let mut bench = Bench::following();
    let block = Box::new(a.block.clone());
    let verdict = bench.handle(Input::Committed {
        block,
        commit: commit.clone(),
    });
    assert_eq!(verdict, Verdict::Accepted);
    assert_eq!(
        bench.decided().map(|d| (d.block_id, d.commit.clone())),
        Some((a.id, commit))
    );
    assert_eq!(bench.own_votes().count(), 0);
}

#[test]
fn a_commit_that_proves_nothing_is_refused() {
    let (donor, a) = decided(3);
    let good = donor.decided().unwrap().commit.clone();
    let b = donor.block("b");
    let other = bench_commit(&good, |commit| commit.block_id = b.id);
    let few = bench_commit(&good, |commit| {
        commit.signatures[0] = CommitSig::Absent;
        commit.signatures[1] = CommitSig::Absent;
    });
    let short = bench_commit(&good, |commit| commit.signatures.truncate(3));
    let forged = bench_commit(&good, |commit| {
        let CommitSig::Commit(mut cast) = commit.signatures[0] else {
            panic!("a vote")
        };
        cast.signature.0[0] ^= 1;
        commit.signatures[0] = CommitSig::Commit(cast);
    });
    let forged_nil = bench_commit(&forged, |commit| {
        let CommitSig::Commit(cast) = commit.signatures[0] else {
            panic!("a vote")
        };
        commit.signatures[0] = CommitSig::Nil(cast);
    });
    for commit in [other, few, short, forged, forged_nil] {
        let mut bench = Bench::following();
        let block = Box::new(a.block.clone());
        let verdict = bench.handle(Input::Committed { block, commit });
        assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
        assert!(bench.decided().is_none());
    }
}

fn bench_commit(good: &Commit, change: impl FnOnce(&mut Commit)) -> Commit {
    let mut commit = good.clone();
    change(&mut commit);
    commit
}

#[test]
fn the_next_height_starts_at_once_when_all_precommits_are_in() {
    let (mut bench, _) = decided(3);
    bench.apply();
    assert_eq!(
        (bench.machine.height(), bench.machine.step()),
        (2, Step::NewRound)
    );
}

#[test]
fn the_next_height_waits_for_missing_precommits_but_not_long() {
    let (mut bench, a) = decided(2);
    let last = *bench.others().last().unwrap();
    let late = bench.vote(last, VoteType::Precommit, 0, a.id);
    bench.apply();
    assert_eq!(bench.machine.step(), Step::NewHeight);
    bench.gossip(Gossip::Vote(late));
    assert_eq!(bench.machine.step(), Step::NewRound, "the last one came");

    let (mut bench, _) = decided(2);
    bench.apply();
    let timeout = Timeout {
        height: 2,
        round: 0,
        kind: TimeoutKind::CommitWait,
    };
    bench.handle(Input::Timeout(timeout));
    assert_eq!(bench.machine.step(), Step::NewRound, "the wait is over");

    let (mut bench, _) = decided(2);
    bench.handle(Input::Timeout(timeout));
    bench.apply();
    assert_eq!(
        bench.machine.step(),
        Step::NewRound,
        "executing took longer than the wait"
    );
}

#[test]
fn late_precommits_are_in_the_commit_of_the_next_block() {
    // Whoever proposes round 0 of height 2 is the bench.
    let mut bench = Bench::new(1);
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(2, 0, a.id);
    let last = *bench.others().last().unwrap();
    let late = bench.vote(last, VoteType::Precommit, 0, a.id);
    bench.apply();
    bench.gossip(Gossip::Vote(late));
    bench.pass_ms(1_000);
    bench.timeout(TimeoutKind::BlockInterval);
    let request = bench.request().expect("its turn");
    let present = request
        .last_commit
        .signatures
        .iter()
        .filter(|s| s.cast().is_some());
    assert_eq!(present.count(), 4);
}

#[test]
fn messages_for_the_next_height_are_kept_until_it_begins() {
    let (mut bench, a) = decided(3);
    // Another bench at height 2 makes the messages.
    let mut donor = Bench::following();
    donor.propose(0, &a, None);
    donor.prevotes(2, 0, a.id);
    donor.precommits(3, 0, a.id);
    let commit = donor.decided().unwrap().commit.clone();
    donor.apply();
    let b = donor.block_with(vec![b"b".to_vec()], commit);
    let mut messages = vec![Gossip::Proposal(donor.proposal(0, &b, None))];
    messages.extend(donor.parts(&b));
    let index = donor.others()[0];
    messages.push(Gossip::Vote(donor.vote(index, VoteType::Prevote, 0, b.id)));
    for message in messages {
        assert_eq!(bench.gossip(message), Verdict::Ignored(Ignored::Future));
    }
    bench.apply();
    assert_eq!(bench.prevote(0), Some(b.id));
    assert_eq!(bench.machine.summary().rounds[0].prevotes.count(), 2);
}

#[test]
fn locks_and_timeouts_of_a_height_end_with_it() {
    let (mut bench, _) = decided(3);
    assert!(bench.machine.locked().is_some());
    bench.apply();
    assert_eq!(
        (bench.machine.locked(), bench.machine.valid()),
        (None, None)
    );
    for kind in [
        TimeoutKind::Propose,
        TimeoutKind::Prevote,
        TimeoutKind::Precommit,
    ] {
        let old = Timeout {
            height: 1,
            round: 0,
            kind,
        };
        assert_eq!(
            bench.handle(Input::Timeout(old)),
            Verdict::Ignored(Ignored::Past)
        );
    }
}

#[test]
fn votes_that_are_not_after_their_block_are_in_no_commit() {
    // Nil from one that had not seen the block, with a slow clock.
    let mut bench = Bench::following();
    let a = bench.block("a");
    let block_time = a.block.header.time;
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    let others = bench.others();
    let early = |vote: Vote, bench: &Bench| {
        bench.signed(Vote {
            timestamp: block_time,
            ..vote
        })
    };
    let nil = early(
        bench.vote(others[2], VoteType::Precommit, 0, BlockId::NIL),
        &bench,
    );
    bench.gossip(Gossip::Vote(nil));
    let faulty = early(bench.vote(others[0], VoteType::Precommit, 0, a.id), &bench);
    bench.gossip(Gossip::Vote(faulty));
    bench.precommits(2, 0, a.id);
    assert!(
        bench.decided().is_none(),
        "two of four have voted at a possible time"
    );

    let mut bench = Bench::following();
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    let nil = early(
        bench.vote(others[2], VoteType::Precommit, 0, BlockId::NIL),
        &bench,
    );
    bench.gossip(Gossip::Vote(nil));
    bench.precommits(2, 0, a.id);
    let commit = &bench.decided().expect("three of four").commit;
    assert_eq!(commit.signatures[others[2] as usize], CommitSig::Absent);
}
