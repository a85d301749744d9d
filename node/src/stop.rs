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
        reason
            .ok()
            .and_then(|reason| reason.clone())
            .unwrap_or(Reason::Asked)
    }

    /// Ends the node if what holds this panics. Every task and thread of the node holds one.
    pub fn guard(&self, name: &'static str) -> Guard {
        Guard {
            stop: self.clone(),
            name,
        }
    }

    /// Starts a task that ends the node if it panics.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> tokio::task::JoinHandle<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let guard = self.guard(name);
        tokio::spawn(async move {
            task.await;
            drop(guard);
        })
    }

    /// Starts a thread that ends the node if it panics.
    pub fn thread(
        &self,
        name: &'static str,
        run: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<std::thread::JoinHandle<()>> {
        let guard = self.guard(name);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                run();
                drop(guard);
            })
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

/// See [`Stop::guard`].
#[derive(Debug)]
pub struct Guard {
    stop: Stop,
    name: &'static str,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.stop.fail(format!(
                "`{}` panicked: this is a bug of the program",
                self.name
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_wins_and_a_panic_is_one() {
        let stop = Stop::default();
        assert_eq!(stop.reason(), None);
        let task = stop.spawn("a task", async { panic!("on purpose") });
        assert!(task.await.is_err());
        stop.ask();
        let reason = stop.wait().await;
        assert!(matches!(reason, Reason::Failed(why) if why.contains("a task")));
    }
}
