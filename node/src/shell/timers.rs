//! The machine's timeouts.

use std::collections::BTreeMap;
use std::time::Instant;
use welkin_consensus::machine::Timeout;

/// Timeouts that were asked for, each with its moment.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<Timeout, Instant>);

impl Timers {
    /// Asks for a timeout; a later request with the same content replaces it.
    pub fn schedule(&mut self, timeout: Timeout, at: Instant) {
        self.0.insert(timeout, at);
    }

    /// Waits for the next moment; for ever if there is none.
    pub async fn next(&self) {
        match self.0.values().min() {
            Some(at) => tokio::time::sleep_until((*at).into()).await,
            None => std::future::pending().await,
        }
    }

    /// Takes out the timeouts whose moment has come, in the order of their moments.
    pub fn due(&mut self, now: Instant) -> Vec<Timeout> {
        let mut due: Vec<(Instant, Timeout)> = self
            .0
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(timeout, at)| (*at, *timeout))
            .collect();
        due.sort_unstable();
        for (_, timeout) in &due {
            self.0.remove(timeout);
        }
        due.into_iter().map(|(_, timeout)| timeout).collect()
    }

    /// Forgets what was for heights that are over.
    pub fn forget_before(&mut self, height: u64) {
        self.0.retain(|timeout, _| timeout.height >= height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use welkin_consensus::machine::TimeoutKind;

    fn timeout(height: u64, round: u32) -> Timeout {
        Timeout {
            height,
            round,
            kind: TimeoutKind::Propose,
        }
    }

    #[test]
    fn timeouts_come_in_the_order_of_their_moments_and_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.schedule(timeout(1, 0), at(30));
        timers.schedule(timeout(1, 1), at(20));
        timers.schedule(timeout(1, 2), at(50));
        timers.schedule(timeout(1, 2), at(10));
        assert_eq!(timers.due(at(20)), [timeout(1, 2), timeout(1, 1)]);
        assert_eq!(timers.due(at(20)), []);
        timers.forget_before(2);
        assert_eq!(timers.due(at(100)), []);
    }
}
