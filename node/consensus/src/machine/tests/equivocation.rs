//! Validators that sign twice.

use super::*;

fn reports(bench: &Bench) -> Vec<&Equivocation> {
    let found = bench.effects.iter().filter_map(|effect| match effect {
        Effect::Equivocation(found) => Some(&**found),
        _ => None,
    });
    found.collect()
}

#[test]
fn two_votes_where_one_is_allowed_are_reported_once_and_the_first_counts() {
    for vote_type in [VoteType::Prevote, VoteType::Precommit] {
        for round in [0, 1] {
            let mut bench = Bench::following();
            let (a, b) = (bench.block("a"), bench.block("b"));
            let index = bench.others()[0];
            let votes =
                [a.id, b.id, BlockId::NIL].map(|id| bench.vote(index, vote_type, round, id));
            for vote in votes.clone() {
                bench.gossip(Gossip::Vote(vote));
            }
            let found = reports(&bench);
            let name = format!("{vote_type:?} of round {round}");
            assert_eq!(found.len(), if round == 0 { 1 } else { 2 }, "{name}");
            assert!(
                found[0].vote_a.block_id.key() < found[0].vote_b.block_id.key(),
                "{name}"
            );
            assert_eq!(
                (found[0].validator_power, found[0].total_voting_power),
                (10, 40),
                "{name}"
            );
            let evidence = crate::types::DuplicateVoteEvidence {
                vote_a: found[0].vote_a.clone(),
                vote_b: found[0].vote_b.clone(),
                total_voting_power: 40,
                validator_power: 10,
                timestamp: bench.now,
            };
            let set = &bench.chain.validators;
            crate::misbehaviour::verify_duplicate_vote(&evidence, CHAIN_ID, set).unwrap();
        }
    }
}

#[test]
fn a_vote_that_differs_only_in_time_is_no_equivocation() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    let vote = bench.vote(bench.others()[0], VoteType::Prevote, 0, a.id);
    let later = bench.signed(Vote {
        timestamp: bench.now.plus_nanos(1),
        ..vote.clone()
    });
    assert_eq!(bench.gossip(Gossip::Vote(vote)), Verdict::Accepted);
    assert_eq!(
        bench.gossip(Gossip::Vote(later)),
        Verdict::Ignored(Ignored::Known)
    );
    assert!(reports(&bench).is_empty());
}

#[test]
fn a_polka_certificate_counts_the_other_vote_of_an_equivocator() {
    // The equivocator told this validator nil, and helped the others to a polka for a.
    let mut bench = Bench::following();
    let a = bench.block("a");
    let certificate = bench.certificate(VoteType::Prevote, 0, a.id);
    let liar = bench.others()[0];
    let nil = bench.vote(liar, VoteType::Prevote, 0, BlockId::NIL);
    bench.gossip(Gossip::Vote(nil));
    bench.timeout(TimeoutKind::Propose);
    bench.prevotes(3, 0, a.id);
    assert_eq!(bench.machine.valid(), None, "the liar's vote is missing");
    bench.send_parts(&a);
    bench.gossip(Gossip::Certificate(certificate));
    bench.propose(0, &a, None);
    assert_eq!(bench.machine.valid(), Some((0, a.id)));
    assert_eq!(reports(&bench).len(), 1);
}

#[test]
fn a_second_precommit_for_the_last_height_is_reported_too() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(2, 0, a.id);
    let twice = bench.vote(bench.others()[0], VoteType::Precommit, 0, BlockId::NIL);
    bench.apply();
    assert_eq!(bench.gossip(Gossip::Vote(twice)), Verdict::Accepted);
    assert_eq!(reports(&bench).len(), 1);
}
