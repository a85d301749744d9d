//! What was written, what of it was acknowledged, and what may therefore be found.

use std::collections::BTreeMap;
use welkin_consensus::files::Step;
use welkin_node::block_log::BlockLog;
use welkin_node::wal::{Wal, WalRecord};

/// A promise that was broken, in words.
pub type Broken = String;

/// Height, round and step.
pub type Place = (u64, u32, Step);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    pub block: Vec<u8>,
    pub commit: Vec<u8>,
    /// The validator set in force.
    pub validators: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Record(WalRecord),
    EndHeight(u64),
}

#[derive(Default)]
pub struct Oracle {
    /// Blocks that were appended and not lost.
    pub blocks: BTreeMap<u64, Content>,
    /// Up to here blocks are acknowledged.
    pub acknowledged: u64,
    /// Results that were appended and not lost, and whether a sync followed.
    pub results: BTreeMap<u64, (Vec<u8>, bool)>,
    /// Blocks from here on must be there.
    pub kept_from: u64,
    /// All that was appended to the WAL and not lost.
    pub wal: Vec<Entry>,
    /// So many entries are acknowledged.
    pub wal_acknowledged: usize,
    /// What the world saw signed.
    pub signed: BTreeMap<Place, u8>,
}

impl Oracle {
    pub fn acknowledge_blocks(&mut self, up_to: u64) {
        self.acknowledged = up_to;
        self.results
            .values_mut()
            .for_each(|(_, acknowledged)| *acknowledged = true);
    }

    /// Compares with a log that was just opened. What it holds is then synced, the rest is gone.
    pub fn check_blocks(&mut self, log: &BlockLog) -> Result<(), Broken> {
        let height = log.height();
        if height < self.acknowledged {
            return Err(format!(
                "block {} was acknowledged, {height} is there",
                self.acknowledged
            ));
        }
        self.blocks.retain(|at, _| *at <= height);
        self.results.retain(|at, _| *at <= height);
        let Some(heights) = log.heights() else {
            return Ok(());
        };
        if *heights.start() > self.kept_from.max(1) {
            return Err(format!(
                "blocks from {} on were to be kept: {heights:?}",
                self.kept_from
            ));
        }
        for at in heights {
            self.check_block(log, at)?;
        }
        log.verify().map_err(|why| why.to_string())?;
        self.acknowledge_blocks(height);
        Ok(())
    }

    fn check_block(&mut self, log: &BlockLog, at: u64) -> Result<(), Broken> {
        let expected = self
            .blocks
            .get(&at)
            .ok_or(format!("block {at} was never appended"))?;
        let read = log.read(at).map_err(|why| why.to_string())?;
        let read = read.ok_or(format!("block {at} is missing"))?;
        if (&read.block, &read.commit) != (&expected.block, &expected.commit) {
            return Err(format!("block {at} is another one"));
        }
        let validators = log.read_validators(at).map_err(|why| why.to_string())?;
        if validators.map(|(_, set)| set).as_ref() != Some(&expected.validators) {
            return Err(format!("the validator set of height {at} is another one"));
        }
        let read = log.read_results(at).map_err(|why| why.to_string())?;
        match (read, self.results.get(&at)) {
            (Some(read), Some((expected, _))) if read == *expected => {}
            (None, None) => {}
            (None, Some((_, false))) => {
                self.results.remove(&at);
            }
            (None, Some(_)) => return Err(format!("results {at} were acknowledged and are lost")),
            (Some(_), _) => return Err(format!("results {at} are others")),
        }
        Ok(())
    }

    /// Compares with a WAL that was just opened: it must hold what was appended, up to some entry
    /// that is not before the last acknowledged one.
    pub fn check_wal(&mut self, wal: &Wal) -> Result<(), Broken> {
        let replay: Result<Vec<WalRecord>, _> = wal.replay().collect();
        let found = (
            wal.last_end_height(),
            replay.map_err(|why| why.to_string())?,
        );
        let matching = (self.wal_acknowledged..=self.wal.len())
            .find(|len| replayed(&self.wal[..*len]) == found);
        let Some(len) = matching else {
            return Err(format!(
                "the WAL lost what was acknowledged, or holds what was not written: found {} \
                 records after {:?}, of {} entries {} acknowledged",
                found.1.len(),
                found.0,
                self.wal.len(),
                self.wal_acknowledged,
            ));
        };
        self.wal.truncate(len);
        self.wal_acknowledged = len;
        Ok(())
    }

    /// A signature was let out.
    pub fn saw_signed(&mut self, place: Place, block: u8) -> Result<(), Broken> {
        match self.signed.insert(place, block) {
            Some(before) if before != block => {
                Err(format!("signed twice at {place:?}: {before} and {block}"))
            }
            _ => Ok(()),
        }
    }
}

/// The last marker, and the records after it.
fn replayed(entries: &[Entry]) -> (Option<u64>, Vec<WalRecord>) {
    let mut after = (None, Vec::new());
    for entry in entries {
        match entry {
            Entry::Record(record) => after.1.push(record.clone()),
            Entry::EndHeight(height) => after = (Some(*height), Vec::new()),
        }
    }
    after
}
