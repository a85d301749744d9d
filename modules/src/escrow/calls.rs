//! Opening, paying, settling and ending accounts.

use welkin_runtime::{Address, Amount, Coded, Ctx, Origin, Result, Time};

use super::Escrow;
use super::state::{ACCOUNTS, BACKLOG, PARAMS, PAYMENTS, WAKES, address};
use super::types::{Account, AccountState, Error, Event, Numerator, Params, Payment, PaymentState};
use crate::accounts;
use crate::deployment;
use crate::ids::{DeploymentId, LeaseId};
use crate::moment::{Moment, Reason};

pub(super) fn genesis(ctx: &mut Ctx, params: &Params) -> Result<()> {
    if params.min_runway_seconds == 0 || params.work_per_block == 0 {
        return Err(
            Error::BadParams.because("min_runway_seconds and work_per_block are at least 1")
        );
    }
    PARAMS.set(ctx, params)
}

/// Opens the account of a new deployment with a deposit of its owner, and takes what closing it
/// will cost beside that.
pub fn open(
    ctx: &mut Ctx,
    deployment: DeploymentId,
    owner: &Address,
    deposit: Amount,
) -> Result<()> {
    let params = PARAMS.get_or_default(ctx)?;
    if deposit < params.min_deposit {
        let message = format!("{deposit} uwlk, at least {} uwlk", params.min_deposit);
        return Err(Error::DepositTooSmall.because(message));
    }
    if ACCOUNTS.contains(ctx, &deployment)? {
        return Err(Error::Exists.because(deployment));
    }
    let prepaid = params.closing_deposit;
    let sum = deposit.checked_add(prepaid).ok_or(Error::Overflow)?;
    accounts::transfer(ctx, owner, &address(), sum)?;
    let account = Account {
        owner: *owner,
        state: AccountState::Open,
        balance: deposit,
        prepaid,
        settled_at: ctx.time(),
        covered_nanos: 0,
        rate_uwlk_per_hour: Amount::ZERO,
        earned: Numerator::default(),
        open_payments: 0,
        due: None,
        exhausted_at: None,
        closes_at: None,
        grace_used_nanos: 0,
        deposited: deposit,
        paid: Amount::ZERO,
        refunded: Amount::ZERO,
        opened: Moment::now(ctx),
        closed: None,
    };
    ACCOUNTS.insert(ctx, &deployment, &account)?;
    ctx.emit::<Escrow>(Event::Opened {
        deployment,
        deposit,
    })
}

/// Settles an account before something is done with it. Refused past its end.
pub fn touch(ctx: &mut Ctx, deployment: DeploymentId) -> Result<Account> {
    let account = settled(ctx, &mut Rules::read(ctx)?, deployment)?;
    if account.has_ended(ctx.time()) {
        return Err(Error::Closing.because(format!("deployment {deployment}")));
    }
    Ok(account)
}

/// What one has to know to bring accounts up: the same for all that a block wakes, and read once
/// for them.
pub(super) struct Rules {
    pub(super) params: Params,
    /// From where the backlog was looked through, and the first time found there. It holds for all
    /// times between; the backlog changes only after all accounts of a block.
    seen: Option<(Time, Option<Time>)>,
}

impl Rules {
    pub(super) fn read(ctx: &Ctx) -> Result<Rules> {
        let params = PARAMS.get_or_default(ctx)?;
        Ok(Rules { params, seen: None })
    }

    /// The time of the first block at or past `due`, which is at or before the running block. Blocks
    /// that left due accounts over are on record; without one it is the running block.
    fn first_block_at_or_past(&mut self, ctx: &Ctx, due: Time) -> Result<Time> {
        let first = match self.seen {
            Some((from, first)) if from <= due && first.is_none_or(|first| due <= first) => first,
            _ => {
                let before = due.0.checked_sub(1).map(Time);
                let page = BACKLOG.page(ctx, before.as_ref(), 1)?;
                let first = page.first().map(|(time, ())| *time);
                self.seen = Some((due, first));
                first
            }
        };
        Ok(first.unwrap_or(ctx.time()))
    }
}

/// Brings an account up to the running block and stores it.
fn settled(ctx: &mut Ctx, rules: &mut Rules, deployment: DeploymentId) -> Result<Account> {
    let stored = existing(ctx, deployment)?;
    let account = brought_up(ctx, rules, stored.clone())?;
    if account == stored {
        return Ok(account);
    }
    ACCOUNTS.replace(ctx, &deployment, &stored, &account)?;
    if account.state != stored.state {
        let due = account.settled_at;
        let closes_at = account.closes_at.unwrap_or(due);
        ctx.emit::<Escrow>(Event::Exhausted {
            deployment,
            due,
            closes_at,
        })?;
    }
    Ok(account)
}

fn existing(ctx: &Ctx, deployment: DeploymentId) -> Result<Account> {
    let account = ACCOUNTS.get(ctx, &deployment)?;
    let account = account.ok_or_else(|| Error::UnknownAccount.because(deployment))?;
    match account.state {
        AccountState::Closed => Err(Error::AccountClosed.because(deployment)),
        AccountState::Open | AccountState::Exhausted => Ok(account),
    }
}

/// An account as it stands at the running block: settled, and exhausted if it was due.
pub(super) fn brought_up(ctx: &Ctx, rules: &mut Rules, mut account: Account) -> Result<Account> {
    let now = ctx.time();
    account.accrue(now)?;
    if account.is_due(now) {
        let at = rules.first_block_at_or_past(ctx, account.settled_at)?;
        account.exhaust(at, rules.params.grace_nanos());
    }
    Ok(account)
}

/// Stores an account after a change of what it holds or pays.
fn store(ctx: &mut Ctx, deployment: DeploymentId, account: &mut Account) -> Result<()> {
    let params = PARAMS.get_or_default(ctx)?;
    let resumed = account.replan(ctx.time(), params.runway_nanos())?;
    ACCOUNTS.insert(ctx, &deployment, account)?;
    if resumed {
        let grace_used_nanos = account.grace_used_nanos;
        ctx.emit::<Escrow>(Event::Resumed {
            deployment,
            grace_used_nanos,
        })?;
    }
    Ok(())
}

pub(super) fn deposit(ctx: &mut Ctx, deployment: DeploymentId, amount: Amount) -> Result<()> {
    let from = ctx.sender()?;
    if amount.is_zero() {
        return Err(Error::DepositTooSmall.because("at least 1 uwlk"));
    }
    let mut account = touch(ctx, deployment)?;
    accounts::transfer(ctx, &from, &address(), amount)?;
    account.balance = account.balance.checked_add(amount).ok_or(Error::Overflow)?;
    account.deposited = account
        .deposited
        .checked_add(amount)
        .ok_or(Error::Overflow)?;
    ctx.emit::<Escrow>(Event::Deposited {
        deployment,
        from,
        amount,
    })?;
    store(ctx, deployment, &mut account)
}

/// What anybody may do for an account: what a block would do, had it room.
pub(super) fn settle(ctx: &mut Ctx, deployment: DeploymentId) -> Result<()> {
    ctx.sender()?;
    advance(ctx, &mut Rules::read(ctx)?, deployment).map(drop)
}

pub(super) fn withdraw(ctx: &mut Ctx, lease: LeaseId) -> Result<()> {
    let sender = ctx.sender()?;
    let mut payment = payment(ctx, &lease)?;
    if payment.payee != sender {
        return Err(Error::NotPayee.because(format!("lease {lease} pays {}", payment.payee)));
    }
    if payment.state == PaymentState::Closed {
        return Err(Error::PaymentClosed.because(lease));
    }
    let mut account = touch(ctx, lease.deployment)?;
    let paid = pay(ctx, lease, &mut account, &mut payment)?;
    if paid.is_zero() {
        return Err(Error::NothingEarned.because(lease));
    }
    PAYMENTS.insert(ctx, &lease, &payment)?;
    store(ctx, lease.deployment, &mut account)
}

fn payment(ctx: &Ctx, lease: &LeaseId) -> Result<Payment> {
    PAYMENTS
        .get(ctx, lease)?
        .ok_or_else(|| Error::UnknownPayment.because(lease))
}

/// Pays out the whole part of what a payment has earned. What is due does not change by it.
fn pay(
    ctx: &mut Ctx,
    lease: LeaseId,
    account: &mut Account,
    payment: &mut Payment,
) -> Result<Amount> {
    let amount = payment.earned(account.covered_nanos)?.whole();
    if amount.is_zero() {
        return Ok(amount);
    }
    payment.paid = payment.paid.checked_add(amount).ok_or(Error::Overflow)?;
    account.paid = account.paid.checked_add(amount).ok_or(Error::Overflow)?;
    account.balance = account.balance.checked_sub(amount).ok_or(Error::Overflow)?;
    let earned = account.earned.0.checked_sub(Numerator::of(amount).0);
    account.earned = Numerator(earned.ok_or(Error::Overflow)?);
    accounts::transfer(ctx, &address(), &payment.payee, amount)?;
    ctx.emit::<Escrow>(Event::Paid {
        lease,
        payee: payment.payee,
        amount,
    })?;
    Ok(amount)
}

/// Pays a lease from now on. Needs an account whose money lasts for the least time with it.
pub fn open_payment(ctx: &mut Ctx, lease: LeaseId, payee: &Address, rate: Amount) -> Result<()> {
    let deployment = lease.deployment;
    let mut account = touch(ctx, deployment)?;
    if account.state == AccountState::Exhausted {
        return Err(Error::Exhausted.because(format!("deployment {deployment}")));
    }
    if rate.is_zero() {
        return Err(Error::BadRate.because("zero"));
    }
    if PAYMENTS.contains(ctx, &lease)? {
        return Err(Error::Exists.because(lease));
    }
    let sum = account.rate_uwlk_per_hour.checked_add(rate);
    account.rate_uwlk_per_hour = sum.ok_or_else(|| Error::BadRate.because("the sum overflows"))?;
    account.open_payments = account
        .open_payments
        .checked_add(1)
        .ok_or(Error::Overflow)?;
    let params = PARAMS.get_or_default(ctx)?;
    if !account.covers(params.runway_nanos())? {
        let message = format!(
            "{} uwlk are free, {} uwlk per hour for {} s are needed",
            account.free()?.whole(),
            account.rate_uwlk_per_hour,
            params.min_runway_seconds,
        );
        return Err(Error::RunwayTooShort.because(message));
    }
    let payment = Payment {
        payee: *payee,
        state: PaymentState::Open,
        rate_uwlk_per_hour: rate,
        opened_covered_nanos: account.covered_nanos,
        paid: Amount::ZERO,
        opened: Moment::now(ctx),
        closed: None,
    };
    PAYMENTS.insert(ctx, &lease, &payment)?;
    let event = Event::PaymentOpened {
        lease,
        payee: *payee,
        rate_uwlk_per_hour: rate,
    };
    ctx.emit::<Escrow>(event)?;
    store(ctx, deployment, &mut account)
}

/// Ends the payment of one lease; its account lives on.
pub fn close_payment(ctx: &mut Ctx, lease: LeaseId) -> Result<()> {
    let mut account = touch(ctx, lease.deployment)?;
    end_payment(ctx, lease, &mut account)?;
    store(ctx, lease.deployment, &mut account)
}

/// The one way in which a payment ends: the whole part is paid, the remainder is free again.
fn end_payment(ctx: &mut Ctx, lease: LeaseId, account: &mut Account) -> Result<()> {
    let mut payment = payment(ctx, &lease)?;
    if payment.state == PaymentState::Closed {
        return Err(Error::PaymentClosed.because(lease));
    }
    pay(ctx, lease, account, &mut payment)?;
    let remainder = payment.earned(account.covered_nanos)?;
    let earned = account.earned.0.checked_sub(remainder.0);
    account.earned = Numerator(earned.ok_or(Error::Overflow)?);
    let rate = account
        .rate_uwlk_per_hour
        .checked_sub(payment.rate_uwlk_per_hour);
    account.rate_uwlk_per_hour = rate.ok_or(Error::Overflow)?;
    account.open_payments = account
        .open_payments
        .checked_sub(1)
        .ok_or(Error::Overflow)?;
    payment.state = PaymentState::Closed;
    payment.closed = Some(Moment::now(ctx));
    PAYMENTS.insert(ctx, &lease, &payment)?;
    ctx.emit::<Escrow>(Event::PaymentClosed {
        lease,
        paid: payment.paid,
    })
}

/// The one way in which an account ends: `leases`, all that it still pays, get what they earned,
/// the owner gets the rest. Called by the deployment, as a part of its own end.
pub fn close(ctx: &mut Ctx, deployment: DeploymentId, leases: &[LeaseId]) -> Result<()> {
    let mut account = settled(ctx, &mut Rules::read(ctx)?, deployment)?;
    for lease in leases {
        end_payment(ctx, *lease, &mut account)?;
    }
    if account.open_payments > 0 {
        return Err(Error::PaymentsOpen.because(deployment));
    }
    let prepaid = std::mem::replace(&mut account.prepaid, Amount::ZERO);
    let mut refunded = std::mem::replace(&mut account.balance, Amount::ZERO);
    match ctx.origin() {
        // Somebody's transaction has paid for this work.
        Origin::Account(_) => refunded = refunded.checked_add(prepaid).ok_or(Error::Overflow)?,
        Origin::Chain => {
            accounts::transfer(ctx, &address(), &accounts::fee_collector(), prepaid)?;
        }
    }
    accounts::transfer(ctx, &address(), &account.owner, refunded)?;
    account.refunded = refunded;
    account.state = AccountState::Closed;
    account.due = None;
    account.exhausted_at = None;
    account.closes_at = None;
    account.closed = Some(Moment::now(ctx));
    ACCOUNTS.insert(ctx, &deployment, &account)?;
    ctx.emit::<Escrow>(Event::Closed {
        deployment,
        refunded,
    })
}

/// Removes the payment of a lease that is removed.
pub fn prune_payment(ctx: &mut Ctx, lease: LeaseId) -> Result<()> {
    PAYMENTS.remove(ctx, &lease)
}

/// Removes the closed account of a deployment that is removed.
pub fn prune(ctx: &mut Ctx, deployment: DeploymentId) -> Result<()> {
    ACCOUNTS.remove(ctx, &deployment)
}

/// Does for one account what time has brought: settles it, exhausts it, ends it with its
/// deployment. Returns the work that it was: one, and one for each group that ended.
fn advance(ctx: &mut Ctx, rules: &mut Rules, deployment: DeploymentId) -> Result<u32> {
    let account = settled(ctx, rules, deployment)?;
    if !account.has_ended(ctx.time()) {
        return Ok(1);
    }
    let groups = deployment::end(ctx, deployment, Reason::INSUFFICIENT_FUNDS)?;
    Ok(1 + groups)
}

/// Wakes the accounts whose time has come, in the order of their times, as many as there is room
/// for.
pub(super) fn wake(ctx: &mut Ctx) {
    ctx.attempt("wake escrow accounts", |ctx| {
        let now = ctx.time();
        let mut rules = Rules::read(ctx)?;
        let mut room = rules.params.work_per_block;
        let mut failed = 0;
        for (_, deployment) in WAKES.up_to(ctx, &now, room as usize)? {
            if room == 0 {
                break;
            }
            // One account that cannot be advanced must not keep the others waiting.
            match ctx.attempt("advance an escrow account", |ctx| {
                advance(ctx, &mut rules, deployment)
            }) {
                Some(work) => room = room.saturating_sub(work),
                None => {
                    room -= 1;
                    failed += 1;
                }
            }
        }
        if WAKES.up_to(ctx, &now, failed + 1)?.len() > failed {
            BACKLOG.insert(ctx, &now, &())?;
            ctx.report_due_work();
            return Ok(());
        }
        // All are awake: due times that come from now on lie after every time on record.
        for (time, ()) in BACKLOG.page(ctx, None, BACKLOG_REMOVED_PER_BLOCK)? {
            BACKLOG.remove(ctx, &time)?;
        }
        Ok(())
    });
}

/// Times of blocks that are forgotten in a block, at most.
const BACKLOG_REMOVED_PER_BLOCK: usize = 256;
