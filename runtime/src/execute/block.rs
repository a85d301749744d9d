//! Executing a block that has been decided, and a transaction that has not.

use super::{
    BlockInput, BlockOutput, ExecuteError, Invariants, LAST_BLOCK, LastBlock, Runtime, TxResult,
};
use crate::ctx::{BlockInfo, Ctx, GAS_PER_CALL, Origin};
use crate::error::{Coded, Result, RuntimeError};
use crate::state::StateRead;
use crate::tx::{Body, Transaction};

/// Gas of a rehearsal: far above what a transaction of a usual size needs, far below what a block
/// may use, so that one who pays nothing cannot keep a mempool busy.
pub const REHEARSAL_GAS_LIMIT: u64 = 4_000_000;

impl Runtime {
    /// Executes a block on the state before it: first all fees and sequences are taken, then come
    /// the begin hooks, the calls and the end hooks.
    ///
    /// A failing transaction is a result with a code. An error means that there is no result: the
    /// block was not valid, or state cannot be read.
    pub fn execute_block(
        &self,
        state: &dyn StateRead,
        input: BlockInput,
    ) -> Result<BlockOutput, ExecuteError> {
        let listed = self.listed();
        let mut ctx = Ctx::new(state, &input.block, &listed);
        let transactions = self.take_fees(&mut ctx, input.transactions)?;

        for entry in self.entries {
            (entry.begin_block)(&mut ctx);
        }
        let mut events = ctx.take_events();

        let mut tx_results = Vec::with_capacity(transactions.len());
        for transaction in &transactions {
            tx_results.push(self.run(&mut ctx, transaction)?);
        }

        ctx.begin(Origin::Chain, u64::MAX);
        for entry in self.entries {
            (entry.end_block)(&mut ctx);
        }
        let last = LastBlock {
            height: input.block.height,
            time: input.block.time,
        };
        LAST_BLOCK.set(&mut ctx, &last)?;
        if input.invariants == Invariants::Checked {
            self.check_invariants(&ctx)?;
        }
        ctx.sound()?;

        let done = ctx.finish();
        events.extend(done.events);
        Ok(BlockOutput {
            writes: done.writes,
            tx_results,
            events,
            validator_updates: done.validator_updates,
            due_work: done.due_work,
            hook_failures: done.hook_failures,
        })
    }

    /// Runs a transaction as the only one of the block `next`, and forgets what it wrote: refused
    /// with the error that its calls would fail with there.
    ///
    /// It says nothing of a transaction that follows others which are not in `state` yet. The
    /// block's hooks do not run, and one that needs more than [`REHEARSAL_GAS_LIMIT`] passes:
    /// what costs that much to find out is left to the block, which is paid for it.
    pub fn rehearse(
        &self,
        state: &dyn StateRead,
        next: &BlockInfo,
        body: &Body,
    ) -> Result<(), ExecuteError> {
        let listed = self.listed();
        let mut ctx = Ctx::new(state, next, &listed);
        let charged = (self.accounts.charge)(&mut ctx, &body.sender, body.fee);
        ctx.sound()?;
        charged?;

        let gas_limit = body.gas_limit.min(REHEARSAL_GAS_LIMIT);
        let outcome = self.run_calls(&mut ctx, body, gas_limit);
        ctx.sound()?;
        let is_cut_short = gas_limit < body.gas_limit && ctx.gas_used() > gas_limit;
        match outcome {
            Err(error) if !is_cut_short => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn take_fees(
        &self,
        ctx: &mut Ctx,
        raw_transactions: &[Vec<u8>],
    ) -> Result<Vec<Transaction>, ExecuteError> {
        let mut transactions = Vec::with_capacity(raw_transactions.len());
        for (position, raw) in raw_transactions.iter().enumerate() {
            let taken = Transaction::decode(raw).and_then(|transaction| {
                (self.accounts.charge)(ctx, &transaction.body.sender, transaction.body.fee)?;
                Ok(transaction)
            });
            ctx.sound()?;
            match taken {
                Ok(transaction) => transactions.push(transaction),
                Err(error) => return Err(ExecuteError::InvalidTransaction { position, error }),
            }
        }
        Ok(transactions)
    }

    /// Runs a transaction; its fee is taken already.
    fn run(&self, ctx: &mut Ctx, transaction: &Transaction) -> Result<TxResult, ExecuteError> {
        let body = &transaction.body;
        let outcome = self.run_calls(ctx, body, body.gas_limit);
        ctx.sound()?;

        let gas = TxResult {
            gas_wanted: body.gas_limit,
            gas_used: ctx.gas_used().min(body.gas_limit),
            ..TxResult::default()
        };
        let events = ctx.take_events();
        Ok(match outcome {
            Ok(()) => TxResult {
                data: borsh::to_vec(&events).expect("gas bounds events far below 4 GiB"),
                events,
                ..gas
            },
            Err(error) => TxResult {
                code: error.code,
                codespace: error.module,
                log: error.message,
                ..gas
            },
        })
    }

    /// Runs the calls of a transaction, all or none.
    fn run_calls(&self, ctx: &mut Ctx, body: &Body, gas_limit: u64) -> Result<()> {
        ctx.begin(Origin::Account(body.sender), gas_limit);
        ctx.atomic(|ctx| {
            for call in &body.calls {
                ctx.charge_gas(GAS_PER_CALL)?;
                let entry = self
                    .entry(call.module)
                    .ok_or_else(|| RuntimeError::UnknownModule.because(call.module))?;
                (entry.call)(ctx, &call.bytes)?;
            }
            // A module may have looked away when the gas ran out.
            ctx.charge_gas(0)
        })
    }
}
