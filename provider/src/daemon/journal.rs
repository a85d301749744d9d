//! What leases went through, kept over restarts of the daemon: one small file for each lease, replaced whole.
//!
//! It is for tenants to read and nothing is decided by it. So it is not synced (a crash of the machine may cost the last
//! of it), and a file that cannot be read is told in the log and begun anew.

use std::collections::{BTreeMap, VecDeque};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use welkin_provider_api::channel::LeaseEvent;

use super::LOG;
use super::restarts::Restarts;
use crate::backend::LeaseKey;

/// Events kept of one lease.
pub const MAX_EVENTS: usize = 100;
/// The longest message of an event, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 1_024;
/// The longest file: as many events as are kept, of the longest messages, every byte escaped, and as many replicas as are
/// counted, of some 300 bytes each.
const MAX_FILE_BYTES: u64 = 2 << 20;

/// What one lease went through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Past {
    /// What was told to the tenant, the oldest first.
    pub events: VecDeque<LeaseEvent>,
    /// How often its replicas were started again.
    pub restarts: Restarts,
}

/// The files.
#[derive(Clone, Debug)]
pub struct Journal {
    folder: PathBuf,
}

impl Journal {
    /// The journal in this folder, which is made with the first file.
    pub fn new(folder: PathBuf) -> Journal {
        Journal { folder }
    }

    /// What is kept of all leases. What cannot be read is told in the log and left out.
    pub fn read(&self) -> BTreeMap<LeaseKey, Past> {
        let mut pasts = BTreeMap::new();
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return pasts,
            Err(error) => {
                self.lost(&self.folder, &error);
                return pasts;
            }
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().and_then(|name| name.to_str());
            let stem = name.and_then(|name| name.strip_suffix(".json"));
            let Some(key) = stem.and_then(LeaseKey::from_file_name) else {
                continue;
            };
            match read_one(&path) {
                Ok(past) => drop(pasts.insert(key, past)),
                Err(error) => self.lost(&path, &error),
            }
        }
        pasts
    }

    /// Replaces what is kept of these leases; those of which it could not be, and why. One of them costs the others
    /// nothing.
    pub fn keep_each(&self, pasts: &[(LeaseKey, Past)]) -> Vec<(LeaseKey, io::Error)> {
        let failed = |(key, past): &(LeaseKey, Past)| Some((*key, self.keep(*key, past).err()?));
        pasts.iter().filter_map(failed).collect()
    }

    /// Replaces what is kept of a lease.
    ///
    /// # Errors
    /// What the system said; the old file is then still there.
    pub fn keep(&self, key: LeaseKey, past: &Past) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let path = self.path(key);
        let temporary = path.with_extension("partial");
        let bytes = serde_json::to_vec(past).expect("events are always JSON");
        // For the provider's user only, as all that it keeps of tenants.
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(&bytes)?;
        std::fs::rename(&temporary, &path)
    }

    /// Forgets a lease. That nothing is kept of it is no error.
    ///
    /// # Errors
    /// What the system said.
    pub fn forget(&self, key: LeaseKey) -> io::Result<()> {
        match std::fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// The file of a lease.
    pub fn path(&self, key: LeaseKey) -> PathBuf {
        self.folder.join(format!("{}.json", key.file_name()))
    }

    fn lost(&self, path: &Path, error: &io::Error) {
        tracing::warn!(
            target: LOG, path = %path.display(), %error, "events of leases cannot be read; they begin anew"
        );
    }
}

fn read_one(path: &Path) -> io::Result<Past> {
    let length = std::fs::metadata(path)?.len();
    if length > MAX_FILE_BYTES {
        return Err(io::Error::other(format!("it is {length} bytes long")));
    }
    let mut past: Past = serde_json::from_slice(&std::fs::read(path)?)?;
    while past.events.len() > MAX_EVENTS {
        past.events.pop_front();
    }
    past.restarts.cut();
    Ok(past)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use welkin_provider_api::channel::Severity;
    use welkin_runtime::Time;

    use super::*;

    fn key(number: u64) -> LeaseKey {
        LeaseKey {
            lease: format!("{number}/1/1").parse().unwrap(),
            creation_height: 9,
        }
    }

    fn past(count: u64) -> Past {
        let event = |number| LeaseEvent {
            time: Time(number),
            severity: Severity::Normal,
            service: None,
            name: "starting".to_owned(),
            message: "\u{1}".repeat(MAX_MESSAGE_BYTES),
        };
        Past {
            events: (0..count).map(event).collect(),
            restarts: Restarts::default(),
        }
    }

    #[test]
    fn what_was_kept_is_read_again_the_fullest_too() {
        let home = tempfile::tempdir().unwrap();
        let journal = Journal::new(home.path().join("journal"));
        assert_eq!(journal.read(), BTreeMap::new());
        journal.keep(key(1), &past(1)).unwrap();
        journal.keep(key(1), &past(MAX_EVENTS as u64)).unwrap();
        journal.keep(key(2), &Past::default()).unwrap();
        let read = journal.read();
        assert_eq!(read[&key(1)], past(MAX_EVENTS as u64));
        assert_eq!(read.len(), 2);
        let mode = std::fs::metadata(journal.path(key(1)))
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600);
        journal.forget(key(1)).unwrap();
        journal.forget(key(1)).unwrap();
        assert_eq!(journal.read().keys().collect::<Vec<_>>(), [&key(2)]);
    }

    #[test]
    fn a_lease_that_cannot_be_kept_costs_the_others_nothing() {
        let home = tempfile::tempdir().unwrap();
        let journal = Journal::new(home.path().to_owned());
        std::fs::create_dir(journal.path(key(1)).with_extension("partial")).unwrap();
        let pasts: Vec<_> = (1..=3).map(|number| (key(number), past(1))).collect();
        let failed = journal.keep_each(&pasts);
        let failed: Vec<_> = failed.into_iter().map(|(key, _)| key).collect();
        assert_eq!(failed, [key(1)]);
        let kept: Vec<_> = journal.read().into_keys().collect();
        assert_eq!(kept, [key(2), key(3)]);
    }

    #[test]
    fn damage_costs_the_events_of_one_lease_and_nothing_else() {
        let home = tempfile::tempdir().unwrap();
        let journal = Journal::new(home.path().to_owned());
        for number in 1..=4 {
            journal.keep(key(number), &past(2)).unwrap();
        }
        let file = |number| journal.path(key(number));
        let whole = std::fs::read(file(1)).unwrap();
        std::fs::write(file(1), &whole[..whole.len() / 2]).unwrap();
        std::fs::write(file(2), b"\0\0\0").unwrap();
        std::fs::File::create(file(3))
            .unwrap()
            .set_len(MAX_FILE_BYTES + 1)
            .unwrap();
        std::fs::create_dir(file(5)).unwrap();
        std::fs::write(home.path().join("another.json"), b"{}").unwrap();
        assert_eq!(journal.read().keys().collect::<Vec<_>>(), [&key(4)]);
        journal.keep(key(1), &past(1)).unwrap();
        assert_eq!(journal.read()[&key(1)], past(1));
        // Where even the folder is none, there are no events and no failure.
        assert_eq!(Journal::new(file(4)).read(), BTreeMap::new());
    }
}
