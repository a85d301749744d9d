//! The blocks of a height: those that were proposed or that votes name.

use crate::error::Invalid;
use crate::proto::Message;
use crate::types::{Block, BlockId, Part, PartSet, PartSetHeader};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry::Vacant;
use std::sync::Arc;

/// A block that is being collected or judged.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub(super) parts: Arc<PartSet>,
    /// There once all parts are here and are the block that they were announced as.
    pub(super) block: Option<Arc<Block>>,
    pub(super) judgement: Judgement,
}

/// What is known about a block's validity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The block is not complete.
    Incomplete,
    /// The shell was asked.
    Asked,
    /// It may follow the last block.
    Valid,
    /// It may not.
    Invalid,
}

/// What became of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Collected {
    /// It belongs to no block that is wanted.
    Unwanted,
    /// It was here.
    Known,
    /// It was missing.
    New,
}

/// Blocks by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    known: BTreeMap<BlockId, Candidate>,
}

impl Candidates {
    /// Starts to collect the block, if that is not being done.
    pub(super) fn want(&mut self, block_id: BlockId) -> Result<(), Invalid> {
        if let Vacant(place) = self.known.entry(block_id) {
            let parts = Arc::new(PartSet::missing(block_id.part_set_header)?);
            place.insert(Candidate {
                parts,
                block: None,
                judgement: Judgement::Incomplete,
            });
        }
        Ok(())
    }

    /// Takes a block that is complete.
    pub(super) fn put(
        &mut self,
        block_id: BlockId,
        parts: PartSet,
        block: Block,
        judged: Judgement,
    ) {
        let candidate = Candidate {
            parts: Arc::new(parts),
            block: Some(Arc::new(block)),
            judgement: judged,
        };
        self.known.insert(block_id, candidate);
    }

    /// Takes a part. Blocks that it completes are read; see [`Candidates::unasked`].
    pub(super) fn add(&mut self, header: PartSetHeader, part: &Part) -> Result<Collected, Invalid> {
        let mut collected = Collected::Unwanted;
        for (block_id, candidate) in &mut self.known {
            if block_id.part_set_header != header {
                continue;
            }
            if collected == Collected::Unwanted {
                collected = Collected::Known;
            }
            if candidate.parts.get(part.index).is_some() {
                continue;
            }
            Arc::make_mut(&mut candidate.parts).add(part.clone())?;
            collected = Collected::New;
            if candidate.parts.is_complete() {
                candidate.read(block_id);
            }
        }
        Ok(collected)
    }

    /// Complete blocks about which the shell was not asked yet; from now on it was.
    pub(super) fn unasked(&mut self) -> Vec<(BlockId, Arc<Block>)> {
        let mut unasked = Vec::new();
        for (block_id, candidate) in &mut self.known {
            if candidate.judgement != Judgement::Incomplete {
                continue;
            }
            if let Some(block) = &candidate.block {
                unasked.push((*block_id, block.clone()));
                candidate.judgement = Judgement::Asked;
            }
        }
        unasked
    }

    /// Complete blocks about which the shell was asked and has not answered.
    pub(super) fn asked(&self) -> impl Iterator<Item = (BlockId, Arc<Block>)> {
        let asked = self
            .known
            .iter()
            .filter(|(_, c)| c.judgement == Judgement::Asked);
        asked.filter_map(|(block_id, c)| Some((*block_id, c.block.clone()?)))
    }

    pub(super) fn get(&self, block_id: &BlockId) -> Option<&Candidate> {
        self.known.get(block_id)
    }

    pub(super) fn get_mut(&mut self, block_id: &BlockId) -> Option<&mut Candidate> {
        self.known.get_mut(block_id)
    }

    pub(super) fn judgement(&self, block_id: &BlockId) -> Judgement {
        self.get(block_id)
            .map_or(Judgement::Incomplete, |candidate| candidate.judgement)
    }

    /// The block, once it is complete.
    pub(super) fn block(&self, block_id: &BlockId) -> Option<&Arc<Block>> {
        self.get(block_id)?.block.as_ref()
    }

    /// The parts of a set, as far as they are here.
    pub(super) fn parts(&self, header: &PartSetHeader) -> Option<&Arc<PartSet>> {
        let (_, candidate) = self
            .known
            .iter()
            .find(|(id, _)| id.part_set_header == *header)?;
        Some(&candidate.parts)
    }

    /// Part sets that are not complete.
    pub(super) fn incomplete(&self) -> impl Iterator<Item = &Arc<PartSet>> {
        self.known
            .values()
            .map(|candidate| &candidate.parts)
            .filter(|parts| !parts.is_complete())
    }

    /// Forgets all blocks but these.
    pub(super) fn keep(&mut self, wanted: &[BlockId]) {
        self.known.retain(|block_id, _| wanted.contains(block_id));
    }
}

impl Candidate {
    /// Reads the block from its parts. What is not the announced block is invalid.
    fn read(&mut self, block_id: &BlockId) {
        let bytes = self.parts.assemble().unwrap_or_default();
        match Block::decode(&bytes) {
            Ok(block) if block.hash() == block_id.hash => self.block = Some(Arc::new(block)),
            _ => self.judgement = Judgement::Invalid,
        }
    }
}
