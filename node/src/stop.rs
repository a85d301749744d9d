//! One way to end the node: the first reason wins, everybody hears of it.

use std::sync::Arc;
use tokio::sync::watch;

/// Ends the node, and tells when it ends. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(Arc<watch::Sender<Option<Reason>>>);

/// Why the node ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It was asked to.
    Asked,
    /// A part of it cannot go on.
    Failed(String),
}

impl Default for Stop {
    fn default() -> Self {
        Stop(Arc::new(watch::Sender::new(None)))
    }
}

impl Stop {
    /// Asks the node to end.
    pub fn ask(&self) {
        self.set(Reason::Asked);
    }

    /// Ends the node because a part of it cannot go on.
    pub fn fail(&self, why: impl Into<String>) {
        let why = why.into();
        tracing::error!(target: "welkin::node", "{why}");
        self.set(Reason::Failed(why));
    }

    /// Why the node ends, if it does.
    pub fn reason(&self) -> Option<Reason> {
        self.0.borrow().clone()
    }

    /// Waits until the node ends.
    pub async fn wait(&self) -> Reason {
        let mut reasons = self.0.subscribe();
        let reason = reasons.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or(Reason::Asked)
    }

    fn set(&self, reason: Reason) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }
}
