//! Answering questions about a state, full or proven.

use super::{ExecuteError, LAST_BLOCK, LastBlock, Runtime};
use crate::ctx::{BlockInfo, Ctx, Origin};
use crate::error::{Coded, RuntimeError};
use crate::module::{Entry, Module};
use crate::state::StateRead;

/// Gas of a query: what it may read, so that nobody can keep a server busy with one question. A
/// client that answers from a proof has the same limit and so comes to the same answer.
pub const QUERY_GAS_LIMIT: u64 = 16_000_000;

impl Runtime {
    /// Answers a query of the module with this name: borsh in, borsh out.
    ///
    /// Over a [`crate::Recorder`] the reads of a witness are recorded; over a proven part of state
    /// the same answer comes out, or [`crate::StateError::NotCovered`].
    pub fn query(
        &self,
        state: &dyn StateRead,
        module: &str,
        query: &[u8],
    ) -> Result<Vec<u8>, ExecuteError> {
        let entry = self.named(module)?;
        self.read(state, |ctx| (entry.query)(ctx, query))
    }

    /// [`Runtime::query`] with types.
    pub fn query_as<M: Module>(
        &self,
        state: &dyn StateRead,
        query: M::Query,
    ) -> Result<M::Answer, ExecuteError> {
        self.read(state, |ctx| M::query(ctx, query))
    }

    /// Runs `work` on a state for reading, as a query runs.
    pub fn read<T>(
        &self,
        state: &dyn StateRead,
        work: impl FnOnce(&Ctx) -> crate::Result<T>,
    ) -> Result<T, ExecuteError> {
        let block = last_block(state)?;
        let mut ctx = Ctx::new(state, &block, &[]);
        ctx.begin(Origin::Chain, QUERY_GAS_LIMIT);
        let answer = work(&ctx);
        ctx.sound()?;
        Ok(answer?)
    }

    /// Runs `work` on a state as the chain itself would in its newest block, and forgets what it wrote: what would come of
    /// it. All invariants are checked on what it leaves.
    pub fn foresee<T>(
        &self,
        state: &dyn StateRead,
        work: impl FnOnce(&mut Ctx) -> crate::Result<T>,
    ) -> Result<T, ExecuteError> {
        let block = last_block(state)?;
        let listed = self.listed();
        let mut ctx = Ctx::new(state, &block, &listed);
        let outcome = work(&mut ctx);
        ctx.sound()?;
        let answer = outcome?;
        self.check_invariants(&ctx)?;
        Ok(answer)
    }

    /// Checks all invariants on a state.
    pub fn check_state(&self, state: &dyn StateRead) -> Result<(), ExecuteError> {
        let block = last_block(state)?;
        self.check_invariants(&Ctx::new(state, &block, &[]))
    }

    pub(super) fn named(&self, module: &str) -> crate::Result<&'static Entry> {
        self.entry_named(module)
            .ok_or_else(|| RuntimeError::UnknownModule.because(format!("{module:.32?}")))
    }
}

/// The block after which `state` is as it is. Before the genesis it is height and time 0.
pub(super) fn last_block(state: &dyn StateRead) -> Result<BlockInfo, ExecuteError> {
    let nowhere = BlockInfo::default();
    let ctx = Ctx::new(state, &nowhere, &[]);
    let last = LAST_BLOCK.get(&ctx);
    ctx.sound()?;
    let LastBlock { height, time } = last?.unwrap_or(LastBlock {
        height: 0,
        time: nowhere.time,
    });
    Ok(BlockInfo {
        height,
        time,
        ..BlockInfo::default()
    })
}
