//! A validator: the machine, and a shell around it whose disk and clock are simulated.

use super::app::{CHAIN_ID, Chain};
use super::plan::Role;
use super::rng::Rng;
use std::collections::BTreeMap;
use std::sync::Arc;
use welkin_consensus::files::SignState;
use welkin_consensus::machine::{
    Bug, Config, Effect, Equivocation, Machine, Record, Step, Timeout, VerifySignature,
};
use welkin_consensus::types::{BlockId, PublicKey, Timestamp, ValidatorAddress, VoteType};
use welkin_runtime::crypto::SigningKey;

/// One validator.
pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) role: Role,
    pub(crate) key: SigningKey,
    pub(crate) address: ValidatorAddress,
    pub(crate) disk: Disk,
    /// None while the node is down.
    pub(crate) machine: Option<Machine>,
    /// Number of the current life; what belongs to an earlier one is dropped.
    pub(crate) life: u64,
    pub(crate) clock_offset_ns: i128,
    pub(crate) mempool: Vec<Vec<u8>>,
    pub(crate) offences: Vec<Equivocation>,
    /// Effects until the node stops in the middle of its work.
    pub(crate) crash_in: Option<(u64, u64)>,
    /// The signer works on one request at a time.
    pub(crate) signer_free_at: u64,
    /// The newest request for each timeout.
    pub(crate) timers: BTreeMap<Timeout, u64>,
    /// What the signer's state said when this life began.
    pub(crate) signed_before: (u64, u32, u8),
    /// Height whose decision came from a peer in this life.
    pub(crate) overtaken_at: u64,
    pub(crate) bug: Option<Bug>,
    /// Where an undisturbed machine stood when the power went.
    pub(crate) stood: Option<Standing>,
    /// The last round that began in this life.
    pub(crate) last_round: Option<(u64, u32)>,
    /// Votes that the machine accepted in this life.
    pub(crate) accepted: BTreeMap<(u64, u32, VoteType, u32), BlockId>,
    /// Blocks that an equivocator has heard of, with their heights.
    pub(crate) heard: Vec<(u64, BlockId)>,
}

/// What survives a crash.
pub(crate) struct Disk {
    pub(crate) wal: Vec<Vec<u8>>,
    pub(crate) synced: usize,
    pub(crate) sign_state: SignState,
    pub(crate) chain: Chain,
}

/// Where a machine stands; replay must lead back to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    height: u64,
    round: u32,
    step: Step,
    locked: Option<(u32, BlockId)>,
    valid: Option<(u32, BlockId)>,
}

/// What a crash does to records of the WAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// All of them are there after it.
    None,
    /// Some that were not synced are lost.
    Unsynced,
    /// Some are lost, synced or not.
    Anywhere,
}

impl Node {
    pub(crate) fn public_key(key: &SigningKey) -> PublicKey {
        PublicKey(key.public_key())
    }

    /// This node's clock.
    pub(crate) fn clock(&self, now: u64) -> Timestamp {
        const START_NS: i128 = 1_700_000_000_000_000_000;
        Timestamp::from_unix_nanos(START_NS + i128::from(now) + self.clock_offset_ns)
    }

    /// Stops the process. What was not synced may be lost.
    pub(crate) fn stop(&mut self, cut: Cut, rng: &mut Rng) {
        let first = match cut {
            Cut::None => self.disk.wal.len(),
            Cut::Unsynced => self.disk.synced,
            Cut::Anywhere => 0,
        };
        let kept = rng.between(first as u64, self.disk.wal.len() as u64) as usize;
        let whole = kept == self.disk.wal.len();
        let undisturbed = whole && self.overtaken_at != self.height() && self.crash_in.is_none();
        self.stood = self
            .machine
            .as_ref()
            .filter(|_| undisturbed)
            .map(Standing::of);
        self.disk.wal.truncate(kept);
        self.disk.synced = self.disk.synced.min(kept);
        self.machine = None;
        self.crash_in = None;
        self.life += 1;
        self.timers.clear();
        self.last_round = None;
        self.accepted.clear();
    }

    /// Starts the process: replays the WAL, then goes on.
    pub(crate) fn start(
        &mut self,
        config: &Config,
        verifier: &Arc<dyn VerifySignature>,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), String> {
        let mut start = self.disk.chain.start();
        start.work_waiting = !self.mempool.is_empty();
        let (address, verifier) = (Some(self.address), verifier.clone());
        let mut machine = Machine::with_verifier(config.clone(), address, start, verifier);
        self.plant(&mut machine);
        for bytes in &self.disk.wal {
            let record = Record::decode(bytes).map_err(|why| format!("WAL: {why}"))?;
            machine.replay(record);
        }
        let stands = Standing::of(&machine);
        if let Some(stood) = self.stood.take()
            && stood.step != Step::Commit
            && stood.height == stands.height
            && stood != stands
            && self.bug.is_none()
        {
            return Err(format!("replay led to {stands:?}, not back to {stood:?}"));
        }
        machine.resume(now, effects);
        let state = &self.disk.sign_state;
        self.signed_before = (state.height, state.round, state.step.into());
        self.signer_free_at = 0;
        self.overtaken_at = 0;
        self.machine = Some(machine);
        Ok(())
    }

    /// Height that the node is deciding.
    pub(crate) fn height(&self) -> u64 {
        self.machine.as_ref().map_or(0, Machine::height)
    }

    #[cfg(feature = "planted-bugs")]
    fn plant(&self, machine: &mut Machine) {
        if let Some(bug) = self.bug.filter(|_| self.role.is_honest()) {
            machine.plant(bug);
        }
    }

    #[cfg(not(feature = "planted-bugs"))]
    fn plant(&self, _machine: &mut Machine) {}

    /// A new node with an empty disk.
    pub(crate) fn new(index: usize, role: Role, key: SigningKey, chain: Chain) -> Self {
        Node {
            index,
            role,
            address: Node::public_key(&key).address(),
            key,
            disk: Disk {
                wal: Vec::new(),
                synced: 0,
                sign_state: SignState::default(),
                chain,
            },
            machine: None,
            life: 0,
            clock_offset_ns: 0,
            mempool: Vec::new(),
            offences: Vec::new(),
            crash_in: None,
            signer_free_at: 0,
            timers: BTreeMap::new(),
            signed_before: (0, 0, 0),
            overtaken_at: 0,
            bug: None,
            stood: None,
            last_round: None,
            accepted: BTreeMap::new(),
            heard: Vec::new(),
        }
    }
}

impl Standing {
    fn of(machine: &Machine) -> Self {
        Standing {
            height: machine.height(),
            round: machine.round(),
            step: machine.step(),
            locked: machine.locked(),
            valid: machine.valid(),
        }
    }
}

/// Short timeouts, so that a run has many rounds.
pub(crate) fn config() -> Config {
    Config {
        propose_timeout_ms: 200,
        propose_timeout_delta_ms: 100,
        prevote_timeout_ms: 80,
        prevote_timeout_delta_ms: 60,
        precommit_timeout_ms: 80,
        precommit_timeout_delta_ms: 60,
        commit_wait_ms: 20,
        min_block_interval_ms: 60,
        empty_block_interval_ms: 250,
        ..Config::new(CHAIN_ID)
    }
}
