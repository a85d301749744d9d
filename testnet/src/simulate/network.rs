//! Links that lose, delay, double and reorder. Nothing is ever sent again.

use super::plan::{MS, Weather};
use super::rng::Rng;

/// The state of all links.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    weather: Weather,
    partition: Option<(Vec<u8>, u64)>,
    muted: Vec<u64>,
    deaf: Vec<u64>,
    storm: (u64, u64),
    slowness: (u64, u64),
}

impl Network {
    pub(crate) fn new(weather: Weather, nodes: usize) -> Self {
        Network {
            weather,
            partition: None,
            muted: vec![0; nodes],
            deaf: vec![0; nodes],
            storm: (0, 0),
            slowness: (0, 0),
        }
    }

    /// From now on messages arrive, soon and once.
    pub(crate) fn heal(&mut self) {
        let calm = Weather {
            loss_permille: 0,
            double_permille: 0,
            least_delay_ms: 1,
            most_delay_ms: 8,
        };
        *self = Network::new(calm, self.muted.len());
    }

    pub(crate) fn partition(&mut self, groups: Vec<u8>, until: u64) {
        self.partition = Some((groups, until));
    }

    pub(crate) fn mute(&mut self, node: usize, until: u64) {
        self.muted[node] = until;
    }

    pub(crate) fn deafen(&mut self, node: usize, until: u64) {
        self.deaf[node] = until;
    }

    pub(crate) fn storm(&mut self, loss_permille: u64, until: u64) {
        self.storm = (loss_permille, until);
    }

    pub(crate) fn slow_down(&mut self, up_to_ms: u64, until: u64) {
        self.slowness = (up_to_ms, until);
    }

    /// When a message sent now arrives: never, once or twice.
    pub(crate) fn arrivals(&self, from: usize, to: usize, now: u64, rng: &mut Rng) -> Vec<u64> {
        let parted = self
            .partition
            .as_ref()
            .is_some_and(|(groups, until)| now < *until && groups[from] != groups[to]);
        if parted || now < self.muted[from] || now < self.deaf[to] {
            return Vec::new();
        }
        let storm = if now < self.storm.1 { self.storm.0 } else { 0 };
        if rng.chance(self.weather.loss_permille.max(storm)) {
            return Vec::new();
        }
        let copies = if rng.chance(self.weather.double_permille) {
            2
        } else {
            1
        };
        (0..copies).map(|_| now + self.delay(now, rng)).collect()
    }

    fn delay(&self, now: u64, rng: &mut Rng) -> u64 {
        let slow = if now < self.slowness.1 {
            self.slowness.0
        } else {
            0
        };
        let most = self
            .weather
            .most_delay_ms
            .max(slow)
            .max(self.weather.least_delay_ms);
        // To the microsecond, so that hardly ever two arrive together.
        rng.between(self.weather.least_delay_ms * 1_000, most * 1_000) * (MS / 1_000)
    }
}
