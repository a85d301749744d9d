//! Moving money.

use welkin_runtime::{AccountsHooks, Address, Amount, Coded, Ctx, Payer, Result};

use super::state::{ACCOUNTS, PARAMS, SUPPLY, account, is_module, set_account};
use super::types::{Error, Event, Genesis};
use super::{Accounts, fee_collector};

/// All money there may be: 2^63 - 1 uwlk, so that sums of two never overflow.
const MAX_SUPPLY: u64 = i64::MAX as u64;

/// What the frame must know of accounts.
pub const HOOKS: AccountsHooks = AccountsHooks {
    payer,
    charge,
    minimum_fee,
};

pub(super) fn genesis(ctx: &mut Ctx, genesis: &Genesis) -> Result<()> {
    PARAMS.set(ctx, &genesis.params)?;
    let mut supply = Amount::ZERO;
    for row in &genesis.accounts {
        if ACCOUNTS.contains(ctx, &row.address)? {
            return Err(Error::BadGenesis.because(format!("{} stands there twice", row.address)));
        }
        // Fees are owed to nobody, so a chain may begin with those of the one that it continues.
        if is_module(&row.address) && row.address != fee_collector() {
            return Err(Error::BadGenesis.because(format!("{} is a module's", row.address)));
        }
        supply = supply
            .checked_add(row.balance)
            .filter(|supply| supply.0 <= MAX_SUPPLY)
            .ok_or_else(|| Error::BadGenesis.because("more than 2^63 - 1 uwlk"))?;
        let account = super::Account {
            balance: row.balance,
            sequence: 0,
        };
        set_account(ctx, &row.address, &account)?;
    }
    SUPPLY.set(ctx, &supply)
}

pub(super) fn transfer_call(ctx: &mut Ctx, to: &Address, amount: Amount) -> Result<()> {
    let from = ctx.sender()?;
    if amount.is_zero() {
        return Err(Error::ZeroAmount.into());
    }
    if is_module(to) {
        return Err(Error::ModuleAddress.because(to));
    }
    transfer(ctx, &from, to, amount)?;
    ctx.emit::<Accounts>(Event::Transferred {
        from,
        to: *to,
        amount,
    })
}

/// Moves money from one account, or module, to another. For modules: it checks nothing but that
/// the money is there, and emits nothing.
pub fn transfer(ctx: &mut Ctx, from: &Address, to: &Address, amount: Amount) -> Result<()> {
    if amount.is_zero() {
        return Ok(());
    }
    let mut giver = account(ctx, from)?;
    giver.balance = take(from, giver.balance, amount)?;
    set_account(ctx, from, &giver)?;
    let mut taker = account(ctx, to)?;
    taker.balance = taker.balance.checked_add(amount).ok_or(Error::Overflow)?;
    set_account(ctx, to, &taker)
}

fn take(from: &Address, balance: Amount, amount: Amount) -> Result<Amount> {
    balance.checked_sub(amount).ok_or_else(|| {
        Error::InsufficientFunds.because(format!(
            "{from} holds {balance} uwlk, {amount} uwlk are needed"
        ))
    })
}

fn payer(ctx: &Ctx, address: &Address) -> Result<Payer> {
    let account = account(ctx, address)?;
    Ok(Payer {
        sequence: account.sequence,
        balance: account.balance,
    })
}

fn charge(ctx: &mut Ctx, address: &Address, fee: Amount) -> Result<()> {
    let mut payer = account(ctx, address)?;
    payer.balance = take(address, payer.balance, fee)?;
    payer.sequence = payer.sequence.checked_add(1).ok_or(Error::Overflow)?;
    set_account(ctx, address, &payer)?;
    let collector = fee_collector();
    let mut collected = account(ctx, &collector)?;
    collected.balance = collected.balance.checked_add(fee).ok_or(Error::Overflow)?;
    set_account(ctx, &collector, &collected)
}

fn minimum_fee(ctx: &Ctx, gas_limit: u64) -> Result<Amount> {
    let price = PARAMS.get_or_default(ctx)?.min_fee_uwlk_per_million_gas;
    let fee = (u128::from(gas_limit) * u128::from(price.0)).div_ceil(1_000_000);
    Ok(Amount(u64::try_from(fee).unwrap_or(u64::MAX)))
}
