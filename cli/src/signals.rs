//! The signals by which a person, or whoever watches over the program, asks it to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::{Failure, Outcome, code};

/// SIGINT and SIGTERM, which end the program no more by themselves.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Hears them from now on.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> Outcome<Signals> {
        let hear = |kind| {
            signal(kind).map_err(|error| Failure::new(code::FAILED, format!("signals: {error}")))
        };
        Ok(Signals {
            interrupt: hear(SignalKind::interrupt())?,
            terminate: hear(SignalKind::terminate())?,
        })
    }

    /// The number of whichever comes first.
    pub async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => SignalKind::interrupt().as_raw_value(),
            _ = self.terminate.recv() => SignalKind::terminate().as_raw_value(),
        }
    }
}
