//! How often replicas were started again, by the engine and by this provider.
//!
//! An engine counts only what it did by itself, and begins anew when it is told to start a container, or when a container
//! is made afresh. So the count is kept here, from one look at the engine to the next. Pure.

use serde::{Deserialize, Serialize};

use crate::backend::{ReplicaState, Run, SeenReplica};

/// Replicas of one lease that are counted: those of the largest group of the chain's first rules (20 units of 50), twice,
/// since an update has both versions.
const MAX_SLOTS: usize = 2 * 20 * 50;

/// The counts of one lease.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Restarts(Vec<Slot>);

/// A replica of a service as it was specified once; another specification begins at nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Slot {
    service: String,
    replica: u32,
    fingerprint: String,
    /// The run that was seen last.
    run: Run,
    total: u32,
}

impl Slot {
    fn is_of(&self, seen: &SeenReplica) -> bool {
        self.is_beside(seen) && self.fingerprint == seen.fingerprint
    }

    fn is_beside(&self, seen: &SeenReplica) -> bool {
        self.service == seen.service && self.replica == seen.replica
    }
}

impl Restarts {
    /// Counts what happened up to this look; whether anything did.
    pub fn note(&mut self, seen: &[SeenReplica]) -> bool {
        let before = self.0.clone();
        for replica in seen {
            // While one replaces another there may be two of the same kind: the one that runs is meant.
            let rank = |one: &SeenReplica| {
                let runs = one.state == ReplicaState::Running;
                (runs, one.run.started.clone(), one.run.id.clone())
            };
            let is_rival = |other: &SeenReplica| {
                other.service == replica.service
                    && other.replica == replica.replica
                    && other.fingerprint == replica.fingerprint
                    && rank(other) > rank(replica)
            };
            if !seen.iter().any(is_rival) {
                self.note_one(replica);
            }
        }
        // What was replaced by an update is forgotten; what is gone just now is not.
        self.0.retain(|slot| {
            let is_there = seen.iter().any(|replica| slot.is_of(replica));
            is_there || !seen.iter().any(|replica| slot.is_beside(replica))
        });
        self.0 != before
    }

    fn note_one(&mut self, replica: &SeenReplica) {
        let has_room = self.0.len() < MAX_SLOTS;
        match self.0.iter_mut().find(|slot| slot.is_of(replica)) {
            Some(slot) => {
                let again = again(&slot.run, &replica.run);
                slot.total = slot.total.saturating_add(again);
                slot.run = replica.run.clone();
            }
            None if has_room => self.0.push(Slot {
                service: replica.service.clone(),
                replica: replica.replica,
                fingerprint: replica.fingerprint.clone(),
                run: replica.run.clone(),
                total: replica.run.restarts,
            }),
            // What is not wanted any more goes when that is noted, and makes room.
            None => {}
        }
    }

    /// Forgets the replicas that are neither wanted nor there; whether there were any.
    pub fn retain(&mut self, seen: &[SeenReplica], is_wanted: impl Fn(&str, u32) -> bool) -> bool {
        let before = self.0.len();
        self.0.retain(|slot| {
            is_wanted(&slot.service, slot.replica)
                || seen.iter().any(|replica| slot.is_beside(replica))
        });
        self.0.len() != before
    }

    /// Forgets what is beyond the bound: it was not counted here.
    pub fn cut(&mut self) {
        self.0.truncate(MAX_SLOTS);
    }

    /// How often the first `replicas` replicas of a service were started again, together.
    pub fn of(&self, service: &str, replicas: u32) -> u32 {
        self.0
            .iter()
            .filter(|slot| slot.service == service && slot.replica < replicas)
            .fold(0, |sum, slot| sum.saturating_add(slot.total))
    }
}

/// How many starts lie between two runs.
fn again(before: &Run, now: &Run) -> u32 {
    let is_same = before.id == now.id;
    match (is_same, before.restarts.cmp(&now.restarts)) {
        // Made afresh.
        (false, _) => now.restarts.saturating_add(1),
        (true, std::cmp::Ordering::Less) => now.restarts - before.restarts,
        (true, std::cmp::Ordering::Equal) => {
            u32::from(before.started.is_some() && before.started != now.started)
        }
        // The engine was told to start it, and counts anew.
        (true, std::cmp::Ordering::Greater) => now.restarts.saturating_add(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(id: &str, started: u32, restarts: u32) -> SeenReplica {
        SeenReplica {
            service: "web".to_owned(),
            replica: 0,
            fingerprint: "a".to_owned(),
            version: welkin_runtime::Hash([1; 32]),
            state: ReplicaState::Running,
            address: None,
            is_ready: None,
            run: Run {
                id: id.to_owned(),
                started: (started > 0).then(|| format!("{started:04}")),
                restarts,
            },
        }
    }

    fn counted(looks: &[Vec<SeenReplica>]) -> Vec<u32> {
        let mut restarts = Restarts::default();
        looks
            .iter()
            .map(|look| {
                restarts.note(look);
                assert!(!restarts.note(look), "nothing happens between equal looks");
                restarts.of("web", 1)
            })
            .collect()
    }

    #[test]
    fn what_the_engine_and_the_provider_start_again_is_counted_once() {
        let looks = [
            // It was made, began, fell three times, of which one look saw only the last.
            vec![replica("x", 0, 0)],
            vec![replica("x", 1, 0)],
            vec![replica("x", 2, 1)],
            vec![replica("x", 4, 3)],
            // The provider starts it, and the engine begins to count anew.
            vec![replica("x", 5, 0)],
            vec![replica("x", 6, 0)],
            // It went and was made afresh.
            vec![],
            vec![replica("y", 7, 0)],
        ];
        assert_eq!(counted(&looks), [0, 0, 1, 3, 4, 5, 5, 6]);
    }

    #[test]
    fn an_update_begins_at_nothing_and_one_that_fails_leaves_the_count() {
        let old = replica("x", 1, 2);
        let new = SeenReplica {
            fingerprint: "b".to_owned(),
            ..replica("y", 9, 0)
        };
        let failed = [
            vec![old.clone()],
            vec![old.clone(), new.clone()],
            vec![old.clone()],
        ];
        assert_eq!(counted(&failed), [2, 2, 2]);
        let done = [vec![old.clone()], vec![old, new.clone()], vec![new]];
        assert_eq!(counted(&done), [2, 2, 0]);
    }

    #[test]
    fn of_two_of_a_kind_the_one_that_runs_counts_and_only_once() {
        let mut ended = replica("z", 2, 0);
        ended.state = ReplicaState::Exited {
            code: 1,
            out_of_memory: false,
        };
        let runs = replica("x", 1, 1);
        let looks = [
            vec![runs.clone()],
            vec![ended.clone(), runs.clone()],
            vec![runs, ended],
        ];
        assert_eq!(counted(&looks), [1, 1, 1]);
    }

    #[test]
    fn replicas_that_are_not_wanted_any_more_are_not_counted() {
        let mut restarts = Restarts::default();
        let second = SeenReplica {
            replica: 1,
            ..replica("y", 1, 5)
        };
        restarts.note(&[replica("x", 1, 2), second]);
        assert_eq!((restarts.of("web", 2), restarts.of("web", 1)), (7, 2));
        assert_eq!(restarts.of("db", 2), 0);
        let text = serde_json::to_string(&restarts).unwrap();
        assert_eq!(serde_json::from_str::<Restarts>(&text).unwrap(), restarts);
    }

    #[test]
    fn what_is_neither_wanted_nor_there_is_forgotten_and_nothing_else() {
        let named = |service: &str, number| SeenReplica {
            service: service.to_owned(),
            replica: number,
            ..replica("x", 1, 2)
        };
        let all = [
            named("web", 0),
            named("web", 1),
            named("old", 0),
            named("old", 1),
        ];
        let mut restarts = Restarts::default();
        assert!(restarts.note(&all));
        let is_wanted = |service: &str, number| (service, number) == ("web", 0);
        assert!(!restarts.retain(&all, is_wanted));
        // The one that is wanted is gone just now, one that is not is there still.
        assert!(restarts.retain(&[named("old", 1)], is_wanted));
        assert!(!restarts.retain(&[named("old", 1)], is_wanted));
        assert_eq!((restarts.of("web", 2), restarts.of("old", 2)), (2, 2));
        assert!(restarts.retain(&[], is_wanted));
        assert_eq!((restarts.of("web", 2), restarts.of("old", 2)), (2, 0));
    }

    #[test]
    fn there_is_a_bound_and_who_is_counted_already_is_counted_on() {
        let mut restarts = Restarts::default();
        for number in 0..=MAX_SLOTS as u32 {
            let seen = |restarts| SeenReplica {
                replica: number,
                ..replica("x", 1, restarts)
            };
            restarts.note_one(&seen(0));
            restarts.note_one(&seen(1));
        }
        assert_eq!(restarts.0.len(), MAX_SLOTS);
        assert_eq!(restarts.of("web", u32::MAX), MAX_SLOTS as u32);
        let more = restarts.0[0].clone();
        restarts.0.push(more);
        restarts.cut();
        assert_eq!(restarts.0.len(), MAX_SLOTS);
    }
}
