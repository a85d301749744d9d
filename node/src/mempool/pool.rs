//! What waits for a block, by account and sequence. Pure: no clock, no task, no state.
//!
//! ```text
//!   account A   next 7:   7  8  9  .  11  12        7 8 9 are ready; 11 12 are parked behind the gap
//!   account B   next 0:   0
//! ```
//!
//! Invariants:
//! - A lane holds one transaction for a sequence, none below the account's next one.
//! - At most [`Limits::parked_per_account`] of a lane's transactions stand behind its first gap.
//! - The fees of a lane's transactions together are covered by what the account held when it was
//!   last looked at.
//! - Count and bytes never exceed the limits. Full: a parked transaction makes room for a ready
//!   one, else the newcomer is refused.

use super::error::MempoolError;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use welkin_runtime::execute::{CheckedTransaction, Payer};
use welkin_runtime::{Address, Amount, Coded, Hash, ModuleError};

/// How much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions.
    pub transactions: usize,
    /// Their raw bytes.
    pub bytes: usize,
    /// Transactions of an account behind its first missing sequence.
    pub parked_per_account: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            transactions: 20_000,
            bytes: 32 << 20,
            parked_per_account: 16,
        }
    }
}

/// What became of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It waits, in place of the one with this id if there is one.
    New(Option<Hash>),
    /// It waits already.
    Known,
}

/// What a block takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of all transactions, each with what its frame takes in the block.
    pub bytes: u64,
    /// Sum of gas limits.
    pub gas: u64,
}

/// Bytes that a block adds to each transaction: a tag and a length of up to three bytes.
const FRAME_BYTES: u64 = 4;

/// A transaction that waits.
#[derive(Clone, Debug)]
struct Waiting {
    id: Hash,
    raw: Bytes,
    fee: Amount,
    gas_limit: u64,
    expiry_height: u64,
    arrival: u64,
}

/// What waits of one account.
#[derive(Debug)]
struct Lane {
    next: u64,
    /// The first sequence from the next one on that does not wait.
    gap: u64,
    balance: Amount,
    fees: u64,
    waiting: BTreeMap<u64, Waiting>,
}

/// The transactions that wait.
#[derive(Debug, Default)]
pub struct Pool {
    limits: Limits,
    lanes: BTreeMap<Address, Lane>,
    places: HashMap<Hash, (Address, u64)>,
    /// Oldest first.
    arrivals: BTreeMap<u64, (Address, u64)>,
    expiries: BTreeSet<(u64, Hash)>,
    next_arrival: u64,
    bytes: usize,
}

impl Pool {
    /// An empty pool.
    pub fn new(limits: Limits) -> Self {
        Pool {
            limits,
            ..Pool::default()
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Raw bytes of all that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it waits.
    pub fn contains(&self, id: &Hash) -> bool {
        self.places.contains_key(id)
    }

    /// A transaction that waits.
    pub fn get(&self, id: &Hash) -> Option<Bytes> {
        let (sender, sequence) = self.places.get(id)?;
        Some(self.lanes.get(sender)?.waiting.get(sequence)?.raw.clone())
    }

    /// Whether a block made now would have a transaction.
    pub fn has_ready(&self) -> bool {
        self.lanes
            .values()
            .any(|lane| lane.waiting.contains_key(&lane.next))
    }

    /// The sequence of the account's next transaction behind those that wait without a gap, if any
    /// wait.
    pub fn next_sequence(&self, sender: &Address) -> Option<u64> {
        self.lanes.get(sender).map(|lane| lane.gap)
    }

    /// Ids that wait since before `arrival`, oldest first.
    pub fn older_than(&self, arrival: u64, limit: usize) -> Vec<Hash> {
        let places = self.arrivals.range(..arrival).take(limit);
        places
            .filter_map(|(_, (sender, sequence))| Some(self.waiting(sender, *sequence)?.id))
            .collect()
    }

    /// The mark that separates what waits now from what comes later; see [`Pool::older_than`].
    pub fn mark(&self) -> u64 {
        self.next_arrival
    }

    /// Takes a transaction that the runtime has checked.
    pub fn insert(
        &mut self,
        checked: &CheckedTransaction,
        raw: Bytes,
    ) -> Result<Inserted, ModuleError> {
        if self.places.contains_key(&checked.id) {
            return Ok(Inserted::Known);
        }
        self.admit(checked)?;
        let replaced = self
            .take_out(&checked.sender, checked.sequence)
            .map(|waiting| waiting.id);
        let arrival = self.next_arrival;
        self.next_arrival += 1;
        let place = (checked.sender, checked.sequence);
        self.places.insert(checked.id, place);
        self.arrivals.insert(arrival, place);
        self.expiries.insert((checked.expiry_height, checked.id));
        self.bytes += raw.len();
        let lane = self
            .lanes
            .entry(checked.sender)
            .or_insert_with(|| Lane::new(&checked.payer));
        lane.fees = lane.fees.saturating_add(checked.fee.0);
        let waiting = Waiting {
            id: checked.id,
            raw,
            fee: checked.fee,
            gas_limit: checked.gas_limit,
            expiry_height: checked.expiry_height,
            arrival,
        };
        lane.waiting.insert(checked.sequence, waiting);
        lane.move_gap();
        Ok(Inserted::New(replaced))
    }

    /// Transactions for a block: oldest first, each account's in the order of its sequences, as
    /// many as there is room for.
    pub fn reap(&self, room: Room) -> Vec<Bytes> {
        let mut reaping = Reaping {
            room,
            taken: BTreeMap::new(),
            chosen: Vec::new(),
        };
        for (sender, sequence) in self.arrivals.values() {
            let Some(lane) = self.lanes.get(sender) else {
                continue;
            };
            let next = *reaping.taken.entry(*sender).or_insert(lane.next);
            if *sequence == next && !reaping.take_run(sender, lane) {
                break;
            }
        }
        reaping.chosen
    }

    /// Removes a transaction, for instance one that a block refused.
    pub fn remove(&mut self, id: &Hash) {
        if let Some((sender, sequence)) = self.places.get(id).copied() {
            self.take_out(&sender, sequence);
        }
    }

    /// Removes a transaction that stands in a block; the account's next sequence is the one after
    /// it. Whose it was.
    pub fn used(&mut self, id: &Hash) -> Option<Address> {
        let (sender, sequence) = self.places.get(id).copied()?;
        if let Some(lane) = self.lanes.get_mut(&sender) {
            lane.next = lane.next.max(sequence + 1);
            lane.gap = lane.gap.max(lane.next);
        }
        self.take_out(&sender, sequence);
        if let Some(lane) = self.lanes.get_mut(&sender) {
            lane.move_gap();
        }
        Some(sender)
    }

    /// Removes what the account has used up since: everything below its next sequence.
    pub fn settle(&mut self, sender: &Address, payer: &Payer) {
        let Some(lane) = self.lanes.get_mut(sender) else {
            return;
        };
        (lane.next, lane.balance) = (payer.sequence, payer.balance);
        lane.gap = lane.gap.max(lane.next);
        lane.move_gap();
        let past: Vec<u64> = lane
            .waiting
            .range(..payer.sequence)
            .map(|(sequence, _)| *sequence)
            .collect();
        past.into_iter()
            .for_each(|sequence| drop(self.take_out(sender, sequence)));
        while let Some(last) = self.lanes.get(sender).and_then(Lane::uncovered) {
            self.take_out(sender, last);
        }
    }

    /// Removes what no block at or above `height` may hold.
    pub fn expire(&mut self, height: u64) {
        while let Some((expiry_height, id)) = self.expiries.first().copied() {
            if expiry_height >= height {
                return;
            }
            self.expiries.remove(&(expiry_height, id));
            self.remove(&id);
        }
    }

    /// Accounts with waiting transactions, from this one on in a circle: for a look at a few of
    /// them after each block.
    pub fn senders_from(&self, start: &Address, limit: usize) -> Vec<Address> {
        let behind = self.lanes.range(start..);
        let before = self.lanes.range(..start);
        behind
            .chain(before)
            .take(limit)
            .map(|(sender, _)| *sender)
            .collect()
    }

    /// Whether there is a place for it, once a parked one may have made room.
    fn admit(&mut self, checked: &CheckedTransaction) -> Result<(), ModuleError> {
        let (mut fees, mut is_ready) = (0, checked.sequence == checked.payer.sequence);
        let mut replaced_bytes = None;
        if let Some(lane) = self.lanes.get(&checked.sender) {
            let known = lane.waiting.get(&checked.sequence);
            if let Some(known) = known {
                lane.check_replacement(known, checked)?;
                replaced_bytes = Some(known.raw.len());
            }
            fees = lane.fees - known.map_or(0, |known| known.fee.0);
            is_ready = checked.sequence <= lane.gap;
            let parked = lane.waiting.range(lane.gap..).count();
            if !is_ready && known.is_none() && parked >= self.limits.parked_per_account {
                let message = format!("{parked} wait behind sequence {}", lane.gap);
                return Err(MempoolError::TooManyParked.because(message));
            }
        }
        let fees = fees.saturating_add(checked.fee.0);
        if fees > checked.payer.balance.0 {
            let message = format!(
                "{fees} uwlk in fees wait, the sender holds {} uwlk",
                checked.payer.balance
            );
            return Err(MempoolError::FeesNotCovered.because(message));
        }
        self.make_room(checked.bytes, replaced_bytes, is_ready)
    }

    fn make_room(
        &mut self,
        bytes: usize,
        replaced_bytes: Option<usize>,
        is_ready: bool,
    ) -> Result<(), ModuleError> {
        let fits = |pool: &Pool| {
            let kept = pool.len() - usize::from(replaced_bytes.is_some());
            let kept_bytes = pool.bytes - replaced_bytes.unwrap_or(0);
            kept < pool.limits.transactions && kept_bytes + bytes <= pool.limits.bytes
        };
        while !fits(self) {
            // Only what arrived last is looked at: a pool full of ready ones must not be searched.
            let newest = self.arrivals.values().rev().take(64);
            let parked = newest
                .copied()
                .find(|(sender, sequence)| self.is_parked(sender, *sequence));
            let Some((sender, sequence)) = parked.filter(|_| is_ready && replaced_bytes.is_none())
            else {
                let message = format!("{} transactions of {} bytes wait", self.len(), self.bytes);
                return Err(MempoolError::Full.because(message));
            };
            self.take_out(&sender, sequence);
        }
        Ok(())
    }

    fn is_parked(&self, sender: &Address, sequence: u64) -> bool {
        self.lanes
            .get(sender)
            .is_some_and(|lane| sequence >= lane.gap)
    }

    fn waiting(&self, sender: &Address, sequence: u64) -> Option<&Waiting> {
        self.lanes.get(sender)?.waiting.get(&sequence)
    }

    fn take_out(&mut self, sender: &Address, sequence: u64) -> Option<Waiting> {
        let lane = self.lanes.get_mut(sender)?;
        let waiting = lane.waiting.remove(&sequence)?;
        lane.gap = lane.gap.min(sequence.max(lane.next));
        lane.fees = lane.fees.saturating_sub(waiting.fee.0);
        if lane.waiting.is_empty() {
            self.lanes.remove(sender);
        }
        self.places.remove(&waiting.id);
        self.arrivals.remove(&waiting.arrival);
        self.expiries.remove(&(waiting.expiry_height, waiting.id));
        self.bytes -= waiting.raw.len();
        Some(waiting)
    }
}

impl Lane {
    fn new(payer: &Payer) -> Self {
        Lane {
            next: payer.sequence,
            gap: payer.sequence,
            balance: payer.balance,
            fees: 0,
            waiting: BTreeMap::new(),
        }
    }

    fn move_gap(&mut self) {
        while self.waiting.contains_key(&self.gap) {
            self.gap += 1;
        }
    }

    /// The last sequence, if the fees of all are more than the account holds.
    fn uncovered(&self) -> Option<u64> {
        let last = self.waiting.last_key_value().map(|(sequence, _)| *sequence);
        last.filter(|_| self.fees > self.balance.0)
    }

    fn check_replacement(
        &self,
        known: &Waiting,
        new: &CheckedTransaction,
    ) -> Result<(), ModuleError> {
        let least = u128::from(known.fee.0) * 11;
        if u128::from(new.fee.0) * 10 >= least.max(10) {
            return Ok(());
        }
        let (got, least) = (new.fee, least.max(10).div_ceil(10));
        let message = format!(
            "{got} uwlk, at least {least} uwlk replace the one with sequence {}",
            new.sequence
        );
        Err(MempoolError::ReplacementUnderpaid.because(message))
    }
}

/// A block that is being filled.
struct Reaping {
    room: Room,
    /// The next sequence of each account that was looked at.
    taken: BTreeMap<Address, u64>,
    chosen: Vec<Bytes>,
}

impl Reaping {
    /// Takes the account's next transaction, and those behind it that were passed over because
    /// they came too early. Whether there may be room for more.
    fn take_run(&mut self, sender: &Address, lane: &Lane) -> bool {
        let start = self.taken.get(sender).copied().unwrap_or(lane.next);
        let Some(first) = lane.waiting.get(&start) else {
            return true;
        };
        let mut next = start;
        while let Some(waiting) = lane.waiting.get(&next) {
            // Those that came later have their turn later.
            if waiting.arrival > first.arrival {
                break;
            }
            let bytes = waiting.raw.len() as u64 + FRAME_BYTES;
            if bytes > self.room.bytes || waiting.gas_limit > self.room.gas {
                // A smaller one of another account may still fit, but not for long.
                self.taken.insert(*sender, u64::MAX);
                return self.room.bytes > 1024;
            }
            self.room.bytes -= bytes;
            self.room.gas -= waiting.gas_limit;
            self.chosen.push(waiting.raw.clone());
            next += 1;
        }
        self.taken.insert(*sender, next);
        true
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
