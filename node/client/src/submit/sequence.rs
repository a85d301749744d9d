//! Which sequence a new transaction of an account gets. Pure.

use std::collections::BTreeMap;

/// The sequences of one account, as far as this client knows and uses them.
///
/// The rule: the lowest one that the chain has not used and that nothing in flight has. So nothing
/// waits behind a gap of ours, and one sequence is never in two transactions that may both come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sequences {
    /// Every sequence below this is used on the chain.
    used_below: u64,
    /// Sequences that may still be used, each with the last height at which that can happen.
    in_flight: BTreeMap<u64, u64>,
}

impl Sequences {
    /// The sequence of the next transaction.
    pub fn next(&self) -> u64 {
        let mut next = self.used_below;
        for taken in self.in_flight.keys() {
            if *taken > next {
                break;
            }
            next = taken + 1;
        }
        next
    }

    /// Something that may be executed up to `expiry_height` has this sequence.
    pub fn take(&mut self, sequence: u64, expiry_height: u64) {
        if sequence >= self.used_below {
            let expiry = self.in_flight.entry(sequence).or_default();
            *expiry = expiry_height.max(*expiry);
        }
    }

    /// What was to have this sequence never left, or was refused: it is free.
    pub fn release(&mut self, sequence: u64) {
        self.in_flight.remove(&sequence);
    }

    /// The chain is proven to have used every sequence below `next`.
    pub fn used(&mut self, next: u64) {
        self.used_below = self.used_below.max(next);
        self.in_flight = self.in_flight.split_off(&self.used_below);
    }

    /// In the state after block `height` the account's next sequence is proven to be `next`: what
    /// is not used there and had to be by then never will be.
    pub fn proven(&mut self, height: u64, next: u64) {
        self.used(next);
        self.in_flight.retain(|_, expiry| *expiry > height);
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What may happen to an account with one client: it sends, the chain goes on and takes what
    /// comes without a gap, some transactions get lost, others of the same key are taken first.
    #[derive(Clone, Debug)]
    enum Step {
        Send { lifetime: u64 },
        Refused,
        Block { takes: usize },
        Lose { which: usize },
        Foreign,
        Look,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..6u64).prop_map(|lifetime| Step::Send { lifetime }),
            1 => Just(Step::Refused),
            3 => (0..4usize).prop_map(|takes| Step::Block { takes }),
            1 => (0..4usize).prop_map(|which| Step::Lose { which }),
            1 => Just(Step::Foreign),
            3 => Just(Step::Look),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn no_sequence_is_in_two_transactions_that_may_both_come(
            steps in prop::collection::vec(step(), 0..120),
        ) {
            let mut ours = Sequences::default();
            let (mut height, mut chain_next) = (1u64, 0u64);
            // The model: what was sent and can still be executed, by sequence, with its expiry.
            let mut live: BTreeMap<u64, u64> = BTreeMap::new();
            // Of these, what the mempool still holds.
            let mut pool: BTreeMap<u64, u64> = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Send { lifetime } => {
                        let sequence = ours.next();
                        prop_assert!(!live.contains_key(&sequence), "{sequence} is in flight");
                        if sequence >= chain_next {
                            live.insert(sequence, height + lifetime);
                            pool.insert(sequence, height + lifetime);
                        }
                        // One that is too low (a foreign transaction came first) is refused by the
                        // check, which the client answers by looking.
                        if sequence < chain_next {
                            ours.proven(height, chain_next);
                        } else {
                            ours.take(sequence, height + lifetime);
                        }
                    }
                    Step::Refused => {
                        let sequence = ours.next();
                        ours.take(sequence, height + 1);
                        ours.release(sequence);
                        prop_assert_eq!(ours.next(), sequence);
                    }
                    Step::Block { takes } => {
                        height += 1;
                        for _ in 0..takes {
                            let Some(expiry) = pool.remove(&chain_next) else { break };
                            if expiry < height {
                                break;
                            }
                            live.remove(&chain_next);
                            chain_next += 1;
                        }
                        live.retain(|_, expiry| *expiry > height);
                        pool.retain(|_, expiry| *expiry > height);
                    }
                    Step::Lose { which } => {
                        let lost = pool.keys().nth(which).copied();
                        lost.map(|sequence| pool.remove(&sequence));
                    }
                    Step::Foreign => {
                        live.remove(&chain_next);
                        pool.remove(&chain_next);
                        chain_next += 1;
                    }
                    Step::Look => {
                        ours.proven(height, chain_next);
                        prop_assert!(ours.next() >= chain_next);
                        // With nothing in flight the account goes on where the chain is.
                        if live.is_empty() {
                            prop_assert_eq!(ours.next(), chain_next);
                        }
                        let lowest_free = (chain_next..).find(|n| !live.contains_key(n));
                        prop_assert_eq!(Some(ours.next()), lowest_free);
                    }
                }
            }
        }
    }

    #[test]
    fn a_sequence_whose_transaction_expired_unused_is_given_again_first() {
        let mut ours = Sequences::default();
        ours.proven(10, 5);
        for expiry in [12, 30, 30] {
            let sequence = ours.next();
            ours.take(sequence, expiry);
        }
        assert_eq!(ours.next(), 8);
        ours.proven(12, 5);
        assert_eq!((ours.next(), ours.in_flight()), (5, 2));
        ours.take(5, 40);
        assert_eq!(ours.next(), 8);
        ours.proven(13, 8);
        assert_eq!((ours.next(), ours.in_flight()), (8, 0));
    }

    #[test]
    fn an_older_look_takes_nothing_back() {
        let mut ours = Sequences::default();
        ours.used(7);
        ours.proven(3, 4);
        assert_eq!(ours.next(), 7);
    }
}
