//! What this provider kept of its leases, decoded once for each version.
//!
//! What cannot be read of one lease keeps no other from being served: such a lease is as it was known before, and where
//! it was never known it is left alone until its tenant sends the manifest again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use welkin_modules::ids::LeaseId;
use welkin_provider_api::manifest::GroupManifest;
use welkin_runtime::Hash;

use super::LOG;
use super::book::Live;
use crate::backend::{LeaseKey, LeaseSpec};
use crate::manifests::{Manifests, ManifestsError, Versions};
use crate::workload;

/// A version that can run.
#[derive(Debug)]
pub struct Runnable {
    /// What the back end runs.
    pub spec: LeaseSpec,
    /// What the tenant sent.
    pub manifest: GroupManifest,
}

/// What is known of one lease.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Which version is which.
    pub versions: Versions,
    /// The newest accepted version.
    pub accepted: Option<Arc<Runnable>>,
    /// The last one that ran well.
    pub last_good: Option<Arc<Runnable>>,
}

impl Known {
    /// Whether a version that may run has this replica.
    pub fn has_replica(&self, service: &str, replica: u32) -> bool {
        let both = [&self.accepted, &self.last_good].into_iter().flatten();
        let mut services = both.flat_map(|one| &one.spec.services);
        services.any(|one| one.name == service && replica < one.replicas)
    }

    /// The version of that name.
    pub fn version(&self, version: Hash) -> Option<&Arc<Runnable>> {
        let mut both = [&self.accepted, &self.last_good].into_iter().flatten();
        both.find(|one| one.spec.version == version)
    }
}

/// The records of all leases.
pub struct Records {
    manifests: Arc<Manifests>,
    known: BTreeMap<LeaseKey, Known>,
    damaged: BTreeSet<LeaseKey>,
}

impl Records {
    /// Records of what is kept there.
    pub fn new(manifests: Arc<Manifests>) -> Records {
        Records {
            manifests,
            known: BTreeMap::new(),
            damaged: BTreeSet::new(),
        }
    }

    /// What is known of each of these leases, and which of them became unreadable since the last look, with the reason.
    pub fn look<'a>(
        &mut self,
        live: impl Iterator<Item = &'a Live> + Clone,
    ) -> (BTreeMap<LeaseId, Known>, Vec<(LeaseKey, ManifestsError)>) {
        let keys: BTreeSet<LeaseKey> = live.clone().map(|live| live.key).collect();
        self.known.retain(|key, _| keys.contains(key));
        self.damaged.retain(|key| keys.contains(key));
        let mut broken = Vec::new();
        for key in &keys {
            match self.read(*key) {
                Ok(known) => {
                    self.known.insert(*key, known);
                    self.damaged.remove(key);
                }
                Err(error) => {
                    if self.damaged.insert(*key) {
                        tracing::error!(target: LOG, lease = %key.lease, %error, "its records cannot be read; it runs on as it is");
                        broken.push((*key, error));
                    }
                }
            }
        }
        let known =
            live.filter_map(|live| Some((live.key.lease, self.known.get(&live.key)?.clone())));
        (known.collect(), broken)
    }

    fn read(&self, key: LeaseKey) -> Result<Known, ManifestsError> {
        let versions = self.manifests.versions(key)?;
        let before = self.known.get(&key);
        let runnable = |version: Option<Hash>| {
            let Some(version) = version else {
                return Ok(None);
            };
            match before.and_then(|known| known.version(version)) {
                Some(known) => Ok(Some(known.clone())),
                None => self.open(key, version),
            }
        };
        Ok(Known {
            accepted: runnable(versions.accepted)?,
            last_good: runnable(versions.last_good)?,
            versions,
        })
    }

    /// A version that was accepted, so it can run; one of an older program may not decode, and is as good as not there.
    fn open(&self, key: LeaseKey, version: Hash) -> Result<Option<Arc<Runnable>>, ManifestsError> {
        let Some(kept) = self.manifests.get(key, version)? else {
            return Ok(None);
        };
        let Ok(manifest) = GroupManifest::decode(&kept.manifest) else {
            return Ok(None);
        };
        let spec = workload::lease_spec(key, version, &manifest);
        Ok(Some(Arc::new(Runnable { spec, manifest })))
    }
}

#[cfg(test)]
mod tests {
    use welkin_modules::spec::GroupSpec;
    use welkin_provider_api::manifest::{Opening, Salt};
    use welkin_runtime::Address;

    use super::*;
    use crate::backend::Instance;
    use crate::manifests::{Kept, SealingKey};

    fn live(number: u64) -> Live {
        Live {
            key: LeaseKey {
                lease: format!("{number}/1/1").parse().unwrap(),
                creation_height: 9,
            },
            owner: Address([1; 20]),
            group: 1,
            commitment: Hash([2; 32]),
            spec: GroupSpec {
                name: "west".to_owned(),
                requirements: Default::default(),
                resources: Vec::new(),
            },
        }
    }

    #[test]
    fn a_damaged_record_is_told_once_and_neither_hides_another_lease_nor_what_was_known() {
        let folder = tempfile::tempdir().unwrap();
        let instance = Instance {
            genesis: Hash([1; 32]),
            provider: Address([2; 20]),
        };
        let sealing = SealingKey::derive(&[3; 32]);
        let manifests =
            Arc::new(Manifests::open(folder.path().to_owned(), instance, sealing).unwrap());
        let kept = Kept {
            manifest: b"only its state matters here".to_vec(),
            opening: Opening {
                index: 0,
                salt: Salt([5; 32]),
                siblings: Vec::new(),
            },
        };
        let leases = [live(1), live(2)];
        for lease in &leases {
            manifests
                .accept(lease.key, lease.commitment, &kept, || true)
                .unwrap();
        }
        let mut records = Records::new(manifests.clone());
        assert_eq!(records.look(leases.iter()).0.len(), 2);

        std::fs::write(folder.path().join("1-1-1@9/state.json"), "{").unwrap();
        let (known, broken) = records.look(leases.iter());
        assert_eq!((known.len(), broken.len()), (2, 1));
        let versions = &known[&leases[0].key.lease].versions;
        assert_eq!(versions.accepted, Some(leases[0].commitment));
        assert!(records.look(leases.iter()).1.is_empty(), "it is told once");

        let mut after_a_restart = Records::new(manifests);
        let (known, broken) = after_a_restart.look(leases.iter());
        assert_eq!(known.keys().collect::<Vec<_>>(), [&leases[1].key.lease]);
        assert_eq!(broken[0].0, leases[0].key);
    }
}
