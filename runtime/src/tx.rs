//! Transactions: what an account signs.
//!
//! ```text
//!   raw = borsh(body) | signature (64 bytes)        signed: borsh(body)        id: SHA-256(raw)
//! ```
//!
//! The body names chain and genesis, so a signature is worth nothing on another network, and
//! begins with a tag that no other signed thing of ours begins with.

use borsh::{BorshDeserialize, BorshSerialize};

use crate::crypto::{self, SigningKey, sha256};
use crate::error::{Coded, Result, RuntimeError};
use crate::types::{Address, Amount, ChainInfo, Hash};

/// The largest transaction in bytes.
pub const MAX_TRANSACTION_BYTES: usize = 64 * 1024;

/// Calls in a transaction, at most.
pub const MAX_CALLS: usize = 64;

/// What every body begins with.
pub const DOMAIN: [u8; 21] = *b"welkin transaction v1";

const SIGNATURE_BYTES: usize = 64;

/// A call as it travels: the module's number and that module's `Call` in borsh.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct RawCall {
    /// The number of the module.
    pub module: u8,
    /// Its `Call`, in borsh.
    pub bytes: Vec<u8>,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Body {
    /// Always [`DOMAIN`].
    pub domain: [u8; 21],
    /// The chain that this is for.
    pub chain_id: String,
    /// The genesis of that chain.
    pub genesis_hash: Hash,
    /// Who asks and pays.
    pub sender: Address,
    /// The sender's key.
    pub public_key: [u8; 32],
    /// How many transactions the sender had before this one.
    pub sequence: u64,
    /// The last height of a block that may hold this.
    pub expiry_height: u64,
    /// Gas that the calls may use together.
    pub gas_limit: u64,
    /// What is paid, whatever becomes of the calls.
    pub fee: Amount,
    /// The calls, which succeed or fail together.
    pub calls: Vec<RawCall>,
}

/// A signed transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Transaction {
    /// What was signed.
    pub body: Body,
    /// The sender's signature over the body in borsh.
    pub signature: [u8; 64],
}

/// What the sender chooses besides the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many transactions the sender had before this one.
    pub sequence: u64,
    /// The last height of a block that may hold this.
    pub expiry_height: u64,
    /// Gas that the calls may use together.
    pub gas_limit: u64,
    /// What is paid, whatever becomes of the calls.
    pub fee: Amount,
}

impl Body {
    /// The body of a transaction by the account of `public_key`.
    pub fn new(chain: &ChainInfo, public_key: [u8; 32], terms: Terms, calls: Vec<RawCall>) -> Body {
        Body {
            domain: DOMAIN,
            chain_id: chain.chain_id.clone(),
            genesis_hash: chain.genesis_hash,
            sender: Address::of_key(&public_key),
            public_key,
            sequence: terms.sequence,
            expiry_height: terms.expiry_height,
            gas_limit: terms.gas_limit,
            fee: terms.fee,
            calls,
        }
    }

    /// The bytes that are signed.
    pub fn sign_bytes(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("a body's parts are far below 4 GiB")
    }

    /// Signs with the key whose public half the body names.
    pub fn sign(self, key: &SigningKey) -> Transaction {
        let signature = key.sign(&self.sign_bytes());
        Transaction {
            body: self,
            signature,
        }
    }
}

impl Transaction {
    /// The raw bytes, as they are sent and stored.
    pub fn encode(&self) -> Vec<u8> {
        borsh::to_vec(self).expect("a transaction's parts are far below 4 GiB")
    }

    /// Reads raw bytes, which must be the one encoding of the transaction.
    pub fn decode(raw: &[u8]) -> Result<Transaction> {
        if raw.len() > MAX_TRANSACTION_BYTES {
            let message = format!("{} bytes of at most {MAX_TRANSACTION_BYTES}", raw.len());
            return Err(RuntimeError::TransactionTooLarge.because(message));
        }
        let malformed = RuntimeError::MalformedTransaction;
        let transaction: Transaction =
            borsh::from_slice(raw).map_err(|error| malformed.because(error))?;
        if transaction.body.domain != DOMAIN {
            return Err(malformed.because("it does not begin as a transaction does"));
        }
        if transaction.encode() != raw {
            return Err(malformed.because("not in its only valid encoding"));
        }
        Ok(transaction)
    }

    /// The id of a transaction with these raw bytes.
    pub fn id(raw: &[u8]) -> Hash {
        sha256(raw)
    }

    /// The part of raw bytes that was signed.
    pub(crate) fn signed_part(raw: &[u8]) -> &[u8] {
        &raw[..raw.len().saturating_sub(SIGNATURE_BYTES)]
    }

    /// Checks all that needs neither state nor the signature.
    pub(crate) fn check_form(&self, chain: &ChainInfo, height: u64, max_gas: u64) -> Result<()> {
        let body = &self.body;
        if body.chain_id != chain.chain_id || body.genesis_hash != chain.genesis_hash {
            let message = format!(
                "signed for {} with genesis {}, this is {} with genesis {}",
                body.chain_id.chars().take(50).collect::<String>(),
                body.genesis_hash,
                chain.chain_id,
                chain.genesis_hash,
            );
            return Err(RuntimeError::WrongChain.because(message));
        }
        if Address::of_key(&body.public_key) != body.sender {
            let message = format!("the key is not {}'s", body.sender);
            return Err(RuntimeError::WrongKey.because(message));
        }
        if height > body.expiry_height {
            let message = format!(
                "valid up to height {}, the next block has {height}",
                body.expiry_height
            );
            return Err(RuntimeError::Expired.because(message));
        }
        if body.gas_limit == 0 || body.gas_limit > max_gas {
            let message = format!("{}, allowed is 1 to {max_gas}", body.gas_limit);
            return Err(RuntimeError::BadGasLimit.because(message));
        }
        if body.calls.is_empty() || body.calls.len() > MAX_CALLS {
            let message = format!("{} calls, allowed is 1 to {MAX_CALLS}", body.calls.len());
            return Err(RuntimeError::BadCallCount.because(message));
        }
        Ok(())
    }

    /// Checks the key itself and the signature over `raw`, the transaction's own bytes.
    pub(crate) fn check_signature(&self, raw: &[u8]) -> Result<()> {
        self.check_key()?;
        let signed = Transaction::signed_part(raw);
        if !crypto::verify(&self.body.public_key, signed, &self.signature) {
            return Err(RuntimeError::BadSignature.into());
        }
        Ok(())
    }

    /// Checks that the key may be an account's.
    pub(crate) fn check_key(&self) -> Result<()> {
        if crypto::is_account_key(&self.body.public_key) {
            Ok(())
        } else {
            Err(RuntimeError::WrongKey.because("a key of small order is everybody's"))
        }
    }
}

#[cfg(test)]
mod tests;
