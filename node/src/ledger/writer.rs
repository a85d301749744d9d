//! Brings batches into the store, off the path on which blocks are acknowledged: what a crash
//! takes is in the block log.

use super::recent::Recent;
use crate::stop::Stop;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use welkin_runtime::store::{Batch, Store};
use welkin_runtime::tree::StateTree;

/// Batches that wait for the store. Full: the next block waits, so memory is bounded.
const WAITING: usize = 64;
/// Bytes of batches that become one.
const MERGED_BYTES: usize = 4 << 20;

/// The store's thread.
pub(super) struct StoreWriter {
    queue: Mutex<Option<SyncSender<(u64, Batch)>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl StoreWriter {
    /// Starts the thread.
    pub fn start(
        store: Arc<dyn Store>,
        tree: Arc<StateTree>,
        recent: Arc<Recent>,
        stop: Stop,
    ) -> std::io::Result<Self> {
        let (queue, batches) = sync_channel(WAITING);
        let stop_on_panic = stop.clone();
        let run = move || {
            if let Err(why) = write_all(&*store, &tree, &recent, &batches) {
                stop.fail(format!("the state store failed: {why}"));
            }
        };
        let thread = stop_on_panic.thread("store-writer", run)?;
        Ok(StoreWriter {
            queue: Mutex::new(Some(queue)),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Queues the batch of a block; waits while too many wait.
    pub fn push(&self, height: u64, batch: Batch) {
        let queue = self
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(queue) = queue else { return };
        match queue.try_send((height, batch)) {
            Err(TrySendError::Full(waiting)) => {
                tracing::debug!(
                    target: "welkin::ledger",
                    height,
                    "the store is behind: waiting for it"
                );
                // The thread may have ended with an error, which stops the node.
                let _ = queue.send(waiting);
            }
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
        }
    }

    /// Writes what waits, then ends the thread.
    pub fn finish(&self) {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A thread that panicked has told so itself.
            let _ = thread.join();
        }
    }
}

fn write_all(
    store: &dyn Store,
    tree: &StateTree,
    recent: &Recent,
    batches: &Receiver<(u64, Batch)>,
) -> Result<(), welkin_runtime::store::StoreError> {
    while let Ok((mut height, mut batch)) = batches.recv() {
        while batch.size_bytes() < MERGED_BYTES
            && let Ok((later_height, later)) = batches.try_recv()
        {
            batch.append(later);
            height = later_height;
        }
        store.commit(batch, height)?;
        store.sync()?;
        tree.applied(height);
        recent.applied(height);
    }
    Ok(())
}
