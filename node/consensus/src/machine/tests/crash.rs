//! The WAL: a machine that is fed its own records stands where it stood.

use super::*;

/// Goes through three rounds: nil, a lock, a relock that decides.
fn story(bench: &mut Bench, a: &Made) {
    bench.timeout_of(TimeoutKind::Propose, 0);
    bench.prevotes(3, 0, BlockId::NIL);
    bench.precommits(3, 0, BlockId::NIL);
    bench.timeout_of(TimeoutKind::Precommit, 0);
    bench.propose(1, a, None);
    bench.prevotes(2, 1, a.id);
    bench.precommits(2, 1, BlockId::NIL);
    bench.timeout_of(TimeoutKind::Precommit, 1);
    bench.propose(2, a, Some(1));
    bench.prevotes(3, 2, a.id);
    bench.precommits(2, 2, a.id);
}

/// The same validator after a crash: a new machine with a prefix of the WAL and the same signer.
fn restarted(bench: &Bench, records: usize) -> Bench {
    let mut again = Bench::sleeping(3);
    again.signer = bench.signer.clone();
    again.now = bench.now;
    for bytes in &bench.wal[..records] {
        assert!(again.machine.replay(Record::decode(bytes).unwrap()));
    }
    again.wal = bench.wal[..records].to_vec();
    again
}

fn stand(machine: &Machine) -> impl PartialEq + std::fmt::Debug + use<> {
    (
        machine.height(),
        machine.round(),
        machine.step(),
        machine.locked(),
        machine.valid(),
    )
}

#[test]
fn replay_of_all_records_leads_back_to_the_same_place() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    story(&mut bench, &a);
    assert!(bench.decided().is_some());
    let again = restarted(&bench, bench.wal.len());
    assert_eq!(stand(&again.machine), stand(&bench.machine));
    assert_eq!(again.machine.summary(), bench.machine.summary());
}

#[test]
fn a_machine_cut_at_any_record_and_told_the_rest_again_decides_the_same() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    story(&mut bench, &a);
    let decided = bench.decided().unwrap().clone();
    for records in 0..=bench.wal.len() {
        // What was signed after the cut was signed: the signer remembers its last signature.
        let mut again = restarted(&bench, records);
        again.signer = SignState::default();
        again.wake();
        story(&mut again, &a);
        let found = again.decided().expect("a decision");
        assert_eq!(found.block_id, decided.block_id, "cut at record {records}");
    }
}

#[test]
fn after_a_crash_the_same_is_signed_again_with_the_same_time() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    let before: Vec<Vote> = bench.own_votes().cloned().collect();
    // The signature was made, but its record was lost.
    let mut again = restarted(&bench, bench.wal.len() - 1);
    again.pass_ms(5_000);
    again.wake();
    let after: Vec<Vote> = again.own_votes().cloned().collect();
    assert_eq!(after, before);
}

#[test]
fn a_lock_survives_a_crash_together_with_its_block() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    bench.propose(0, &a, None);
    bench.prevotes(2, 0, a.id);
    assert_eq!(bench.machine.locked(), Some((0, a.id)));
    let mut again = restarted(&bench, bench.wal.len());
    again.wake();
    assert_eq!(again.machine.locked(), Some((0, a.id)));
    again.next_round();
    let b = again.block("b");
    again.propose(1, &b, None);
    assert_eq!(again.prevote(1), Some(BlockId::NIL));
    let decision = again.certificate(VoteType::Precommit, 0, a.id);
    again.gossip(Gossip::Certificate(decision));
    assert!(again.decided().is_some(), "the block was in the WAL");
}

#[test]
fn a_record_is_written_before_what_it_leads_to() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    story(&mut bench, &a);
    // Every Sign effect comes after the record of the input that led to it: replaying what was
    // written up to there asks for the same signature.
    let mut records = 0;
    for effect in &bench.effects {
        match effect {
            Effect::Persist(_) => records += 1,
            Effect::Sign(request) => {
                let mut again = restarted(&bench, records);
                let mut effects = Vec::new();
                again.machine.resume(again.now, &mut effects);
                assert!(
                    effects.contains(&Effect::Sign(request.clone())),
                    "{request:?}"
                );
            }
            _ => {}
        }
    }
    assert!(records > 20);
}

#[test]
fn an_own_block_is_in_the_wal_before_it_is_signed() {
    let mut bench = Bench::new(0);
    let a = bench.block("a");
    let block = Box::new(a.block.clone());
    bench.handle(Input::Value {
        height: 1,
        round: 0,
        block,
    });
    let signs = |effect: &Effect| matches!(effect, Effect::Sign(SignRequest::Proposal(_)));
    let sign = bench.effects.iter().position(signs).unwrap();
    let written: Vec<_> = bench.effects[..sign]
        .iter()
        .filter_map(|effect| match effect {
            Effect::Persist(bytes) => Some(Record::decode(bytes).unwrap()),
            _ => None,
        })
        .collect();
    let mut again = Bench::sleeping(0);
    for record in written {
        again.machine.replay(record);
    }
    again.wake();
    assert_eq!(again.own_proposals()[0].block_id, a.id);
    assert!(
        again
            .effects
            .iter()
            .any(|e| matches!(e, Effect::Broadcast(Gossip::Part(_))))
    );
}

#[test]
fn what_was_under_way_is_asked_for_again() {
    type Story = fn(&mut Bench, &Made);
    type Wanted = fn(&Effect) -> bool;
    let cases: [(&str, u32, Story, Wanted); 5] = [
        (
            "a block to propose",
            0,
            |_, _| {},
            |e| matches!(e, Effect::RequestValue(_)),
        ),
        (
            "a verdict",
            3,
            |b, a| b.propose(0, a, None),
            |e| matches!(e, Effect::Validate { .. }),
        ),
        (
            "the wait for prevotes",
            3,
            |b, _| {
                b.timeout(TimeoutKind::Propose);
                b.prevotes(1, 0, BlockId::NIL);
                let other = b.block("other");
                let vote = b.vote(b.others()[1], VoteType::Prevote, 0, other.id);
                b.gossip(Gossip::Vote(vote));
            },
            |e| matches!(e, Effect::Schedule(t, _) if t.kind == TimeoutKind::Prevote),
        ),
        (
            "the wait for precommits",
            3,
            |b, _| b.precommits(3, 0, BlockId::NIL),
            |e| matches!(e, Effect::Schedule(t, _) if t.kind == TimeoutKind::Precommit),
        ),
        (
            "a decision",
            3,
            |b, a| {
                b.validates = true;
                b.propose(0, a, None);
                b.precommits(3, 0, a.id);
            },
            |e| matches!(e, Effect::Commit(_)),
        ),
    ];
    for (name, turn, story, wanted) in cases {
        let mut bench = Bench::new(turn);
        bench.validates = false;
        let a = bench.block("a");
        story(&mut bench, &a);
        let mut again = Bench::sleeping(turn);
        for bytes in &bench.wal {
            again.machine.replay(Record::decode(bytes).unwrap());
        }
        let mut effects = Vec::new();
        again.machine.resume(again.now, &mut effects);
        assert!(effects.iter().any(wanted), "{name}: {effects:?}");
    }
}

#[test]
fn records_of_another_height_are_left_out() {
    let bench = Bench::following();
    let record = Record::decode(&bench.wal[0]).unwrap();
    let mut again = Bench::sleeping(3);
    assert!(!again.machine.replay(Record {
        height: 2,
        ..record
    }));
    assert_eq!(again.machine.step(), Step::NewHeight);
}
