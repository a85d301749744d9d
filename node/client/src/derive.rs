//! From words to keys: BIP-39 phrases, and SLIP-0010 for ed25519 along Welkin's path.
//!
//! The path is `m/44'/22347'/account'/role'/index'`. Ed25519 knows hardened steps only (SLIP-0010), so a step here is
//! an index that is always hardened: a plain one cannot be written down. Each role has keys of its own, so that a
//! provider's peer key never signs a transaction.

use bip39::{Language, Mnemonic};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha512;
use zeroize::{Zeroize, Zeroizing};

/// Welkin's coin type in the path (SLIP-0044 has not assigned one; this number is unassigned there).
pub const COIN_TYPE: u32 = 22_347;

/// Words in a phrase of ours: 256 bits of entropy.
pub const PHRASE_WORDS: usize = 24;

const HARDENED: u32 = 1 << 31;

/// What a key is for. Keys of different roles never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Signs transactions and delegations.
    Account,
    /// Signs votes.
    Validator,
    /// Identifies a node on the chain's network.
    Peer,
    /// Identifies a provider, or a tenant's client, on the peer channel.
    Channel,
}

impl Role {
    fn step(self) -> u32 {
        match self {
            Role::Account => 0,
            Role::Validator => 1,
            Role::Peer => 2,
            Role::Channel => 3,
        }
    }
}

/// Why no key came of a phrase.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// The phrase is not BIP-39.
    #[error("the phrase is not valid: {0}; check its words and their order")]
    Phrase(String),
    /// A step of a path is 2^31 or more.
    #[error("a step of a key path is below 2147483648, not {0}")]
    Step(u32),
}

/// A new phrase of [`PHRASE_WORDS`] English words over the given entropy.
pub fn phrase(entropy: &[u8; 32]) -> Zeroizing<String> {
    let mnemonic = Mnemonic::from_entropy_in(Language::English, entropy)
        .expect("32 bytes are a length that BIP-39 knows");
    Zeroizing::new(mnemonic.to_string())
}

/// The seed of a phrase (BIP-39: PBKDF2 over its NFKD form). The passphrase may be empty.
///
/// # Errors
/// [`DeriveError::Phrase`] when a word is unknown, the number of words is wrong, or the checksum does not match.
pub fn seed(phrase: &str, passphrase: &str) -> Result<Zeroizing<[u8; 64]>, DeriveError> {
    let mnemonic = Mnemonic::parse_in(Language::English, phrase.trim())
        .map_err(|error| DeriveError::Phrase(error.to_string()))?;
    Ok(Zeroizing::new(mnemonic.to_seed(passphrase)))
}

/// The ed25519 secret key of a role: `m/44'/22347'/account'/role'/index'`.
///
/// # Errors
/// [`DeriveError::Step`] when `account` or `index` is 2^31 or more.
pub fn role_key(
    seed: &[u8; 64],
    account: u32,
    role: Role,
    index: u32,
) -> Result<Zeroizing<[u8; 32]>, DeriveError> {
    key(seed, &[44, COIN_TYPE, account, role.step(), index])
}

/// The ed25519 secret key at a path of hardened steps (SLIP-0010).
///
/// # Errors
/// [`DeriveError::Step`] when a step is 2^31 or more.
pub fn key(seed: &[u8], path: &[u32]) -> Result<Zeroizing<[u8; 32]>, DeriveError> {
    let mut node = Node::master(seed);
    for &step in path {
        if step >= HARDENED {
            return Err(DeriveError::Step(step));
        }
        node = node.child(step | HARDENED);
    }
    Ok(Zeroizing::new(node.key))
}

struct Node {
    key: [u8; 32],
    chain_code: [u8; 32],
}

impl Node {
    fn master(seed: &[u8]) -> Node {
        Node::split(b"ed25519 seed", &[seed])
    }

    fn child(&self, step: u32) -> Node {
        Node::split(&self.chain_code, &[&[0], &self.key, &step.to_be_bytes()])
    }

    fn split(key: &[u8], parts: &[&[u8]]) -> Node {
        let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("HMAC takes keys of any length");
        for part in parts {
            mac.update(part);
        }
        let mut output: [u8; 64] = mac.finalize().into_bytes().into();
        let mut node = Node {
            key: [0; 32],
            chain_code: [0; 32],
        };
        node.key.copy_from_slice(&output[..32]);
        node.chain_code.copy_from_slice(&output[32..]);
        output.zeroize();
        node
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.key.zeroize();
        self.chain_code.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SLIP-0010, "Test vector 1 for ed25519" and "Test vector 2 for ed25519": path and private key.
    #[test]
    #[expect(clippy::too_many_lines, reason = "the published table")]
    fn slip_0010_vectors_hold() {
        let first = "000102030405060708090a0b0c0d0e0f";
        let second = "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2\
                      9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542";
        let vectors: [(&str, &[u32], &str); 12] = [
            (
                first,
                &[],
                "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7",
            ),
            (
                first,
                &[0],
                "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3",
            ),
            (
                first,
                &[0, 1],
                "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2",
            ),
            (
                first,
                &[0, 1, 2],
                "92a5b23c0b8a99e37d07df3fb9966917f5d06e02ddbd909c7e184371463e9fc9",
            ),
            (
                first,
                &[0, 1, 2, 2],
                "30d1dc7e5fc04c31219ab25a27ae00b50f6fd66622f6e9c913253d6511d1e662",
            ),
            (
                first,
                &[0, 1, 2, 2, 1_000_000_000],
                "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793",
            ),
            (
                second,
                &[],
                "171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012",
            ),
            (
                second,
                &[0],
                "1559eb2bbec5790b0c65d8693e4d0875b1747f4970ae8b650486ed7470845635",
            ),
            (
                second,
                &[0, 2_147_483_647],
                "ea4f5bfe8694d8bb74b7b59404632fd5968b774ed545e810de9c32a4fb4192f4",
            ),
            (
                second,
                &[0, 2_147_483_647, 1],
                "3757c7577170179c7868353ada796c839135b3d30554bbb74a4b1e4a5a58505c",
            ),
            (
                second,
                &[0, 2_147_483_647, 1, 2_147_483_646],
                "5837736c89570de861ebc173b1086da4f505d4adb387c6a1b1342d5e4ac9ec72",
            ),
            (
                second,
                &[0, 2_147_483_647, 1, 2_147_483_646, 2],
                "551d333177df541ad876a60ea71f00447931c0a9da16f227c11ea080d7391b8d",
            ),
        ];
        for (seed, path, expected) in vectors {
            let seed = hex::decode(seed).unwrap();
            assert_eq!(
                hex::encode(*key(&seed, path).unwrap()),
                expected,
                "path {path:?}"
            );
        }
    }

    /// The BIP-39 reference vectors for 256 bits: entropy, phrase, seed with the passphrase "TREZOR".
    #[test]
    fn bip_39_vectors_hold() {
        let zero = phrase(&[0; 32]);
        assert_eq!(*zero, format!("{}art", "abandon ".repeat(23)));
        assert_eq!(
            hex::encode(*seed(&zero, "TREZOR").unwrap()),
            "bda85446c68413707090a52022edd26a1c9462295029f2e60cd7c4f2bbd30971\
             70af7a4d73245cafa9c3cca8d561a7c3de6f5d4a10be8ed2a5e608d68f92fcc8"
        );
        let ones = phrase(&[0xff; 32]);
        assert_eq!(*ones, format!("{}vote", "zoo ".repeat(23)));
        assert_eq!(
            hex::encode(*seed(&ones, "TREZOR").unwrap()),
            "dd48c104698c30cfe2b6142103248622fb7bb0ff692eebb00089b32d22484e16\
             13912f0a5b694407be899ffd31ed3992c456cdf60f5d4564b8ba3f05a69890ad"
        );
    }

    #[test]
    fn a_phrase_with_a_wrong_checksum_is_refused() {
        let wrong = "abandon ".repeat(24);
        assert!(matches!(seed(&wrong, ""), Err(DeriveError::Phrase(_))));
    }

    #[test]
    fn roles_accounts_and_indexes_have_keys_of_their_own() {
        let seed = [7; 64];
        let base = role_key(&seed, 0, Role::Account, 0).unwrap();
        for (account, role, index) in [
            (1, Role::Account, 0),
            (0, Role::Channel, 0),
            (0, Role::Account, 1),
        ] {
            assert_ne!(*base, *role_key(&seed, account, role, index).unwrap());
        }
        assert_eq!(
            role_key(&seed, HARDENED, Role::Account, 0),
            Err(DeriveError::Step(HARDENED))
        );
    }
}
