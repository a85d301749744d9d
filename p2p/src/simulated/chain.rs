//! The chain's network in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;
use libp2p::identity::Keypair;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::links::{Conditions, Links};
use super::member::{Gossip, Member};
use crate::chain::{
    Answer, Command, Config, Direction, Ends, Events, Handle, MessageToken, Metrics, NetworkEvent,
    Outcome, OutcomeLabel, Protocol, Reply, RequestError, Roster, Verdict, handle, lanes,
};

/// How often bans and unheard events are looked at.
const TICK: Duration = Duration::from_millis(20);

/// A network in memory. Every two members of the same genesis are connected unless the hub says
/// otherwise.
#[derive(Clone)]
pub struct Hub {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
}

struct State {
    links: Links,
    members: BTreeMap<PeerId, Member>,
    in_flight: BTreeMap<(Instant, u64), Flight>,
    asked: BTreeMap<u64, Asked>,
    next_number: u64,
    /// This very state, for the tasks that wait for replies.
    this: Weak<Mutex<State>>,
    wake: Arc<Notify>,
}

/// Something on its way.
enum Flight {
    Gossip {
        from: PeerId,
        to: PeerId,
        gossip: Gossip,
    },
    Request {
        id: u64,
        body: Bytes,
    },
    Response {
        id: u64,
        body: Option<Bytes>,
    },
}

/// A request that has no response yet.
struct Asked {
    from: PeerId,
    to: PeerId,
    protocol: Protocol,
    answer: Answer,
}

impl Hub {
    /// A network without members, whose dice begin with this seed. Needs a tokio runtime.
    #[must_use]
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        let wake = Arc::<Notify>::default();
        let state = Arc::new_cyclic(|this| {
            Mutex::new(State {
                links: Links::new(conditions, seed),
                members: BTreeMap::new(),
                in_flight: BTreeMap::new(),
                asked: BTreeMap::new(),
                next_number: 0,
                this: Weak::clone(this),
                wake: Arc::clone(&wake),
            })
        });
        let hub = Self { state, wake };
        tokio::spawn(carry(Arc::downgrade(&hub.state), Arc::clone(&hub.wake)));
        hub
    }

    /// Adds a node. Of the configuration only genesis, explicit peers and timeout matter.
    #[must_use]
    pub fn join(&self, config: &Config, keypair: &Keypair) -> (Handle, Events) {
        let local_peer = keypair.public().to_peer_id();
        let metrics = Metrics::default();
        let (lanes, events) = lanes();
        let (handle, ends) = handle(
            local_peer,
            Vec::new(),
            config.request_timeout,
            metrics.clone(),
        );
        let explicit = config
            .explicit_peers
            .iter()
            .copied()
            .filter(|peer| *peer != local_peer);
        let roster = Roster::new(Arc::clone(&ends.peers), explicit.collect());
        let member = Member::new(config.genesis_hash, lanes, roster, metrics);
        let mut state = self.lock();
        state.remove(&local_peer);
        state.members.insert(local_peer, member);
        state.relink();
        drop(state);
        tokio::spawn(serve(self.clone(), local_peer, ends));
        (handle, events)
    }

    /// Changes what links do from now on.
    pub fn set_conditions(&self, conditions: Conditions) {
        self.lock().links.conditions = conditions;
    }

    /// Each group can only reach its own members; who is in no group stays together.
    pub fn partition(&self, groups: &[&[PeerId]]) {
        let mut state = self.lock();
        state.links.partition(groups);
        state.relink();
    }

    /// Everybody reaches everybody again.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.links.heal();
        state.relink();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries what is in flight until the hub is gone.
async fn carry(state: Weak<Mutex<State>>, wake: Arc<Notify>) {
    loop {
        let next = {
            let Some(state) = state.upgrade() else { return };
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            while let Some(entry) = state.in_flight.first_entry()
                && entry.key().0 <= now
            {
                let flight = entry.remove();
                state.arrive(flight);
            }
            state.relink();
            let tick = now + TICK;
            state
                .in_flight
                .keys()
                .next()
                .map_or(tick, |(at, _)| tick.min(*at))
        };
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = wake.notified() => {}
        }
    }
}

/// Serves the commands of one node until it stops.
async fn serve(hub: Hub, peer: PeerId, mut ends: Ends) {
    loop {
        tokio::select! {
            command = ends.commands.recv() => match command {
                None | Some(Command::Stop) => break,
                Some(command) => hub.lock().command(peer, command),
            },
            Some((token, verdict)) = ends.verdicts.recv() => {
                hub.lock().verdict(peer, &token, verdict);
            }
        }
        hub.wake.notify_one();
    }
    let mut state = hub.lock();
    state.remove(&peer);
    state.relink();
}

impl State {
    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn remove(&mut self, peer: &PeerId) {
        self.members.remove(peer);
        for member in self.members.values_mut() {
            member.unlink(peer);
        }
        self.lose_requests();
    }

    fn command(&mut self, peer: PeerId, command: Command) {
        let Some(member) = self.members.get_mut(&peer) else {
            return;
        };
        match command {
            Command::Publish { topic, data } => {
                if let Some(gossip) = member.publish(topic, data) {
                    let to: Vec<PeerId> = member.linked().copied().collect();
                    self.spread(peer, &gossip, to);
                }
            }
            Command::Request {
                peer: to,
                protocol,
                body,
                answer,
            } => {
                self.ask(
                    Asked {
                        from: peer,
                        to,
                        protocol,
                        answer,
                    },
                    body,
                );
            }
            Command::Penalise {
                peer: other,
                offence,
            } => member.conduct.note(other, offence),
            // All links that may exist exist, so there is nothing to dial, and a closed one opens
            // again.
            Command::Dial { .. } | Command::Stop => {}
            Command::Disconnect { peer: other } => self.unlink(peer, other),
        }
    }

    fn verdict(&mut self, peer: PeerId, token: &MessageToken, verdict: Verdict) {
        let decided = self
            .members
            .get_mut(&peer)
            .and_then(|member| member.decide(token, verdict));
        if let Some((gossip, to)) = decided {
            self.spread(peer, &gossip, to);
        }
    }

    fn spread(&mut self, from: PeerId, gossip: &Gossip, to: Vec<PeerId>) {
        for to in to {
            for delay in self.links.arrivals() {
                self.launch(
                    delay,
                    Flight::Gossip {
                        from,
                        to,
                        gossip: gossip.clone(),
                    },
                );
            }
        }
    }

    fn ask(&mut self, asked: Asked, body: Bytes) {
        if !self.are_linked(&asked.from, &asked.to) {
            self.count(&asked, Outcome::Failed);
            let _ = asked.answer.send(Err(RequestError::NotConnected));
            return;
        }
        if self.links.loses() {
            self.count(&asked, Outcome::Failed);
            let _ = asked.answer.send(Err(RequestError::Disconnected));
            return;
        }
        let id = self.number();
        self.asked.insert(id, asked);
        let delay = self.links.delay();
        self.launch(delay, Flight::Request { id, body });
    }

    fn launch(&mut self, delay: Duration, flight: Flight) {
        let number = self.number();
        self.in_flight
            .insert((Instant::now() + delay, number), flight);
    }

    fn arrive(&mut self, flight: Flight) {
        match flight {
            Flight::Gossip { from, to, gossip } => {
                if self.are_linked(&from, &to)
                    && let Some(member) = self.members.get_mut(&to)
                {
                    member.deliver(from, gossip);
                }
            }
            Flight::Request { id, body } => self.arrive_request(id, body),
            Flight::Response { id, body } => {
                if let Some(asked) = self.asked.remove(&id) {
                    let declined = (Outcome::Declined, Err(RequestError::Refused));
                    let limit = asked.protocol.max_response_bytes();
                    let (outcome, result) = match body {
                        Some(body) if body.len() <= limit => (Outcome::Answered, Ok(body)),
                        _ => declined,
                    };
                    self.count(&asked, outcome);
                    let _ = asked.answer.send(result);
                }
            }
        }
    }

    fn arrive_request(&mut self, id: u64, body: Bytes) {
        let Some(asked) = self.asked.get(&id) else {
            return;
        };
        let (from, to, protocol) = (asked.from, asked.to, asked.protocol);
        let (sender, answered) = oneshot::channel();
        let reply = Reply { sender };
        let event = NetworkEvent::Request {
            peer: from,
            protocol,
            body,
            reply,
        };
        let taken = self
            .members
            .get(&to)
            .is_some_and(|member| member.offer(event));
        if !taken {
            if let Some(asked) = self.asked.remove(&id) {
                self.count(&asked, Outcome::Declined);
                let _ = asked.answer.send(Err(RequestError::Busy));
            }
            return;
        }
        let (this, wake) = (Weak::clone(&self.this), Arc::clone(&self.wake));
        tokio::spawn(async move {
            let body = answered.await.ok();
            if let Some(state) = this.upgrade() {
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                let delay = state.links.delay();
                state.launch(delay, Flight::Response { id, body });
            }
            wake.notify_one();
        });
    }

    fn are_linked(&self, a: &PeerId, b: &PeerId) -> bool {
        self.members
            .get(a)
            .is_some_and(|member| member.is_linked(b))
    }

    /// Links whom nothing separates, and cuts whom something does.
    fn relink(&mut self) {
        let peers: Vec<PeerId> = self.members.keys().copied().collect();
        for (n, a) in peers.iter().enumerate() {
            for b in &peers[n + 1..] {
                match (self.may_link(a, b), self.are_linked(a, b)) {
                    (true, false) => self.link(*a, *b),
                    (false, true) => self.unlink(*a, *b),
                    (true, true) | (false, false) => {}
                }
            }
        }
        for member in self.members.values_mut() {
            member.changed();
        }
    }

    fn may_link(&self, a: &PeerId, b: &PeerId) -> bool {
        let (Some(first), Some(second)) = (self.members.get(a), self.members.get(b)) else {
            return false;
        };
        first.genesis_hash == second.genesis_hash
            && self.links.reach(a, b)
            && !first.conduct.is_banned(b)
            && !second.conduct.is_banned(a)
    }

    fn link(&mut self, a: PeerId, b: PeerId) {
        let number = usize::try_from(self.number()).unwrap_or(usize::MAX);
        if let Some(member) = self.members.get_mut(&a) {
            member.link(b, number, Direction::Outbound);
        }
        if let Some(member) = self.members.get_mut(&b) {
            member.link(a, number, Direction::Inbound);
        }
    }

    /// Cuts a link; what was asked over it is lost.
    fn unlink(&mut self, a: PeerId, b: PeerId) {
        if let Some(member) = self.members.get_mut(&a) {
            member.unlink(&b);
        }
        if let Some(member) = self.members.get_mut(&b) {
            member.unlink(&a);
        }
        self.lose_requests();
    }

    fn lose_requests(&mut self) {
        let members = &self.members;
        let linked = |asked: &Asked| {
            members
                .get(&asked.from)
                .is_some_and(|member| member.is_linked(&asked.to))
        };
        let lost: Vec<u64> = self
            .asked
            .iter()
            .filter(|(_, asked)| !linked(asked))
            .map(|(id, _)| *id)
            .collect();
        for asked in lost
            .iter()
            .filter_map(|id| self.asked.remove(id))
            .collect::<Vec<_>>()
        {
            self.count(&asked, Outcome::Failed);
            let _ = asked.answer.send(Err(RequestError::Disconnected));
        }
    }

    fn count(&self, asked: &Asked, outcome: Outcome) {
        let label = OutcomeLabel {
            protocol: asked.protocol,
            outcome,
        };
        if let Some(member) = self.members.get(&asked.from) {
            member.metrics.requests_sent.get_or_create(&label).inc();
        }
        if let Some(member) = self.members.get(&asked.to) {
            member.metrics.requests_received.get_or_create(&label).inc();
        }
    }
}
