//! What may enter the mempool, and what may stand in a block.

use std::collections::BTreeMap;

use super::{ExecuteError, Payer, Runtime};
use crate::crypto::BatchVerifier;
use crate::ctx::{BlockInfo, Ctx};
use crate::error::{Coded, ModuleError, Result, RuntimeError};
use crate::state::StateRead;
use crate::tx::Transaction;
use crate::types::{Address, Amount, ChainInfo, Hash};

/// Remembers which transactions were found to be signed well, by id. The id covers the signature,
/// so the answer for an id never changes.
pub trait SignatureCache {
    /// Whether the transaction is known to be signed well.
    fn contains(&self, id: &Hash) -> bool;

    /// Remembers that it is.
    fn insert(&self, id: Hash);
}

/// Remembers nothing.
pub struct NoCache;

impl SignatureCache for NoCache {
    fn contains(&self, _id: &Hash) -> bool {
        false
    }

    fn insert(&self, _id: Hash) {}
}

/// What a block may hold at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits {
    /// Bytes of all transactions.
    pub max_bytes: u64,
    /// Sum of all gas limits.
    pub max_gas: u64,
}

/// Against what a transaction is checked.
#[derive(Clone, Copy)]
pub struct TxCheck<'a> {
    /// This chain.
    pub chain: &'a ChainInfo,
    /// The height of the next block.
    pub height: u64,
    /// What a block may hold.
    pub limits: BlockLimits,
    /// Signatures that were checked before.
    pub signatures: &'a dyn SignatureCache,
}

/// Against what a block is checked.
#[derive(Clone, Copy)]
pub struct BlockCheck<'a> {
    /// This chain.
    pub chain: &'a ChainInfo,
    /// The height of the block.
    pub height: u64,
    /// What a block may hold.
    pub limits: BlockLimits,
    /// Signatures that were checked before.
    pub signatures: &'a dyn SignatureCache,
}

/// What a mempool must know of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedTransaction {
    /// SHA-256 of the raw bytes.
    pub id: Hash,
    /// Who sent it.
    pub sender: Address,
    /// Its place in the order of the sender's transactions.
    pub sequence: u64,
    /// What the sender has in the state that was checked against. A sequence above
    /// `payer.sequence` has to wait for the ones between.
    pub payer: Payer,
    /// What it pays.
    pub fee: Amount,
    /// The gas that it may use.
    pub gas_limit: u64,
    /// The last height at which it is valid.
    pub expiry_height: u64,
    /// Its raw size.
    pub bytes: usize,
}

impl Runtime {
    /// Checks a transaction for the mempool. It may have to wait for earlier ones of its sender.
    pub fn check_tx(
        &self,
        state: &dyn StateRead,
        check: &TxCheck,
        raw: &[u8],
    ) -> Result<CheckedTransaction, ExecuteError> {
        let transaction = self.decode_and_check(check.chain, check.height, check.limits, raw)?;
        let body = &transaction.body;
        let block = BlockInfo {
            height: check.height,
            ..BlockInfo::default()
        };
        let ctx = Ctx::new(state, &block, &[]);
        let account = (self.accounts.payer)(&ctx, &body.sender);
        let minimum_fee = (self.accounts.minimum_fee)(&ctx, body.gas_limit);
        ctx.sound()?;
        let (payer, minimum_fee) = (account?, minimum_fee?);
        check_payment(&transaction, &payer, minimum_fee)?;

        let id = Transaction::id(raw);
        if !check.signatures.contains(&id) {
            transaction.check_signature(raw)?;
            check.signatures.insert(id);
        }
        Ok(CheckedTransaction {
            id,
            sender: body.sender,
            sequence: body.sequence,
            payer,
            fee: body.fee,
            gas_limit: body.gas_limit,
            expiry_height: body.expiry_height,
            bytes: raw.len(),
        })
    }

    /// Checks the transactions of a block against the state before it, without running them.
    pub fn validate_block(
        &self,
        state: &dyn StateRead,
        check: &BlockCheck,
        raw_transactions: &[Vec<u8>],
    ) -> Result<(), ExecuteError> {
        let bytes = raw_transactions
            .iter()
            .map(|raw| raw.len() as u64)
            .sum::<u64>();
        if bytes > check.limits.max_bytes {
            let message = format!("{bytes} bytes of at most {}", check.limits.max_bytes);
            return Err(RuntimeError::BlockTooLarge.because(message).into());
        }
        let block = BlockInfo {
            height: check.height,
            ..BlockInfo::default()
        };
        let ctx = Ctx::new(state, &block, &[]);
        let mut payers = BTreeMap::new();
        let mut gas = 0u64;
        let mut transactions = Vec::with_capacity(raw_transactions.len());
        for (position, raw) in raw_transactions.iter().enumerate() {
            let counted = self
                .decode_and_check(check.chain, check.height, check.limits, raw)
                .and_then(|transaction| {
                    self.count(&ctx, &mut payers, &transaction)?;
                    Ok(transaction)
                });
            ctx.sound()?;
            let transaction =
                counted.map_err(|error| ExecuteError::InvalidTransaction { position, error })?;
            gas = gas.saturating_add(transaction.body.gas_limit);
            transactions.push(transaction);
        }
        if gas > check.limits.max_gas {
            let message = format!("{gas} of at most {}", check.limits.max_gas);
            return Err(RuntimeError::BlockGasExceeded.because(message).into());
        }
        verify_signatures(&transactions, raw_transactions, check.signatures)
    }

    /// Decodes a transaction and checks all that needs neither state nor the signature.
    fn decode_and_check(
        &self,
        chain: &ChainInfo,
        height: u64,
        limits: BlockLimits,
        raw: &[u8],
    ) -> Result<Transaction> {
        let transaction = Transaction::decode(raw)?;
        transaction.check_form(chain, height, limits.max_gas)?;
        for call in &transaction.body.calls {
            let entry = self
                .entry(call.module)
                .ok_or_else(|| RuntimeError::UnknownModule.because(call.module))?;
            (entry.check_call)(&call.bytes)?;
        }
        Ok(transaction)
    }

    /// Counts a transaction of a block against what its sender had before the block.
    fn count(
        &self,
        ctx: &Ctx,
        payers: &mut BTreeMap<Address, Payer>,
        transaction: &Transaction,
    ) -> Result<()> {
        let body = &transaction.body;
        let left = match payers.get_mut(&body.sender) {
            Some(left) => left,
            None => {
                let payer = (self.accounts.payer)(ctx, &body.sender)?;
                payers.entry(body.sender).or_insert(payer)
            }
        };
        if body.sequence > left.sequence {
            let message = format!("{} is next, not {}", left.sequence, body.sequence);
            return Err(RuntimeError::SequenceGap.because(message));
        }
        check_payment(transaction, left, Amount::ZERO)?;
        left.sequence += 1;
        left.balance = left
            .balance
            .checked_sub(body.fee)
            .ok_or_else(|| not_covered(left, body.fee))?;
        Ok(())
    }
}

/// Checks sequence and fee against what the sender has.
fn check_payment(transaction: &Transaction, payer: &Payer, minimum_fee: Amount) -> Result<()> {
    let body = &transaction.body;
    if body.sequence < payer.sequence {
        let message = format!("{} is next, not {}", payer.sequence, body.sequence);
        return Err(RuntimeError::SequenceUsed.because(message));
    }
    if body.fee < minimum_fee {
        let message = format!("{} uwlk, at least {minimum_fee} uwlk are due", body.fee);
        return Err(RuntimeError::FeeTooLow.because(message));
    }
    if body.fee > payer.balance {
        return Err(not_covered(payer, body.fee));
    }
    Ok(())
}

fn not_covered(payer: &Payer, fee: Amount) -> ModuleError {
    let message = format!(
        "the fee is {fee} uwlk, the sender holds {} uwlk",
        payer.balance
    );
    RuntimeError::FeeNotCovered.because(message)
}

/// Verifies in one batch all signatures that are not yet known.
fn verify_signatures(
    transactions: &[Transaction],
    raw_transactions: &[Vec<u8>],
    known: &dyn SignatureCache,
) -> Result<(), ExecuteError> {
    let mut batch = BatchVerifier::new();
    let mut queued = Vec::new();
    for (position, (transaction, raw)) in transactions.iter().zip(raw_transactions).enumerate() {
        let id = Transaction::id(raw);
        if known.contains(&id) {
            continue;
        }
        transaction
            .check_key()
            .map_err(|error| ExecuteError::InvalidTransaction { position, error })?;
        let signed = Transaction::signed_part(raw);
        batch.push(&transaction.body.public_key, signed, &transaction.signature);
        queued.push((position, id));
    }
    batch
        .verify()
        .map_err(|bad| ExecuteError::InvalidTransaction {
            position: queued[bad].0,
            error: RuntimeError::BadSignature.into(),
        })?;
    for (_, id) in queued {
        known.insert(id);
    }
    Ok(())
}
