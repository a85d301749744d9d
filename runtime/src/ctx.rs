//! All that a module may touch while it runs.

use std::cell::{Cell, RefCell};

use serde::{Deserialize, Serialize};

use crate::error::{Coded, ModuleError, Result, RuntimeError};
use crate::event::Event;
use crate::execute::ValidatorUpdate;
use crate::module::Module;
use crate::names;
use crate::overlay::Overlay;
use crate::state::{MAX_VALUE_BYTES, Pair, StateError, StateRead, Writes};
use crate::storage::{Prefix, StorageItem};
use crate::types::{Address, Time};

/// Gas of a call, whatever it does.
pub const GAS_PER_CALL: u64 = 1_000;

/// Gas of a byte of key or value that is read or written, and of a byte of an event.
pub const GAS_PER_BYTE: u64 = 1;

/// Layers within each other, at most. Deeper nesting would be a recursion that somebody steers.
const MAX_DEPTH: usize = 32;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// An account, by its signature.
    Account(Address),
    /// The chain itself: genesis, a hook, or a query.
    Chain,
}

/// A validator's part in the previous block's commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteInfo {
    /// The first 20 bytes of SHA-256 of the validator's key.
    pub validator: [u8; 20],
    /// Its voting power then.
    pub power: u64,
    /// Whether it signed, for the block or for nil.
    pub signed: bool,
}

/// Proven misbehaviour of a validator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    /// The first 20 bytes of SHA-256 of the validator's key.
    pub validator: [u8; 20],
    /// The height at which it happened.
    pub height: u64,
    /// The time of that height.
    pub time: Time,
    /// The validator's voting power then.
    pub power: u64,
    /// The power of all validators then.
    pub total_power: u64,
}

/// The block that runs, as far as modules may see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockInfo {
    /// Its height; the genesis has the one before the first.
    pub height: u64,
    /// Its time.
    pub time: Time,
    /// The address of the validator that proposed it.
    pub proposer: [u8; 20],
    /// Who signed the block before.
    pub last_commit: Vec<VoteInfo>,
    /// Who was caught.
    pub misbehaviour: Vec<Misbehaviour>,
}

/// A part of a hook's work that failed and was undone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFailure {
    /// What the module was doing.
    pub what: &'static str,
    /// Why it failed.
    pub error: ModuleError,
}

/// The context of a call, a hook, a query or a genesis: state, block, origin, gas and events.
///
/// Writes and events gather in layers. [`Ctx::atomic`] opens one; if its function fails, what it
/// wrote and emitted is gone.
pub struct Ctx<'s> {
    state: &'s dyn StateRead,
    block: &'s BlockInfo,
    listed: &'s [Prefix],
    origin: Origin,
    overlay: Overlay,
    gas_limit: Cell<u64>,
    gas_used: Cell<u64>,
    fault: RefCell<Option<StateError>>,
    events: Vec<Event>,
    hook_failures: Vec<HookFailure>,
    validator_updates: Vec<ValidatorUpdate>,
    due_work: bool,
}

/// Reading what surrounds the call.
impl<'s> Ctx<'s> {
    /// A context over `state` at `block`, for the chain itself and without a gas limit. `listed`
    /// are the storage items that may be written, in order.
    pub(crate) fn new(
        state: &'s dyn StateRead,
        block: &'s BlockInfo,
        listed: &'s [Prefix],
    ) -> Ctx<'s> {
        Ctx {
            state,
            block,
            listed,
            origin: Origin::Chain,
            overlay: Overlay::default(),
            gas_limit: Cell::new(u64::MAX),
            gas_used: Cell::new(0),
            fault: RefCell::new(None),
            events: Vec::new(),
            hook_failures: Vec::new(),
            validator_updates: Vec::new(),
            due_work: false,
        }
    }

    /// The block that runs; in a query the newest one.
    pub fn block(&self) -> &BlockInfo {
        self.block
    }

    /// The height of that block.
    pub fn height(&self) -> u64 {
        self.block.height
    }

    /// The time of that block.
    pub fn time(&self) -> Time {
        self.block.time
    }

    /// Who asks.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// The account that asks; refused where it is none.
    pub fn sender(&self) -> Result<Address> {
        match self.origin {
            Origin::Account(address) => Ok(address),
            Origin::Chain => Err(RuntimeError::NotAnAccount.into()),
        }
    }

    /// Gas used since the limit was set.
    pub fn gas_used(&self) -> u64 {
        self.gas_used.get()
    }
}

/// Telling what happened.
impl Ctx<'_> {
    /// Emits an event of module `M`. It is lost if the layer fails.
    pub fn emit<M: Module>(&mut self, event: M::Event) -> Result<()> {
        let data =
            borsh::to_vec(&event).map_err(|error| RuntimeError::ValueTooLarge.because(error))?;
        self.charge(data.len())?;
        let name = names::variant(&event).into();
        self.events.push(Event {
            module: M::NAME.into(),
            name,
            data,
        });
        Ok(())
    }

    /// Changes a validator's power, 0 to remove it. Takes effect two heights later. Of several
    /// updates of one key in a block the last one holds.
    pub fn update_validator(&mut self, update: ValidatorUpdate) {
        self.validator_updates.push(update);
    }

    /// Says that work is due which this block had no room for, so that the next block comes early.
    pub fn report_due_work(&mut self) {
        self.due_work = true;
    }
}

/// Layers.
impl<'s> Ctx<'s> {
    /// Runs `work` in a layer of its own: if it fails, its writes and events are undone. Gas stays
    /// used.
    pub fn atomic<T>(&mut self, work: impl FnOnce(&mut Ctx<'s>) -> Result<T>) -> Result<T> {
        if self.overlay.depth() >= MAX_DEPTH {
            return Err(RuntimeError::OutOfGas.because("calls are nested too deeply"));
        }
        let events = self.events.len();
        let validator_updates = self.validator_updates.len();
        let due_work = self.due_work;
        let writes = self.overlay.open();
        let result = work(self);
        if result.is_ok() {
            self.overlay.keep(writes);
        } else {
            self.overlay.undo(writes);
            self.events.truncate(events);
            self.validator_updates.truncate(validator_updates);
            self.due_work = due_work;
        }
        result
    }

    /// [`Ctx::atomic`] for hooks, which cannot fail: a failure undoes this part of the work, is
    /// reported to the operator and changes nothing else.
    pub fn attempt<T>(
        &mut self,
        what: &'static str,
        work: impl FnOnce(&mut Ctx<'s>) -> Result<T>,
    ) -> Option<T> {
        match self.atomic(work) {
            Ok(value) => Some(value),
            Err(error) => {
                self.hook_failures.push(HookFailure { what, error });
                None
            }
        }
    }
}

/// Raw state, for the handles in [`crate::storage`].
impl Ctx<'_> {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let value = match self.overlay.get(key) {
            Some(written) => written.clone(),
            None => self.note(self.state.get(key))?,
        };
        self.charge(key.len() + value.as_ref().map_or(0, Vec::len))?;
        Ok(value)
    }

    pub(crate) fn range(&self, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Pair>> {
        let rows = self.note(self.overlay.range(self.state, from, to, limit))?;
        let bytes: usize = rows
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        self.charge(from.len() + bytes)?;
        Ok(rows)
    }

    pub(crate) fn put(
        &mut self,
        item: &StorageItem,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) -> Result<()> {
        debug_assert!(
            self.listed.binary_search(&item.prefix).is_ok(),
            "{} is written but not in its module's STORAGE list",
            item.name,
        );
        let bytes = value.as_ref().map_or(0, Vec::len);
        if bytes > MAX_VALUE_BYTES {
            let message = format!("{} would be {bytes} bytes of at most 64 KiB", item.name);
            return Err(RuntimeError::ValueTooLarge.because(message));
        }
        self.charge(key.len() + bytes)?;
        self.overlay.put(key, value);
        Ok(())
    }

    /// Whether this stands under `key`: for checks that only some builds make, so it costs no gas.
    pub(crate) fn holds(&self, key: &[u8], value: &[u8]) -> bool {
        let below = || self.state.get(key).ok().flatten();
        let found = self.overlay.get(key).cloned().unwrap_or_else(below);
        found.is_some_and(|found| found == value)
    }

    /// Counts the bytes that were touched.
    fn charge(&self, bytes: usize) -> Result<()> {
        self.charge_gas((bytes as u64).saturating_mul(GAS_PER_BYTE))
    }

    pub(crate) fn charge_gas(&self, gas: u64) -> Result<()> {
        let used = self.gas_used.get().saturating_add(gas);
        self.gas_used.set(used);
        if used > self.gas_limit.get() {
            let limit = self.gas_limit.get();
            return Err(RuntimeError::OutOfGas.because(format!("the limit is {limit}")));
        }
        Ok(())
    }

    /// Remembers that state could not be read, even if the module looks away.
    pub(crate) fn note<T>(&self, read: std::result::Result<T, StateError>) -> Result<T> {
        read.map_err(|error| {
            self.fault.borrow_mut().get_or_insert_with(|| error.clone());
            error.into()
        })
    }
}

/// For whoever runs the modules.
impl Ctx<'_> {
    /// Starts a call or a hook: who asks, and how much gas there is.
    pub(crate) fn begin(&mut self, origin: Origin, gas_limit: u64) {
        self.origin = origin;
        self.gas_limit.set(gas_limit);
        self.gas_used.set(0);
    }

    /// Fails if state could not be read since the context was made.
    pub(crate) fn sound(&self) -> std::result::Result<(), StateError> {
        match &*self.fault.borrow() {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    /// The events so far, which are then gone from here.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// What came of it all.
    pub(crate) fn finish(self) -> Finished {
        let mut validator_updates: Vec<ValidatorUpdate> = Vec::new();
        for update in self.validator_updates {
            validator_updates.retain(|earlier| earlier.public_key != update.public_key);
            validator_updates.push(update);
        }
        Finished {
            writes: self.overlay.into_writes(),
            events: self.events,
            hook_failures: self.hook_failures,
            validator_updates,
            due_work: self.due_work,
        }
    }
}

/// What is left of a context when its work is done.
pub(crate) struct Finished {
    pub(crate) writes: Writes,
    pub(crate) events: Vec<Event>,
    pub(crate) hook_failures: Vec<HookFailure>,
    pub(crate) validator_updates: Vec<ValidatorUpdate>,
    pub(crate) due_work: bool,
}

#[cfg(test)]
mod tests;
