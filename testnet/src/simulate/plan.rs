//! What a seed makes happen.

use super::rng::Rng;

pub(crate) const MS: u64 = 1_000_000;

/// What a validator is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Follows the rules; may crash.
    Correct,
    /// Follows the rules, but a crash may cut its WAL anywhere, synced or not.
    Forgetful,
    /// Votes and proposes twice, supports whatever it hears, lies about polkas.
    Equivocator,
    /// Never says anything.
    Silent,
}

impl Role {
    /// Whether the rules of locking are to be expected of it.
    pub(crate) fn remembers(self) -> bool {
        self == Role::Correct
    }

    /// Whether it runs the machine as it is.
    pub(crate) fn is_honest(self) -> bool {
        matches!(self, Role::Correct | Role::Forgetful)
    }
}

/// Something that goes wrong at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The node stops in the middle of its work, after so many more effects, and comes back.
    Crash {
        node: usize,
        after_effects: u64,
        down_ms: u64,
    },
    /// All nodes stop at once and come back, each after its own time.
    PowerCut { down_ms: Vec<u64> },
    /// Only nodes of the same group hear each other.
    Partition { groups: Vec<u8>, for_ms: u64 },
    /// One node cannot be heard.
    Mute { node: usize, for_ms: u64 },
    /// One node cannot hear.
    Deafen { node: usize, for_ms: u64 },
    /// Many messages are lost.
    Storm { loss_permille: u64, for_ms: u64 },
    /// Messages take long.
    Slowness { up_to_ms: u64, for_ms: u64 },
    /// A clock is set.
    ClockJump { node: usize, by_ms: i64 },
}

/// How messages travel while nothing special goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weather {
    pub(crate) loss_permille: u64,
    pub(crate) double_permille: u64,
    pub(crate) least_delay_ms: u64,
    pub(crate) most_delay_ms: u64,
}

/// A run, as determined by seed and number of validators.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) roles: Vec<Role>,
    pub(crate) powers: Vec<u64>,
    pub(crate) clock_offsets_ms: Vec<i64>,
    pub(crate) weather: Weather,
    pub(crate) faults: Vec<(u64, Fault)>,
    pub(crate) faults_end_ms: u64,
    pub(crate) transactions_per_s: u64,
    pub(crate) large_permille: u64,
    pub(crate) power_changes: bool,
}

impl Plan {
    pub(crate) fn new(rng: &mut Rng, validators: usize) -> Self {
        let roles = roles(rng, validators);
        let equal = rng.chance(500);
        let powers = roles.iter().map(|role| match (equal, role) {
            (true, _) => 1,
            (false, Role::Correct) => rng.between(10, 12),
            (false, _) => 10,
        });
        let powers = powers.collect();
        let faults_end_ms = rng.between(4_000, 12_000);
        let count = rng.between(5, 14);
        let mut faults: Vec<_> = (0..count)
            .map(|_| (rng.below(faults_end_ms) * MS, fault(rng, validators)))
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        Plan {
            clock_offsets_ms: roles
                .iter()
                .map(|_| rng.between(0, 2_000) as i64 - 1_000)
                .collect(),
            roles,
            powers,
            weather: weather(rng),
            faults,
            faults_end_ms,
            transactions_per_s: rng.below(20),
            large_permille: if rng.chance(200) { 200 } else { 0 },
            power_changes: !equal && rng.chance(500),
        }
    }
}

/// Fewer than a third are faulty: one of four, two of seven.
fn roles(rng: &mut Rng, validators: usize) -> Vec<Role> {
    let mut roles = vec![Role::Correct; validators];
    let kinds = [
        Role::Equivocator,
        Role::Equivocator,
        Role::Silent,
        Role::Forgetful,
        Role::Correct,
    ];
    let faulty = (validators - 1) / 3;
    for _ in 0..faulty {
        let node = rng.place(validators);
        roles[node] = kinds[rng.place(kinds.len())];
    }
    // Of seven, two nodes may have been drawn as one; and the issue asks for one of each kind.
    if faulty == 2 && rng.chance(300) {
        roles = vec![Role::Correct; validators];
        let first = rng.place(validators);
        roles[first] = Role::Equivocator;
        roles[(first + 1 + rng.place(validators - 1)) % validators] = Role::Silent;
    }
    roles
}

fn weather(rng: &mut Rng) -> Weather {
    Weather {
        loss_permille: [0, 20, 100, 250][rng.place(4)],
        double_permille: [0, 50, 300][rng.place(3)],
        least_delay_ms: rng.between(1, 5),
        most_delay_ms: [6, 30, 120][rng.place(3)],
    }
}

fn fault(rng: &mut Rng, validators: usize) -> Fault {
    let node = rng.place(validators);
    let for_ms = rng.between(200, 2_500);
    match rng.below(12) {
        0..=3 => Fault::Crash {
            node,
            after_effects: rng.below(25),
            down_ms: rng.between(1, 1_500),
        },
        4 => Fault::PowerCut {
            down_ms: (0..validators).map(|_| rng.between(1, 1_000)).collect(),
        },
        5 | 6 => Fault::Partition {
            groups: (0..validators).map(|_| rng.below(2) as u8).collect(),
            for_ms,
        },
        7 => Fault::Mute { node, for_ms },
        8 => Fault::Deafen { node, for_ms },
        9 => Fault::Storm {
            loss_permille: rng.between(200, 600),
            for_ms,
        },
        10 => Fault::Slowness {
            up_to_ms: rng.between(100, 800),
            for_ms,
        },
        _ => Fault::ClockJump {
            node,
            by_ms: rng.between(0, 8_000) as i64 - 4_000,
        },
    }
}
