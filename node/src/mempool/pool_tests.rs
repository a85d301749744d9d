use super::*;
use welkin_runtime::crypto::sha256;

const HOLDS: u64 = 1_000_000;

fn account(number: u8) -> Address {
    Address([number; 20])
}

/// A transaction of account `number`, whose next sequence in the state is `next`.
fn checked(number: u8, next: u64, sequence: u64, fee: u64) -> (CheckedTransaction, Bytes) {
    let raw = Bytes::from(format!("{number}/{sequence}/{fee:06}"));
    let checked = CheckedTransaction {
        id: sha256(&raw),
        sender: account(number),
        sequence,
        payer: Payer {
            sequence: next,
            balance: Amount(HOLDS),
        },
        fee: Amount(fee),
        gas_limit: 10,
        expiry_height: 100,
        bytes: raw.len(),
    };
    (checked, raw)
}

fn put(pool: &mut Pool, number: u8, sequence: u64) -> Result<Inserted, ModuleError> {
    let (checked, raw) = checked(number, 0, sequence, 100);
    pool.insert(&checked, raw)
}

fn reaped(pool: &Pool) -> Vec<String> {
    let room = Room {
        bytes: 1 << 20,
        gas: 1 << 20,
    };
    pool.reap(room)
        .iter()
        .map(|raw| String::from_utf8(raw.to_vec()).unwrap())
        .collect()
}

fn payer(sequence: u64, balance: u64) -> Payer {
    Payer {
        sequence,
        balance: Amount(balance),
    }
}

#[test]
fn a_block_takes_each_account_in_order_and_the_oldest_first() {
    let mut pool = Pool::new(Limits::default());
    for (number, sequence) in [(1, 0), (2, 1), (1, 1), (2, 0), (3, 1)] {
        put(&mut pool, number, sequence).unwrap();
    }
    assert_eq!(
        reaped(&pool),
        ["1/0/000100", "1/1/000100", "2/0/000100", "2/1/000100"]
    );
    assert!(pool.has_ready());
}

#[test]
fn a_block_takes_no_more_than_it_has_room_for() {
    let mut pool = Pool::new(Limits::default());
    for sequence in 0..10 {
        put(&mut pool, 1, sequence).unwrap();
    }
    assert_eq!(
        pool.reap(Room {
            bytes: 1 << 20,
            gas: 35
        })
        .len(),
        3
    );
    assert_eq!(
        pool.reap(Room {
            bytes: 2 * (10 + FRAME_BYTES) + 1,
            gas: 1000
        })
        .len(),
        2
    );
}

#[test]
fn sixteen_wait_behind_a_gap_and_no_more() {
    let mut pool = Pool::new(Limits::default());
    for sequence in 1..=16 {
        put(&mut pool, 1, sequence).unwrap();
    }
    assert!(
        put(&mut pool, 1, 17)
            .unwrap_err()
            .is(MempoolError::TooManyParked)
    );
    assert!(!pool.has_ready());
    put(&mut pool, 1, 0).unwrap();
    assert_eq!(reaped(&pool).len(), 17);
    assert_eq!(pool.next_sequence(&account(1)), Some(17));
    // Nothing is missing now, so the seventeenth is not parked any more.
    put(&mut pool, 1, 17).unwrap();
}

#[test]
fn ten_percent_more_replace_a_transaction_and_less_does_not() {
    let mut pool = Pool::new(Limits::default());
    let (first, raw) = checked(1, 0, 0, 100);
    pool.insert(&first, raw.clone()).unwrap();
    assert_eq!(pool.insert(&first, raw), Ok(Inserted::Known));
    let (cheap, raw) = checked(1, 0, 0, 109);
    assert!(
        pool.insert(&cheap, raw)
            .unwrap_err()
            .is(MempoolError::ReplacementUnderpaid)
    );
    let (dear, raw) = checked(1, 0, 0, 110);
    assert_eq!(pool.insert(&dear, raw), Ok(Inserted::New(Some(first.id))));
    assert_eq!(reaped(&pool), ["1/0/000110"]);
    assert!(!pool.contains(&first.id));
}

#[test]
fn fees_that_the_sender_does_not_hold_are_refused_and_dropped() {
    let mut pool = Pool::new(Limits::default());
    for sequence in 0..2 {
        let (half, raw) = checked(1, 0, sequence, HOLDS / 2);
        pool.insert(&half, raw).unwrap();
    }
    assert!(
        put(&mut pool, 1, 2)
            .unwrap_err()
            .is(MempoolError::FeesNotCovered)
    );
    pool.settle(&account(1), &payer(0, HOLDS / 2));
    assert_eq!(pool.len(), 1);
}

#[test]
fn a_full_pool_lets_a_parked_one_go_for_a_ready_one() {
    let mut pool = Pool::new(Limits {
        transactions: 2,
        ..Limits::default()
    });
    put(&mut pool, 1, 0).unwrap();
    put(&mut pool, 2, 5).unwrap();
    put(&mut pool, 3, 0).unwrap();
    assert_eq!(reaped(&pool), ["1/0/000100", "3/0/000100"]);
    assert!(put(&mut pool, 4, 0).unwrap_err().is(MempoolError::Full));
    assert!(put(&mut pool, 4, 7).unwrap_err().is(MempoolError::Full));
}

#[test]
fn what_was_used_or_expired_goes_and_the_rest_moves_up() {
    let mut pool = Pool::new(Limits::default());
    for sequence in 0..4 {
        put(&mut pool, 1, sequence).unwrap();
    }
    pool.settle(&account(1), &payer(2, HOLDS));
    assert_eq!(reaped(&pool), ["1/2/000100", "1/3/000100"]);
    pool.expire(100);
    assert_eq!(pool.len(), 2);
    pool.expire(101);
    assert_eq!((pool.len(), pool.bytes()), (0, 0));
    assert!(!pool.has_ready());
}

#[test]
fn what_waits_for_long_is_told_to_others() {
    let mut pool = Pool::new(Limits::default());
    put(&mut pool, 1, 0).unwrap();
    let mark = pool.mark();
    put(&mut pool, 2, 0).unwrap();
    let (old, raw) = checked(1, 0, 0, 100);
    assert_eq!(pool.older_than(mark, 10), [old.id]);
    assert_eq!(pool.get(&old.id), Some(raw));
}

mod random {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert {
            account: u8,
            sequence: u64,
            fee: u64,
        },
        Settle {
            account: u8,
            sequence: u64,
            balance: u64,
        },
        Remove {
            account: u8,
            sequence: u64,
            fee: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0u8..4, 0u64..24, 1u64..400)
                .prop_map(|(account, sequence, fee)| Step::Insert { account, sequence, fee }),
            1 => (0u8..4, 0u64..24, 0u64..4000)
                .prop_map(|(account, sequence, balance)| Step::Settle { account, sequence, balance }),
            1 => (0u8..4, 0u64..24, 1u64..400)
                .prop_map(|(account, sequence, fee)| Step::Remove { account, sequence, fee }),
        ]
    }

    proptest! {
        /// The invariants of the header, and a block that the rules allow, after any history.
        #[test]
        fn any_history_leaves_a_pool_that_makes_valid_blocks(steps in proptest::collection::vec(step(), 0..200)) {
            let limits = Limits { transactions: 30, bytes: 290, parked_per_account: 4 };
            let mut pool = Pool::new(limits);
            let mut state = [(0u64, HOLDS); 4];
            for step in steps {
                match step {
                    Step::Insert { account, sequence, fee } => {
                        let (next, balance) = state[account as usize];
                        let (mut checked, raw) = checked(account, next, sequence.max(next), fee);
                        checked.payer.balance = Amount(balance);
                        if fee <= balance {
                            let _ = pool.insert(&checked, raw);
                        }
                    }
                    Step::Settle { account: number, sequence, balance } => {
                        let next = sequence.max(state[number as usize].0);
                        state[number as usize] = (next, balance);
                        pool.settle(&account(number), &payer(next, balance));
                    }
                    Step::Remove { account, sequence, fee } => {
                        pool.remove(&checked(account, 0, sequence, fee).0.id);
                    }
                }
                prop_assert!(pool.len() <= limits.transactions && pool.bytes() <= limits.bytes);
                prop_assert_eq!(pool.arrivals.len(), pool.len());
                prop_assert_eq!(pool.expiries.len(), pool.len());
                let block = reaped(&pool);
                prop_assert_eq!(block.is_empty(), !pool.has_ready());
                let mut left = state;
                for text in block {
                    let parts: Vec<u64> = text.split('/').map(|part| part.parse().unwrap()).collect();
                    let (next, balance) = &mut left[parts[0] as usize];
                    prop_assert_eq!(parts[1], *next);
                    prop_assert!(parts[2] <= *balance);
                    (*next, *balance) = (*next + 1, *balance - parts[2]);
                }
            }
        }
    }
}
