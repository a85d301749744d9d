//! Two small modules in the shape that all modules have: `purse` holds money, `board` holds notes
//! that cost money and fall off after a minute.

pub mod board;
pub mod purse;

use serde_json::json;
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::execute::{BlockCheck, BlockLimits, NoCache, TxCheck};
use welkin_runtime::testing::TestChain;
use welkin_runtime::tx::{Body, RawCall, Terms};
use welkin_runtime::{Address, Amount, ChainInfo, Hash, Runtime, Time, entry};

pub use board::Board;
pub use purse::Purse;

pub const RUNTIME: Runtime = Runtime {
    entries: &[entry::<Purse>(1), entry::<Board>(2)],
    accounts: &purse::HOOKS,
};

pub const MINUTE: u64 = 60_000_000_000;

/// The limits of a block in these tests.
pub const LIMITS: BlockLimits = BlockLimits {
    max_bytes: 10_000,
    max_gas: 400_000,
};

pub fn network() -> ChainInfo {
    ChainInfo {
        chain_id: "demo".to_owned(),
        genesis_hash: Hash([1; 32]),
    }
}

pub fn key(name: u8) -> SigningKey {
    SigningKey::from_seed(&[name; 32])
}

pub fn address(name: u8) -> Address {
    key(name).address()
}

/// A chain on which accounts 1 and 2 hold 1,000 each.
pub fn chain() -> TestChain {
    let balances = json!({ address(1).to_string(): "1000", address(2).to_string(): 1000 });
    let app_state = json!({ "purse": { "balances": balances } });
    TestChain::new(RUNTIME, &app_state, Time(1_000)).unwrap()
}

/// What can be wrong with a transaction, beside its calls.
#[derive(Clone, Copy)]
pub struct Draft {
    pub sender: u8,
    pub terms: Terms,
}

impl Draft {
    pub fn new(sender: u8, sequence: u64) -> Draft {
        let terms = Terms {
            sequence,
            expiry_height: 10,
            gas_limit: 100_000,
            fee: Amount(10),
        };
        Draft { sender, terms }
    }

    pub fn raw(self, calls: Vec<RawCall>) -> Vec<u8> {
        let key = key(self.sender);
        Body::new(&network(), key.public_key(), self.terms, calls)
            .sign(&key)
            .encode()
    }

    pub fn pay(self, to: u8, amount: u64) -> Vec<u8> {
        self.raw(vec![pay(to, amount)])
    }
}

pub fn pay(to: u8, amount: u64) -> RawCall {
    let call = purse::Call::Transfer {
        to: address(to),
        amount: Amount(amount),
    };
    RUNTIME.call_of::<Purse>(&call).unwrap()
}

pub fn post(text: &str) -> RawCall {
    RUNTIME
        .call_of::<Board>(&board::Call::Post {
            text: text.to_owned(),
        })
        .unwrap()
}

pub fn tx_check(chain: &ChainInfo, height: u64) -> TxCheck<'_> {
    TxCheck {
        chain,
        height,
        limits: LIMITS,
        signatures: &NoCache,
    }
}

pub fn block_check(chain: &ChainInfo, height: u64) -> BlockCheck<'_> {
    BlockCheck {
        chain,
        height,
        limits: LIMITS,
        signatures: &NoCache,
    }
}

pub fn balance(chain: &TestChain, of: Address) -> u64 {
    let purse::Answer::Account(account) = chain
        .query::<Purse>(purse::Query::Account { address: of })
        .unwrap();
    account.balance.0
}
