//! Handing transactions in and waiting for them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Mutex as AsyncMutex;
use welkin_modules::accounts;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::{Body, MAX_TRANSACTION_BYTES, RawCall, Terms, Transaction};
use welkin_runtime::{Address, Amount, Hash, ModuleError, RuntimeError};

use super::proof::{Outcome, Placed, read, verify_outcome, verify_place};
use super::sequence::Sequences;
use super::{OutcomeProof, Receipt, SubmitOptions, Submitted, gas_estimate, minimum_fee};
use crate::chain::Chain;
use crate::error::{ClientError, TransactionRef};
use crate::rpc::Answered;
use crate::rpc::types::TxAnswer;

/// How often one call is signed anew, at most, after its sequence turned out to be used.
const MAX_ATTEMPTS: usize = 5;
/// How long a look at an account is good for.
const FRESH: Duration = Duration::from_secs(2);
/// How often a transaction that waits is looked for, and handed in again.
const POLL: Duration = Duration::from_millis(15);
const LONG_POLL: Duration = Duration::from_millis(150);
const RESEND: Duration = Duration::from_secs(1);
/// How long is waited for a proof that a sequence was used.
const USED_PATIENCE: Duration = Duration::from_secs(10);
/// Accounts that are remembered.
const MAX_ACCOUNTS: usize = 1024;
/// Blocks that are searched for a transaction, at most.
const MAX_SEARCHED: u64 = 2_000;

/// What this client knows of the accounts that it signs for.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<BTreeMap<Address, Arc<AsyncMutex<Known>>>>);

/// An account as it was last seen. Whoever hands in a transaction of it holds the lock.
#[derive(Default)]
struct Known {
    sequences: Sequences,
    height: u64,
    looked: Option<Instant>,
}

impl Accounts {
    fn of(&self, address: &Address) -> Arc<AsyncMutex<Known>> {
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= MAX_ACCOUNTS && !rows.contains_key(address) {
            rows.retain(|_, row| Arc::strong_count(row) > 1);
        }
        Arc::clone(rows.entry(*address).or_default())
    }
}

/// What a node's check said.
enum Checked {
    Taken,
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
        let began = Instant::now();
        let mut left = options.clone();
        for _ in 1..MAX_ATTEMPTS {
            let submitted = self.broadcast(key, calls.clone(), &left).await?;
            let lost = match self.wait(&submitted, &left).await {
                Err(error @ ClientError::Expired { .. }) => error,
                done => return done,
            };
            let spent = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            left.timeout_ms = options.timeout_ms.saturating_sub(spent);
            if left.timeout_ms == 0 {
                return Err(lost);
            }
        }
        let submitted = self.broadcast(key, calls, &left).await?;
        self.wait(&submitted, &left).await
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
        let account = self.inner.accounts.of(&key.address());
        let mut known = account.lock().await;
        let mut refusal = None;
        for _ in 0..MAX_ATTEMPTS {
            if refusal.is_some() || known.looked.is_none_or(|at| at.elapsed() > FRESH) {
                self.look(&mut known, &key.address()).await?;
            }
            let submitted = self.build(&known, key, &calls, options).await?;
            let (sequence, expiry) = (submitted.sequence, submitted.expiry_height);
            known.sequences.take(sequence, expiry);
            match self.hand_in(&submitted, &mut known).await? {
                Checked::Taken => return Ok(submitted),
                Checked::SequenceGone(error) if error.is(RuntimeError::SequenceUsed) => {
                    if self.was_used_by(&submitted, &mut known).await? {
                        return Ok(submitted);
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

    /// Waits until a block has executed a transaction, and proves what came of it.
    ///
    /// # Errors
    /// [`ClientError::Expired`] when it is proven that it never will be; else as [`Chain::submit`].
    pub async fn wait(
        &self,
        submitted: &Submitted,
        options: &SubmitOptions,
    ) -> Result<Receipt, ClientError> {
        let (began, mut sent) = (Instant::now(), Instant::now());
        let timeout = Duration::from_millis(options.timeout_ms);
        let mut pause = POLL;
        loop {
            let reason = match self.rpc().tx(&submitted.id).await {
                Ok(Some(answer)) => {
                    self.note_used(submitted).await;
                    return self.prove(&submitted.id, answer, options.proof).await;
                }
                Ok(None) => "it is in no block yet".to_owned(),
                Err(error @ ClientError::Verification { .. }) => return Err(error),
                Err(error) => error.to_string(),
            };
            if began.elapsed() >= timeout {
                return Err(unconfirmed(submitted, reason));
            }
            if sent.elapsed() >= RESEND {
                sent = Instant::now();
                pause = LONG_POLL;
                let again = self.rpc().broadcast_tx_sync(&submitted.raw).await;
                let refusal = again.ok().and_then(|answer| answer.value.error());
                let is_over = refusal.is_some_and(|error| {
                    error.is(RuntimeError::SequenceUsed) || error.is(RuntimeError::Expired)
                });
                if is_over && let Some(receipt) = self.settle(submitted, options.proof).await? {
                    return Ok(receipt);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// A transaction by its id, proven, if a block has executed it.
    ///
    /// # Errors
    /// [`ClientError::NotFound`] when the server knows none, [`ClientError::Refused`] when it failed.
    pub async fn transaction(&self, id: &Hash) -> Result<Receipt, ClientError> {
        match self.rpc().tx(id).await? {
            Some(answer) => self.prove(id, answer, OutcomeProof::Full).await,
            None => {
                let message = format!("no block of the chain has transaction {id}");
                Err(ClientError::NotFound(message))
            }
        }
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
            Ok(answer) => Ok(Checked::of(answer.value.error())),
            Err(
                error @ ClientError::Unreachable {
                    maybe_sent: false, ..
                },
            ) => {
                known.sequences.release(submitted.sequence);
                Err(error)
            }
            Err(error) => Err(unconfirmed(submitted, error.to_string())),
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
            tokio::time::sleep(LONG_POLL).await;
        }
    }

    /// A node says that a transaction cannot be executed any more: proves it, or what came of it.
    /// Nothing if neither can be proven yet.
    async fn settle(
        &self,
        submitted: &Submitted,
        proof: OutcomeProof,
    ) -> Result<Option<Receipt>, ClientError> {
        let account = self.account(&submitted.sender).await?;
        let is_used = account.answer.sequence > submitted.sequence;
        if is_used && let Some(placed) = self.find(submitted, account.height).await? {
            self.note_used(submitted).await;
            let outcome = self.outcome(&placed, None, proof).await?;
            return receipt(&placed, outcome, submitted.fee).map(Some);
        }
        if is_used || account.height >= submitted.expiry_height {
            let row = self.inner.accounts.of(&submitted.sender);
            row.lock()
                .await
                .sequences
                .proven(account.height, account.answer.sequence);
            return Err(ClientError::Expired {
                id: submitted.id,
                expiry_height: submitted.expiry_height,
            });
        }
        Ok(None)
    }

    /// Searches the blocks since a transaction was sent, up to `height`, for it.
    async fn find(
        &self,
        submitted: &Submitted,
        height: u64,
    ) -> Result<Option<Placed>, ClientError> {
        let first = (submitted.sent_after_height + 1).max(self.light().initial_height());
        let last = height.min(submitted.expiry_height);
        if last.saturating_sub(first) > MAX_SEARCHED {
            let reason = format!("more than {MAX_SEARCHED} blocks would have to be searched");
            return Err(unconfirmed(submitted, reason));
        }
        for height in first..=last {
            let header = self.light().header(height).await?;
            let answer = self.rpc().block(height).await?;
            let data = answer.value.block.data;
            if data.hash() != header.header().data_hash {
                let claimed = format!("transactions of block {height}");
                let proven = "the header names others".to_owned();
                return Err(ClientError::lie(answer.by, claimed, proven));
            }
            let place = data
                .txs
                .iter()
                .position(|raw| Transaction::id(raw) == submitted.id);
            if let Some(index) = place.and_then(|place| u32::try_from(place).ok()) {
                let (id, total) = (submitted.id, data.txs.len() as u64);
                return Ok(Some(Placed {
                    id,
                    height,
                    index,
                    total,
                }));
            }
        }
        Ok(None)
    }

    async fn prove(
        &self,
        id: &Hash,
        answer: Answered<TxAnswer>,
        proof: OutcomeProof,
    ) -> Result<Receipt, ClientError> {
        let Answered { value, by } = answer;
        let header = self.light().header(value.height).await?;
        let placed = verify_place(id, &value, &header, &by)?;
        let transaction = (Transaction::id(&value.tx) == *id)
            .then(|| Transaction::decode(&value.tx).ok())
            .flatten();
        let transaction = transaction.ok_or_else(|| {
            ClientError::lie(
                &by,
                format!("the bytes of transaction {id}"),
                "they are not its bytes",
            )
        })?;
        let outcome = self.outcome(&placed, Some((&value, &by)), proof).await?;
        receipt(&placed, outcome, transaction.body.fee)
    }

    async fn outcome(
        &self,
        placed: &Placed,
        told: Option<(&TxAnswer, &str)>,
        proof: OutcomeProof,
    ) -> Result<Outcome, ClientError> {
        if let (OutcomeProof::Place, Some((answer, by))) = (proof, told) {
            return read(&answer.tx_result)
                .map_err(|why| ClientError::lie(by, "what came of a transaction", why));
        }
        let next = self.light().header(placed.height.saturating_add(1)).await?;
        let results = self.rpc().block_results(placed.height).await?;
        verify_outcome(placed, &results.value, &next, &results.by)
    }

    async fn note_used(&self, submitted: &Submitted) {
        let row = self.inner.accounts.of(&submitted.sender);
        row.lock()
            .await
            .sequences
            .used(submitted.sequence.saturating_add(1));
    }

    /// The least fee for a million gas.
    async fn gas_price(&self) -> Result<Amount, ClientError> {
        let known = *self.price();
        if let Some(price) = known {
            return Ok(price);
        }
        let query = accounts::Query::Params {};
        let proven = self.query::<accounts::Accounts>(&query).await?;
        let accounts::Answer::Params(params) = proven.answer else {
            unreachable!("the module answers a query with the variant of its name")
        };
        let price = params.min_fee_uwlk_per_million_gas;
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

fn receipt(placed: &Placed, outcome: Outcome, fee: Amount) -> Result<Receipt, ClientError> {
    let Placed {
        id, height, index, ..
    } = *placed;
    if let Some(error) = outcome.error {
        let transaction = Some(TransactionRef { id, height });
        return Err(ClientError::Refused { error, transaction });
    }
    Ok(Receipt {
        id,
        height,
        index,
        fee,
        gas_wanted: outcome.gas_wanted,
        gas_used: outcome.gas_used,
        events: outcome.events,
    })
}

fn unconfirmed(submitted: &Submitted, reason: String) -> ClientError {
    ClientError::Unconfirmed {
        id: submitted.id,
        expiry_height: submitted.expiry_height,
        reason,
    }
}
