use super::*;
use crate::disk::ModelDisk;
use crate::init;
use crate::snapshot::Snapshots;
use crate::stop::Stop;
use std::path::PathBuf;
use welkin_consensus::types::{
    CommitSig, CommitVote, GenesisValidator, PublicKey, Signature, Timestamp, Vote, VoteType,
};
use welkin_modules::RUNTIME;
use welkin_modules::accounts::{self, Accounts};
use welkin_modules::genesis::AppState;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::store::MemoryStore;
use welkin_runtime::tree::TreeConfig;
use welkin_runtime::tx::{Body, Terms};
use welkin_runtime::{Address, Amount};

const SECOND: i128 = 1_000_000_000;

/// A chain with one validator, on a model of a disk.
struct World {
    disk: Arc<ModelDisk>,
    store: Arc<MemoryStore>,
    genesis: Arc<Genesis>,
}

fn validator() -> SigningKey {
    SigningKey::from_seed(&[1; 32])
}

fn account() -> SigningKey {
    SigningKey::from_seed(&[2; 32])
}

impl World {
    fn new() -> World {
        let public_key = PublicKey(validator().public_key());
        let member = GenesisValidator {
            address: public_key.address(),
            public_key,
            power: 10,
            name: "v".into(),
        };
        let app_state =
            AppState::for_testnet([(account().address(), Amount(1_000_000_000))]).to_json();
        let time = Timestamp::from_unix_nanos(1_700_000_000 * SECOND);
        let genesis = init::genesis("ledger-1", time, vec![member], app_state);
        World {
            disk: Arc::default(),
            store: Arc::default(),
            genesis: Arc::new(genesis),
        }
    }

    fn open(&self) -> Result<Ledger, LedgerError> {
        Ledger::open(OpenLedger {
            disk: self.disk.clone(),
            blocks: PathBuf::from("/data/blocks"),
            backing: Backing::memory(self.store.clone()),
            tree: TreeConfig::default(),
            snapshots: Some(SnapshotPlan {
                snapshots: Snapshots::open(self.disk.clone(), "/data/snapshots", 2).unwrap(),
                interval_blocks: 1,
            }),
            runtime: RUNTIME,
            genesis: self.genesis.clone(),
            salt: 7,
            stop: Stop::default(),
        })
    }
}

fn transfer(ledger: &Ledger, sequence: u64) -> Vec<u8> {
    let call = accounts::Call::Transfer {
        to: Address([9; 20]),
        amount: Amount(5),
    };
    let call = RUNTIME.call_of::<Accounts>(&call).unwrap();
    let terms = Terms {
        sequence,
        expiry_height: 1_000,
        gas_limit: 100_000,
        fee: Amount(2_000),
    };
    Body::new(ledger.info(), account().public_key(), terms, vec![call])
        .sign(&account())
        .encode()
}

/// The next block with these transactions, decided by the only validator.
fn decide(ledger: &Ledger, txs: Vec<Vec<u8>>) -> Decision {
    let tip = ledger.tip();
    let proposer = PublicKey(validator().public_key()).address();
    decide_block(
        tip.chain
            .make_block(txs, Default::default(), tip.seen.clone(), proposer),
    )
}

fn decide_block(block: welkin_consensus::types::Block) -> Decision {
    let parts = block.part_set();
    let block_id = block.id(&parts);
    let timestamp = block.header.time.plus_nanos(SECOND);
    let mut vote = Vote {
        vote_type: VoteType::Precommit,
        height: block.header.height,
        round: 0,
        block_id,
        timestamp,
        validator_address: block.header.proposer_address,
        validator_index: 0,
        signature: None,
    };
    let signature = Signature(validator().sign(&vote.sign_bytes(&block.header.chain_id)));
    vote.signature = Some(signature);
    let cast = CommitVote {
        validator_address: vote.validator_address,
        timestamp,
        signature,
    };
    let signatures = vec![CommitSig::Commit(cast)];
    let commit = Commit {
        height: vote.height,
        round: 0,
        block_id,
        signatures,
    };
    Decision {
        bytes: parts.assemble().unwrap(),
        block: Arc::new(block),
        block_id,
        commit,
    }
}

fn grow(ledger: &Ledger, blocks: u64) {
    for sequence in 0..blocks {
        let decision = decide(ledger, vec![transfer(ledger, sequence)]);
        let committed = ledger.commit(&decision).unwrap().unwrap();
        assert_eq!(
            committed.results.tx_results[0].code, 0,
            "{}",
            committed.results.tx_results[0].log
        );
    }
}

#[test]
fn a_block_is_readable_with_its_state_and_its_transactions_when_it_is_committed() {
    let world = World::new();
    let ledger = world.open().unwrap();
    let mut events = ledger.subscribe();
    let decision = decide(&ledger, vec![transfer(&ledger, 0)]);
    ledger.validate(&decision.block).unwrap();
    let committed = ledger.commit(&decision).unwrap().unwrap();
    assert_eq!(events.try_recv().unwrap(), committed);
    assert_eq!(ledger.log().synced_height(), 1);
    assert_eq!(*ledger.block(0).unwrap(), *committed.block);
    let found = ledger.transaction(&committed.tx_ids[0]).unwrap().unwrap();
    assert_eq!(
        (found.place.height, found.place.index, found.result.code),
        (1, 0, 0)
    );
    assert_eq!(ledger.tip().chain.app_hash.0, committed.results.app_hash);
    assert!(ledger.tip().proof_wanted);
    assert!(ledger.commit(&decision).unwrap().is_none());
}

#[test]
fn a_store_that_lags_or_is_gone_is_brought_back_to_the_same_root() {
    let mut world = World::new();
    let ledger = world.open().unwrap();
    grow(&ledger, 5);
    let tip = ledger.tip();
    let (hash, results) = (tip.chain.app_hash.clone(), ledger.results(5).unwrap());
    ledger.close();
    drop(ledger);

    world.store = Arc::default();
    let ledger = world.open().unwrap();
    assert_eq!(
        (ledger.tip().height(), &ledger.tip().chain.app_hash),
        (5, &hash)
    );
    assert_eq!(ledger.tip().chain, tip.chain);
    assert_eq!(ledger.tip().seen, tip.seen);
    assert_eq!(ledger.results(5).unwrap(), results);
    grow_one(&ledger, 5);
}

#[test]
fn state_is_restored_from_a_snapshot_with_its_index() {
    let mut world = World::new();
    let ledger = world.open().unwrap();
    grow(&ledger, 3);
    ledger.write_snapshot(&ledger.tip()).unwrap();
    let sent = ledger
        .transaction(&welkin_runtime::tx::Transaction::id(&transfer(&ledger, 1)))
        .unwrap();
    grow_one(&ledger, 3);
    let chain = ledger.tip().chain.clone();
    ledger.close();
    drop(ledger);

    world.store = Arc::default();
    let ledger = world.open().unwrap();
    assert_eq!(ledger.tip().chain, chain);
    // Only the block after the snapshot was executed again.
    assert_eq!(ledger.tree().kept(), Some(3..=4));
    let id = welkin_runtime::tx::Transaction::id(&transfer(&ledger, 1));
    assert_eq!(ledger.transaction(&id).unwrap(), sent);
    assert!(sent.is_some());
}

fn grow_one(ledger: &Ledger, sequence: u64) {
    let decision = decide(ledger, vec![transfer(ledger, sequence)]);
    ledger.commit(&decision).unwrap().unwrap();
}

#[test]
fn a_chain_with_another_root_stops_the_node_with_both_hashes() {
    let world = World::new();
    let ledger = world.open().unwrap();
    grow(&ledger, 1);
    let mut block = decide(&ledger, Vec::new()).block.as_ref().clone();
    block.header.app_hash.0[0] ^= 1;
    let other = hex::encode_upper(&block.header.app_hash.0);
    let (done, outcome) = ledger.commit_many(&[decide_block(block)]);
    let why = outcome.unwrap_err();
    assert!(
        done.is_empty() && matches!(why, LedgerError::AppHash { height: 1, .. }),
        "{why}"
    );
    let own = hex::encode_upper(&ledger.tip().chain.app_hash.0);
    assert!(
        why.to_string().contains(&own) && why.to_string().contains(&other),
        "{why}"
    );
}

#[test]
fn blocks_of_a_peer_are_taken_over_up_to_the_first_that_does_not_verify() {
    let (world, behind) = (World::new(), World::new());
    let behind = World {
        genesis: world.genesis.clone(),
        ..behind
    };
    let (ledger, follower) = (world.open().unwrap(), behind.open().unwrap());
    let mut decisions = Vec::new();
    for sequence in 0..4 {
        let decision = decide(&ledger, vec![transfer(&ledger, sequence)]);
        ledger.commit(&decision).unwrap().unwrap();
        decisions.push(decision);
    }
    let CommitSig::Commit(cast) = &mut decisions[3].commit.signatures[0] else {
        panic!("a vote")
    };
    cast.signature.0[0] ^= 1;
    let (done, outcome) = follower.commit_many(&decisions);
    assert_eq!(done.len(), 3);
    assert!(matches!(outcome, Err(LedgerError::Refused(_))));
    assert_eq!(
        (follower.tip().height(), follower.log().synced_height()),
        (3, 3)
    );
    assert_eq!(
        follower.tip().chain.app_hash,
        ledger.block(4).unwrap().block.header.app_hash
    );
}

#[test]
fn a_block_is_refused_for_what_is_wrong_with_its_transactions() {
    let world = World::new();
    let ledger = world.open().unwrap();
    let mut forged = transfer(&ledger, 0);
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for txs in [
        vec![forged],
        vec![transfer(&ledger, 1)],
        vec![vec![1, 2, 3]],
    ] {
        let why = ledger.validate(&decide(&ledger, txs).block).unwrap_err();
        assert!(matches!(why, LedgerError::Refused(_)), "{why}");
    }
}
