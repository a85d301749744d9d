//! Answers about accounts and payments, as they stand at the newest block.

use welkin_runtime::{Ctx, Result};

use super::calls::{Rules, brought_up};
use super::state::{ACCOUNTS, PARAMS, PAYMENTS};
use super::types::{Account, AccountState, AccountView, Answer, Payment, PaymentView, Query};
use crate::ids::{DeploymentId, LeaseId};
use crate::page;

pub(super) fn answer(ctx: &Ctx, query: Query) -> Result<Answer> {
    Ok(match query {
        Query::Account { deployment } => {
            let account = current(ctx, deployment)?;
            Answer::Account(
                account
                    .map(|account| view(ctx, deployment, account))
                    .transpose()?,
            )
        }
        Query::Payment { lease } => {
            let payment = PAYMENTS.get(ctx, &lease)?;
            let account = current(ctx, lease.deployment)?;
            Answer::Payment(
                payment
                    .map(|row| payment_view(&account, lease, row))
                    .transpose()?,
            )
        }
        Query::Payments {
            deployment,
            start,
            limit,
        } => {
            let rows = page::rows_to_read(limit);
            let rows = PAYMENTS.page_of(ctx, &deployment, start.as_ref(), rows)?;
            let (rows, next) = page::cut(rows, limit, |(lease, _)| *lease);
            let account = current(ctx, deployment)?;
            let payments = rows
                .into_iter()
                .map(|(lease, row)| payment_view(&account, lease, row));
            Answer::Payments {
                payments: payments.collect::<Result<_>>()?,
                next,
            }
        }
        Query::Params {} => Answer::Params(PARAMS.get_or_default(ctx)?),
    })
}

fn current(ctx: &Ctx, deployment: DeploymentId) -> Result<Option<Account>> {
    let mut rules = Rules::read(ctx)?;
    let account = ACCOUNTS.get(ctx, &deployment)?;
    account
        .map(|account| brought_up(ctx, &mut rules, account))
        .transpose()
}

fn view(ctx: &Ctx, deployment: DeploymentId, account: Account) -> Result<AccountView> {
    let grace = PARAMS.get_or_default(ctx)?.grace_nanos();
    let running = match (account.state, account.exhausted_at) {
        (AccountState::Exhausted, Some(since)) => ctx.time().nanos_since(since),
        _ => 0,
    };
    let used = account.grace_used_nanos.saturating_add(running);
    Ok(AccountView {
        deployment,
        earned_uwlk: account.earned.whole(),
        free_uwlk: account.free()?.whole(),
        grace_left_nanos: grace.saturating_sub(used),
        closing: account.has_ended(ctx.time()),
        account,
    })
}

fn payment_view(
    account: &Option<Account>,
    lease: LeaseId,
    payment: Payment,
) -> Result<PaymentView> {
    let covered_nanos = account.as_ref().map_or(0, |account| account.covered_nanos);
    let earned_uwlk = payment.earned(covered_nanos)?.whole();
    Ok(PaymentView {
        lease,
        payment,
        earned_uwlk,
    })
}
