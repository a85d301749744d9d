//! Whether the replicas of a lease are ready, and when one that ended is started again. Pure: moments come from outside.
//!
//! A replica is ready when it runs and all its TCP ports took a connection once in this run; one without such a port,
//! when it has run for [`STEADY`]. Ports are not asked again in the same run: what answers stays undisturbed.
//!
//! What ends is started again as in Kubernetes: at once the first time, then after 10 s, 20 s and so on up to 5 minutes,
//! and from the beginning after 10 minutes without an end. The engine starts nothing again by itself, so that one place
//! counts and waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::backend::{LeaseSpec, ReplicaState, Run, SeenReplica, ServiceSpec};

/// How long a replica without a TCP port must have run to be ready.
pub const STEADY: Duration = Duration::from_secs(1);
/// The pause before the second start in a row; it doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How what is stopped ends: by SIGKILL, or SIGTERM.
const STOPPED: [i64; 2] = [KILLED, 143];
/// Of a process that was killed.
const KILLED: i64 = 137;
/// After so long without an end the pauses begin anew.
const RECOVERED: Duration = Duration::from_secs(600);

/// The replicas of one lease.
#[derive(Debug, Default)]
pub struct Health {
    slots: BTreeMap<(String, u32), Slot>,
    /// Whether the provider itself is at work on its containers: what ends meanwhile did not fall.
    is_changing: bool,
}

/// One wanted replica.
#[derive(Debug)]
struct Slot {
    fingerprint: String,
    memory_bytes: u64,
    up: Option<Up>,
    fall: Option<Fall>,
    /// How often it was started again in a row.
    again: u32,
}

/// The run that is up.
#[derive(Debug)]
struct Up {
    run: Run,
    since: Instant,
    /// The ports that took a connection.
    open: BTreeSet<u16>,
}

/// The last end, until the replica recovers.
#[derive(Debug)]
struct Fall {
    run: Run,
    cause: String,
    pause: Duration,
    not_before: Instant,
}

/// An end that was not seen before, for the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The service.
    pub service: String,
    /// The replica's number.
    pub replica: u32,
    /// What happened and what will.
    pub message: String,
}

/// A port of a replica that did not take a connection yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// The service.
    pub service: String,
    /// The replica's number.
    pub replica: u32,
    /// The run that the question is about.
    pub run: Run,
    /// The port in the container.
    pub port: u16,
}

impl Slot {
    fn new(service: &ServiceSpec) -> Slot {
        Slot {
            fingerprint: service.fingerprint(),
            memory_bytes: service.memory_bytes,
            up: None,
            fall: None,
            again: 0,
        }
    }

    fn runs(&mut self, run: &Run, now: Instant) {
        match &self.up {
            Some(up) if up.run == *run => {
                if now.saturating_duration_since(up.since) >= RECOVERED {
                    self.again = 0;
                    self.fall = None;
                }
            }
            _ => {
                self.up = Some(Up {
                    run: run.clone(),
                    since: now,
                    open: BTreeSet::new(),
                });
            }
        }
    }

    /// Whether this end is new.
    fn ended(&mut self, run: &Run, cause: String, now: Instant) -> bool {
        self.up = None;
        if self.fall.as_ref().is_some_and(|fall| fall.run == *run) {
            return false;
        }
        let pause = pause(self.again);
        self.fall = Some(Fall {
            run: run.clone(),
            cause,
            pause,
            not_before: now + pause,
        });
        true
    }

    /// What happened last, and what will. It stays the same while it is waited for: who asks often is not told often.
    fn prospect(&self, replica: u32) -> Option<String> {
        let fall = self.fall.as_ref()?;
        let when = match fall.pause.as_secs() {
            0 => "at once".to_owned(),
            seconds => format!("after {seconds} s"),
        };
        let (cause, number) = (&fall.cause, self.again.saturating_add(1));
        Some(format!(
            "replica {replica} {cause}; restart {number} {when}"
        ))
    }
}

/// How long a start waits that follows on so many in a row.
fn pause(again: u32) -> Duration {
    match again {
        0 => Duration::ZERO,
        more => FIRST_PAUSE
            .saturating_mul(1 << (more - 1).min(16))
            .min(LONGEST_PAUSE),
    }
}

impl Health {
    /// Says which replicas are wanted. What is not any more is forgotten; what is specified anew begins anew.
    pub fn want(&mut self, spec: &LeaseSpec) {
        let mut before = std::mem::take(&mut self.slots);
        for service in &spec.services {
            let fresh = Slot::new(service);
            for replica in 0..service.replicas {
                let name = (service.name.clone(), replica);
                let known = before.remove(&name);
                let known = known.filter(|slot| slot.fingerprint == fresh.fingerprint);
                let slot = known.unwrap_or_else(|| Slot::new(service));
                self.slots.insert(name, slot);
            }
        }
    }

    /// The provider begins to change the lease's containers.
    pub fn begin_change(&mut self) {
        self.is_changing = true;
    }

    /// The provider has changed them, or failed to.
    pub fn end_change(&mut self) {
        self.is_changing = false;
    }

    /// Notes a look at the engine; what ended since the last one.
    pub fn note(&mut self, seen: &[SeenReplica], now: Instant) -> Vec<Ended> {
        let mut news = Vec::new();
        for replica in seen {
            let name = (replica.service.clone(), replica.replica);
            let Some(slot) = self.slots.get_mut(&name) else {
                continue;
            };
            if slot.fingerprint != replica.fingerprint {
                continue;
            }
            match replica.state {
                ReplicaState::Running => slot.runs(&replica.run, now),
                ReplicaState::Exited {
                    code,
                    out_of_memory,
                } => {
                    // While one replaces another of its kind there may be two: the one that runs is meant.
                    if self.is_changing || has_running_rival(seen, replica) {
                        continue;
                    }
                    let cause = match out_of_memory {
                        true => format!(
                            "used more than its {} of memory and was ended",
                            size(slot.memory_bytes)
                        ),
                        // Not every engine tells that it was for memory.
                        false if code == KILLED => format!(
                            "was killed (code {code}), as for using more than its {} of memory",
                            size(slot.memory_bytes)
                        ),
                        false => format!("ended with code {code}"),
                    };
                    if slot.ended(&replica.run, cause, now) {
                        news.extend(slot.prospect(replica.replica).map(|message| Ended {
                            service: replica.service.clone(),
                            replica: replica.replica,
                            message,
                        }));
                    }
                }
                ReplicaState::Waiting => {}
            }
        }
        news
    }

    /// Notes that the provider ended a replica, and why. It is made afresh.
    pub fn note_evicted(&mut self, service: &str, replica: u32, cause: String, now: Instant) {
        if let Some(slot) = self.slots.get_mut(&(service.to_owned(), replica)) {
            let run = slot.up.take().map(|up| up.run).unwrap_or_default();
            slot.fall = Some(Fall {
                run,
                cause,
                pause: Duration::ZERO,
                not_before: now,
            });
        }
    }

    /// Notes that a replica is started again. If it does not take, the next try waits too.
    pub fn note_tried(&mut self, service: &str, replica: u32, now: Instant) {
        if let Some(slot) = self.slots.get_mut(&(service.to_owned(), replica)) {
            slot.again = slot.again.saturating_add(1);
            if let Some(fall) = &mut slot.fall {
                fall.pause = pause(slot.again);
                fall.not_before = now + fall.pause;
            }
        }
    }

    /// The replicas that ended and are not to be started again yet.
    pub fn resting(&self, now: Instant) -> BTreeSet<(String, u32)> {
        let rests = |slot: &Slot| {
            slot.up.is_none() && slot.fall.as_ref().is_some_and(|fall| now < fall.not_before)
        };
        let resting = self.slots.iter().filter(|(_, slot)| rests(slot));
        resting.map(|(name, _)| name.clone()).collect()
    }

    /// The ports that are to be asked: of what runs, those that did not take a connection yet.
    pub fn doors(&self, ports: &BTreeMap<String, BTreeSet<u16>>) -> Vec<Door> {
        let mut doors = Vec::new();
        for ((service, replica), slot) in &self.slots {
            let (Some(up), Some(ports)) = (&slot.up, ports.get(service)) else {
                continue;
            };
            doors.extend(ports.difference(&up.open).map(|port| Door {
                service: service.clone(),
                replica: *replica,
                run: up.run.clone(),
                port: *port,
            }));
        }
        doors
    }

    /// Notes that a port took a connection.
    pub fn note_open(&mut self, door: &Door) {
        let name = (door.service.clone(), door.replica);
        let up = self.slots.get_mut(&name).and_then(|slot| slot.up.as_mut());
        if let Some(up) = up.filter(|up| up.run == door.run) {
            up.open.insert(door.port);
        }
    }

    /// Why a replica that is there is not ready; none where it is.
    pub fn hold_up(
        &self,
        seen: &SeenReplica,
        ports: Option<&BTreeSet<u16>>,
        now: Instant,
    ) -> Option<String> {
        let number = seen.replica;
        let slot = self.slots.get(&(seen.service.clone(), number));
        let Some(slot) = slot.filter(|slot| slot.fingerprint == seen.fingerprint) else {
            // Of an earlier version: it serves until it is stopped.
            return match seen.state {
                ReplicaState::Running => None,
                _ => Some(format!("replica {number} was stopped for the update")),
            };
        };
        let up = match &seen.state {
            ReplicaState::Waiting => return Some(format!("replica {number} was not started yet")),
            // A version that does not hold is stopped and taken away by the provider, replica by replica.
            ReplicaState::Exited { code, .. } if self.is_changing && STOPPED.contains(code) => {
                return Some(format!("replica {number} was stopped for the update"));
            }
            ReplicaState::Exited { code, .. } => {
                let unnoted = || format!("replica {number} ended with code {code}");
                return Some(slot.prospect(number).unwrap_or_else(unnoted));
            }
            ReplicaState::Running => slot.up.as_ref().filter(|up| up.run == seen.run),
        };
        if up.is_some() && seen.is_ready == Some(true) {
            return None;
        }
        let waits = match (up, ports.filter(|ports| !ports.is_empty())) {
            (None, _) => format!("replica {number} was started a moment ago"),
            (Some(up), Some(ports)) => {
                let port = ports.difference(&up.open).next()?;
                format!("nobody listens on port {port} of replica {number}")
            }
            (Some(up), None) if now.saturating_duration_since(up.since) >= STEADY => return None,
            (Some(_), None) => format!("replica {number} was started a moment ago"),
        };
        Some(match &slot.fall {
            Some(fall) => format!("{waits}, after it {}", fall.cause),
            None => waits,
        })
    }

    /// What a service's tenant should know though its replicas that are there are ready: which one is made afresh, or
    /// ended not long ago, and why.
    pub fn remark(&self, service: &str) -> Option<String> {
        let of_service = self.slots.iter().filter(|((name, _), _)| name == service);
        let mut remarks = of_service.filter_map(|((_, replica), slot)| {
            let cause = &slot.fall.as_ref()?.cause;
            Some(match slot.up {
                Some(_) => format!("replica {replica} runs again, after it {cause}"),
                None => format!("replica {replica} {cause}; it is made afresh"),
            })
        });
        remarks.next()
    }
}

fn has_running_rival(seen: &[SeenReplica], replica: &SeenReplica) -> bool {
    seen.iter().any(|other| {
        (&other.service, other.replica, &other.fingerprint)
            == (&replica.service, replica.replica, &replica.fingerprint)
            && other.state == ReplicaState::Running
    })
}

/// So many bytes, for people.
pub fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = |(bits, _): &(u32, &str)| bytes != 0 && bytes.trailing_zeros() >= *bits;
    match units.into_iter().find(whole) {
        Some((bits, unit)) => format!("{} {unit}", bytes >> bits),
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use welkin_runtime::Hash;

    use super::*;
    use crate::backend::LeaseKey;

    const CRASHED: ReplicaState = ReplicaState::Exited {
        code: 1,
        out_of_memory: false,
    };

    fn service() -> ServiceSpec {
        ServiceSpec {
            name: "web".to_owned(),
            image: "image".to_owned(),
            credentials: None,
            command: Vec::new(),
            args: Vec::new(),
            env: Vec::new(),
            cpu_millis: 1,
            memory_bytes: 64 << 20,
            disk_bytes: 1,
            replicas: 1,
            volumes: Vec::new(),
            ports: Vec::new(),
        }
    }

    fn spec(image: &str) -> LeaseSpec {
        LeaseSpec {
            key: LeaseKey {
                lease: "1/1/1".parse().unwrap(),
                creation_height: 9,
            },
            version: Hash([1; 32]),
            services: vec![ServiceSpec {
                image: image.to_owned(),
                ..service()
            }],
        }
    }

    fn seen(run: u32, state: ReplicaState) -> [SeenReplica; 1] {
        let spec = spec("image");
        [SeenReplica {
            service: "web".to_owned(),
            replica: 0,
            fingerprint: spec.services[0].fingerprint(),
            version: spec.version,
            state,
            address: None,
            is_ready: None,
            run: Run {
                id: "x".to_owned(),
                started: Some(run.to_string()),
                restarts: 0,
            },
        }]
    }

    fn health() -> Health {
        let mut health = Health::default();
        health.want(&spec("image"));
        health
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn what_ends_again_and_again_waits_longer_each_time_and_is_told_once_each() {
        let (mut health, mut now) = (health(), Instant::now());
        for (run, pause) in [0, 10, 20, 40, 80, 160, 300, 300].into_iter().enumerate() {
            let run = run as u32;
            assert_eq!(health.note(&seen(run, ReplicaState::Running), now), []);
            let told = health.note(&seen(run, CRASHED), now);
            let when = match pause {
                0 => "at once".to_owned(),
                pause => format!("after {pause} s"),
            };
            let text = format!("replica 0 ended with code 1; restart {} {when}", run + 1);
            assert_eq!(told.len(), 1);
            assert_eq!(told[0].message, text);
            assert_eq!(health.note(&seen(run, CRASHED), now), []);
            let said = health.hold_up(&seen(run, CRASHED)[0], None, now);
            assert_eq!(said, Some(text));
            assert_eq!(health.resting(now).len(), usize::from(pause > 0));
            now += seconds(pause);
            assert!(health.resting(now).is_empty());
            health.note_tried("web", 0, now);
        }
    }

    #[test]
    fn a_start_that_does_not_take_is_not_tried_at_once_again() {
        let (mut health, now) = (health(), Instant::now());
        health.note(&seen(1, CRASHED), now);
        assert!(health.resting(now).is_empty());
        health.note_tried("web", 0, now);
        assert_eq!(health.note(&seen(1, CRASHED), now), []);
        assert_eq!(health.resting(now).len(), 1);
        assert!(health.resting(now + FIRST_PAUSE).is_empty());
    }

    #[test]
    fn after_ten_minutes_without_an_end_all_is_forgotten() {
        let (mut health, mut now) = (health(), Instant::now());
        for run in 0..3 {
            health.note(&seen(run, CRASHED), now);
            health.note_tried("web", 0, now);
        }
        health.note(&seen(3, ReplicaState::Running), now);
        now += RECOVERED;
        health.note(&seen(3, ReplicaState::Running), now);
        assert_eq!(health.remark("web"), None);
        let told = health.note(&seen(3, CRASHED), now);
        assert!(
            told[0].message.ends_with("restart 1 at once"),
            "{}",
            told[0].message
        );
    }

    #[test]
    fn without_a_port_a_replica_is_ready_when_it_has_run_for_a_moment() {
        let (mut health, now) = (health(), Instant::now());
        let runs = seen(1, ReplicaState::Running);
        assert!(health.hold_up(&runs[0], None, now).is_some());
        health.note(&runs, now);
        assert!(health.hold_up(&runs[0], None, now).is_some());
        assert_eq!(health.hold_up(&runs[0], None, now + STEADY), None);
        // Another run begins anew.
        health.note(&seen(1, CRASHED), now + STEADY);
        let again = seen(2, ReplicaState::Running);
        health.note(&again, now + STEADY);
        let said = health.hold_up(&again[0], None, now + STEADY).unwrap();
        assert!(said.contains("ended with code 1"), "{said}");
    }

    #[test]
    fn with_ports_a_replica_is_ready_at_once_when_all_of_them_take_connections() {
        let (mut health, now) = (health(), Instant::now());
        let ports = BTreeMap::from([("web".to_owned(), BTreeSet::from([80, 443]))]);
        let runs = seen(1, ReplicaState::Running);
        health.note(&runs, now);
        let doors = health.doors(&ports);
        assert_eq!(doors.len(), 2);
        health.note_open(&doors[0]);
        let later = now + seconds(60);
        let said = health.hold_up(&runs[0], ports.get("web"), later).unwrap();
        assert_eq!(said, "nobody listens on port 443 of replica 0");
        health.note_open(&doors[1]);
        assert_eq!(health.hold_up(&runs[0], ports.get("web"), now), None);
        assert_eq!(health.doors(&ports), []);
        // An answer for an earlier run says nothing of the next.
        let again = seen(2, ReplicaState::Running);
        health.note(&again, now);
        health.note_open(&doors[0]);
        assert_eq!(health.doors(&ports).len(), 2);
    }

    #[test]
    fn what_the_provider_ends_itself_did_not_fall() {
        let (mut health, now) = (health(), Instant::now());
        health.note(&seen(1, ReplicaState::Running), now);
        health.begin_change();
        let crashed = seen(1, CRASHED);
        assert_eq!(health.note(&crashed, now), []);
        let said = health.hold_up(&crashed[0], None, now).unwrap();
        assert_eq!(said, "replica 0 ended with code 1");
        let killed = ReplicaState::Exited {
            code: 137,
            out_of_memory: false,
        };
        let ended = seen(1, killed);
        assert_eq!(health.note(&ended, now), []);
        let said = health.hold_up(&ended[0], None, now).unwrap();
        assert!(said.contains("stopped for the update"), "{said}");
        health.end_change();
        health.want(&spec("another"));
        assert_eq!(health.note(&ended, now), []);
        let said = health.hold_up(&ended[0], None, now).unwrap();
        assert!(said.contains("stopped for the update"), "{said}");
        assert!(health.resting(now).is_empty());
    }

    #[test]
    fn who_used_more_than_it_leased_is_told_why_it_was_ended() {
        let (mut health, now) = (health(), Instant::now());
        health.note(&seen(1, ReplicaState::Running), now);
        let cause = format!(
            "used more than its {} of storage and was ended",
            size(512 << 20)
        );
        health.note_evicted("web", 0, cause, now);
        let said = health.remark("web").unwrap();
        assert!(said.contains("more than its 512 MiB of storage"), "{said}");
        let fresh = seen(2, ReplicaState::Running);
        health.note(&fresh, now);
        let said = health.hold_up(&fresh[0], None, now).unwrap();
        assert!(said.contains("more than its 512 MiB of storage"), "{said}");
        let killed = ReplicaState::Exited {
            code: 137,
            out_of_memory: true,
        };
        let told = health.note(&seen(2, killed), now);
        assert!(
            told[0].message.contains("more than its 64 MiB of memory"),
            "{told:?}"
        );
    }

    #[test]
    fn sizes_are_in_the_largest_whole_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1500, "1500 bytes"),
            (512 << 20, "512 MiB"),
            (2 << 30, "2 GiB"),
            (3 << 10, "3 KiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
