//! Waiting for a transaction, and proving what came of it.

use std::time::{Duration, Instant};

use welkin_runtime::tx::Transaction;
use welkin_runtime::{Amount, Hash, RuntimeError};

use super::proof::{Outcome, Placed, read, verify_outcome, verify_place};
use super::send::unconfirmed;
use super::{OutcomeProof, Receipt, SubmitOptions, Submitted};
use crate::chain::Chain;
use crate::error::{ClientError, TransactionRef};
use crate::rpc::Answered;
use crate::rpc::types::TxAnswer;

/// How often a transaction that waits is looked for, and handed in again.
const POLL: Duration = Duration::from_millis(15);
const LONG_POLL: Duration = Duration::from_millis(150);
const RESEND: Duration = Duration::from_secs(1);
/// Blocks that are searched for a transaction, at most.
const MAX_SEARCHED: u64 = 2_000;

impl Chain {
    /// Waits until a block has executed a transaction, and proves what came of it.
    ///
    /// # Errors
    /// [`ClientError::Expired`] when it is proven that it never will be; else as [`Chain::submit`].
    pub async fn wait(
        &self,
        submitted: &Submitted,
        options: &SubmitOptions,
    ) -> Result<Receipt, ClientError> {
        self.wait_hearing(submitted, options, &mut |_| ()).await
    }

    /// [`Chain::wait`], which tells `hear` why it waits.
    pub(super) async fn wait_hearing(
        &self,
        submitted: &Submitted,
        options: &SubmitOptions,
        hear: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Receipt, ClientError> {
        let (began, mut sent) = (Instant::now(), Instant::now());
        let timeout = Duration::from_millis(options.timeout_ms);
        let mut pause = POLL;
        let mut reason = "it is in no block yet".to_owned();
        loop {
            match self.rpc().tx(&submitted.id).await {
                Ok(Some(answer)) => {
                    self.note_used(submitted).await;
                    let height = answer.value.height;
                    match self.prove(&submitted.id, answer, options.proof).await {
                        Err(error) if !is_answer(&error) => {
                            reason = format!("block {height} is said to have it, and {error}");
                        }
                        done => return done,
                    }
                }
                Ok(None) => {}
                Err(error @ ClientError::Verification { .. }) => return Err(error),
                Err(error) => reason = error.to_string(),
            }
            if began.elapsed() >= timeout {
                return Err(unconfirmed(submitted, reason));
            }
            hear(&reason);
            if sent.elapsed() >= RESEND {
                sent = Instant::now();
                pause = LONG_POLL;
                let again = self.rpc().broadcast_tx_sync(&submitted.raw).await;
                reason = match again.map(|answer| answer.value.error()) {
                    Err(error) => error.to_string(),
                    Ok(None) => "it is in no block yet".to_owned(),
                    Ok(Some(error))
                        if error.is(RuntimeError::SequenceUsed)
                            || error.is(RuntimeError::Expired) =>
                    {
                        match self.settle(submitted, options.proof).await {
                            Ok(Some(receipt)) => return Ok(receipt),
                            Ok(None) => error.to_string(),
                            Err(error) if is_answer(&error) => return Err(error),
                            Err(error) => error.to_string(),
                        }
                    }
                    Ok(Some(error)) => error.to_string(),
                };
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
    pub(super) async fn find(
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
        let Answered { value, by, .. } = answer;
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
}

/// Whether a failure is what came of a transaction, or a lie about it. Any other says only that it is not known yet.
fn is_answer(error: &ClientError) -> bool {
    matches!(
        error,
        ClientError::Refused { .. }
            | ClientError::Expired { .. }
            | ClientError::Unconfirmed { .. }
            | ClientError::Verification { .. }
    )
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
