//! Locks: taken by a polka, kept against everything but a newer polka (lines 22 to 33, 36 to 43).

use super::*;

/// Locked on a block in round 0, now in round 1.
fn locked() -> (Bench, Made) {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    assert_eq!(bench.precommit(0), Some(a.id));
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
    bench.precommits(2, 0, BlockId::NIL);
    bench.timeout(TimeoutKind::Precommit);
    assert_eq!(bench.machine.round(), 1);
    (bench, a)
}

#[test]
fn a_locked_validator_prevotes_nil_for_a_fresh_block() {
    let (mut bench, a) = locked();
    let b = bench.block("b");
    bench.propose(1, &b, None);
    assert_eq!(bench.prevote(1), Some(BlockId::NIL));
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
}

#[test]
fn a_locked_validator_prevotes_nil_without_a_proposal() {
    let (mut bench, a) = locked();
    bench.timeout(TimeoutKind::Propose);
    assert_eq!(
        bench.prevote(1),
        Some(BlockId::NIL),
        "the paper's rule, not v0.38's"
    );
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
}

#[test]
fn a_locked_validator_prevotes_its_block_again_and_relocks() {
    let (mut bench, a) = locked();
    bench.propose(1, &a, Some(0));
    assert_eq!(bench.prevote(1), Some(a.id));
    bench.prevotes(2, 1, a.id);
    assert_eq!(bench.precommit(1), Some(a.id));
    assert_eq!(bench.machine.locked(), Some((1, a.id)));
    assert!(bench.noticed(&Notice::Relock {
        round: 1,
        block_id: a.id
    }));
}

#[test]
fn a_locked_validator_prevotes_its_block_if_it_is_proposed_as_fresh() {
    let (mut bench, a) = locked();
    bench.propose(1, &a, None);
    assert_eq!(bench.prevote(1), Some(a.id));
}

#[test]
fn a_nil_polka_does_not_unlock() {
    let (mut bench, a) = locked();
    bench.timeout(TimeoutKind::Propose);
    bench.prevotes(3, 1, BlockId::NIL);
    assert_eq!(bench.precommit(1), Some(BlockId::NIL));
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
}

#[test]
fn a_polka_for_an_unknown_block_does_not_unlock_and_starts_its_collection() {
    let (mut bench, a) = locked();
    let b = bench.block("b");
    bench.timeout(TimeoutKind::Propose);
    bench.prevotes(3, 1, b.id);
    assert_eq!(bench.precommit(1), None);
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
    let wanted = bench.machine.summary().parts;
    assert_eq!(wanted.len(), 1);
    assert_eq!(wanted[0].header, b.id.part_set_header);
    // Once it is here, the lock moves to it: this is the newer polka.
    bench.send_parts(&b);
    assert_eq!(bench.precommit(1), Some(b.id));
    assert_eq!(bench.machine.locked(), Some((1, b.id)));
}

#[test]
fn a_polka_from_the_round_of_the_lock_or_later_frees_the_prevote() {
    let (mut bench, _) = locked();
    bench.next_round();
    let b = bench.block("b");
    // The others made a polka for b in round 1, which this validator did not see at the time.
    bench.prevotes(3, 1, b.id);
    bench.propose(2, &b, Some(1));
    assert_eq!(bench.prevote(2), Some(b.id));
    bench.prevotes(2, 2, b.id);
    assert_eq!(bench.machine.locked(), Some((2, b.id)));
}

#[test]
fn a_polka_from_before_the_lock_frees_nothing() {
    // Polka for b in round 0, seen late; lock on a in round 1.
    let mut bench = Bench::following();
    let (a, b) = (bench.block("a"), bench.block("b"));
    bench.next_round();
    bench.propose(1, &a, None);
    bench.prevotes(2, 1, a.id);
    assert_eq!(bench.machine.locked(), Some((1, a.id)));
    bench.precommits(2, 1, BlockId::NIL);
    bench.timeout(TimeoutKind::Precommit);
    bench.prevotes(3, 0, b.id);
    bench.propose(2, &b, Some(0));
    assert_eq!(bench.prevote(2), Some(BlockId::NIL));
    assert_eq!(bench.machine.locked(), Some((1, a.id)));
}

#[test]
fn a_claimed_polka_counts_only_once_it_was_seen() {
    let (mut bench, _) = locked();
    bench.next_round();
    let b = bench.block("b");
    bench.propose(2, &b, Some(1));
    assert_eq!(bench.prevote(2), None, "it waits for the polka");
    let polka = bench.certificate(VoteType::Prevote, 1, b.id);
    assert_eq!(bench.gossip(Gossip::Certificate(polka)), Verdict::Accepted);
    assert_eq!(bench.prevote(2), Some(b.id));
}

#[test]
fn a_claimed_polka_that_never_comes_is_prevoted_nil_after_the_wait() {
    let (mut bench, a) = locked();
    bench.next_round();
    let b = bench.block("b");
    bench.propose(2, &b, Some(1));
    bench.timeout(TimeoutKind::Propose);
    assert_eq!(bench.prevote(2), Some(BlockId::NIL));
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
}

#[test]
fn a_polka_for_another_block_is_no_proof_for_this_one() {
    let mut bench = Bench::following();
    let (a, b) = (bench.block("a"), bench.block("b"));
    bench.prevotes(3, 0, a.id);
    bench.next_round();
    bench.propose(1, &b, Some(0));
    assert_eq!(bench.prevote(1), None);
}

#[test]
fn a_validator_without_a_lock_prevotes_a_block_with_a_polka_from_an_earlier_round() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.next_round();
    bench.prevotes(3, 0, a.id);
    bench.propose(1, &a, Some(0));
    assert_eq!(bench.prevote(1), Some(a.id));
    assert_eq!(bench.machine.locked(), None, "prevoting is not locking");
}

#[test]
fn a_polka_that_comes_after_the_precommit_makes_no_lock() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(1, 0, a.id);
    bench.timeout(TimeoutKind::Prevote);
    assert_eq!(bench.precommit(0), Some(BlockId::NIL));
    bench.prevotes(3, 0, a.id);
    assert_eq!(bench.machine.locked(), None);
    assert_eq!(bench.machine.valid(), Some((0, a.id)));
}

#[test]
fn the_hidden_lock_of_one_validator_is_resolved_by_its_proposal_and_polka() {
    // This validator alone saw the polka in round 0; its turn is in round 1.
    let mut bench = Bench::new(1);
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(3, 0, BlockId::NIL);
    bench.timeout(TimeoutKind::Precommit);
    let proposals = bench.own_proposals();
    assert_eq!(
        (proposals[0].block_id, proposals[0].pol_round),
        (a.id, Some(0))
    );
    let sent = bench.effects.iter().find_map(|effect| match effect {
        Effect::Broadcast(Gossip::Certificate(certificate)) => Some(certificate.clone()),
        _ => None,
    });
    let polka = sent.expect("the polka that others have not seen");
    assert_eq!(
        (polka.round, polka.block_id, polka.entries.len()),
        (0, a.id, 3)
    );
    // Another validator, which saw nothing of round 0, takes part because of it.
    let mut other = Bench::following();
    other.next_round();
    let proposal = other.proposal(1, &a, Some(0));
    other.gossip(Gossip::Proposal(proposal));
    other.send_parts(&a);
    assert_eq!(other.prevote(1), None);
    other.gossip(Gossip::Certificate(polka));
    assert_eq!(other.prevote(1), Some(a.id));
}

#[test]
fn a_polka_certificate_needs_two_thirds_of_the_power_and_right_signatures() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    let good = bench.certificate(VoteType::Prevote, 0, a.id);
    let mut small = good.clone();
    small.entries.pop();
    let mut forged = good.clone();
    forged.entries[1].signature = forged.entries[0].signature;
    let mut stranger = good.clone();
    stranger.entries[2].validator_index = 9;
    let mut twice = good.clone();
    twice.entries[1] = twice.entries[0];
    let cases = [
        (small, "small"),
        (forged, "forged"),
        (stranger, "stranger"),
        (twice, "twice"),
    ];
    for (certificate, name) in cases {
        let verdict = bench.gossip(Gossip::Certificate(certificate));
        assert!(
            matches!(verdict, Verdict::Refused(_)),
            "{name}: {verdict:?}"
        );
    }
    assert_eq!(
        bench.gossip(Gossip::Certificate(good.clone())),
        Verdict::Accepted
    );
    assert_eq!(
        bench.gossip(Gossip::Certificate(good)),
        Verdict::Ignored(Ignored::Known)
    );
}
