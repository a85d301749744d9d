use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{
    AccountsHooks, Address, Amount, Coded, Ctx, Invariant, Item, Map, Module, Payer, Result,
    StorageItem,
};

/// Who collects the fees.
pub const COLLECTOR: &str = "fees";

const ACCOUNTS: Map<Address, Account> = Map::new(
    "purse/account",
    [1, 1],
    "What each account holds and has sent.",
);
const SUPPLY: Item<Amount> = Item::new("purse/supply", [1, 2], "All money that there is.");

#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// What it holds.
    pub balance: Amount,
    /// How many transactions it has sent.
    pub sequence: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Call {
    /// Gives money to another account.
    Transfer {
        /// Who receives it.
        to: Address,
        /// How much it is.
        amount: Amount,
    } = 1,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Query {
    /// What an account holds.
    Account {
        /// The account.
        address: Address,
    } = 1,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Answer {
    /// What the account holds.
    Account(Account) = 1,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[derive(BorshSerialize, BorshDeserialize, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum Event {
    /// Money changed hands.
    Transferred {
        /// Who gave it.
        from: Address,
        /// Who received it.
        to: Address,
        /// How much it was.
        amount: Amount,
    } = 1,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Error {
    /// The account holds less than that.
    InsufficientFunds = 1,
    /// The sum would not fit.
    Overflow = 2,
}

impl Coded for Error {
    const MODULE: &'static str = Purse::NAME;
    fn code(self) -> u32 {
        self as u32
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Genesis {
    /// What each account holds at first.
    #[serde(default)]
    pub balances: BTreeMap<Address, Amount>,
}

/// Money.
pub struct Purse;

impl Module for Purse {
    const NAME: &'static str = "purse";
    const DOC: &'static str = "Money.";
    const STORAGE: &'static [StorageItem] = &[ACCOUNTS.info(), SUPPLY.info()];
    const INVARIANTS: &'static [Invariant] = &[("supply is constant", supply_is_constant)];

    type Genesis = Genesis;
    type Call = Call;
    type Query = Query;
    type Answer = Answer;
    type Event = Event;
    type Error = Error;

    fn genesis(ctx: &mut Ctx, genesis: Genesis) -> Result<()> {
        let supply = Amount::checked_sum(genesis.balances.values().copied());
        SUPPLY.set(ctx, &supply.ok_or(Error::Overflow)?)?;
        for (address, balance) in genesis.balances {
            ACCOUNTS.insert(
                ctx,
                &address,
                &Account {
                    balance,
                    sequence: 0,
                },
            )?;
        }
        Ok(())
    }

    fn call(ctx: &mut Ctx, call: Call) -> Result<()> {
        match call {
            Call::Transfer { to, amount } => {
                let from = ctx.sender()?;
                transfer(ctx, from, to, amount)
            }
        }
    }

    fn query(ctx: &Ctx, query: Query) -> Result<Answer> {
        match query {
            Query::Account { address } => {
                ACCOUNTS.get_or_default(ctx, &address).map(Answer::Account)
            }
        }
    }
}

pub fn transfer(ctx: &mut Ctx, from: Address, to: Address, amount: Amount) -> Result<()> {
    move_money(ctx, from, to, amount)?;
    ctx.emit::<Purse>(Event::Transferred { from, to, amount })
}

fn move_money(ctx: &mut Ctx, from: Address, to: Address, amount: Amount) -> Result<()> {
    let mut payer = ACCOUNTS.get_or_default(ctx, &from)?;
    payer.balance = payer.balance.checked_sub(amount).ok_or_else(|| {
        Error::InsufficientFunds.because(format!("holds {}, needs {amount}", payer.balance))
    })?;
    ACCOUNTS.insert(ctx, &from, &payer)?;
    let mut payee = ACCOUNTS.get_or_default(ctx, &to)?;
    payee.balance = payee.balance.checked_add(amount).ok_or(Error::Overflow)?;
    ACCOUNTS.insert(ctx, &to, &payee)
}

/// What the frame must know of accounts.
pub const HOOKS: AccountsHooks = AccountsHooks {
    payer: |ctx, address| {
        let account = ACCOUNTS.get_or_default(ctx, address)?;
        Ok(Payer {
            sequence: account.sequence,
            balance: account.balance,
        })
    },
    charge: |ctx, address, fee| {
        move_money(ctx, *address, Address::of_module(COLLECTOR), fee)?;
        let mut account = ACCOUNTS.get_or_default(ctx, address)?;
        account.sequence += 1;
        ACCOUNTS.insert(ctx, address, &account)
    },
    minimum_fee: |_ctx, gas_limit| Ok(Amount(gas_limit.div_ceil(10_000))),
};

fn supply_is_constant(ctx: &Ctx) -> Result<(), String> {
    let fail = |error: welkin_runtime::ModuleError| error.to_string();
    let supply = SUPPLY.get_or_default(ctx).map_err(fail)?;
    let accounts = ACCOUNTS.page(ctx, None, usize::MAX).map_err(fail)?;
    let sum = Amount::checked_sum(accounts.iter().map(|(_, account)| account.balance));
    if sum == Some(supply) {
        Ok(())
    } else {
        Err(format!("{sum:?} of {supply:?}"))
    }
}
