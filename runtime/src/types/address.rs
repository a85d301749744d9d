//! Addresses of accounts and of modules.

use std::fmt;
use std::str::FromStr;

use bech32::{Bech32, Hrp};
use borsh::{BorshDeserialize, BorshSerialize};

use super::as_text;
use crate::crypto::sha256;

/// The human-readable part of an address's text form.
pub const ADDRESS_PREFIX: &str = "welkin";

/// Bytes of an address's longest possible text form; longer text is refused before it is read.
const MAX_TEXT_BYTES: usize = 64;

/// Who holds money: an account, or a module in its own name.
///
/// The first 20 bytes of SHA-256 of an account's public key. Text form: bech32, `welkin1...`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[derive(BorshSerialize, BorshDeserialize)]
pub struct Address(pub [u8; 20]);

impl Address {
    /// The address of the account with this Ed25519 public key.
    pub fn of_key(public_key: &[u8; 32]) -> Address {
        Address::truncate(sha256(public_key).0)
    }

    /// The address under which a module holds money. No key leads to it.
    pub fn of_module(name: &str) -> Address {
        let mut bytes = b"welkin module ".to_vec();
        bytes.extend_from_slice(name.as_bytes());
        Address::truncate(sha256(&bytes).0)
    }

    fn truncate(digest: [u8; 32]) -> Address {
        let mut bytes = [0; 20];
        bytes.copy_from_slice(&digest[..20]);
        Address(bytes)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        bech32::encode_to_fmt::<Bech32, _>(f, Hrp::parse_unchecked(ADDRESS_PREFIX), &self.0)
            .map_err(|_| fmt::Error)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Not bech32, or its checksum does not fit: most likely a typing error.
    #[error("not an address: {0}")]
    Malformed(String),
    /// An address of something else.
    #[error("not an address of this chain: it starts with {0:?}, not with \"welkin1\"")]
    OtherPrefix(String),
    /// Bech32 of another number of bytes.
    #[error("not an address: it holds {0} bytes, not 20")]
    OtherLength(usize),
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(AddressError::Malformed(format!(
                "{} characters",
                text.len()
            )));
        }
        let checked = bech32::primitives::decode::CheckedHrpstring::new::<Bech32>(text)
            .map_err(|error| AddressError::Malformed(error.to_string()))?;
        if checked.hrp() != Hrp::parse_unchecked(ADDRESS_PREFIX) {
            return Err(AddressError::OtherPrefix(checked.hrp().to_string()));
        }
        let bytes: Vec<u8> = checked.byte_iter().collect();
        let length = bytes.len();
        let address = Address(
            bytes
                .try_into()
                .map_err(|_| AddressError::OtherLength(length))?,
        );
        // Padding bits and upper case would give one address several texts.
        if address.to_string() != text {
            return Err(AddressError::Malformed("not in its usual form".to_owned()));
        }
        Ok(address)
    }
}

as_text!(
    Address,
    "Address",
    "welkin-address",
    "An address, `welkin1...`."
);
