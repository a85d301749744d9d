//! A token bucket: so much at once, so much per second after that. Pure: the caller brings the
//! time.

use std::time::Instant;

const NANOS: u128 = 1_000_000_000;

/// How much a peer may send: `burst` at once, refilled at `per_second`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Tokens that come back each second.
    pub per_second: u64,
    /// Tokens that can be saved up.
    pub burst: u64,
}

impl Rate {
    /// `per_second` tokens a second, `burst` at most.
    #[must_use]
    pub const fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst }
    }
}

/// The level of one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    rate: Rate,
    /// Tokens times 10^9, so that a refill for a few nanoseconds is not lost.
    level: u128,
    filled_at: Instant,
}

impl Bucket {
    pub(crate) fn full(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            level: u128::from(rate.burst) * NANOS,
            filled_at: now,
        }
    }

    /// Takes `tokens` if they are there; takes nothing otherwise.
    pub(crate) fn take(&mut self, tokens: u64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at);
        self.filled_at = now;
        let earned = elapsed.as_nanos() * u128::from(self.rate.per_second);
        self.level = (self.level + earned).min(u128::from(self.rate.burst) * NANOS);
        let wanted = u128::from(tokens) * NANOS;
        if wanted > self.level {
            return false;
        }
        self.level -= wanted;
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::full(Rate::new(10, 3), start);
        assert!((0..3).all(|_| bucket.take(1, start)));
        assert!(!bucket.take(1, start));
        assert!(!bucket.take(1, start + Duration::from_millis(99)));
        assert!(bucket.take(1, start + Duration::from_millis(100)));
        assert!(!bucket.take(1, start + Duration::from_millis(150)));
        assert!(bucket.take(3, start + Duration::from_secs(60)));
        assert!(!bucket.take(1, start + Duration::from_secs(60)));
    }

    #[test]
    fn more_than_the_burst_is_never_given() {
        let start = Instant::now();
        let mut bucket = Bucket::full(Rate::new(10, 3), start);
        assert!(!bucket.take(4, start + Duration::from_secs(3600)));
        assert!(bucket.take(3, start + Duration::from_secs(3600)));
    }
}
