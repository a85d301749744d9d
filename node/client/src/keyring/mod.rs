//! The keyring: named account keys in encrypted files of mode 0600 in one folder.
//!
//! A key is written to a temporary file, synced and renamed, so that a crash leaves the old key or the new one and never
//! half of one. Files that others can read are refused with the remedy.

mod file;

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rand::TryRngCore;
use rand::rngs::OsRng;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::types::Address;

use crate::files::replace_durably;

pub use file::KdfCost;
use file::{KeyFile, MAX_FILE_BYTES, SealRandomness};

/// What went wrong with a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// A name that cannot be a file's name.
    #[error(
        "{0:?} cannot be a key's name: use 1 to 64 lower-case letters, digits, '-' and '_', a letter or digit first"
    )]
    Name(String),
    /// No such key.
    #[error(
        "there is no key {name:?} in {}; `welkin keys list` shows those that are, `welkin keys add {name}` makes one",
        folder.display()
    )]
    Missing {
        /// The name asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// A key of that name is there.
    #[error("a key {0:?} exists; delete it first, or choose another name")]
    Exists(String),
    /// The password does not open the file, or the file was changed.
    #[error("the password does not open the key {name:?} (or its file was changed)")]
    Password {
        /// The key.
        name: String,
    },
    /// The file is no key file of ours.
    #[error(
        "the file of the key {name:?} is damaged: {reason}; restore it from a backup or from its phrase"
    )]
    Damaged {
        /// The key.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// Others can read the file.
    #[error("{} can be read by others (mode {mode:o}); run: chmod 600 {}", path.display(), path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The cipher refused; only absurd parameters do that.
    #[error("the key could not be sealed")]
    Seal,
    /// The disk refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A key as `list` shows it: nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeyEntry {
    /// Its name in this keyring.
    pub name: String,
    /// The account that it signs for.
    pub address: Address,
}

/// A folder of key files.
#[derive(Clone, Debug)]
pub struct Keyring {
    folder: PathBuf,
    cost: KdfCost,
}

impl Keyring {
    /// The keyring in `folder`, which is made on the first `add`.
    pub fn new(folder: impl Into<PathBuf>) -> Keyring {
        Keyring {
            folder: folder.into(),
            cost: KdfCost::default(),
        }
    }

    /// Seals new keys at this cost instead of the default; files keep the cost that they were sealed with.
    pub fn with_cost(self, cost: KdfCost) -> Keyring {
        Keyring { cost, ..self }
    }

    /// Seals `key` under `password` as `name`.
    ///
    /// # Errors
    /// [`KeyringError::Exists`] when the name is taken, and whatever the disk says.
    pub fn add(
        &self,
        name: &str,
        key: &SigningKey,
        password: &str,
    ) -> Result<KeyEntry, KeyringError> {
        let path = self.path(name)?;
        if path.exists() {
            return Err(KeyringError::Exists(name.to_owned()));
        }
        let address = Address::of_key(&key.public_key());
        let mut randomness = SealRandomness {
            salt: [0; 16],
            nonce: [0; 24],
        };
        for part in [&mut randomness.salt[..], &mut randomness.nonce[..]] {
            OsRng.try_fill_bytes(part).map_err(|_| KeyringError::Seal)?;
        }
        let file = KeyFile::seal(
            name,
            &address.to_string(),
            key.seed(),
            password,
            self.cost,
            randomness,
        )?;
        let text = serde_json::to_string_pretty(&file).expect("strings and numbers are JSON");
        self.write(&path, text.as_bytes())?;
        Ok(KeyEntry {
            name: name.to_owned(),
            address,
        })
    }

    /// Opens the key `name`.
    ///
    /// # Errors
    /// [`KeyringError::Missing`], [`KeyringError::Password`], [`KeyringError::Damaged`], [`KeyringError::Readable`].
    pub fn open(&self, name: &str, password: &str) -> Result<SigningKey, KeyringError> {
        let file = self.read(name)?;
        let key = SigningKey::from_seed(&*file.open(password)?);
        if Address::of_key(&key.public_key()).to_string() != file.address() {
            let reason = "its address is not that of its secret".to_owned();
            return Err(KeyringError::Damaged {
                name: name.to_owned(),
                reason,
            });
        }
        Ok(key)
    }

    /// The entry of `name`, without its password.
    ///
    /// # Errors
    /// As [`Keyring::open`], but for the password.
    pub fn show(&self, name: &str) -> Result<KeyEntry, KeyringError> {
        let file = self.read(name)?;
        let address = file
            .address()
            .parse()
            .map_err(|error| KeyringError::Damaged {
                name: name.to_owned(),
                reason: format!("its address: {error}"),
            })?;
        Ok(KeyEntry {
            name: name.to_owned(),
            address,
        })
    }

    /// All entries, by name, and beside them what [`Keyring::show`] says of each file that is not right. A folder that
    /// does not exist has none.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn list(&self) -> Result<(Vec<KeyEntry>, Vec<KeyringError>), KeyringError> {
        let folder = match fs::read_dir(&self.folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Default::default());
            }
            Err(source) => return Err(self.io(&self.folder, source)),
        };
        let mut names: Vec<String> = folder
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|file| file.strip_suffix(".json").map(str::to_owned))
            .collect();
        names.sort();
        let (mut entries, mut damaged) = (Vec::new(), Vec::new());
        for name in names {
            match self.show(&name) {
                Ok(entry) => entries.push(entry),
                Err(error) => damaged.push(error),
            }
        }
        Ok((entries, damaged))
    }

    /// Removes the key `name` for good.
    ///
    /// # Errors
    /// [`KeyringError::Missing`] when there is none.
    pub fn delete(&self, name: &str) -> Result<(), KeyringError> {
        let path = self.path(name)?;
        fs::remove_file(&path).map_err(|source| self.io_of_key(name, &path, source))?;
        self.sync_folder()
    }

    fn path(&self, name: &str) -> Result<PathBuf, KeyringError> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let valid = (1..=64).contains(&name.len())
            && name.starts_with(fits)
            && name.chars().all(|c| fits(c) || c == '-' || c == '_');
        if !valid {
            return Err(KeyringError::Name(name.to_owned()));
        }
        Ok(self.folder.join(format!("{name}.json")))
    }

    fn read(&self, name: &str) -> Result<KeyFile, KeyringError> {
        let path = self.path(name)?;
        let file = fs::File::open(&path).map_err(|source| self.io_of_key(name, &path, source))?;
        let metadata = file.metadata().map_err(|source| self.io(&path, source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyringError::Readable { path, mode });
        }
        let mut text = String::new();
        file.take(MAX_FILE_BYTES)
            .read_to_string(&mut text)
            .map_err(|source| self.io(&path, source))?;
        KeyFile::parse(name, &text)
    }

    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), KeyringError> {
        fs::create_dir_all(&self.folder).map_err(|source| self.io(&self.folder, source))?;
        fs::set_permissions(&self.folder, fs::Permissions::from_mode(0o700))
            .map_err(|source| self.io(&self.folder, source))?;
        replace_durably(path, bytes).map_err(|source| self.io(path, source))
    }

    fn sync_folder(&self) -> Result<(), KeyringError> {
        fs::File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| self.io(&self.folder, source))
    }

    fn io(&self, path: &Path, source: std::io::Error) -> KeyringError {
        KeyringError::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn io_of_key(&self, name: &str, path: &Path, source: std::io::Error) -> KeyringError {
        if source.kind() == std::io::ErrorKind::NotFound {
            return KeyringError::Missing {
                name: name.to_owned(),
                folder: self.folder.clone(),
            };
        }
        self.io(path, source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least cost that a file may have, so that tests are quick.
    const CHEAP: KdfCost = KdfCost {
        memory_kib: 19 * 1024,
        passes: 1,
        lanes: 1,
    };

    fn keyring() -> (tempfile::TempDir, Keyring) {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::new(folder.path().join("keys")).with_cost(CHEAP);
        (folder, keyring)
    }

    #[test]
    fn a_key_comes_back_under_its_password_only() {
        let (_folder, keyring) = keyring();
        let key = SigningKey::from_seed(&[9; 32]);
        let entry = keyring.add("alice", &key, "correct horse").unwrap();
        let (entries, damaged) = keyring.list().unwrap();
        assert_eq!(entries, std::slice::from_ref(&entry));
        assert!(damaged.is_empty());
        assert_eq!(
            keyring.open("alice", "correct horse").unwrap().seed(),
            &[9; 32]
        );
        assert!(matches!(
            keyring.open("alice", "wrong"),
            Err(KeyringError::Password { .. })
        ));
        assert!(matches!(
            keyring.add("alice", &key, "x"),
            Err(KeyringError::Exists(_))
        ));
        keyring.delete("alice").unwrap();
        assert!(matches!(
            keyring.show("alice"),
            Err(KeyringError::Missing { .. })
        ));
    }

    #[test]
    fn any_changed_character_of_a_file_makes_it_unreadable() {
        let (_folder, keyring) = keyring();
        keyring
            .add("bob", &SigningKey::from_seed(&[3; 32]), "pw")
            .unwrap();
        let path = keyring.path("bob").unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let digits: Vec<usize> = text
            .char_indices()
            .filter(|(_, c)| c.is_ascii_hexdigit())
            .map(|(at, _)| at)
            .collect();
        for &at in digits.iter().step_by(9) {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'1' { b'2' } else { b'1' };
            fs::write(&path, &changed).unwrap();
            assert!(keyring.open("bob", "pw").is_err(), "changed at {at}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_remedy() {
        let (_folder, keyring) = keyring();
        keyring
            .add("carol", &SigningKey::from_seed(&[4; 32]), "pw")
            .unwrap();
        let path = keyring.path("carol").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = keyring.open("carol", "pw").unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        let (_folder, keyring) = keyring();
        for name in ["", "../x", "A", "a/b", ".hidden", &"x".repeat(65)] {
            assert!(
                matches!(keyring.show(name), Err(KeyringError::Name(_))),
                "{name:?}"
            );
        }
    }

    #[test]
    fn a_cost_that_is_an_attack_is_refused_before_it_is_paid() {
        let (_folder, keyring) = keyring();
        keyring
            .add("dave", &SigningKey::from_seed(&[5; 32]), "pw")
            .unwrap();
        let path = keyring.path("dave").unwrap();
        let text = fs::read_to_string(&path)
            .unwrap()
            .replace("19456", "4194304");
        fs::write(&path, text).unwrap();
        assert!(matches!(
            keyring.open("dave", "pw"),
            Err(KeyringError::Damaged { .. })
        ));
    }
}
