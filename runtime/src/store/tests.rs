use std::sync::Arc;

use super::conformance::{Subject, run};
use super::*;

struct InMemory(Arc<MemoryStore>);

impl Subject for InMemory {
    fn open(&mut self) -> Arc<dyn Store> {
        if self.0.height().is_none() && self.0.sync() == Err(StoreError::Closed) {
            self.0.cut_power();
        }
        Arc::clone(&self.0) as Arc<dyn Store>
    }

    fn cut_power(&mut self, _store: Arc<dyn Store>, _seed: u64) {
        self.0.cut_power();
    }
}

#[test]
fn the_memory_store_conforms() {
    run(|| InMemory(Arc::new(MemoryStore::new())));
}

#[test]
fn a_cut_of_power_takes_exactly_what_was_not_synced() {
    let store = MemoryStore::new();
    let put = |value: &[u8], height| {
        let mut batch = Batch::default();
        batch.put(b"key", value);
        store.commit(batch, height).unwrap();
    };
    put(b"1", 1);
    store.sync().unwrap();
    put(b"2", 2);
    put(b"3", 3);
    store.cut_power();
    assert_eq!(
        (store.height(), store.get(b"key").unwrap()),
        (Some(1), Some(b"1".to_vec()))
    );
}
