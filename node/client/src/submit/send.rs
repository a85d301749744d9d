//! Signing transactions and handing them in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;
use welkin_modules::accounts;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::{Body, MAX_TRANSACTION_BYTES, RawCall, Terms, Transaction};
use welkin_runtime::{Address, Amount, ModuleError, RuntimeError};

use super::sequence::Sequences;
use super::{Receipt, SubmitOptions, Submitted, gas_estimate, minimum_fee};
use crate::chain::Chain;
use crate::error::ClientError;

/// How often one call is signed anew, at most, after its sequence turned out to be used.
const MAX_ATTEMPTS: usize = 5;
/// How long a look at an account is good for.
const FRESH: Duration = Duration::from_secs(2);
/// How long is waited for a proof that a sequence was used.
const USED_PATIENCE: Duration = Duration::from_secs(10);
/// Accounts that are remembered.
const MAX_ACCOUNTS: usize = 1024;
const USED_POLL: Duration = Duration::from_millis(100);

/// What this client knows of the accounts that it signs for.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<BTreeMap<Address, Arc<AsyncMutex<Known>>>>);

/// An account as it was last seen. Whoever hands in a transaction of it holds the lock.
#[derive(Default)]
pub(super) struct Known {
    pub(super) sequences: Sequences,
    height: u64,
    looked: Option<Instant>,
}

impl Accounts {
    pub(super) fn of(&self, address: &Address) -> Arc<AsyncMutex<Known>> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= MAX_ACCOUNTS && !rows.contains_key(address) {
            rows.retain(|_, row| Arc::strong_count(row) > 1);
        }
        Arc::clone(rows.entry(*address).or_default())
    }
}

/// What became of the handing in of a transaction.
enum Handed {
    /// A node has taken it.
    Taken,
    /// Nobody knows, and why: a node may have taken it.
    Unclear(String),
}

/// What a node's check said.
enum Checked {
    Taken,
    /// It is not known whether a node has taken it.
    Unclear(String),
    /// The sequence is not ours to use: it was used, or another transaction waits with it.
    SequenceGone(ModuleError),
    /// It has to be built anew, from a newer look at the chain.
    Outdated(ModuleError),
    Refused(ModuleError),
}

/// The mempool's own refusal of a second transaction with a sequence (`welkin-node`).
const MEMPOOL: &str = "mempool";
const REPLACEMENT_UNDERPAID: u32 = 3;

impl Checked {
    fn of(error: Option<ModuleError>) -> Checked {
        match error {
            None => Checked::Taken,
            Some(error)
                if error.is(RuntimeError::SequenceUsed)
                    || error.module == MEMPOOL && error.code == REPLACEMENT_UNDERPAID =>
            {
                Checked::SequenceGone(error)
            }
            Some(error) if error.is(RuntimeError::Expired) || error.is(RuntimeError::FeeTooLow) => {
                Checked::Outdated(error)
            }
            Some(error) => Checked::Refused(error),
        }
    }
}

impl Chain {
    /// Does these calls, all or none: signs, hands in, waits until a block has executed them, and
    /// proves it. Signs anew only when it is proven that nothing happened.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the chain refuses, [`ClientError::Unconfirmed`] when it is not
    /// known what happened, [`ClientError::Verification`] when a server lies.
    pub async fn submit(
        &self,
        key: &SigningKey,
        calls: Vec<RawCall>,
    ) -> Result<Receipt, ClientError> {
        self.submit_with(key, calls, &SubmitOptions::default())
            .await
    }

    /// [`Chain::submit`] with options.
    ///
    /// # Errors
    /// As there.
    pub async fn submit_with(
        &self,
        key: &SigningKey,
        calls: Vec<RawCall>,
        options: &SubmitOptions,
    ) -> Result<Receipt, ClientError> {
        self.submit_hearing(key, calls, options, &mut |_| ()).await
    }

    /// [`Chain::submit_with`], which tells `hear` why it waits, again and again while it does so.
    ///
    /// # Errors
    /// As there.
    pub async fn submit_hearing(
        &self,
        key: &SigningKey,
        calls: Vec<RawCall>,
        options: &SubmitOptions,
        hear: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Receipt, ClientError> {
        let began = Instant::now();
        let mut left = options.clone();
        for attempt in 1.. {
            // What may have been taken is handed in again while it is waited for.
            let (submitted, _) = self.sign_and_hand_in(key, &calls, &left).await?;
            let lost = match self.wait_hearing(&submitted, &left, hear).await {
                Err(error @ ClientError::Expired { .. }) => error,
                done => return done,
            };
            let spent = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            left.timeout_ms = options.timeout_ms.saturating_sub(spent);
            if left.timeout_ms == 0 || attempt == MAX_ATTEMPTS {
                return Err(lost);
            }
        }
        unreachable!("the attempts are counted")
    }

    /// Signs these calls and hands them in. A node has taken them when this returns; no block has
    /// executed them yet.
    ///
    /// # Errors
    /// As [`Chain::submit`].
    pub async fn broadcast(
        &self,
        key: &SigningKey,
        calls: Vec<RawCall>,
        options: &SubmitOptions,
    ) -> Result<Submitted, ClientError> {
        match self.sign_and_hand_in(key, &calls, options).await? {
            (submitted, Handed::Taken) => Ok(submitted),
            (submitted, Handed::Unclear(reason)) => Err(unconfirmed(&submitted, reason)),
        }
    }

    async fn sign_and_hand_in(
        &self,
        key: &SigningKey,
        calls: &[RawCall],
        options: &SubmitOptions,
    ) -> Result<(Submitted, Handed), ClientError> {
        let account = self.inner.accounts.of(&key.address());
        let mut known = account.lock().await;
        let mut refusal = None;
        for _ in 0..MAX_ATTEMPTS {
            if refusal.is_some() || known.looked.is_none_or(|at| at.elapsed() > FRESH) {
                self.look(&mut known, &key.address()).await?;
            }
            let submitted = self.build(&known, key, calls, options).await?;
            let (sequence, expiry) = (submitted.sequence, submitted.expiry_height);
            known.sequences.take(sequence, expiry);
            match self.hand_in(&submitted, &mut known).await? {
                Checked::Taken => return Ok((submitted, Handed::Taken)),
                Checked::Unclear(reason) => return Ok((submitted, Handed::Unclear(reason))),
                Checked::SequenceGone(error) if error.is(RuntimeError::SequenceUsed) => {
                    if self.was_used_by(&submitted, &mut known).await? {
                        return Ok((submitted, Handed::Taken));
                    }
                    refusal = Some(error);
                }
                // Somebody else's transaction has the sequence, for as long as ours would have.
                Checked::SequenceGone(error) => refusal = Some(error),
                Checked::Outdated(error) => {
                    known.sequences.release(sequence);
                    if refusal
                        .as_ref()
                        .is_some_and(|before| before.code == error.code)
                    {
                        return Err(ClientError::refused(error));
                    }
                    *self.price() = None;
                    refusal = Some(error);
                }
                Checked::Refused(error) => {
                    known.sequences.release(sequence);
                    return Err(ClientError::refused(error));
                }
            }
        }
        let error = refusal.unwrap_or_else(|| RuntimeError::SequenceUsed.into());
        Err(ClientError::refused(error))
    }

    async fn build(
        &self,
        known: &Known,
        key: &SigningKey,
        calls: &[RawCall],
        options: &SubmitOptions,
    ) -> Result<Submitted, ClientError> {
        let block_gas = u64::try_from(self.genesis().consensus_params.block.max_gas);
        let gas_limit = options
            .gas_limit
            .unwrap_or_else(|| gas_estimate(calls).min(block_gas.unwrap_or(u64::MAX)));
        let fee = match options.fee {
            Some(fee) => fee,
            None => minimum_fee(gas_limit, self.gas_price().await?),
        };
        let terms = Terms {
            sequence: known.sequences.next(),
            expiry_height: known.height.saturating_add(options.lifetime_blocks.max(1)),
            gas_limit,
            fee,
        };
        let body = Body::new(self.info(), key.public_key(), terms, calls.to_vec());
        let raw = body.sign(key).encode();
        if raw.len() > MAX_TRANSACTION_BYTES {
            let bytes = raw.len();
            return Err(ClientError::Usage(format!(
                "the transaction has {bytes} bytes, at most {MAX_TRANSACTION_BYTES} are allowed"
            )));
        }
        Ok(Submitted {
            id: Transaction::id(&raw),
            sender: key.address(),
            sequence: terms.sequence,
            sent_after_height: known.height,
            expiry_height: terms.expiry_height,
            fee,
            raw,
        })
    }

    async fn hand_in(
        &self,
        submitted: &Submitted,
        known: &mut Known,
    ) -> Result<Checked, ClientError> {
        match self.rpc().broadcast_tx_sync(&submitted.raw).await {
            Ok(answer) if answer.value.hash != submitted.id => {
                let claimed = format!("to have got transaction {}", answer.value.hash);
                let proven = format!("it was sent {}", submitted.id);
                Err(ClientError::lie(answer.by, claimed, proven))
            }
            Ok(answer) => match Checked::of(answer.value.error()) {
                // A server whose answer got lost may have taken it: then it is not this one's to refuse.
                Checked::Outdated(error) | Checked::Refused(error) if answer.others_may_have_it => {
                    Ok(Checked::Unclear(error.to_string()))
                }
                checked => Ok(checked),
            },
            Err(
                error @ ClientError::Unreachable {
                    maybe_sent: false, ..
                },
            ) => {
                known.sequences.release(submitted.sequence);
                Err(error)
            }
            Err(error) => Ok(Checked::Unclear(error.to_string())),
        }
    }

    /// Looks at the account as it is proven to be.
    async fn look(&self, known: &mut Known, address: &Address) -> Result<(), ClientError> {
        let account = self.account(address).await?;
        known
            .sequences
            .proven(account.height, account.answer.sequence);
        known.height = known.height.max(account.height);
        known.looked = Some(Instant::now());
        Ok(())
    }

    /// A node says that the sequence of a transaction was used. Waits until that is proven, and
    /// finds out whether it was by this very transaction.
    async fn was_used_by(
        &self,
        submitted: &Submitted,
        known: &mut Known,
    ) -> Result<bool, ClientError> {
        let began = Instant::now();
        loop {
            let account = self.account(&submitted.sender).await?;
            known.sequences.used(account.answer.sequence);
            known.height = known.height.max(account.height);
            known.looked = Some(Instant::now());
            if account.answer.sequence > submitted.sequence {
                let found = self.find(submitted, account.height).await?;
                return Ok(found.is_some());
            }
            if began.elapsed() > USED_PATIENCE {
                let sequence = account.answer.sequence;
                let reason = format!("a server says its sequence was used, but {sequence} is next");
                return Err(unconfirmed(submitted, reason));
            }
            tokio::time::sleep(USED_POLL).await;
        }
    }

    /// The least fee for a million gas.
    async fn gas_price(&self) -> Result<Amount, ClientError> {
        let known = *self.price();
        if let Some(price) = known {
            return Ok(price);
        }
        let query = accounts::Query::Params {};
        let pick = |answer| match answer {
            accounts::Answer::Params(params) => Some(params.min_fee_uwlk_per_million_gas),
            _ => None,
        };
        let price = self.one::<accounts::Accounts, _>(0, &query, pick).await?;
        let price = price.answer;
        *self.price() = Some(price);
        Ok(price)
    }

    fn price(&self) -> std::sync::MutexGuard<'_, Option<Amount>> {
        self.inner
            .price
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn unconfirmed(submitted: &Submitted, reason: String) -> ClientError {
    ClientError::Unconfirmed {
        id: submitted.id,
        expiry_height: submitted.expiry_height,
        reason,
    }
}
