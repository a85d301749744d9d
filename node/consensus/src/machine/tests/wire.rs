//! Bytes of messages, summaries and records.

use super::*;
use proptest::prelude::*;

fn examples() -> Vec<Gossip> {
    let bench = Bench::following();
    let a = bench.block("a");
    let mut messages = bench.parts(&a);
    messages.push(Gossip::Proposal(bench.proposal(0, &a, None)));
    messages.push(Gossip::Proposal(bench.proposal(3, &a, Some(0))));
    messages.push(Gossip::Vote(bench.vote(
        0,
        VoteType::Prevote,
        0,
        BlockId::NIL,
    )));
    messages.push(Gossip::Vote(bench.vote(3, VoteType::Precommit, 7, a.id)));
    messages.push(Gossip::Certificate(bench.certificate(
        VoteType::Prevote,
        0,
        a.id,
    )));
    messages
}

#[test]
fn messages_survive_their_bytes() {
    for message in examples() {
        assert_eq!(Gossip::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn summaries_survive_their_bytes() {
    let mut bench = Bench::following();
    let a = bench.block("a");
    let empty = bench.machine.summary();
    bench.next_round();
    bench.prevotes(3, 1, a.id);
    let busy = bench.machine.summary();
    assert!(!busy.parts.is_empty());
    let last_commit = Some((3, (0..70).collect()));
    let rest = Summary {
        valid_round: Some(0),
        last_commit,
        ..busy.clone()
    };
    for summary in [empty, busy, rest, Summary::default()] {
        assert_eq!(Summary::decode(&summary.encode()), Ok(summary));
    }
}

#[test]
fn a_message_has_one_encoding() {
    for message in examples() {
        let bytes = message.encode();
        let doubled = [bytes.clone(), bytes.clone()].concat();
        assert!(Gossip::decode(&doubled).is_err(), "a second one behind it");
        for end in 0..bytes.len().min(400) {
            assert!(Gossip::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }
}

#[test]
fn a_set_of_places_is_bounded() {
    let mut set = BitSet::new();
    assert!(set.insert(9_999));
    assert!(!set.insert(9_999));
    assert!(!set.insert(10_000));
    assert!(!set.insert(u32::MAX));
    assert!(!set.contains(u32::MAX));
    assert_eq!(set.count(), 1);
    let mut writer = crate::proto::Writer::new();
    writer.bytes(1, &[1; 1_251]);
    assert!(BitSet::decode(&writer.finish()).is_err());
}

#[test]
fn every_kind_of_record_survives_its_bytes() {
    let mut bench = Bench::new(0);
    let a = bench.block("a");
    let block = Box::new(a.block.clone());
    bench.handle(Input::Value {
        height: 1,
        round: 0,
        block,
    });
    let b = bench.block("b");
    bench.next_round();
    bench.validates = false;
    bench.propose(1, &b, None);
    bench.handle(Input::Validated {
        height: 1,
        block_id: b.id,
        valid: false,
    });
    let polka = bench.certificate(VoteType::Prevote, 1, b.id);
    bench.gossip(Gossip::Certificate(polka));
    let kinds: std::collections::BTreeSet<u8> = bench
        .wal
        .iter()
        .map(|bytes| {
            let record = Record::decode(bytes).expect("its own record");
            assert_eq!(record.height, 1);
            kind(&record)
        })
        .collect();
    assert_eq!(kinds.len(), 11, "all kinds were written: {kinds:?}");
}

fn kind(record: &Record) -> u8 {
    use super::record::Logged;
    let Logged::Input(input) = &record.logged else {
        return u8::from(record.logged == Logged::Begin);
    };
    match &**input {
        Input::Message {
            message: Gossip::Proposal(_),
            ..
        } => 2,
        Input::Message {
            message: Gossip::Part(_),
            ..
        } => 3,
        Input::Message {
            message: Gossip::Vote(_),
            ..
        } => 4,
        Input::Message {
            message: Gossip::Certificate(_),
            ..
        } => 5,
        Input::Timeout(_) => 6,
        Input::Value { .. } => 7,
        Input::Validated { .. } => 8,
        Input::Signed(Signed::Proposal(_)) => 9,
        Input::Signed(Signed::Vote(_)) => 10,
        other => panic!("{other:?} is not logged"),
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = Gossip::decode(&bytes);
        let _ = Summary::decode(&bytes);
        let _ = Record::decode(&bytes);
    }

    #[test]
    fn damaged_messages_never_panic_and_never_move_a_machine(
        place in 0usize..10_000,
        bit in 0u8..8,
        which in 0usize..6,
    ) {
        let message = examples().swap_remove(which);
        let mut bytes = message.encode();
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        if let Ok(damaged) = Gossip::decode(&bytes) {
            let mut bench = Bench::following();
            bench.gossip(damaged);
            prop_assert_eq!(bench.machine.round(), 0);
        }
    }
}
