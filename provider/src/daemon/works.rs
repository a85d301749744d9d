//! What is done to leases beside the loop: one thing at a time for each.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use welkin_runtime::Hash;

use crate::backend::{BackendError, LeaseKey};

/// Ends that may wait to be taken in.
const MOST_WAITING: usize = 256;

/// What is done to a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// A version is applied.
    Apply(Hash),
    /// Replicas that ended are started again.
    StartAgain,
    /// All of the lease is removed.
    Remove,
}

impl Deed {
    /// Whether this one is not to wait for what is going on: a tenant's image may take as long to come as its registry
    /// wishes, and nothing may keep the end of a lease, or another version, waiting for that.
    fn interrupts(self, other: Deed) -> bool {
        match (self, other) {
            (Deed::Remove, other) => other != Deed::Remove,
            (Deed::Apply(new), Deed::Apply(old)) => new != old,
            _ => false,
        }
    }
}

/// The end of a deed.
#[derive(Debug)]
pub struct Done {
    /// The lease.
    pub key: LeaseKey,
    /// What was done.
    pub deed: Deed,
    /// What came of it.
    pub outcome: Result<(), BackendError>,
    number: u64,
}

/// What is going on.
pub struct Works {
    running: BTreeMap<LeaseKey, Running>,
    begun: u64,
    done: mpsc::Sender<Done>,
}

struct Running {
    deed: Deed,
    number: u64,
    task: AbortHandle,
}

impl Works {
    /// Nothing yet; and where the ends come.
    pub fn new() -> (Works, mpsc::Receiver<Done>) {
        let (done, ends) = mpsc::channel(MOST_WAITING);
        let works = Works {
            running: BTreeMap::new(),
            begun: 0,
            done,
        };
        (works, ends)
    }

    /// Whether something is being done to the lease.
    pub fn is_busy(&self, key: LeaseKey) -> bool {
        self.running.contains_key(&key)
    }

    /// Whether this deed can begin now.
    pub fn may_begin(&self, key: LeaseKey, deed: Deed) -> bool {
        let running = self.running.get(&key);
        running.is_none_or(|running| deed.interrupts(running.deed))
    }

    /// Begins a deed, in place of what was being done to the lease.
    pub fn begin(
        &mut self,
        key: LeaseKey,
        deed: Deed,
        work: impl Future<Output = Result<(), BackendError>> + Send + 'static,
    ) {
        self.begun += 1;
        let (number, done) = (self.begun, self.done.clone());
        let task = tokio::spawn(async move {
            // A lease that stayed busy for ever could never be removed.
            let outcome = AssertUnwindSafe(work).catch_unwind().await;
            let outcome = outcome.unwrap_or_else(|_| {
                let cause = "the provider's program failed at it, which is a defect";
                Err(BackendError::Engine(cause.to_owned()))
            });
            let _ = done
                .send(Done {
                    key,
                    deed,
                    outcome,
                    number,
                })
                .await;
        });
        let new = Running {
            deed,
            number,
            task: task.abort_handle(),
        };
        if let Some(old) = self.running.insert(key, new) {
            old.task.abort();
        }
    }

    /// Takes in an end; whether it is that of what was going on, and not of something that was interrupted meanwhile.
    pub fn end(&mut self, done: &Done) -> bool {
        let is_current = self
            .running
            .get(&done.key)
            .is_some_and(|running| running.number == done.number);
        if is_current {
            self.running.remove(&done.key);
        }
        is_current
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use welkin_modules::ids::{DeploymentId, LeaseId};

    use super::*;

    const OLD: Deed = Deed::Apply(Hash([1; 32]));
    const NEW: Deed = Deed::Apply(Hash([2; 32]));

    fn key() -> LeaseKey {
        LeaseKey {
            lease: LeaseId {
                deployment: DeploymentId(1),
                group: 1,
                order: 1,
            },
            creation_height: 5,
        }
    }

    #[tokio::test]
    async fn a_version_that_never_comes_to_an_end_keeps_neither_another_nor_the_removal_waiting() {
        for next in [NEW, Deed::Remove] {
            let (mut works, mut ends) = Works::new();
            works.begin(key(), OLD, pending());
            assert!(!works.may_begin(key(), OLD) && !works.may_begin(key(), Deed::StartAgain));
            assert!(works.may_begin(key(), next));
            works.begin(key(), next, ready(Ok(())));
            let done = ends.recv().await.unwrap();
            assert_eq!(done.deed, next);
            assert!(works.end(&done) && !works.is_busy(key()));
        }
    }

    #[tokio::test]
    async fn the_end_of_what_was_interrupted_is_not_the_end_of_what_goes_on() {
        let (mut works, mut ends) = Works::new();
        works.begin(key(), OLD, ready(Ok(())));
        let ended = ends.recv().await.unwrap();
        works.begin(key(), Deed::Remove, pending());
        assert!(!works.end(&ended) && works.is_busy(key()));
        assert!(
            !works.may_begin(key(), NEW),
            "what is removed is not started"
        );
    }

    #[tokio::test]
    async fn a_deed_that_panics_ends_as_a_failure() {
        let (mut works, mut ends) = Works::new();
        works.begin(key(), OLD, async { panic!("as planned") });
        let done = ends.recv().await.unwrap();
        assert!(done.outcome.is_err() && works.end(&done));
    }
}
