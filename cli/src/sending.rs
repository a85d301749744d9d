//! Calls that are sent to the chain while a person waits: says that no block has them yet, and hears Ctrl-C.

use std::time::Duration;

use welkin_client::{Chain, Receipt, SubmitOptions};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::RawCall;

use crate::failure::{Failure, Outcome, code};
use crate::output::say;
use crate::signals::Signals;

/// How long is waited before something is said.
const SILENCE: Duration = Duration::from_secs(3);

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
    let mut sent = std::pin::pin!(chain.submit_with(key, calls, &options));
    let ended = async {
        tokio::select! {
            outcome = &mut sent => return outcome,
            () = tokio::time::sleep(SILENCE) => say("no block has it yet; waiting on"),
        }
        sent.await
    };
    let (code, why) = tokio::select! {
        outcome = ended => return Ok(outcome?),
        () = tokio::time::sleep(limit.saturating_add(GRACE)) => {
            (code::TIMED_OUT, format!("nothing is known of it after {} s", limit.as_secs()))
        }
        number = signals.next() => (code::of_signal(number), "interrupted".to_owned()),
    };
    let text = format!("{why}; what was sent may still get into a block; {look}");
    Err(Failure::new(code, text))
}
