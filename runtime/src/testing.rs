//! A chain in memory, for tests of modules and for simulations. No part of a node.

use serde_json::Value;

use crate::ctx::{BlockInfo, Ctx, Origin};
use crate::error::Result;
use crate::event::Event;
use crate::execute::{BlockInput, BlockOutput, ExecuteError, Invariants, Runtime};
use crate::module::Module;
use crate::state::MapState;
use crate::types::{Address, Time};

/// A chain of one runtime over a plain map. Invariants are checked after every step.
pub struct TestChain {
    runtime: Runtime,
    /// The state after the newest step.
    pub state: MapState,
    block: BlockInfo,
}

impl TestChain {
    /// A chain that begins with this `app_state` at this time.
    pub fn new(runtime: Runtime, app_state: &Value, time: Time) -> Result<TestChain, ExecuteError> {
        let genesis = runtime.genesis(app_state, time)?;
        let mut state = MapState::default();
        state.apply(genesis.writes);
        let block = BlockInfo {
            time,
            ..BlockInfo::default()
        };
        Ok(TestChain {
            runtime,
            state,
            block,
        })
    }

    /// The newest block's time.
    pub fn time(&self) -> Time {
        self.block.time
    }

    /// The newest block's height.
    pub fn height(&self) -> u64 {
        self.block.height
    }

    /// Makes a block, this much later than the one before.
    pub fn next_block(
        &mut self,
        nanos: u64,
        transactions: &[Vec<u8>],
    ) -> Result<BlockOutput, ExecuteError> {
        let block = BlockInfo {
            height: self.block.height + 1,
            time: self.block.time.saturating_add(nanos),
            ..BlockInfo::default()
        };
        let invariants = Invariants::Checked;
        let input = BlockInput {
            block: block.clone(),
            transactions,
            invariants,
        };
        let output = self.runtime.execute_block(&self.state, input)?;
        self.state.apply(output.writes.clone());
        self.block = block;
        Ok(output)
    }

    /// Lets an account call module `M` in the newest block, without a transaction and its fee.
    pub fn call<M: Module>(&mut self, sender: Address, call: M::Call) -> Result<Vec<Event>> {
        self.run(Origin::Account(sender), |ctx| M::call(ctx, call))
            .map(|((), events)| events)
    }

    /// Runs `work` in the newest block, all or nothing.
    pub fn run<T>(
        &mut self,
        origin: Origin,
        work: impl FnOnce(&mut Ctx) -> Result<T>,
    ) -> Result<(T, Vec<Event>)> {
        let listed = self.runtime.listed();
        let mut ctx = Ctx::new(&self.state, &self.block, &listed);
        ctx.begin(origin, u64::MAX);
        let result = ctx.atomic(work);
        let done = ctx.finish();
        self.state.apply(done.writes);
        self.runtime
            .check_state(&self.state)
            .expect("every invariant holds after every call");
        result.map(|value| (value, done.events))
    }

    /// Asks module `M`.
    pub fn query<M: Module>(&self, query: M::Query) -> Result<M::Answer, ExecuteError> {
        self.runtime.query_as::<M>(&self.state, query)
    }

    /// Reads state as a module does.
    pub fn read<T>(&self, work: impl FnOnce(&Ctx) -> Result<T>) -> Result<T, ExecuteError> {
        self.runtime.read(&self.state, work)
    }
}
