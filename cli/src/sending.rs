//! Calls that are sent to the chain while a person waits: says why they are not done yet, and hears Ctrl-C.

use std::time::{Duration, Instant};

use welkin_client::{Chain, ClientError, Receipt, SubmitOptions};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::RawCall;

use crate::failure::{Failure, Outcome, code};
use crate::output::say;
use crate::signals::Signals;

/// How long a call may take before something is said.
pub const SILENCE: Duration = Duration::from_secs(3);

/// How much longer the client has to say itself that its time is over, since it can say more.
const GRACE: Duration = Duration::from_secs(1);

/// Sends calls, all or none, and waits until a block has them; `limit` is how long, if not the client's default. `look` is
/// a clause that says where it is seen what came of it.
///
/// # Errors
/// They are refused, or it is not known what came of them.
pub async fn send(
    chain: &Chain,
    key: &SigningKey,
    calls: Vec<RawCall>,
    limit: Option<Duration>,
    look: &str,
) -> Outcome<Receipt> {
    let mut options = SubmitOptions::default();
    let limit = limit.unwrap_or(Duration::from_millis(options.timeout_ms));
    options.timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    let mut signals = Signals::listen()?;
    let began = Instant::now();
    let mut is_said = false;
    let mut hear = |reason: &str| {
        if began.elapsed() >= SILENCE && !std::mem::replace(&mut is_said, true) {
            say(format!("not done yet: {reason}; waiting on"));
        }
    };
    let (code, why) = tokio::select! {
        outcome = chain.submit_hearing(key, calls, &options, &mut hear) => {
            return outcome.map_err(|error| match error {
                ClientError::Unconfirmed { .. } => {
                    Failure::new(error.exit_code(), format!("{error}; {look}"))
                }
                error => error.into(),
            });
        }
        () = tokio::time::sleep(limit.saturating_add(GRACE)) => {
            (code::TIMED_OUT, format!("no answer within {} s", limit.as_secs()))
        }
        number = signals.next() => (code::of_signal(number), "interrupted".to_owned()),
    };
    let text = format!("{why}; if it was sent, it may still get into a block; {look}");
    Err(Failure::new(code, text))
}
