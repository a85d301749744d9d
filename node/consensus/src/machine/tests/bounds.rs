//! What strangers can send, and how much of it is kept.

use super::*;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of forgeries")]
fn votes_that_no_validator_signed_are_refused() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    let index = bench.others()[0];
    let good = bench.vote(index, VoteType::Prevote, 0, a.id);
    let other = bench
        .chain
        .validators
        .get(bench.others()[1])
        .unwrap()
        .address;
    let half = BlockId {
        hash: a.id.hash,
        ..BlockId::NIL
    };
    let cases = [
        (
            "index beyond the set",
            Vote {
                validator_index: 4,
                ..good.clone()
            },
        ),
        (
            "a huge index",
            Vote {
                validator_index: u32::MAX,
                ..good.clone()
            },
        ),
        (
            "another's address",
            Vote {
                validator_address: other,
                ..good.clone()
            },
        ),
        (
            "another time",
            Vote {
                timestamp: bench.now.plus_nanos(1),
                ..good.clone()
            },
        ),
        (
            "another round",
            Vote {
                round: 1,
                ..good.clone()
            },
        ),
        (
            "another block",
            Vote {
                block_id: BlockId::NIL,
                ..good.clone()
            },
        ),
        (
            "half a block id",
            Vote {
                block_id: half,
                ..good.clone()
            },
        ),
        (
            "no signature",
            Vote {
                signature: None,
                ..good.clone()
            },
        ),
        (
            "height 0",
            Vote {
                height: 0,
                ..good.clone()
            },
        ),
    ];
    for (name, vote) in cases {
        let verdict = bench.gossip(Gossip::Vote(vote));
        assert!(
            matches!(verdict, Verdict::Refused(_)),
            "{name}: {verdict:?}"
        );
    }
    assert_eq!(bench.gossip(Gossip::Vote(good.clone())), Verdict::Accepted);
    assert_eq!(
        bench.gossip(Gossip::Vote(good)),
        Verdict::Ignored(Ignored::Known)
    );
}

#[test]
fn messages_of_other_heights_are_not_acted_on() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    let vote = bench.vote(bench.others()[0], VoteType::Prevote, 0, a.id);
    for (height, expected) in [
        (2, Ignored::Future),
        (3, Ignored::Future),
        (u64::MAX, Ignored::Future),
    ] {
        let vote = Vote {
            height,
            ..vote.clone()
        };
        assert_eq!(
            bench.gossip(Gossip::Vote(vote)),
            Verdict::Ignored(expected),
            "{height}"
        );
    }
}

#[test]
fn parts_are_taken_only_for_blocks_that_are_wanted_and_only_if_they_belong_to_them() {
    let mut bench = Bench::following();
    let a = bench.block_with(vec![vec![1; 100_000]], Commit::default());
    let parts = bench.parts(&a);
    assert_eq!(
        bench.gossip(parts[0].clone()),
        Verdict::Ignored(Ignored::Unwanted)
    );
    let proposal = bench.proposal(0, &a, None);
    bench.gossip(Gossip::Proposal(proposal));
    let Gossip::Part(part) = parts[1].clone() else {
        panic!("a part")
    };
    let mut torn = part.clone();
    torn.part.bytes[0] ^= 1;
    let mut moved = part.clone();
    moved.part.index = 0;
    let mut beyond = part.clone();
    beyond.part.index = 7;
    for wrong in [torn, moved, beyond] {
        let verdict = bench.gossip(Gossip::Part(wrong));
        assert!(matches!(verdict, Verdict::Refused(_)), "{verdict:?}");
    }
    assert_eq!(bench.gossip(parts[1].clone()), Verdict::Accepted);
    assert_eq!(
        bench.gossip(parts[1].clone()),
        Verdict::Ignored(Ignored::Known)
    );
    assert_eq!(bench.gossip(parts[0].clone()), Verdict::Accepted);
    assert_eq!(bench.prevote(0), Some(a.id));
}

#[test]
fn of_a_validator_far_ahead_only_its_newest_two_rounds_are_kept() {
    let mut bench = Bench::following();
    let index = bench.others()[0];
    for round in [5, 9, 7, 30, 8, 20] {
        let vote = bench.vote(index, VoteType::Prevote, round, BlockId::NIL);
        bench.gossip(Gossip::Vote(vote));
    }
    // A second validator shows which rounds count: 20 and 30 do, 9 does not.
    let kept = bench.machine.rounds.take_ahead(u32::MAX);
    let rounds: Vec<u32> = kept.iter().map(|vote| vote.round).collect();
    assert_eq!(rounds, [20, 30]);
}

#[test]
fn one_faulty_validator_cannot_move_the_round() {
    let mut bench = Bench::following();
    let index = bench.others()[0];
    for round in 1..200 {
        for vote_type in [VoteType::Prevote, VoteType::Precommit] {
            let vote = bench.vote(index, vote_type, round, BlockId::NIL);
            bench.gossip(Gossip::Vote(vote));
        }
    }
    assert_eq!(bench.machine.round(), 0);
}

#[test]
fn messages_for_the_next_height_are_bounded_for_each_peer() {
    let mut bench = Bench::following();
    let vote = bench.vote(bench.others()[0], VoteType::Prevote, 0, BlockId::NIL);
    for peer in 0..100 {
        for round in 0..400 {
            let message = Gossip::Vote(Vote {
                height: 2,
                round,
                ..vote.clone()
            });
            bench.handle(Input::Message {
                from: Peer(peer),
                message,
            });
        }
    }
    assert!(bench.machine.ahead.take().len() <= 64 * 256);
}

#[test]
fn rounds_long_past_are_forgotten_but_not_what_the_lock_rests_on() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    bench.precommits(2, 0, BlockId::NIL);
    bench.timeout(TimeoutKind::Precommit);
    for _ in 1..60 {
        bench.next_round();
    }
    assert!(bench.machine.rounds.iter().count() <= 19);
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
    let round = bench.machine.round();
    bench.propose(round, &a, Some(0));
    assert_eq!(bench.prevote(round), Some(a.id));
    let past = bench.vote(bench.others()[0], VoteType::Prevote, 3, a.id);
    assert_eq!(
        bench.gossip(Gossip::Vote(past)),
        Verdict::Ignored(Ignored::Past)
    );
}

#[test]
fn answers_that_nobody_asked_for_change_nothing() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    let vote = bench.vote(bench.own, VoteType::Prevote, 0, a.id);
    let proposal = bench.proposal(0, &a, None);
    let inputs = [
        Input::Validated {
            height: 1,
            block_id: a.id,
            valid: true,
        },
        Input::Value {
            height: 1,
            round: 0,
            block: Box::new(a.block.clone()),
        },
        Input::Signed(Signed::Vote(vote)),
        Input::Signed(Signed::Proposal(proposal)),
    ];
    for input in inputs {
        assert_eq!(bench.handle(input), Verdict::Ignored(Ignored::Unwanted));
    }
    assert_eq!(bench.own_votes().count(), 0);
}

#[test]
fn a_refused_signature_silences_the_validator_but_not_the_machine() {
    let mut bench = Bench::sleeping(3);
    let mut effects = Vec::new();
    bench.machine.resume(bench.now, &mut effects);
    effects.clear();
    let timeout = Timeout {
        height: 1,
        round: 0,
        kind: TimeoutKind::Propose,
    };
    bench
        .machine
        .handle(Input::Timeout(timeout), bench.now, &mut effects);
    let request = effects.iter().find_map(|effect| match effect {
        Effect::Sign(request) => Some(request.clone()),
        _ => None,
    });
    let refused = Input::SignRefused(request.unwrap());
    assert_eq!(bench.handle(refused.clone()), Verdict::Accepted);
    assert_eq!(bench.handle(refused), Verdict::Ignored(Ignored::Unwanted));
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.precommits(3, 0, a.id);
    assert!(bench.decided().is_some());
}

#[test]
fn a_proposal_for_the_next_height_comes_before_its_parts_whoever_brought_them() {
    let bench = Bench::following();
    let a = bench.block("a");
    let part = bench.parts(&a).remove(0);
    let proposal = Gossip::Proposal(bench.proposal(0, &a, None));
    let mut ahead = super::super::ahead::Ahead::default();
    // Peers are asked in their order, and the slower one brought the proposal.
    ahead.push(Peer(1), part.clone());
    ahead.push(Peer(2), proposal.clone());
    assert_eq!(ahead.take(), [(Peer(2), proposal), (Peer(1), part)]);
}
