//! Whether leases are kept in, looked at again and again. While that is not known, or known to be wrong, nothing is bid on.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{LOG, Watch};
use crate::backend::Backend;

/// How often it is looked at while all is well, while it is not, and while it cannot be looked at.
const WELL: Duration = Duration::from_secs(600);
const LEAKING: Duration = Duration::from_secs(60);
const UNKNOWN: Duration = Duration::from_secs(10);

/// What is known of the fence around leases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fence {
    /// Nothing yet.
    #[default]
    Unknown,
    /// What no lease may reach did not answer.
    Holds,
    /// These answered.
    Leaks(Vec<String>),
}

/// Looks at the fence for as long as somebody listens.
pub async fn guard(backend: Arc<dyn Backend>, fence: watch::Sender<Fence>, watch: Watch) {
    loop {
        let pause = match backend.leaks().await {
            Ok(none) if none.is_empty() => {
                watch.note_fence(None);
                fence.send_replace(Fence::Holds);
                WELL
            }
            Ok(leaks) => {
                let text = format!(
                    "leases reach what they must not, so nothing is bid on: {} answered; see that the cluster's network \
                     policies are enforced",
                    leaks.join(", ")
                );
                tracing::error!(target: LOG, "{text}");
                watch.note_fence(Some(text));
                fence.send_replace(Fence::Leaks(leaks));
                LEAKING
            }
            // What was known stays so.
            Err(error) => {
                tracing::warn!(target: LOG, %error, "whether leases are kept in could not be tried");
                if *fence.borrow() == Fence::Unknown {
                    let text = format!(
                        "nothing is bid on before it is known that leases are kept in: {error}"
                    );
                    watch.note_fence(Some(text));
                }
                UNKNOWN
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = fence.closed() => return,
        }
    }
}
