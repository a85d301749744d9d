//! Proposals, nil votes and how rounds follow each other.

use super::*;

#[test]
fn a_validator_prevotes_and_precommits_the_proposal_and_decides() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    assert_eq!(bench.prevote(0), Some(a.id));
    bench.prevotes(2, 0, a.id);
    assert_eq!(bench.precommit(0), Some(a.id));
    bench.precommits(2, 0, a.id);
    let decided = bench.decided().expect("three of four precommitted");
    assert_eq!((decided.round, decided.block_id), (0, a.id));
    assert_eq!(*decided.block, a.block);
}

#[test]
fn without_a_proposal_it_prevotes_and_precommits_nil_and_goes_on() {
    let mut bench = Bench::following();
    bench.timeout(TimeoutKind::Propose);
    assert_eq!(bench.prevote(0), Some(BlockId::NIL));
    bench.prevotes(3, 0, BlockId::NIL);
    assert_eq!(bench.precommit(0), Some(BlockId::NIL));
    bench.precommits(3, 0, BlockId::NIL);
    assert!(bench.scheduled(TimeoutKind::Precommit, 0));
    bench.timeout(TimeoutKind::Precommit);
    assert_eq!(
        (bench.machine.round(), bench.machine.step()),
        (1, Step::Propose)
    );
}

#[test]
fn the_proposer_asks_for_a_block_and_publishes_it_in_parts() {
    let mut bench = Bench::new(0);
    let request = bench.request().expect("its turn").clone();
    assert_eq!((request.height, request.round), (1, 0));
    let tx = vec![7; 100_000];
    let a = bench.block_with(vec![tx], Commit::default());
    let block = Box::new(a.block.clone());
    bench.handle(Input::Value {
        height: 1,
        round: 0,
        block,
    });
    let proposals = bench.own_proposals();
    assert_eq!(proposals.len(), 1);
    assert_eq!(
        (proposals[0].block_id, proposals[0].pol_round),
        (a.id, None)
    );
    let parts = bench
        .effects
        .iter()
        .filter(|e| matches!(e, Effect::Broadcast(Gossip::Part(_))));
    assert_eq!(parts.count(), 2);
    assert_eq!(bench.prevote(0), Some(a.id));
}

#[test]
fn a_block_that_comes_too_late_for_its_round_is_not_proposed() {
    let mut bench = Bench::new(0);
    bench.timeout(TimeoutKind::Propose);
    let block = Box::new(bench.block("a").block);
    let verdict = bench.handle(Input::Value {
        height: 1,
        round: 0,
        block,
    });
    assert_eq!(verdict, Verdict::Ignored(Ignored::Unwanted));
    assert!(bench.own_proposals().is_empty());
}

#[test]
fn a_node_without_a_key_follows_and_decides_but_never_signs() {
    let mut bench = Bench::sleeping(3);
    let start = Start::after(&bench.chain, Commit::default());
    bench.machine = Machine::new(Config::new(CHAIN_ID), None, start);
    bench.wake();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(3, 0, a.id);
    bench.precommits(3, 0, a.id);
    assert!(bench.decided().is_some());
    assert!(
        !bench
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Sign(_)))
    );
}

#[test]
fn an_invalid_block_is_prevoted_nil_and_never_decided() {
    let mut bench = Bench::following();
    bench.validates = false;
    let a = bench.block("a");
    bench.propose(0, &a, None);
    assert_eq!(bench.prevote(0), None, "it is being judged");
    bench.handle(Input::Validated {
        height: 1,
        block_id: a.id,
        valid: false,
    });
    assert_eq!(bench.prevote(0), Some(BlockId::NIL));
    bench.prevotes(3, 0, a.id);
    bench.precommits(3, 0, a.id);
    assert_eq!(bench.precommit(0), None, "no lock on an invalid block");
    assert!(bench.decided().is_none());
    assert!(bench.noticed(&Notice::InvalidDecision {
        round: 0,
        block_id: a.id
    }));
}

#[test]
fn parts_that_are_not_the_announced_block_are_an_invalid_block() {
    let mut bench = Bench::following();
    let (a, b) = (bench.block("a"), bench.block("b"));
    let id = BlockId {
        hash: b.id.hash,
        part_set_header: a.id.part_set_header,
    };
    let lie = Made { id, ..a };
    bench.propose(0, &lie, None);
    assert_eq!(bench.prevote(0), Some(BlockId::NIL));
}

#[test]
fn a_block_larger_than_allowed_is_refused_before_a_part_is_stored() {
    let mut bench = Bench::sleeping(3);
    let start = Start::after(&bench.chain, Commit::default());
    let start = Start {
        max_block_bytes: 65_536,
        ..start
    };
    bench.machine = Machine::new(Config::new(CHAIN_ID), bench.machine.own, start);
    bench.wake();
    let large = bench.block_with(vec![vec![7; 100_000]], Commit::default());
    let proposal = bench.proposal(0, &large, None);
    let verdict = bench.gossip(Gossip::Proposal(proposal));
    assert_eq!(verdict, Verdict::Refused(Refused::Oversized));
    let part = bench.parts(&large).remove(0);
    assert_eq!(bench.gossip(part), Verdict::Ignored(Ignored::Unwanted));
}

#[test]
fn only_the_one_whose_turn_it_is_can_propose() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    let mut proposal = bench.proposal(1, &a, None);
    proposal.round = 0;
    let verdict = bench.gossip(Gossip::Proposal(proposal));
    assert_eq!(verdict, Verdict::Refused(Refused::Signature));
}

#[test]
fn a_second_proposal_for_a_round_changes_nothing() {
    let mut bench = Bench::following();
    let (a, b) = (bench.block("a"), bench.block("b"));
    bench.propose(0, &a, None);
    let second = bench.proposal(0, &b, None);
    assert_eq!(
        bench.gossip(Gossip::Proposal(second)),
        Verdict::Ignored(Ignored::Known)
    );
    assert_eq!(bench.prevote(0), Some(a.id));
}

#[test]
fn two_thirds_of_any_prevotes_start_the_wait_for_more_once() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(1, 0, a.id);
    assert!(!bench.scheduled(TimeoutKind::Prevote, 0));
    let last = *bench.others().last().unwrap();
    let vote = bench.vote(last, VoteType::Prevote, 0, BlockId::NIL);
    bench.gossip(Gossip::Vote(vote));
    assert!(bench.scheduled(TimeoutKind::Prevote, 0));
    bench.timeout(TimeoutKind::Prevote);
    assert_eq!(bench.precommit(0), Some(BlockId::NIL));
}

#[test]
fn a_nil_polka_for_the_current_round_does_not_end_the_wait_for_the_proposal() {
    let mut bench = Bench::following();
    bench.prevotes(3, 0, BlockId::NIL);
    assert_eq!(bench.machine.step(), Step::Propose);
    assert_eq!(bench.prevote(0), None);
    bench.timeout(TimeoutKind::Propose);
    assert_eq!(bench.prevote(0), Some(BlockId::NIL));
    assert_eq!(bench.precommit(0), Some(BlockId::NIL));
}

#[test]
fn a_third_of_the_power_in_a_later_round_pulls_a_validator_there() {
    // Votes by round of two other validators; the round that is entered.
    let cases: [(&str, [u32; 2], u32); 4] = [
        ("one round", [1, 1], 1),
        ("far ahead", [9, 9], 9),
        ("one validator is even further", [3, 7], 3),
        ("the other order", [7, 3], 3),
    ];
    for (name, rounds, expected) in cases {
        let mut bench = Bench::following();
        for (index, round) in bench.others().into_iter().zip(rounds) {
            assert_eq!(bench.machine.round(), 0, "{name}: one alone moves nobody");
            let vote = bench.vote(index, VoteType::Prevote, round, BlockId::NIL);
            bench.gossip(Gossip::Vote(vote));
        }
        assert_eq!(bench.machine.round(), expected, "{name}");
        assert_eq!(bench.machine.step(), Step::Propose, "{name}");
        assert!(bench.scheduled(TimeoutKind::Propose, expected), "{name}");
    }
}

#[test]
fn a_nil_polka_from_a_later_round_takes_a_validator_through_that_round() {
    let mut bench = Bench::following();
    bench.prevotes(3, 2, BlockId::NIL);
    assert_eq!(bench.machine.round(), 2);
    bench.timeout(TimeoutKind::Propose);
    assert_eq!(bench.prevote(2), Some(BlockId::NIL));
    assert_eq!(bench.precommit(2), Some(BlockId::NIL));
}

#[test]
fn timeouts_of_rounds_and_heights_that_are_over_are_ignored() {
    let mut bench = Bench::following();
    bench.next_round();
    for (height, round) in [(1, 0), (1, 2), (0, 1), (2, 1)] {
        for kind in [
            TimeoutKind::Propose,
            TimeoutKind::Prevote,
            TimeoutKind::Precommit,
        ] {
            let verdict = bench.handle(Input::Timeout(Timeout {
                height,
                round,
                kind,
            }));
            assert_eq!(
                verdict,
                Verdict::Ignored(Ignored::Past),
                "{height} {round} {kind:?}"
            );
        }
    }
    assert_eq!(
        (bench.machine.round(), bench.machine.step()),
        (1, Step::Propose)
    );
}

#[test]
fn a_proposal_for_the_next_round_is_kept_until_that_round() {
    let mut bench = Bench::following();
    let b = bench.block("b");
    bench.propose(1, &b, None);
    assert_eq!(bench.prevote(0), None);
    bench.next_round();
    assert_eq!(bench.prevote(1), Some(b.id));
}

#[test]
fn timeouts_grow_with_the_round_and_never_overflow() {
    let config = Config::new(CHAIN_ID);
    assert!(config.propose_timeout(1) > config.propose_timeout(0));
    assert!(config.prevote_timeout(5) > config.prevote_timeout(4));
    let endless = Config {
        precommit_timeout_delta_ms: u64::MAX,
        ..config
    };
    assert!(endless.precommit_timeout(u32::MAX) >= endless.precommit_timeout(1));
}

#[test]
fn votes_carry_a_time_after_their_block_even_if_the_clock_is_behind() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    let block_time = a.block.header.time;
    bench.now = block_time.plus_nanos(-5_000_000_000);
    bench.propose(0, &a, None);
    let times: Vec<_> = bench.own_votes().map(|vote| vote.timestamp).collect();
    assert_eq!(times, [block_time.plus_nanos(1_000_000)]);
}

#[test]
fn a_vote_for_another_block_than_the_locked_one_is_after_that_block() {
    let mut bench = Bench::following();
    let (a, b) = (bench.block("a"), bench.block("b"));
    let mut block = b.block;
    block.header.time = block.header.time.plus_nanos(60_000_000_000);
    let parts = block.part_set();
    let b = Made {
        id: block.id(&parts),
        block,
        parts,
    };
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
    bench.precommits(2, 0, BlockId::NIL);
    bench.timeout(TimeoutKind::Precommit);
    bench.next_round();
    bench.prevotes(3, 1, b.id);
    bench.propose(2, &b, Some(1));
    let vote = bench
        .own_votes()
        .find(|vote| vote.round == 2)
        .expect("freed by the polka");
    assert_eq!(
        (vote.block_id, vote.timestamp > b.block.header.time),
        (b.id, true)
    );
}
