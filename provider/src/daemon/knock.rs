//! Asks the ports of what runs whether anybody listens, until each took one connection.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::book::Book;
use crate::backend::LeaseKey;

/// How long a port on this machine has to take a connection.
const PATIENCE: Duration = Duration::from_millis(300);

/// Asks all ports of a lease that did not take a connection yet, at once; whether one of them does now.
pub async fn knock(book: &Book, key: LeaseKey, ports: &BTreeMap<String, BTreeSet<u16>>) -> bool {
    let doors = book.closed_doors(key, ports);
    let asked = doors.into_iter().map(|(door, place)| async move {
        let answered = timeout(PATIENCE, place.connect()).await;
        matches!(answered, Ok(Ok(_))).then_some(door)
    });
    let open: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    book.with_health(key, |health, _| {
        for door in &open {
            health.note_open(door);
        }
    });
    !open.is_empty()
}
