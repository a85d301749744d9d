//! Rules that can be seen from what one machine does.

use super::world::{Outcome, World};
use welkin_consensus::machine::{Effect, Notice};
use welkin_consensus::types::{BlockId, Vote};

impl World {
    /// Rules that can be seen from a machine's effects.
    pub(crate) fn watch(
        &mut self,
        index: usize,
        knew: (u64, Option<(u32, BlockId)>),
        effects: &[Effect],
    ) -> Outcome {
        for effect in effects {
            match effect {
                Effect::RequestValue(request) => {
                    let (height, valid) = knew;
                    let known = valid.filter(|(round, _)| *round < request.round);
                    if request.height == height && known.is_some() {
                        return Err(format!("node {index} forgot its valid block: {request:?}"));
                    }
                }
                Effect::Notice(Notice::NewRound { height, round, .. }) => {
                    let last = &mut self.nodes[index].last_round;
                    let (life, before) = (*last, (*height, *round));
                    if life.is_some_and(|last| last >= before) {
                        return Err(format!("node {index} went back to round {before:?}"));
                    }
                    *last = Some(before);
                }
                Effect::Notice(Notice::InvalidDecision { round, block_id }) => {
                    return Err(format!(
                        "node {index}: invalid {block_id:?} in round {round}"
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// A machine that accepted two different votes has to say so.
    pub(crate) fn accepted(&mut self, index: usize, vote: &Vote, reported: bool) -> Outcome {
        let node = &mut self.nodes[index];
        // Of later rounds the machine keeps only the newest votes, of the last height only those
        // that its commit holds.
        let current = node.machine.as_ref().is_some_and(|machine| {
            machine.height() == vote.height && vote.round <= machine.round()
        });
        if !current {
            return Ok(());
        }
        let key = (
            vote.height,
            vote.round,
            vote.vote_type,
            vote.validator_index,
        );
        let first = *node.accepted.entry(key).or_insert(vote.block_id);
        if first != vote.block_id && !reported {
            return Err(format!(
                "node {index} kept silent about an equivocation: {vote:?}"
            ));
        }
        Ok(())
    }
}
