//! Accounts as others see them.

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{Address, Amount, Coded};

use crate::page::default_limit;

/// What an account has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// Its money.
    pub balance: Amount,
    /// How many transactions it has sent.
    pub sequence: u64,
}

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Params {
    /// The least fee for a million gas; a part of it for less, rounded up.
    pub min_fee_uwlk_per_million_gas: Amount,
}

impl Default for Params {
    fn default() -> Self {
        Params {
            min_fee_uwlk_per_million_gas: Amount(10_000),
        }
    }
}

/// The accounts at the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Genesis {
    /// Who holds what. Nothing is ever added to the sum.
    pub accounts: Vec<GenesisAccount>,
    /// The rules.
    pub params: Params,
}

/// An account at the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenesisAccount {
    /// Whose.
    pub address: Address,
    /// Its money.
    pub balance: Amount,
}

/// What accounts can do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Call {
    /// Gives money to an account.
    Transfer {
        /// Who gets it; not a module.
        to: Address,
        /// How much, in uwlk; at least 1.
        amount: Amount,
    } = 1,
}

/// What can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Query {
    /// What an account has; zeros for one that was never heard of.
    Account {
        /// Whose.
        address: Address,
    } = 1,
    /// All accounts, modules' included, in the order of their addresses.
    Accounts {
        /// The page begins after this one.
        #[serde(default)]
        start: Option<Address>,
        /// At most so many, up to 100.
        #[serde(default = "default_limit")]
        limit: u32,
    } = 2,
    /// All money there is, and the fees collected so far.
    Supply {} = 3,
    /// The rules.
    Params {} = 4,
}

/// The answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Answer {
    /// What the account has.
    Account(Account) = 1,
    /// A page of accounts.
    Accounts {
        /// The accounts.
        accounts: Vec<AccountRow>,
        /// Where the next page begins; nothing if this is the last.
        next: Option<Address>,
    } = 2,
    /// All money there is.
    Supply {
        /// The sum of all balances. It never changes.
        total: Amount,
        /// The part of it that was paid in fees.
        fees_collected: Amount,
    } = 3,
    /// The rules.
    Params(Params) = 4,
}

/// An account in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct AccountRow {
    /// Whose.
    pub address: Address,
    /// What it has.
    pub account: Account,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Event {
    /// Money went from one account to another by a transfer.
    Transferred {
        /// Who gave it.
        from: Address,
        /// Who got it.
        to: Address,
        /// How much.
        amount: Amount,
    } = 1,
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[repr(u32)]
pub enum Error {
    /// The account holds less than that.
    InsufficientFunds = 1,
    /// Nothing cannot be transferred.
    ZeroAmount = 2,
    /// Modules take money only by their own calls.
    ModuleAddress = 3,
    /// The genesis names an account twice, or more money than 2^63 - 1.
    BadGenesis = 4,
    /// A balance would be more than there is; never happens while invariants hold.
    Overflow = 5,
}

impl Coded for Error {
    const MODULE: &'static str = "accounts";

    fn code(self) -> u32 {
        self as u32
    }
}
