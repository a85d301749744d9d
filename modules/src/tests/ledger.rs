//! A naive model of escrow: the whole history of each account, replayed from the beginning block by
//! block, with a numerator for each payment. Slow, and with none of the shortcuts of the module.

use std::collections::BTreeMap;

use welkin_runtime::{Event as RawEvent, Module, Time};

use crate::escrow::{AccountState, Escrow, Event, NUMERATORS_PER_UWLK};
use crate::ids::{DeploymentId, LeaseId};
use crate::test_support::World;
use crate::{escrow, seconds};

/// What happened to an account, and in which block.
#[derive(Clone, Debug)]
enum Step {
    Deposit(u64),
    Start {
        lease: LeaseId,
        rate: u64,
    },
    Pay {
        lease: LeaseId,
        amount: u64,
    },
    Stop {
        lease: LeaseId,
        paid: u64,
    },
    End {
        stopped: Vec<(LeaseId, u64)>,
        by_chain: bool,
        refunded: u64,
    },
}

/// All accounts, by what they were told.
pub(crate) struct Ledger {
    grace: u64,
    runway: u64,
    closing_deposit: u64,
    blocks: Vec<Time>,
    histories: BTreeMap<DeploymentId, Vec<(usize, Step)>>,
}

/// Who does what is going to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    Chain,
    Transaction,
}

impl Ledger {
    pub(crate) fn new(world: &World) -> Ledger {
        let escrow::Answer::Params(params) = world.query::<Escrow>(escrow::Query::Params {}) else {
            panic!("another answer");
        };
        Ledger {
            grace: seconds(params.grace_seconds),
            runway: seconds(params.min_runway_seconds),
            closing_deposit: params.closing_deposit.0,
            blocks: vec![world.chain.time()],
            histories: BTreeMap::new(),
        }
    }

    /// A block begins.
    pub(crate) fn block(&mut self, time: Time) {
        self.blocks.push(time);
    }

    /// Learns from the events of one call, or of the hooks of a block.
    pub(crate) fn tell(&mut self, events: &[RawEvent], actor: Actor) {
        let mut told: BTreeMap<DeploymentId, Vec<Event>> = BTreeMap::new();
        for event in events.iter().filter(|event| event.module == Escrow::NAME) {
            let event: Event = borsh::from_slice(&event.data).unwrap();
            told.entry(deployment_of(&event)).or_default().push(event);
        }
        let block = self.blocks.len() - 1;
        for (deployment, events) in told {
            let history = self.histories.entry(deployment).or_default();
            history.extend(steps(events, actor).into_iter().map(|step| (block, step)));
        }
    }

    /// Compares every account with what the chain says of it.
    pub(crate) fn compare(&self, world: &World) {
        for (deployment, history) in &self.histories {
            let found = world.query::<Escrow>(escrow::Query::Account {
                deployment: *deployment,
            });
            let escrow::Answer::Account(found) = found else {
                panic!("another answer")
            };
            // Pruned.
            let Some(found) = found else { continue };
            let expected = self.replay(history);
            let account = &found.account;
            assert_eq!(account.state, expected.state, "state of {deployment}");
            assert_eq!(
                u128::from(account.balance.0),
                expected.balance,
                "balance of {deployment}"
            );
            assert_eq!(
                account.earned.0,
                expected.earned(),
                "earned of {deployment}"
            );
            assert_eq!(account.exhausted_at, expected.exhausted_at, "{deployment}");
            assert_eq!(
                account.grace_used_nanos, expected.grace_used,
                "grace of {deployment}"
            );
            if expected.state == AccountState::Exhausted {
                assert_eq!(
                    account.closes_at,
                    Some(self.closes_at(&expected)),
                    "{deployment}"
                );
                assert_eq!(found.closing, self.has_ended(&expected), "{deployment}");
            }
            for (lease, payment) in &expected.payments {
                let found = world.query::<Escrow>(escrow::Query::Payment { lease: *lease });
                let found = match found {
                    escrow::Answer::Payment(Some(found)) => found,
                    // Pruned.
                    _ if payment.stopped => continue,
                    _ => panic!("lease {lease} has no payment"),
                };
                let whole = payment.numerator / NUMERATORS_PER_UWLK;
                assert_eq!(u128::from(found.earned_uwlk.0), whole, "earned by {lease}");
                assert_eq!(
                    u128::from(found.payment.paid.0),
                    payment.paid,
                    "paid to {lease}"
                );
            }
        }
    }

    fn closes_at(&self, account: &Replayed) -> Time {
        let since = account.exhausted_at.unwrap();
        Time(
            since
                .0
                .saturating_add(self.grace.saturating_sub(account.grace_used)),
        )
    }

    fn has_ended(&self, account: &Replayed) -> bool {
        account.state == AccountState::Exhausted && self.closes_at(account) <= account.now
    }

    fn replay(&self, history: &[(usize, Step)]) -> Replayed {
        let first = history[0].0;
        let mut account = Replayed {
            now: self.blocks[first],
            ..Replayed::default()
        };
        let mut steps = history.iter().peekable();
        for (number, time) in self.blocks.iter().enumerate().skip(first) {
            account.pass(*time);
            while let Some((_, step)) = steps.next_if(|(block, _)| *block == number) {
                let ends = matches!(step, Step::End { .. });
                assert!(
                    ends || !self.has_ended(&account),
                    "touched past its end: {step:?}"
                );
                self.apply(&mut account, step);
                if account.state == AccountState::Exhausted && account.covers(self.runway) {
                    account.resume();
                }
            }
        }
        account
    }

    fn apply(&self, account: &mut Replayed, step: &Step) {
        match step {
            Step::Deposit(amount) => account.balance += u128::from(*amount),
            Step::Start { lease, rate } => {
                assert_eq!(
                    account.state,
                    AccountState::Open,
                    "only open accounts take leases"
                );
                let payment = Payment {
                    rate: u128::from(*rate),
                    ..Payment::default()
                };
                account.payments.insert(*lease, payment);
                assert!(
                    account.covers(self.runway),
                    "a lease starts with enough for a while"
                );
            }
            Step::Pay { lease, amount } => account.pay(lease, *amount),
            Step::Stop { lease, paid } => account.stop(lease, *paid),
            Step::End {
                stopped,
                by_chain,
                refunded,
            } => {
                assert!(
                    !by_chain || self.has_ended(account),
                    "the chain ends what has ended"
                );
                for (lease, paid) in stopped {
                    account.stop(lease, *paid);
                }
                assert_eq!(account.rates(), 0, "an end ends all payments");
                let prepaid = if *by_chain {
                    0
                } else {
                    u128::from(self.closing_deposit)
                };
                assert_eq!(
                    account.balance + prepaid,
                    u128::from(*refunded),
                    "the refund"
                );
                account.balance = 0;
                account.state = AccountState::Closed;
                account.exhausted_at = None;
            }
        }
    }
}

#[derive(Default)]
struct Payment {
    rate: u128,
    numerator: u128,
    paid: u128,
    stopped: bool,
}

struct Replayed {
    state: AccountState,
    now: Time,
    balance: u128,
    payments: BTreeMap<LeaseId, Payment>,
    exhausted_at: Option<Time>,
    grace_used: u64,
}

impl Default for Replayed {
    fn default() -> Self {
        Replayed {
            state: AccountState::Open,
            now: Time(0),
            balance: 0,
            payments: BTreeMap::new(),
            exhausted_at: None,
            grace_used: 0,
        }
    }
}

impl Replayed {
    fn rates(&self) -> u128 {
        self.payments
            .values()
            .filter(|payment| !payment.stopped)
            .map(|p| p.rate)
            .sum()
    }

    fn earned(&self) -> u128 {
        self.payments
            .values()
            .map(|payment| payment.numerator)
            .sum()
    }

    fn free(&self) -> u128 {
        (self.balance * NUMERATORS_PER_UWLK)
            .checked_sub(self.earned())
            .expect("nobody is short")
    }

    fn covers(&self, nanos: u64) -> bool {
        self.free() >= self.rates() * u128::from(nanos)
    }

    /// Time passes up to a block: everybody earns while the money lasts.
    fn pass(&mut self, time: Time) {
        let nanos = u128::from(time.0 - self.now.0);
        self.now = time;
        if self.state != AccountState::Open || self.rates() == 0 {
            return;
        }
        let lasts = self.free() / self.rates();
        for payment in self
            .payments
            .values_mut()
            .filter(|payment| !payment.stopped)
        {
            payment.numerator += payment.rate * lasts.min(nanos);
        }
        if lasts <= nanos {
            self.state = AccountState::Exhausted;
            self.exhausted_at = Some(time);
        }
    }

    fn resume(&mut self) {
        self.state = AccountState::Open;
        self.grace_used += self.now.0 - self.exhausted_at.take().unwrap().0;
    }

    fn pay(&mut self, lease: &LeaseId, amount: u64) {
        let payment = self.payments.get_mut(lease).unwrap();
        assert_eq!(
            payment.numerator / NUMERATORS_PER_UWLK,
            u128::from(amount),
            "paid to {lease}"
        );
        payment.numerator %= NUMERATORS_PER_UWLK;
        payment.paid += u128::from(amount);
        self.balance -= u128::from(amount);
    }

    /// Pays the whole part and forgets the rest, which is free again.
    fn stop(&mut self, lease: &LeaseId, paid: u64) {
        let payment = self.payments.get_mut(lease).unwrap();
        let whole = payment.numerator / NUMERATORS_PER_UWLK;
        payment.paid += whole;
        payment.numerator = 0;
        payment.stopped = true;
        self.balance -= whole;
        assert_eq!(payment.paid, u128::from(paid), "paid to {lease} in all");
    }
}

fn deployment_of(event: &Event) -> DeploymentId {
    match event {
        Event::Opened { deployment, .. }
        | Event::Deposited { deployment, .. }
        | Event::Exhausted { deployment, .. }
        | Event::Resumed { deployment, .. }
        | Event::Closed { deployment, .. } => *deployment,
        Event::PaymentOpened { lease, .. }
        | Event::Paid { lease, .. }
        | Event::PaymentClosed { lease, .. } => lease.deployment,
    }
}

/// What the events of one account tell. What an account's end pays belongs to the end.
fn steps(events: Vec<Event>, actor: Actor) -> Vec<Step> {
    let ends = events
        .iter()
        .any(|event| matches!(event, Event::Closed { .. }));
    let mut stopped = Vec::new();
    let mut steps = Vec::new();
    let mut closing = BTreeMap::new();
    for event in &events {
        if let Event::PaymentClosed { lease, .. } = event {
            closing.insert(*lease, ());
        }
    }
    for event in events {
        match event {
            Event::Opened { deposit, .. } => steps.push(Step::Deposit(deposit.0)),
            Event::Deposited { amount, .. } => steps.push(Step::Deposit(amount.0)),
            Event::PaymentOpened {
                lease,
                rate_uwlk_per_hour,
                ..
            } => {
                steps.push(Step::Start {
                    lease,
                    rate: rate_uwlk_per_hour.0,
                });
            }
            Event::Paid { lease, amount, .. } if !closing.contains_key(&lease) => {
                steps.push(Step::Pay {
                    lease,
                    amount: amount.0,
                });
            }
            Event::PaymentClosed { lease, paid } if ends => stopped.push((lease, paid.0)),
            Event::PaymentClosed { lease, paid } => steps.push(Step::Stop {
                lease,
                paid: paid.0,
            }),
            Event::Closed { refunded, .. } => steps.push(Step::End {
                stopped: std::mem::take(&mut stopped),
                by_chain: actor == Actor::Chain,
                refunded: refunded.0,
            }),
            Event::Paid { .. } | Event::Exhausted { .. } | Event::Resumed { .. } => {}
        }
    }
    steps
}
