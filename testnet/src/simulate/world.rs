//! The run of one seed: a queue of events in virtual time.

use super::app::{Chain, PLAIN, POWER};
use super::network::Network;
use super::node::{Cut, Node, config};
use super::oracle::Oracle;
use super::plan::{Fault, MS, Plan, Role};
use super::rng::Rng;
use super::verifier::Memo;
use super::{Report, Settings};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::sync::Arc;
use welkin_consensus::machine::{
    Config, Decided, Gossip, SignRequest, Summary, Timeout, ValueRequest, VerifySignature,
};
use welkin_consensus::types::{Block, BlockId, Commit, Timestamp};
use welkin_runtime::crypto::SigningKey;

/// Every run commits at least so many heights.
const LEAST_HEIGHTS: u64 = 20;
/// And so many after the last fault.
const HEIGHTS_AFTER_HEALING: u64 = 3;
/// A run has some thousand events.
const MOST_EVENTS: u64 = 1_000_000;
/// In virtual time, after healing.
const TIME_AFTER_HEALING: u64 = 120_000 * MS;

/// An error says which rule was broken.
pub(crate) type Outcome = Result<(), String>;

/// Everything there is.
pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    sequence: u64,
    pub(crate) plan: Plan,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) oracle: Oracle,
    pub(crate) config: Config,
    verifier: Arc<dyn VerifySignature>,
    healed: bool,
    pub(crate) report: Report,
}

/// Something that happens at its time.
pub(crate) enum Event {
    Deliver {
        from: usize,
        to: usize,
        payload: Payload,
    },
    Timer {
        node: usize,
        life: u64,
        timeout: Timeout,
        number: u64,
    },
    Work {
        node: usize,
        life: u64,
        task: Task,
    },
    Pull {
        node: usize,
    },
    Restart {
        node: usize,
    },
    Fault(usize),
    Transaction,
    Heal,
}

/// What travels.
#[derive(Clone)]
pub(crate) enum Payload {
    Gossip(Rc<Gossip>),
    Pull(Rc<Summary>),
    Answer(Rc<Vec<Gossip>>),
    Committed(Rc<(Block, Commit)>),
}

/// What a shell does on its own.
pub(crate) enum Task {
    Sign {
        request: SignRequest,
        wal_records: usize,
    },
    Build(ValueRequest),
    Judge {
        height: u64,
        block_id: BlockId,
        block: Arc<Block>,
    },
    Store(Box<Decided>),
    Apply,
}

impl World {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut rng = Rng::new(settings.seed.wrapping_mul(16) + settings.validators as u64);
        let plan = Plan::new(&mut rng, settings.validators);
        let keys: Vec<_> = plan
            .roles
            .iter()
            .map(|_| SigningKey::from_seed(&rng.bytes()))
            .collect();
        let publics: Vec<_> = keys.iter().map(Node::public_key).collect();
        let genesis = Timestamp {
            seconds: 1_700_000_000,
            nanos: 0,
        };
        let chain = Chain::genesis(&publics, &plan.powers, genesis);
        let nodes = keys
            .into_iter()
            .zip(&plan.roles)
            .enumerate()
            .map(|(index, (key, role))| {
                let mut node = Node::new(index, *role, key, chain.clone());
                node.clock_offset_ns = i128::from(plan.clock_offsets_ms[index]) * i128::from(MS);
                node.bug = settings.bug;
                node
            });
        World {
            now: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            sequence: 0,
            nodes: nodes.collect(),
            network: Network::new(plan.weather, settings.validators),
            oracle: Oracle::default(),
            config: config(),
            verifier: Arc::new(Memo::default()),
            healed: false,
            report: Report::default(),
            plan,
            rng,
        }
    }

    /// Runs until every honest node has committed enough, or a rule is broken.
    pub(crate) fn run(mut self) -> Result<Report, String> {
        let faults: Vec<u64> = self.plan.faults.iter().map(|(at, _)| *at).collect();
        for (index, at) in faults.into_iter().enumerate() {
            self.at(at, Event::Fault(index));
        }
        let end = self.plan.faults_end_ms * MS;
        self.at(end, Event::Heal);
        self.at(MS, Event::Transaction);
        for node in 0..self.nodes.len() {
            if self.plan.roles[node] != Role::Silent {
                self.at(0, Event::Restart { node });
                self.at(0, Event::Pull { node });
            }
        }
        let mut goal = LEAST_HEIGHTS;
        loop {
            let Some(Reverse((at, number))) = self.queue.pop() else {
                return Err("nothing happens any more".to_owned());
            };
            self.now = at;
            let Some(event) = self.events.remove(&number) else {
                continue;
            };
            if matches!(event, Event::Heal) {
                let highest = self.nodes.iter().map(|node| node.disk.chain.height()).max();
                goal = goal.max(highest.unwrap_or(0) + HEIGHTS_AFTER_HEALING);
            }
            self.report.events += 1;
            if self.report.events > MOST_EVENTS {
                return Err(format!("it does not settle\n{}", self.describe_halt(goal)));
            }
            self.happen(event)
                .map_err(|why| format!("at {} ms: {why}", self.now / MS))?;
            let lowest = self
                .honest()
                .map(|node| node.disk.chain.height())
                .min()
                .unwrap_or(0);
            if self.healed && lowest >= goal {
                self.report.heights = lowest;
                return Ok(self.report);
            }
            if self.now > end + TIME_AFTER_HEALING {
                return Err(self.describe_halt(goal));
            }
        }
    }

    fn honest(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.role.is_honest())
    }

    fn describe_halt(&self, goal: u64) -> String {
        let mut text = format!("liveness: height {goal} was not reached in time");
        for node in &self.nodes {
            let height = node.disk.chain.height();
            text.push_str(&format!(
                "\n  node {} {:?} committed {height}, ",
                node.index, node.role
            ));
            match &node.machine {
                Some(machine) => text.push_str(&format!("{machine:?}")),
                None => text.push_str("down"),
            }
        }
        text
    }

    /// Lets an event happen at a time.
    pub(crate) fn at(&mut self, at: u64, event: Event) {
        self.sequence += 1;
        self.queue.push(Reverse((at, self.sequence)));
        self.events.insert(self.sequence, event);
    }

    /// Sends something over the network.
    pub(crate) fn send(&mut self, from: usize, to: usize, payload: Payload) {
        for at in self.network.arrivals(from, to, self.now, &mut self.rng) {
            self.at(
                at,
                Event::Deliver {
                    from,
                    to,
                    payload: payload.clone(),
                },
            );
        }
    }

    /// A random duration in microseconds, as nanoseconds.
    pub(crate) fn some_us(&mut self, from: u64, to: u64) -> u64 {
        self.rng.between(from, to) * (MS / 1_000)
    }

    fn happen(&mut self, event: Event) -> Outcome {
        match event {
            Event::Deliver { from, to, payload } => self.deliver(from, to, payload),
            Event::Timer {
                node,
                life,
                timeout,
                number,
            } => self.timer(node, life, timeout, number),
            Event::Work { node, life, task } => self.work(node, life, task),
            Event::Pull { node } => {
                self.pull(node);
                Ok(())
            }
            Event::Restart { node } => self.restart(node),
            Event::Fault(index) => {
                let fault = self.plan.faults[index].1.clone();
                self.fault(&fault);
                Ok(())
            }
            Event::Transaction => self.transaction(),
            Event::Heal => self.heal(),
        }
    }

    fn heal(&mut self) -> Outcome {
        self.healed = true;
        self.network.heal();
        for node in 0..self.nodes.len() {
            self.nodes[node].crash_in = None;
            if self.nodes[node].machine.is_none() && self.plan.roles[node] != Role::Silent {
                self.restart(node)?;
            }
        }
        Ok(())
    }

    fn restart(&mut self, index: usize) -> Outcome {
        let node = &mut self.nodes[index];
        if node.machine.is_some() || node.role == Role::Silent {
            return Ok(());
        }
        let mut effects = Vec::new();
        node.start(
            &self.config,
            &self.verifier,
            node.clock(self.now),
            &mut effects,
        )
        .map_err(|why| format!("node {index}: {why}"))?;
        self.perform(index, effects)
    }

    fn fault(&mut self, fault: &Fault) {
        if self.healed {
            return;
        }
        self.report.faults += 1;
        let until = |ms: &u64| self.now + ms * MS;
        match fault {
            Fault::Crash {
                node,
                after_effects,
                down_ms,
            } => {
                self.nodes[*node].crash_in = Some((*after_effects, down_ms * MS));
            }
            Fault::PowerCut { down_ms } => {
                for (node, down_ms) in down_ms.iter().enumerate() {
                    self.crash(node, down_ms * MS);
                }
            }
            Fault::Partition { groups, for_ms } => {
                self.network.partition(groups.clone(), until(for_ms));
            }
            Fault::Mute { node, for_ms } => self.network.mute(*node, until(for_ms)),
            Fault::Deafen { node, for_ms } => self.network.deafen(*node, until(for_ms)),
            Fault::Storm {
                loss_permille,
                for_ms,
            } => {
                self.network.storm(*loss_permille, until(for_ms));
            }
            Fault::Slowness { up_to_ms, for_ms } => {
                self.network.slow_down(*up_to_ms, until(for_ms));
            }
            Fault::ClockJump { node, by_ms } => {
                self.nodes[*node].clock_offset_ns += i128::from(*by_ms) * i128::from(MS);
            }
        }
    }

    /// Stops a node now.
    pub(crate) fn crash(&mut self, index: usize, down: u64) {
        let cut = match (self.nodes[index].role, self.rng.below(3)) {
            (Role::Forgetful, 0 | 1) => Cut::Anywhere,
            (_, 0) => Cut::None,
            _ => Cut::Unsynced,
        };
        if self.nodes[index].machine.is_some() {
            self.report.crashes += 1;
            self.nodes[index].stop(cut, &mut self.rng);
            self.at(self.now + down, Event::Restart { node: index });
        }
    }

    /// Somebody sends a transaction to some of the nodes.
    fn transaction(&mut self) -> Outcome {
        let pause = match self.plan.transactions_per_s {
            0 => 400,
            rate => 1_000 / rate,
        };
        let at = self.now + self.rng.between(1, 2 * pause) * MS;
        self.at(at, Event::Transaction);
        let transaction = self.some_transaction();
        for node in 0..self.nodes.len() {
            if self.rng.chance(600) {
                self.nodes[node].mempool.push(transaction.clone());
                self.handle(node, welkin_consensus::machine::Input::WorkWaiting)?;
            }
        }
        Ok(())
    }

    fn some_transaction(&mut self) -> Vec<u8> {
        let correct = |role: &Role| *role == Role::Correct;
        let places: Vec<u8> = (0u8..)
            .zip(&self.plan.roles)
            .filter(|(_, role)| correct(role))
            .map(|(p, _)| p)
            .collect();
        if self.plan.power_changes && !places.is_empty() && self.rng.chance(200) {
            let place = places[self.rng.place(places.len())];
            return vec![POWER, place, self.rng.between(10, 12) as u8];
        }
        let mut transaction = vec![PLAIN];
        transaction.extend(self.rng.next().to_le_bytes());
        if self.rng.chance(self.plan.large_permille) {
            transaction.resize(self.rng.between(60_000, 150_000) as usize, 0);
        }
        transaction
    }
}
