//! Saying what is waited for, once it takes longer than whoever looks at the terminal would expect.

use super::say;
use std::time::{Duration, Instant};

/// How long a wait is silent; it is told again each time that this has passed.
const SILENCE: Duration = Duration::from_secs(2);

/// A wait for something.
pub struct Wait {
    what: String,
    began: Instant,
    told: u32,
}

impl Wait {
    /// A wait that begins now, for what stands behind "waiting for".
    pub fn new(what: impl Into<String>) -> Wait {
        Wait {
            what: what.into(),
            began: Instant::now(),
            told: 0,
        }
    }

    /// How long it is already.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Tells of it, if it has become long; to be called now and then.
    pub fn tell(&mut self) {
        let elapsed = self.elapsed();
        if elapsed >= SILENCE * (self.told + 1) {
            self.told += 1;
            say(format!(
                "waiting for {} ({:.0} s)",
                self.what,
                elapsed.as_secs_f64()
            ));
        }
    }
}

/// Does `work`, and tells what is waited for while it takes long.
pub async fn told<T>(what: &str, work: impl Future<Output = T>) -> T {
    let mut wait = Wait::new(what);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(SILENCE) => wait.tell(),
        }
    }
}
