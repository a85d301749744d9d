//! What nodes say to each other, and how they ask for what was lost.

use super::plan::{MS, Role};
use super::world::{Event, Outcome, Payload, World};
use std::rc::Rc;
use welkin_consensus::machine::{Gossip, Input, Peer, Summary};

/// Most bytes of an answer to a pull.
const ANSWER_BYTES: usize = 256 * 1_024;

impl World {
    /// Sends a machine's message to all.
    pub(crate) fn broadcast(&mut self, index: usize, message: Gossip) {
        if self.nodes[index].role == Role::Equivocator {
            return self.broadcast_faulty(index, message);
        }
        let message = Rc::new(message);
        for to in (0..self.nodes.len()).filter(|to| *to != index) {
            self.send(index, to, Payload::Gossip(message.clone()));
        }
    }

    pub(crate) fn deliver(&mut self, from: usize, to: usize, payload: Payload) -> Outcome {
        if self.nodes[to].machine.is_none() {
            return Ok(());
        }
        match payload {
            Payload::Gossip(message) => self.receive(from, to, &message),
            Payload::Pull(summary) => {
                self.answer(from, to, &summary);
                Ok(())
            }
            Payload::Answer(messages) => messages
                .iter()
                .try_for_each(|message| self.receive(from, to, message)),
            Payload::Committed(decision) => {
                let (block, commit) = (*decision).clone();
                if commit.height == self.nodes[to].height() {
                    self.nodes[to].overtaken_at = commit.height;
                }
                self.handle(
                    to,
                    Input::Committed {
                        block: Box::new(block),
                        commit,
                    },
                )
            }
        }
    }

    fn receive(&mut self, from: usize, to: usize, message: &Gossip) -> Outcome {
        // Two of them would answer each other's answers without end.
        let is_one_of_them = |node: usize| self.nodes[node].role == Role::Equivocator;
        if is_one_of_them(to) && !is_one_of_them(from) {
            self.support(to, from, message);
        }
        let input = Input::Message {
            from: Peer(from as u64),
            message: message.clone(),
        };
        self.handle(to, input)
    }

    /// Tells a random peer what is here, to get what is missing. Again after a while, always.
    pub(crate) fn pull(&mut self, index: usize) {
        let pause = self.rng.between(50, 150) * MS;
        self.at(self.now + pause, Event::Pull { node: index });
        let Some(machine) = &self.nodes[index].machine else {
            return;
        };
        let summary = Rc::new(machine.summary());
        let to = (index + 1 + self.rng.place(self.nodes.len() - 1)) % self.nodes.len();
        self.send(index, to, Payload::Pull(summary));
    }

    fn answer(&mut self, from: usize, to: usize, summary: &Summary) {
        let node = &self.nodes[to];
        let Some(machine) = &node.machine else { return };
        let messages = machine.answer(summary, ANSWER_BYTES);
        let stored = node.disk.chain.stored(summary.height);
        let decision = stored.map(|stored| (stored.block.clone(), stored.commit.clone()));
        if !messages.is_empty() {
            self.send(to, from, Payload::Answer(Rc::new(messages)));
        }
        if let Some(decision) = decision {
            self.send(to, from, Payload::Committed(Rc::new(decision)));
        }
    }
}
