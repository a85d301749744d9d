//! Making, judging and applying blocks.

#![allow(
    clippy::unwrap_used,
    reason = "the lint does not see that helpers are tests"
)]

mod common;

use common::chain::{Conduct, Step, Validators};
use welkin_consensus::state::{ChainState, Executed, max_data_bytes};
use welkin_consensus::types::*;

/// A chain of `heights` blocks; validator 3 joins by a change in block 2 and validator 0 leaves by
/// one in block 4.
fn chain(validators: &Validators, heights: u64) -> (ChainState, Vec<Step>) {
    let genesis = validators.state(&[10, 10, 10]);
    let (mut state, mut commit, mut steps) = (genesis.clone(), Commit::default(), Vec::new());
    for height in 1..=heights {
        let updates = match height {
            2 => vec![validators.update(3, 25)],
            4 => vec![validators.update(0, 0)],
            _ => Vec::new(),
        };
        let step = validators.advance(&state, commit, updates);
        state.validate_block(&step.block).unwrap();
        (state, commit) = (step.next.clone(), step.commit.clone());
        steps.push(step);
    }
    (genesis, steps)
}

#[test]
fn the_first_block_stands_on_genesis() {
    let validators = Validators::new(4);
    let (genesis, steps) = chain(&validators, 1);
    let block = &steps[0].block;
    let nothing = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";
    assert_eq!(block.header.height, 1);
    assert_eq!(block.header.time, genesis.last_block_time);
    assert_eq!(block.header.last_block_id, BlockId::NIL);
    assert_eq!(block.header.last_commit_hash.to_string(), nothing);
    assert_eq!(block.header.last_results_hash.to_string(), nothing);
    assert_eq!(block.header.app_hash, genesis.app_hash);
    assert_ne!(
        genesis.validators.proposer(),
        genesis.next_validators.proposer()
    );
    assert_eq!(genesis.validators.hash(), genesis.next_validators.hash());
}

#[test]
fn changes_of_the_set_hold_two_blocks_later() {
    let validators = Validators::new(4);
    let (_, steps) = chain(&validators, 7);
    let sizes: Vec<_> = steps
        .iter()
        .map(|step| step.commit.signatures.len())
        .collect();
    assert_eq!(sizes, [3, 3, 3, 4, 4, 3, 3]);
    for pair in steps.windows(2) {
        let [step, next] = pair else {
            panic!("windows of two")
        };
        assert_eq!(
            step.block.header.next_validators_hash,
            next.block.header.validators_hash
        );
        assert_eq!(next.block.header.last_block_id, step.id);
        assert!(next.block.header.time > step.block.header.time);
        assert_eq!(
            next.block.header.last_results_hash,
            step.next.last_results_hash
        );
    }
}

#[test]
fn blocks_survive_the_wire_and_their_parts() {
    let validators = Validators::new(4);
    let (_, steps) = chain(&validators, 5);
    for step in &steps {
        let bytes = step.block.part_set().assemble().unwrap();
        let read = Block::decode(&bytes).unwrap();
        assert_eq!(read, step.block);
        assert_eq!(read.id(&PartSet::from_bytes(&bytes)), step.id);
    }
}

/// A block after four others, changed, with its hashes put right again where it has any.
fn changed(change: impl Fn(&mut Block)) -> (ChainState, Block) {
    let validators = Validators::new(4);
    let (_, mut steps) = chain(&validators, 5);
    let step = steps.pop().unwrap();
    let state = steps.pop().unwrap().next;
    let mut block = step.block;
    change(&mut block);
    block.header.last_commit_hash = block.last_commit.hash();
    block.header.data_hash = block.data.hash();
    block.header.evidence_hash = block.evidence.hash();
    (state, block)
}

#[test]
fn a_block_that_says_anything_else_is_refused() {
    let other = Digest::new([0xee; 32]);
    type Change = (&'static str, fn(&mut Block, Digest));
    let changes: [Change; 17] = [
        ("block protocol", |block, _| block.header.version.block = 12),
        ("application version", |block, _| {
            block.header.version.app = 1
        }),
        ("chain id", |block, _| block.header.chain_id.push('x')),
        ("height", |block, _| block.header.height += 1),
        ("earlier time", |block, _| block.header.time.seconds -= 1),
        ("later time", |block, _| block.header.time.nanos += 1),
        ("last block", |block, other| {
            block.header.last_block_id.hash = other
        }),
        ("last parts", |block, other| {
            block.header.last_block_id.part_set_header.hash = other
        }),
        ("validators", |block, other| {
            block.header.validators_hash = other
        }),
        ("next validators", |block, other| {
            block.header.next_validators_hash = other
        }),
        ("parameters", |block, other| {
            block.header.consensus_hash = other
        }),
        ("app hash", |block, _| block.header.app_hash.0[0] ^= 1),
        ("short app hash", |block, _| block.header.app_hash.0.clear()),
        ("results", |block, other| {
            block.header.last_results_hash = other
        }),
        ("proposer", |block, _| {
            block.header.proposer_address.0[0] ^= 1
        }),
        ("commit's round", |block, _| block.last_commit.round += 1),
        ("commit without a vote", |block, _| {
            block.last_commit.signatures[0] = CommitSig::Absent
        }),
    ];
    let (state, block) = changed(|_| ());
    state.validate_block(&block).unwrap();
    for (what, change) in changes {
        let (state, block) = changed(|block| change(block, other));
        assert!(
            state.validate_block(&block).is_err(),
            "another {what} was accepted"
        );
    }
}

#[test]
fn content_that_the_header_does_not_cover_is_refused() {
    let (state, good) = changed(|_| ());
    let mut block = good.clone();
    block.data.txs.push(vec![1]);
    assert!(state.validate_block(&block).is_err(), "a transaction more");
    let mut block = good.clone();
    block.last_commit.signatures.pop();
    assert!(state.validate_block(&block).is_err(), "a signature less");
    let mut block = good;
    block.header.evidence_hash = Digest::EMPTY;
    assert!(state.validate_block(&block).is_err(), "no evidence hash");
}

#[test]
fn a_first_block_with_a_last_commit_or_another_time_is_refused() {
    let validators = Validators::new(4);
    let (genesis, steps) = chain(&validators, 2);
    let mut block = steps[0].block.clone();
    block.last_commit = steps[0].commit.clone();
    block.header.last_commit_hash = block.last_commit.hash();
    assert!(genesis.validate_block(&block).is_err());
    let mut block = steps[0].block.clone();
    block.last_commit.round = 1;
    assert!(genesis.validate_block(&block).is_err());
    let mut block = steps[0].block.clone();
    block.header.time.nanos += 1;
    assert!(genesis.validate_block(&block).is_err());
}

/// (CometBFT v0.40 leaves votes for nil out of the median, #5901; v0.38 counts them, and so do we.)
#[test]
fn the_next_time_is_the_median_of_the_commit_in_the_block() {
    let validators = Validators::new(4);
    let (_, mut steps) = chain(&validators, 1);
    let Step {
        id, next, block, ..
    } = steps.pop().unwrap();
    let start = block.header.time.plus_nanos(5_000_000_000);
    let set = next.last_validators.as_ref().unwrap();
    let commit = validators.commit(set, 1, id, start, &[Conduct::Commit; 3]);
    assert_eq!(next.next_time(&commit), start.plus_nanos(1_000_000_000));
}

#[test]
fn impossible_wishes_of_the_application_stop_the_chain() {
    let validators = Validators::new(4);
    let (_, mut steps) = chain(&validators, 1);
    let Step {
        id, next, block, ..
    } = steps.pop().unwrap();
    let executed = |validator_updates, consensus_params| Executed {
        app_hash: AppHash::default(),
        results: Vec::new(),
        validator_updates,
        consensus_params,
    };
    let everybody = (0..3).map(|number| validators.update(number, 0)).collect();
    assert!(
        next.apply(&block.header, id, &executed(everybody, None))
            .is_err()
    );
    let mut params = ConsensusParams::default();
    params.block.max_bytes = 0;
    assert!(
        next.apply(&block.header, id, &executed(Vec::new(), Some(params)))
            .is_err()
    );
}

#[test]
fn the_state_survives_its_json() {
    let validators = Validators::new(4);
    let (genesis, steps) = chain(&validators, 5);
    for state in steps.iter().map(|step| &step.next).chain([&genesis]) {
        let json = serde_json::to_string(state).unwrap();
        assert_eq!(&serde_json::from_str::<ChainState>(&json).unwrap(), state);
    }
}

#[test]
fn a_full_block_stays_within_its_limit() {
    let validators = Validators::new(4);
    let (_, steps) = chain(&validators, 3);
    let state = &steps[2].next;
    let limit = 100_000;
    let room = max_data_bytes(limit, 0, state.validators.len());
    let tx = vec![7; room - 8];
    let proposer = state.validators.proposer().address;
    let commit = steps[2].commit.clone();
    let block = state.make_block(vec![tx], EvidenceList::default(), commit, proposer);
    assert!(block.encode().len() <= limit);
    assert_eq!(max_data_bytes(10, 0, 4), 0);
}
