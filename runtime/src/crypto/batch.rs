//! Many signatures at once, at about half the price of one by one.

use std::convert::Infallible;

use ed25519_zebra::batch;
use rand_core::{TryCryptoRng, TryRng};

use super::zebra;

/// Collects signatures and verifies them together.
///
/// The answer is that of [`super::verify`] for each, always: the combined equation fails if any
/// signature fails, but for a chance of 2^-128 that nobody can aim at, because its factors are
/// drawn from a hash over the whole batch. (A random number would do as well; here is none.)
#[derive(Default)]
pub struct BatchVerifier {
    items: Vec<batch::Item>,
    transcript: blake3::Hasher,
}

impl BatchVerifier {
    /// A verifier without signatures.
    pub fn new() -> BatchVerifier {
        BatchVerifier::default()
    }

    /// Adds a signature.
    pub fn push(&mut self, public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) {
        // The message's length goes first, so that two batches never have one transcript.
        self.transcript
            .update(&(message.len() as u64).to_le_bytes());
        self.transcript
            .update(public_key)
            .update(signature)
            .update(message);
        let (key, signature) = zebra(public_key, signature);
        self.items
            .push(batch::Item::from((key, signature, message)));
    }

    /// How many signatures there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Verifies all; the error is the position of the first signature that is not valid.
    pub fn verify(self) -> Result<(), usize> {
        // A batch of one costs more than the signature alone.
        if self.items.len() > 1 {
            let mut combined = batch::Verifier::new();
            for item in &self.items {
                combined.queue(item.clone());
            }
            let factors = TranscriptReader(self.transcript.finalize_xof());
            if combined.verify(factors).is_ok() {
                return Ok(());
            }
        }
        for (position, item) in self.items.into_iter().enumerate() {
            item.verify_single().map_err(|_| position)?;
        }
        Ok(())
    }
}

/// The factors of the combined equation: output of BLAKE3 over everything in the batch.
struct TranscriptReader(blake3::OutputReader);

impl TranscriptReader {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes);
        bytes
    }
}

impl TryRng for TranscriptReader {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.take()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.take()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for TranscriptReader {}
