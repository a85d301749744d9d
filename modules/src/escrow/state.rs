//! Storage of escrow, and the account as a pure machine.

use welkin_runtime::{
    Address, Amount, Ctx, Index, IndexedMap, Invariant, Item, Map, Result, StorageItem, Time,
};

use super::types::{
    Account, AccountState, Error, NUMERATORS_PER_UWLK, Numerator, Params, Payment, PaymentState,
};
use crate::ids::{DeploymentId, LeaseId};
use crate::{accounts, seconds};

pub(super) const ACCOUNTS: IndexedMap<DeploymentId, Account> = IndexedMap::new(
    "escrow/account",
    [5, 1],
    "The account of each deployment.",
    &[&WAKES],
);
pub(super) const WAKES: Index<DeploymentId, Account, Time> = Index::new(
    "escrow/wakes",
    [5, 2],
    "Accounts by the time at which something happens to them: due, or the end of their grace.",
    |_, account| account.wakes_at(),
);
pub(super) const PAYMENTS: Map<LeaseId, Payment> =
    Map::new("escrow/payment", [5, 3], "What each lease is paid.");
pub(super) const BACKLOG: Map<Time, ()> = Map::new(
    "escrow/backlog",
    [5, 4],
    "Times of blocks that had no room for all due accounts, while there are such accounts.",
);
pub(super) const PARAMS: Item<Params> =
    Item::new("escrow/params", [5, 5], "The rules, fixed at genesis.");

pub(super) const STORAGE: &[StorageItem] = &[
    ACCOUNTS.info(),
    WAKES.info(),
    PAYMENTS.info(),
    BACKLOG.info(),
    PARAMS.info(),
];

pub(super) const INVARIANTS: &[Invariant] = &[
    (
        "the module holds what its accounts hold",
        holds_what_it_owes,
    ),
    (
        "accounts are sums of their payments and never short",
        accounts_add_up,
    ),
    ("the due-time index equals a recomputation", index_is_right),
];

/// The address under which the module holds all accounts' money.
pub(super) fn address() -> Address {
    accounts::module_address("escrow")
}

/// Whether a lease is being paid.
pub(crate) fn payment_is_open(ctx: &Ctx, lease: &LeaseId) -> Result<bool> {
    let payment = PAYMENTS.get(ctx, lease)?;
    Ok(payment.is_some_and(|payment| payment.state == PaymentState::Open))
}

/// How many leases are being paid in all, for invariants.
pub(crate) fn count_open_payments(ctx: &Ctx) -> Result<usize, String> {
    let mut count = 0;
    crate::each(
        |after| ACCOUNTS.page(ctx, after, crate::EACH_PAGE),
        |_, account| {
            count += account.open_payments as usize;
            Ok(())
        },
    )?;
    Ok(count)
}

/// Whether the account of a deployment is closed; nothing if there is none.
pub(crate) fn is_closed(ctx: &Ctx, deployment: DeploymentId) -> Result<Option<bool>> {
    let account = ACCOUNTS.get(ctx, &deployment)?;
    Ok(account.map(|account| account.state == AccountState::Closed))
}

/// Whether the account of a deployment pays, as it was last settled.
pub(crate) fn is_open(ctx: &Ctx, deployment: DeploymentId) -> Result<bool> {
    let account = ACCOUNTS.get(ctx, &deployment)?;
    Ok(account.is_some_and(|account| account.state == AccountState::Open))
}

impl Params {
    pub(super) fn grace_nanos(&self) -> u64 {
        seconds(self.grace_seconds)
    }

    pub(super) fn runway_nanos(&self) -> u64 {
        seconds(self.min_runway_seconds)
    }
}

/// An account by itself: values in, values out.
impl Account {
    /// What is not earned by anybody.
    pub(super) fn free(&self) -> Result<Numerator> {
        let free = Numerator::of(self.balance).0.checked_sub(self.earned.0);
        Ok(Numerator(free.ok_or(Error::Overflow)?))
    }

    /// Whether what is free pays the sum of rates for so long.
    pub(super) fn covers(&self, nanos: u64) -> Result<bool> {
        let needed = u128::from(self.rate_uwlk_per_hour.0) * u128::from(nanos);
        Ok(self.free()?.0 >= needed)
    }

    /// The last instant that is fully covered; `None` for never.
    pub(super) fn compute_due(&self) -> Result<Option<Time>> {
        if self.rate_uwlk_per_hour.is_zero() {
            return Ok(None);
        }
        let nanos = self.free()?.0 / u128::from(self.rate_uwlk_per_hour.0);
        let due = u64::try_from(nanos)
            .ok()
            .and_then(|nanos| self.settled_at.checked_add(nanos));
        Ok(due)
    }

    /// When something happens to it by itself.
    pub(super) fn wakes_at(&self) -> Option<Time> {
        match self.state {
            AccountState::Open => self.due,
            AccountState::Exhausted => self.closes_at,
            AccountState::Closed => None,
        }
    }

    /// Whether its money is used up at `now` and nobody has said so yet.
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.state == AccountState::Open && self.due.is_some_and(|due| due <= now)
    }

    /// Whether its grace is used up at `now`.
    pub(super) fn has_ended(&self, now: Time) -> bool {
        self.state == AccountState::Exhausted && self.closes_at.is_some_and(|end| end <= now)
    }

    /// Lets time pass up to min(now, due): what is paid in that time is earned.
    pub(super) fn accrue(&mut self, now: Time) -> Result<()> {
        if self.state != AccountState::Open {
            return Ok(());
        }
        let until = self
            .due
            .map_or(now, |due| due.min(now))
            .max(self.settled_at);
        let nanos = until.nanos_since(self.settled_at);
        let earned = u128::from(self.rate_uwlk_per_hour.0) * u128::from(nanos);
        self.earned = Numerator(self.earned.0.checked_add(earned).ok_or(Error::Overflow)?);
        self.covered_nanos = self
            .covered_nanos
            .checked_add(nanos)
            .ok_or(Error::Overflow)?;
        self.settled_at = until;
        Ok(())
    }

    /// Its money is used up: grace runs from `at`, the time of the first block at or past due.
    pub(super) fn exhaust(&mut self, at: Time, grace_nanos: u64) {
        self.state = AccountState::Exhausted;
        self.exhausted_at = Some(at);
        self.closes_at = Some(at.saturating_add(grace_nanos.saturating_sub(self.grace_used_nanos)));
    }

    /// After its balance, rates or payments have changed: resumes it if it can go on for
    /// `runway_nanos`, and computes when it is due. Says whether it resumed.
    pub(super) fn replan(&mut self, now: Time, runway_nanos: u64) -> Result<bool> {
        let resumes = self.state == AccountState::Exhausted && self.covers(runway_nanos)?;
        if resumes {
            let since = self.exhausted_at.take().unwrap_or(now);
            self.grace_used_nanos = self.grace_used_nanos.saturating_add(now.nanos_since(since));
            self.closes_at = None;
            self.settled_at = now;
            self.state = AccountState::Open;
        }
        if self.state == AccountState::Open {
            self.due = self.compute_due()?;
        }
        Ok(resumes)
    }
}

impl Payment {
    /// What it has earned and not been paid out, when the account has covered so many nanoseconds.
    pub(super) fn earned(&self, covered_nanos: u64) -> Result<Numerator> {
        if self.state == PaymentState::Closed {
            return Ok(Numerator::default());
        }
        let nanos = covered_nanos
            .checked_sub(self.opened_covered_nanos)
            .ok_or(Error::Overflow)?;
        let all = u128::from(self.rate_uwlk_per_hour.0) * u128::from(nanos);
        let left = all
            .checked_sub(Numerator::of(self.paid).0)
            .ok_or(Error::Overflow)?;
        Ok(Numerator(left))
    }
}

fn holds_what_it_owes(ctx: &Ctx) -> Result<(), String> {
    let mut owed = Amount::ZERO;
    crate::each(
        |after| ACCOUNTS.page(ctx, after, crate::EACH_PAGE),
        |_, account| {
            for amount in [account.balance, account.prepaid] {
                owed = owed.checked_add(amount).ok_or("what is owed overflows")?;
            }
            Ok(())
        },
    )?;
    crate::expect_balance(ctx, &address(), owed)
}

/// Each account against its payments, recomputed one by one.
fn accounts_add_up(ctx: &Ctx) -> Result<(), String> {
    crate::each(
        |after| ACCOUNTS.page(ctx, after, crate::EACH_PAGE),
        |id, account| {
            let (mut open, mut rate, mut earned, mut paid) = (0, 0u128, 0u128, 0u128);
            crate::each(
                |after| PAYMENTS.page_of(ctx, id, after, crate::EACH_PAGE),
                |_, payment| {
                    paid += u128::from(payment.paid.0);
                    if payment.state == PaymentState::Open {
                        open += 1;
                        rate += u128::from(payment.rate_uwlk_per_hour.0);
                        let numerator = payment.earned(account.covered_nanos);
                        earned += numerator.map_err(|error| error.to_string())?.0;
                    }
                    Ok(())
                },
            )?;
            let sums = (
                account.open_payments,
                u128::from(account.rate_uwlk_per_hour.0),
            );
            if sums != (open, rate) || account.earned.0 != earned {
                return Err(format!("account {id} is not the sum of its payments"));
            }
            // Payments of pruned leases are gone, so those that are left sum to no more.
            if u128::from(account.paid.0) < paid {
                return Err(format!("account {id} paid less than its payees were paid"));
            }
            if earned > u128::from(account.balance.0) * NUMERATORS_PER_UWLK {
                return Err(format!("account {id} is short"));
            }
            let empty = account.balance.is_zero() && account.prepaid.is_zero() && open == 0;
            if account.state == AccountState::Closed && !empty {
                return Err(format!(
                    "account {id} is closed and holds money or payments"
                ));
            }
            Ok(())
        },
    )
}

fn index_is_right(ctx: &Ctx) -> Result<(), String> {
    let mut expected = Vec::new();
    crate::each(
        |after| ACCOUNTS.page(ctx, after, crate::EACH_PAGE),
        |id, account| {
            if account.state == AccountState::Open {
                let due = account.compute_due().map_err(|error| error.to_string())?;
                if due != account.due {
                    return Err(format!(
                        "account {id} is due at {:?}, not {due:?}",
                        account.due
                    ));
                }
            }
            expected.extend(account.wakes_at().map(|time| (time, *id)));
            Ok(())
        },
    )?;
    expected.sort_unstable();
    let mut found = Vec::new();
    loop {
        let page = WAKES
            .page(ctx, found.last(), crate::EACH_PAGE)
            .map_err(|error| error.to_string())?;
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    if found == expected {
        Ok(())
    } else {
        Err("the index differs".to_owned())
    }
}
