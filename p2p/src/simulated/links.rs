//! What links do to what they carry, and who is cut off from whom.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use libp2p::PeerId;

/// What links do to what they carry.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Of a thousand messages, so many are lost. (A request that is lost fails at once, as its
    /// connection would.)
    pub lost_per_mille: u32,
    /// Of a thousand messages, so many arrive twice.
    pub repeated_per_mille: u32,
    /// How long a message takes, at random within this range; so messages overtake each other.
    pub delay: Range<Duration>,
}

impl Conditions {
    /// Nothing is lost, repeated or delayed.
    pub const PERFECT: Self = Self {
        lost_per_mille: 0,
        repeated_per_mille: 0,
        delay: Duration::ZERO..Duration::ZERO,
    };
}

/// The links between all members.
#[derive(Debug)]
pub(super) struct Links {
    pub(super) conditions: Conditions,
    dice: Dice,
    /// The island of each peer that is not on the mainland.
    islands: BTreeMap<PeerId, usize>,
}

impl Links {
    pub(super) const fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            dice: Dice(seed),
            islands: BTreeMap::new(),
        }
    }

    /// Each group can only reach its own members; who is in no group is on the mainland.
    pub(super) fn partition(&mut self, groups: &[&[PeerId]]) {
        self.islands.clear();
        for (island, group) in groups.iter().enumerate() {
            self.islands
                .extend(group.iter().map(|peer| (*peer, island)));
        }
    }

    pub(super) fn heal(&mut self) {
        self.islands.clear();
    }

    pub(super) fn reach(&self, a: &PeerId, b: &PeerId) -> bool {
        self.islands.get(a) == self.islands.get(b)
    }

    pub(super) fn loses(&mut self) -> bool {
        let chance = self.conditions.lost_per_mille;
        self.dice.chance(chance)
    }

    /// After which time a message arrives; twice, or not at all.
    pub(super) fn arrivals(&mut self) -> Vec<Duration> {
        if self.loses() {
            return Vec::new();
        }
        let repeated = self.conditions.repeated_per_mille;
        let copies = if self.dice.chance(repeated) { 2 } else { 1 };
        (0..copies).map(|_| self.delay()).collect()
    }

    pub(super) fn delay(&mut self) -> Duration {
        let Range { start, end } = self.conditions.delay.clone();
        let spread = end.saturating_sub(start).as_nanos();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX);
        start + Duration::from_nanos(self.dice.below(spread.saturating_add(1)))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, seeded, good enough for dice.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    const fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            self.next()
        } else {
            self.next() % bound
        }
    }

    const fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1000) < per_mille as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dice_are_those_of_the_paper() {
        // The first outputs for seed 1234567, as published with the reference implementation.
        let mut dice = Dice(1_234_567);
        assert_eq!(dice.next(), 6_457_827_717_110_365_317);
        assert_eq!(dice.next(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn a_seed_repeats_and_rates_are_near_what_was_asked() {
        let conditions = Conditions {
            lost_per_mille: 100,
            repeated_per_mille: 200,
            delay: Duration::from_millis(5)..Duration::from_millis(9),
        };
        let run = |seed| {
            let mut links = Links::new(conditions.clone(), seed);
            (0..10_000).map(|_| links.arrivals()).collect::<Vec<_>>()
        };
        let arrivals = run(7);
        assert_eq!(arrivals, run(7));
        assert_ne!(arrivals, run(8));
        let lost = arrivals.iter().filter(|copies| copies.is_empty()).count();
        assert!((900..1_100).contains(&lost), "{lost}");
        let all: Vec<Duration> = arrivals.into_iter().flatten().collect();
        assert!(all.iter().all(|delay| (5..=9).contains(&delay.as_millis())));
        assert!((10_500..11_100).contains(&all.len()), "{}", all.len());
    }

    #[test]
    fn islands_reach_themselves_and_the_mainland_itself() {
        let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
        let mut links = Links::new(Conditions::PERFECT, 0);
        links.partition(&[&peers[..1], &peers[1..2]]);
        assert!(!links.reach(&peers[0], &peers[1]));
        assert!(!links.reach(&peers[0], &peers[2]));
        assert!(links.reach(&peers[2], &peers[3]));
        links.heal();
        assert!(links.reach(&peers[0], &peers[1]));
    }
}
