//! The valid block: what a proposer has to propose again.

use super::*;

#[test]
fn a_proposer_proposes_the_valid_block_again_with_the_round_of_its_polka() {
    let mut bench = Bench::new(1);
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(1, 0, a.id);
    bench.timeout(TimeoutKind::Prevote);
    bench.prevotes(2, 0, a.id);
    assert_eq!(bench.machine.locked(), None);
    assert_eq!(bench.machine.valid(), Some((0, a.id)));
    bench.precommits(2, 0, BlockId::NIL);
    bench.timeout(TimeoutKind::Precommit);
    let proposals = bench.own_proposals();
    assert_eq!(
        (proposals[0].block_id, proposals[0].pol_round),
        (a.id, Some(0))
    );
    assert!(bench.request().is_none(), "no new block is asked for");
}

#[test]
fn delayed_prevotes_make_a_block_valid() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.timeout(TimeoutKind::Prevote);
    assert_eq!(bench.machine.valid(), None);
    bench.prevotes(2, 0, a.id);
    assert_eq!(bench.machine.valid(), Some((0, a.id)));
    assert!(bench.noticed(&Notice::ValidBlock {
        round: 0,
        block_id: a.id
    }));
}

#[test]
fn a_delayed_proposal_makes_a_block_valid() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.timeout(TimeoutKind::Propose);
    bench.prevotes(3, 0, a.id);
    bench.timeout(TimeoutKind::Prevote);
    assert_eq!(bench.precommit(0), Some(BlockId::NIL));
    assert_eq!(bench.machine.valid(), None);
    bench.propose(0, &a, None);
    assert_eq!(bench.machine.valid(), Some((0, a.id)));
    assert_eq!(bench.machine.locked(), None);
}

#[test]
fn a_polka_of_an_earlier_round_makes_a_block_valid_if_none_newer_is() {
    let mut bench = Bench::following();
    let (a, b) = (bench.block("a"), bench.block("b"));
    bench.propose(0, &a, None);
    bench.next_round();
    bench.prevotes(3, 0, a.id);
    assert_eq!(bench.machine.valid(), Some((0, a.id)));
    bench.propose(1, &b, None);
    bench.prevotes(3, 1, b.id);
    assert_eq!(bench.machine.valid(), Some((1, b.id)));
}

#[test]
fn an_invalid_block_never_becomes_the_valid_block() {
    let mut bench = Bench::following();
    bench.validates = false;
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.handle(Input::Validated {
        height: 1,
        block_id: a.id,
        valid: false,
    });
    bench.prevotes(3, 0, a.id);
    assert_eq!(
        (bench.machine.valid(), bench.machine.locked()),
        (None, None)
    );
}

#[test]
fn the_verdict_on_a_block_may_come_after_its_polka() {
    let mut bench = Bench::following();
    bench.validates = false;
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(3, 0, a.id);
    assert_eq!(bench.precommit(0), None);
    bench.handle(Input::Validated {
        height: 1,
        block_id: a.id,
        valid: true,
    });
    assert_eq!(
        (bench.prevote(0), bench.precommit(0)),
        (Some(a.id), Some(a.id))
    );
}
