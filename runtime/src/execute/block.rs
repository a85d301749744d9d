//! Executing a block that has been decided.

use super::{
    BlockInput, BlockOutput, ExecuteError, Invariants, LAST_BLOCK, LastBlock, Runtime, TxResult,
};
use crate::ctx::{Ctx, GAS_PER_CALL, Origin};
use crate::error::{Coded, Result, RuntimeError};
use crate::state::StateRead;
use crate::tx::Transaction;

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

    /// Runs the calls of a transaction, all or none.
    fn run(&self, ctx: &mut Ctx, transaction: &Transaction) -> Result<TxResult, ExecuteError> {
        let body = &transaction.body;
        ctx.begin(Origin::Account(body.sender), body.gas_limit);
        let outcome = ctx.atomic(|ctx| {
            for call in &body.calls {
                ctx.charge_gas(GAS_PER_CALL)?;
                let entry = self
                    .entry(call.module)
                    .ok_or_else(|| RuntimeError::UnknownModule.because(call.module))?;
                (entry.call)(ctx, &call.bytes)?;
            }
            // A module may have looked away when the gas ran out.
            ctx.charge_gas(0)
        });
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
}
