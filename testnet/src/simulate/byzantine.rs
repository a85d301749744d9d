//! A validator that tries to split the others.

use super::app::CHAIN_ID;
use super::plan::MS;
use super::world::{Payload, World};
use std::rc::Rc;
use welkin_consensus::machine::{
    BlockPart, Gossip, Input, SignRequest, Signed, Transactions, ValueRequest,
};
use welkin_consensus::types::{Block, BlockId, Proposal, Signature, Vote, VoteType};

impl World {
    /// Signs without a look at what was signed before.
    pub(crate) fn sign_anything(
        &mut self,
        index: usize,
        request: &SignRequest,
    ) -> Result<(), String> {
        let bytes = request.sign_bytes(CHAIN_ID);
        let signature = Signature(self.nodes[index].key.sign(&bytes));
        let signed = request.signed(signature);
        if let Signed::Vote(vote) = &signed {
            self.oracle.faulty_vote(vote);
        }
        self.handle(index, Input::Signed(signed))
    }

    /// What its machine sends goes to some; others get something else.
    pub(crate) fn broadcast_faulty(&mut self, index: usize, message: Gossip) {
        match message {
            Gossip::Vote(vote) => self.split_vote(index, vote),
            Gossip::Proposal(proposal) if self.rng.chance(600) => {
                self.split_proposal(index, proposal);
            }
            other => self.send_to_all(index, other),
        }
    }

    fn send_to_all(&mut self, index: usize, message: Gossip) {
        let message = Rc::new(message);
        for to in self.others(index) {
            self.send(index, to, Payload::Gossip(message.clone()));
        }
    }

    fn others(&self, index: usize) -> Vec<usize> {
        (0..self.nodes.len()).filter(|to| *to != index).collect()
    }

    fn split_vote(&mut self, index: usize, vote: Vote) {
        let other = if vote.block_id.is_nil() {
            let proposed = self.nodes[index].heard.last().copied();
            proposed
                .filter(|(height, _)| *height == vote.height)
                .map(|(_, block_id)| block_id)
        } else {
            Some(BlockId::NIL)
        };
        let Some(other) = other.filter(|_| self.rng.chance(700)) else {
            return self.send_to_all(index, Gossip::Vote(vote));
        };
        let second = self.faulty_vote(
            index,
            Vote {
                block_id: other,
                ..vote.clone()
            },
        );
        let (first, second) = (Rc::new(Gossip::Vote(vote)), Rc::new(Gossip::Vote(second)));
        let both = self.rng.chance(300);
        for to in self.others(index) {
            let side = self.rng.chance(500);
            if both || side {
                self.send(index, to, Payload::Gossip(first.clone()));
            }
            if both || !side {
                self.send(index, to, Payload::Gossip(second.clone()));
            }
        }
    }

    fn faulty_vote(&mut self, index: usize, vote: Vote) -> Vote {
        let signature = Signature(self.nodes[index].key.sign(&vote.sign_bytes(CHAIN_ID)));
        let vote = Vote {
            signature: Some(signature),
            ..vote
        };
        self.oracle.faulty_vote(&vote);
        vote
    }

    /// Two blocks for one round, each to some of the others; the second one may claim a polka that
    /// never was.
    fn split_proposal(&mut self, index: usize, first: Proposal) {
        let Some(second) = self.another_block(index, &first) else {
            return self.send_to_all(index, Gossip::Proposal(first));
        };
        let parts = second.part_set();
        let block_id = second.id(&parts);
        let claims = first.round > 0 && self.rng.chance(600);
        let pol_round = claims.then(|| self.rng.below(u64::from(first.round)) as u32);
        let proposal = Proposal {
            block_id,
            pol_round,
            signature: None,
            ..first.clone()
        };
        let signature = Signature(self.nodes[index].key.sign(&proposal.sign_bytes(CHAIN_ID)));
        let proposal = Proposal {
            signature: Some(signature),
            ..proposal
        };
        let header = parts.header();
        let mut messages = vec![Gossip::Proposal(proposal)];
        messages.extend(parts.parts().map(|part| {
            Gossip::Part(BlockPart {
                height: first.height,
                header,
                part: part.clone(),
            })
        }));
        let messages: Vec<_> = messages.into_iter().map(Rc::new).collect();
        let first = Rc::new(Gossip::Proposal(first));
        for to in self.others(index) {
            if self.rng.chance(500) {
                self.send(index, to, Payload::Gossip(first.clone()));
            } else {
                for message in &messages {
                    self.send(index, to, Payload::Gossip(message.clone()));
                }
            }
        }
    }

    fn another_block(&mut self, index: usize, first: &Proposal) -> Option<Block> {
        let node = &self.nodes[index];
        let machine = node.machine.as_ref()?;
        if machine.height() != first.height || node.disk.chain.state.next_height() != first.height {
            return None;
        }
        let request = ValueRequest {
            height: first.height,
            round: first.round,
            last_commit: node.disk.chain.start().last_commit,
            proposer: node.address,
            transactions: Transactions::LeftOut,
        };
        let mut block = self.make_block(index, &request);
        block
            .data
            .txs
            .push(vec![super::app::PLAIN, self.rng.below(256) as u8]);
        block.header.data_hash = block.data.hash();
        Some(block)
    }

    /// Votes for whatever somebody votes for or proposes, and tells only that one.
    pub(crate) fn support(&mut self, index: usize, to: usize, message: &Gossip) {
        let (height, round, block_id) = match message {
            Gossip::Proposal(proposal) => (proposal.height, proposal.round, proposal.block_id),
            Gossip::Vote(vote) => (vote.height, vote.round, vote.block_id),
            Gossip::Part(_) | Gossip::Certificate(_) => return,
        };
        let node = &self.nodes[index];
        let Some(machine) = node.machine.as_ref().filter(|m| m.height() == height) else {
            return;
        };
        let found = machine.start().validators.by_address(&node.address);
        let Some((validator_index, _)) = found else {
            return;
        };
        let (validator_address, timestamp) = (node.address, node.clock(self.now));
        if !block_id.is_nil() && !node.heard.contains(&(height, block_id)) {
            self.nodes[index].heard.push((height, block_id));
        }
        if !self.rng.chance(400) {
            return;
        }
        for vote_type in [VoteType::Prevote, VoteType::Precommit] {
            let timestamp = timestamp.plus_nanos(i128::from(10_000 * MS));
            let vote = Vote {
                vote_type,
                height,
                round,
                block_id,
                timestamp,
                validator_address,
                validator_index,
                signature: None,
            };
            let vote = self.faulty_vote(index, vote);
            self.send(index, to, Payload::Gossip(Rc::new(Gossip::Vote(vote))));
        }
    }
}
