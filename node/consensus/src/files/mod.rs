//! The key files of a node, in CometBFT's formats: `priv_validator_key.json`,
//! `priv_validator_state.json` and `node_key.json`. Only their text is here; reading, locking and
//! durably replacing them is the node's work.

mod sign_state;

pub use sign_state::{Decision, Refusal, SignState, Step};

use crate::error::{Invalid, ensure};
use crate::json::{self, Tagged};
use crate::types::{PublicKey, ValidatorAddress};
use serde::{Deserialize, Serialize};
use welkin_runtime::crypto::SigningKey;

/// How JSON names an Ed25519 private key: 64 bytes, seed and public key.
const PRIVATE_KEY_TAG: &str = "tendermint/PrivKeyEd25519";

/// `priv_validator_key.json`: the key that a validator votes with.
#[derive(Clone, Debug)]
pub struct PrivValidatorKey(pub SigningKey);

/// `node_key.json`: the key that a node is known by to its peers.
#[derive(Clone, Debug)]
pub struct NodeKey(pub SigningKey);

#[derive(Serialize, Deserialize)]
struct JsonPrivValidatorKey {
    address: ValidatorAddress,
    pub_key: PublicKey,
    priv_key: Tagged<String>,
}

#[derive(Serialize, Deserialize)]
struct JsonNodeKey {
    priv_key: Tagged<String>,
}

impl PrivValidatorKey {
    /// The public half.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(self.0.public_key())
    }

    /// The validator's address.
    pub fn address(&self) -> ValidatorAddress {
        self.public_key().address()
    }

    /// Reads the file's text, and checks that its parts belong together.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        let file: JsonPrivValidatorKey = parse(text)?;
        let key = PrivValidatorKey(signing_key(&file.priv_key)?);
        ensure(
            key.public_key() == file.pub_key,
            "pub_key does not belong to priv_key",
        )?;
        ensure(
            key.address() == file.address,
            "address does not belong to pub_key",
        )?;
        Ok(key)
    }

    /// The file's text. It contains the secret.
    pub fn to_json(&self) -> String {
        let (address, pub_key) = (self.address(), self.public_key());
        print(&JsonPrivValidatorKey {
            address,
            pub_key,
            priv_key: tagged(&self.0),
        })
    }
}

impl NodeKey {
    /// The node's id as CometBFT shows it: the address of the key, in lower hex.
    pub fn node_id(&self) -> String {
        hex::encode(PublicKey(self.0.public_key()).address().0)
    }

    /// Reads the file's text.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        let file: JsonNodeKey = parse(text)?;
        signing_key(&file.priv_key).map(NodeKey)
    }

    /// The file's text. It contains the secret.
    pub fn to_json(&self) -> String {
        print(&JsonNodeKey {
            priv_key: tagged(&self.0),
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Invalid> {
    // serde_json's message quotes no content, so no secret can leak into a log.
    serde_json::from_str(text)
        .map_err(|why| Invalid(format!("line {}: {:?}", why.line(), why.classify())))
}

fn print(file: &impl Serialize) -> String {
    serde_json::to_string_pretty(file).expect("a key file has only string keys")
}

fn tagged(key: &SigningKey) -> Tagged<String> {
    let bytes = [key.seed().as_slice(), &key.public_key()].concat();
    Tagged {
        tag: PRIVATE_KEY_TAG.to_owned(),
        value: json::to_base64(&bytes),
    }
}

fn signing_key(private: &Tagged<String>) -> Result<SigningKey, Invalid> {
    ensure(
        private.tag == PRIVATE_KEY_TAG,
        "priv_key is not of type tendermint/PrivKeyEd25519",
    )?;
    let bytes: [u8; 64] = json::array_from_base64(&private.value)
        .map_err(|_| Invalid::new("priv_key is not base64 of 64 bytes"))?;
    let (seed, public) = bytes.split_at(32);
    let key = SigningKey::from_seed(seed.try_into().expect("32 of 64 bytes"));
    ensure(
        key.public_key() == public,
        "the halves of priv_key do not belong together",
    )?;
    Ok(key)
}

#[cfg(test)]
mod tests;
