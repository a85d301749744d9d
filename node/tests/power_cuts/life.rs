//! One disk, the processes that use it one after the other, and how they end.

use crate::oracle::{Broken, Content, Entry, Oracle};
use crate::random::Random;
use std::path::Path;
use std::sync::Arc;
use welkin_consensus::files::{PrivValidatorKey, Step};
use welkin_consensus::types::{
    BlockId, Digest, PartSetHeader, Timestamp, ValidatorAddress, Vote, VoteType,
};
use welkin_node::block_log::{BlockLog, BlockLogConfig, NewBlock};
use welkin_node::disk::{Disk, Fault, ModelDisk, StorageError};
use welkin_node::lock::FolderLock;
use welkin_node::sign_state::{SignError, Signed, Signer};
use welkin_node::wal::{Wal, WalConfig, WalRecord};
use welkin_runtime::crypto::SigningKey;

const GENESIS: [u8; 32] = [7; 32];
const DATA: &str = "/data";
const SIGN_STATE: &str = "/data/priv_validator_state.json";

/// A fault that the test must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    Nothing,
    DiskForgetsSyncs,
    AcknowledgesBeforeSyncing,
    LosesTheSignState,
}

pub struct Life {
    disk: ModelDisk,
    oracle: Oracle,
    random: Random,
    plant: Plant,
    validators: Vec<u8>,
}

/// A process: everything that is open.
struct Process {
    log: BlockLog,
    wal: Wal,
    signer: Signer,
}

/// Whether a write may be found later: it was done, or it failed after an unknown part of it.
fn may_be_found(done: &Result<(), StorageError>) -> bool {
    !matches!(done, Err(StorageError::Stopped { .. }))
}

/// Why a process ends before its time.
enum End {
    /// The disk failed, as it does; the process should stop.
    Disk(StorageError),
    Broken(Broken),
}

impl From<StorageError> for End {
    fn from(why: StorageError) -> End {
        match why {
            StorageError::Io { .. } | StorageError::Stopped { .. } => End::Disk(why),
            other => End::Broken(other.to_string()),
        }
    }
}

impl From<Broken> for End {
    fn from(broken: Broken) -> End {
        End::Broken(broken)
    }
}

impl Process {
    fn open(disk: &ModelDisk, salt: u64) -> Result<Process, StorageError> {
        let lock = Arc::new(FolderLock::acquire(disk, Path::new(DATA))?);
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        let mut blocks = BlockLogConfig::new(GENESIS, salt);
        blocks.max_segment_bytes = 4096;
        let mut wal = WalConfig::new(GENESIS, salt);
        wal.max_segment_bytes = 2048;
        let key = PrivValidatorKey(SigningKey::from_seed(&[3; 32]));
        Ok(Process {
            log: BlockLog::open(disk.clone(), Path::new("/data/blocks"), &blocks)?,
            wal: Wal::open(disk.clone(), Path::new("/data/wal"), &wal)?,
            signer: Signer::open(disk, Path::new(SIGN_STATE), key, lock)?,
        })
    }
}

impl Life {
    pub fn begin(run: u64, plant: Plant) -> Life {
        let disk = ModelDisk::default();
        Signer::create_state(&disk, Path::new(SIGN_STATE)).unwrap();
        if plant == Plant::DiskForgetsSyncs {
            disk.forget_syncs();
        }
        let (oracle, random) = (Oracle::default(), Random::new(run));
        Life {
            disk,
            oracle,
            random,
            plant,
            validators: b"first set".to_vec(),
        }
    }

    /// Lives through so many ends of a process.
    pub fn live(mut self, cuts: u32) -> Result<(), Broken> {
        for _ in 0..cuts {
            match self.live_once() {
                Err(End::Broken(broken)) => return Err(broken),
                Ok(()) | Err(End::Disk(_)) => {}
            }
            self.disk.heal();
            // One end in five only kills the process: what it wrote stays readable.
            if !self.random.one_in(5) {
                self.disk = self.disk.power_cut(self.random.next());
            }
            if self.plant == Plant::LosesTheSignState {
                let _ = self.disk.remove(Path::new(SIGN_STATE));
                Signer::create_state(&self.disk, Path::new(SIGN_STATE)).unwrap();
            }
        }
        match self.open_and_check() {
            Ok(_) => Ok(()),
            Err(End::Broken(broken)) => Err(broken),
            Err(End::Disk(why)) => Err(format!("the last opening failed: {why}")),
        }
    }

    fn live_once(&mut self) -> Result<(), End> {
        if self.random.one_in(4) {
            self.let_something_fail(12);
        }
        let mut process = self.open_and_check()?;
        self.disk.heal();
        if self.random.one_in(2) {
            self.let_something_fail(60);
        }
        for _ in 0..self.random.below(80) {
            match self.step(&mut process) {
                // Some go on after an error; what failed must then refuse to.
                Err(End::Disk(_)) if self.random.one_in(2) => {}
                done => done?,
            }
        }
        Ok(())
    }

    fn let_something_fail(&mut self, within: u64) {
        let fault = [Fault::Full, Fault::Write, Fault::Sync][self.random.below(3) as usize];
        self.disk.fail(fault, self.random.below(within) as u32);
    }

    fn open_and_check(&mut self) -> Result<Process, End> {
        let process = Process::open(&self.disk, self.random.next())?;
        self.oracle.check_blocks(&process.log)?;
        self.oracle.check_wal(&process.wal)?;
        let (end, height) = (process.wal.last_end_height(), process.log.height());
        if end.is_some_and(|end| end > height) {
            return Err(format!("the WAL has {end:?}, the log only {height}").into());
        }
        self.validators = match process.log.read_validators(height)? {
            Some((_, validators)) => validators,
            None => b"first set".to_vec(),
        };
        Ok(process)
    }

    fn step(&mut self, process: &mut Process) -> Result<(), End> {
        match self.random.below(20) {
            0..=3 => self.append_block(process)?,
            4 => {
                let height = process.log.height().saturating_sub(self.random.below(3));
                self.append_results(process, height)?;
            }
            5 | 6 => {
                if self.plant != Plant::AcknowledgesBeforeSyncing {
                    process.log.sync()?;
                }
                self.oracle.acknowledge_blocks(process.log.height());
            }
            7..=11 => self.append_to_wal(process)?,
            12 | 13 => {
                process.wal.sync()?;
                self.oracle.wal_acknowledged = self.oracle.wal.len();
            }
            14 => {
                let height = process.log.height();
                if height > 0 && process.log.synced_height() == height {
                    let done = process.wal.append_end_height(height);
                    if may_be_found(&done) {
                        self.oracle.wal.push(Entry::EndHeight(height));
                    }
                    done?;
                }
            }
            15..=18 => self.sign(process)?,
            _ => {
                let keep_from = process
                    .log
                    .synced_height()
                    .saturating_sub(self.random.below(40));
                self.oracle.kept_from = self.oracle.kept_from.max(keep_from);
                process.log.prune(keep_from)?;
            }
        }
        Ok(())
    }

    fn append_block(&mut self, process: &mut Process) -> Result<(), End> {
        let height = process.log.height() + 1;
        let changes = height == 1 || self.random.one_in(10);
        if changes && height > 1 {
            self.validators = self.random.bytes(60);
        }
        let (block, commit) = (self.random.bytes(900), self.random.bytes(100));
        let validators = changes.then_some(self.validators.as_slice());
        let new = NewBlock {
            block: &block,
            commit: &commit,
            validators,
        };
        let done = process.log.append(height, &new);
        if may_be_found(&done) {
            let validators = self.validators.clone();
            self.oracle.blocks.insert(
                height,
                Content {
                    block,
                    commit,
                    validators,
                },
            );
        }
        Ok(done?)
    }

    /// Executing a block gives the same results each time.
    fn append_results(&mut self, process: &mut Process, height: u64) -> Result<(), End> {
        let Some(content) = self.oracle.blocks.get(&height) else {
            return Ok(());
        };
        if process.log.read(height)?.is_none() {
            return Ok(());
        }
        let results = content.commit.clone();
        let done = process.log.append_results(height, &results);
        if may_be_found(&done) {
            self.oracle
                .results
                .entry(height)
                .or_insert((results, false));
        }
        Ok(done?)
    }

    fn append_to_wal(&mut self, process: &mut Process) -> Result<(), End> {
        for _ in 0..=self.random.below(4) {
            let record = WalRecord {
                kind: 1 + self.random.below(254) as u8,
                bytes: self.random.bytes(700),
            };
            let done = process.wal.append(record.kind, &record.bytes);
            if may_be_found(&done) {
                self.oracle.wal.push(Entry::Record(record));
            }
            done?;
        }
        Ok(())
    }

    /// Asks for a signature near the last one, for one of three blocks, at some time.
    fn sign(&mut self, process: &mut Process) -> Result<(), End> {
        let last = process.signer.state();
        let height = (last.height + self.random.below(3))
            .saturating_sub(1)
            .max(1);
        let round = self.random.below(3) as u32;
        let (vote_type, step) = match self.random.one_in(2) {
            true => (VoteType::Prevote, Step::Prevote),
            false => (VoteType::Precommit, Step::Precommit),
        };
        let (block, seconds) = (self.random.below(3) as u8, self.random.below(1000) as i64);
        let vote = |seconds| sign_bytes(height, round, vote_type, block, seconds);
        let place = (height, round, step);
        let (bytes, signature) = match process.signer.sign(height, round, step, &vote(seconds)) {
            Ok(Signed::Fresh(signature)) => (vote(seconds), signature),
            Ok(Signed::Earlier {
                signature,
                timestamp,
            }) => (vote(timestamp.seconds), signature),
            Err(SignError::Refused(_)) => return Ok(()),
            Err(SignError::Storage(why)) => return Err(why.into()),
        };
        if !process.signer.public_key().verify(&bytes, &signature) {
            return Err(format!("the signature at {place:?} is wrong").into());
        }
        Ok(self.oracle.saw_signed(place, block)?)
    }
}

/// Sign bytes of a vote; block 0 is nil.
fn sign_bytes(height: u64, round: u32, vote_type: VoteType, block: u8, seconds: i64) -> Vec<u8> {
    let hash = Digest::new([block; 32]);
    let complete = BlockId {
        hash,
        part_set_header: PartSetHeader { total: 1, hash },
    };
    let vote = Vote {
        vote_type,
        height,
        round,
        block_id: if block == 0 { BlockId::NIL } else { complete },
        timestamp: Timestamp { seconds, nanos: 0 },
        validator_address: ValidatorAddress([0; 20]),
        validator_index: 0,
        signature: None,
    };
    vote.sign_bytes("welkin-test")
}
