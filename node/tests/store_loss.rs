//! Whatever becomes of the state store, the state is made again from the block log.
//!
//! One validator's ledger lives through many ends: the power is cut under its block log (on the
//! model disk), and its sled folder, copied while it is written to, is found intact, gone, cut
//! short, with sectors of zeros, of garbage or of an earlier day, or as it was on that day. Opened
//! again, it has every block, transaction and balance that was acknowledged.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;
use welkin_consensus::types::{
    Commit, CommitSig, EvidenceList, Genesis, GenesisValidator, Message as _, PublicKey, Signature,
    Timestamp, Vote, VoteType,
};
use welkin_modules::RUNTIME;
use welkin_modules::accounts::{self, Accounts};
use welkin_modules::genesis::AppState;
use welkin_node::api::{Query, QueryKind};
use welkin_node::disk::ModelDisk;
use welkin_node::init;
use welkin_node::ledger::{Backing, Decision, Ledger, OpenLedger};
use welkin_node::stop::Stop;
use welkin_node::store::StoreConfig;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tree::TreeConfig;
use welkin_runtime::tx::{Body, Terms, Transaction};
use welkin_runtime::{Address, Amount, Hash};

/// How often everything ends.
const ENDS: u64 = 60;
const SECTOR_BYTES: usize = 512;
const TO: Address = Address([9; 20]);

#[test]
fn whatever_becomes_of_the_store_the_state_is_made_again() {
    let mut life = Life::new();
    for seed in 0..ENDS {
        let ledger = life.open();
        life.check(&ledger, seed);
        for _ in 0..1 + seed % 3 {
            life.commit(&ledger);
        }
        if seed % 5 == 0 {
            // A store that was closed well is trusted more, and must not be for that.
            ledger.close();
        }
        life.end(seed);
    }
    let ledger = life.open();
    life.check(&ledger, ENDS);
}

/// One validator, what it has on its disks, and what it has acknowledged.
struct Life {
    genesis: Arc<Genesis>,
    validator: SigningKey,
    payer: SigningKey,
    blocks: ModelDisk,
    state: TempDir,
    earlier: Image,
    acknowledged: Vec<Hash>,
}

impl Life {
    fn new() -> Life {
        let (validator, payer) = (
            SigningKey::from_seed(&[1; 32]),
            SigningKey::from_seed(&[2; 32]),
        );
        let public_key = PublicKey(validator.public_key());
        let member = GenesisValidator {
            address: public_key.address(),
            public_key,
            power: 10,
            name: "only".to_owned(),
        };
        let app_state = AppState::for_testnet([(payer.address(), Amount(1_000_000_000))]).to_json();
        let time = Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        };
        Life {
            genesis: Arc::new(init::genesis("test-1", time, vec![member], app_state)),
            validator,
            payer,
            blocks: ModelDisk::default(),
            state: tempfile::tempdir().unwrap(),
            earlier: Image::default(),
            acknowledged: Vec::new(),
        }
    }

    fn open(&self) -> Ledger {
        let open = OpenLedger {
            disk: Arc::new(self.blocks.clone()),
            blocks: PathBuf::from("/data/blocks"),
            backing: Backing::Folder {
                path: self.state.path().join("state"),
                config: StoreConfig::default(),
            },
            tree: TreeConfig::default(),
            snapshots: None,
            runtime: RUNTIME,
            genesis: self.genesis.clone(),
            salt: 7,
            stop: Stop::default(),
        };
        Ledger::open(open).unwrap()
    }

    /// Commits a block with a transfer of 1 uwlk, which is then acknowledged.
    fn commit(&mut self, ledger: &Ledger) {
        let tip = ledger.tip();
        let raw = self.transfer(ledger);
        let id = Transaction::id(&raw);
        let proposer = tip.chain.validators.proposer().address;
        let evidence = EvidenceList::default();
        let block = tip
            .chain
            .make_block(vec![raw], evidence, tip.seen.clone(), proposer);
        let block_id = block.id(&block.part_set());
        let mut vote = Vote {
            vote_type: VoteType::Precommit,
            height: block.header.height,
            round: 0,
            block_id,
            timestamp: block.header.time.plus_nanos(1_000_000_000),
            validator_address: proposer,
            validator_index: 0,
            signature: None,
        };
        let bytes = vote.sign_bytes(&self.genesis.chain_id);
        vote.signature = Some(Signature(self.validator.sign(&bytes)));
        let signatures = vec![CommitSig::of_vote(&vote, &block_id)];
        let commit = Commit {
            height: vote.height,
            round: 0,
            block_id,
            signatures,
        };
        let bytes = block.encode();
        let decision = Decision {
            block: Arc::new(block),
            block_id,
            bytes,
            commit,
        };
        let committed = ledger.commit(&decision).unwrap().unwrap();
        assert_eq!(
            committed.results.tx_results[0].code, 0,
            "{:?}",
            committed.results.tx_results
        );
        self.acknowledged.push(id);
    }

    fn transfer(&self, ledger: &Ledger) -> Vec<u8> {
        let call = accounts::Call::Transfer {
            to: TO,
            amount: Amount(1),
        };
        let call = RUNTIME.call_of::<Accounts>(&call).unwrap();
        let sequence = self.acknowledged.len() as u64;
        let (gas_limit, fee) = (100_000, Amount(2_000));
        let terms = Terms {
            sequence,
            expiry_height: 1_000_000,
            gas_limit,
            fee,
        };
        let body = Body::new(ledger.info(), self.payer.public_key(), terms, vec![call]);
        body.sign(&self.payer).encode()
    }

    /// Every block holds one transfer, so height, balance and index say the same.
    fn check(&self, ledger: &Ledger, seed: u64) {
        let done = self.acknowledged.len() as u64;
        let tip = ledger.tip();
        assert_eq!(tip.height(), done, "end {seed}: height");
        for (height, id) in (1..).zip(&self.acknowledged) {
            let found = ledger.transaction(id).unwrap();
            let place = found
                .unwrap_or_else(|| panic!("end {seed}: transaction {height}"))
                .place;
            assert_eq!(place.height, height);
            assert_eq!(ledger.results(height).unwrap().tx_results[0].code, 0);
        }
        assert_eq!(
            ledger.tree().root(tip.version()).unwrap().0,
            tip.chain.app_hash.0[..]
        );
        if done > 0 {
            assert_eq!(balance(ledger), done, "end {seed}: balance");
        }
    }

    /// The power is cut, and the store found in some other shape.
    fn end(&mut self, seed: u64) {
        let mut dice = Dice(seed);
        let seen = Image::of(self.state.path());
        let found = seen.after(seed, &self.earlier, &mut dice);
        if dice.below(4) == 0 {
            self.earlier = seen;
        }
        // Another folder: what is left of the old ledger may still hold its files.
        self.state = tempfile::tempdir().unwrap();
        found.write(self.state.path());
        self.blocks = self.blocks.power_cut(seed);
    }
}

fn balance(ledger: &Ledger) -> u64 {
    let query = accounts::Query::Account { address: TO };
    let query = borsh::to_vec(&query).unwrap();
    let what = QueryKind::Module {
        module: "accounts".to_owned(),
        query,
    };
    let height = ledger.state_heights().newest;
    let answer = ledger
        .query(&Query {
            what,
            height,
            prove: false,
        })
        .unwrap();
    match borsh::from_slice(&answer.value).unwrap() {
        accounts::Answer::Account(account) => account.balance.0,
        other => panic!("{other:?}"),
    }
}

/// The files of a folder.
#[derive(Clone, Default)]
struct Image(BTreeMap<PathBuf, Vec<u8>>);

impl Image {
    fn of(folder: &Path) -> Image {
        let mut image = Image::default();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = fs::read(&path) {
                    // One that is gone by now was temporary.
                    image
                        .0
                        .insert(path.strip_prefix(folder).unwrap().to_owned(), bytes);
                }
            }
        }
        image
    }

    fn write(&self, folder: &Path) {
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// What is found of these files later.
    fn after(&self, seed: u64, earlier: &Image, dice: &mut Dice) -> Image {
        match seed % 7 {
            0 => self.clone(),
            1 => Image::default(),
            2 => earlier.clone(),
            kind => {
                let files = self.0.iter().map(|(name, bytes)| {
                    let before = earlier.0.get(name).map_or(&[][..], Vec::as_slice);
                    (name.clone(), damaged(kind, bytes, before, dice))
                });
                Image(files.collect())
            }
        }
    }
}

fn damaged(kind: u64, bytes: &[u8], before: &[u8], dice: &mut Dice) -> Vec<u8> {
    if kind == 3 {
        return bytes[..dice.below(bytes.len() as u64 + 1) as usize].to_vec();
    }
    let mut bytes = bytes.to_vec();
    // Some files lose one sector in a thousand, some every other.
    let odds = [2, 10, 100, 1000][dice.below(4) as usize];
    for (number, sector) in bytes.chunks_mut(SECTOR_BYTES).enumerate() {
        if dice.below(odds) > 0 {
            continue;
        }
        match kind {
            4 => sector.fill(0),
            5 => sector.fill_with(|| dice.below(256) as u8),
            _ => {
                let old = before.get(number * SECTOR_BYTES..).unwrap_or(&[]);
                let same = old.len().min(sector.len());
                sector[..same].copy_from_slice(&old[..same]);
            }
        }
    }
    bytes
}

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
