//! Answers about accounts.

use welkin_runtime::{Ctx, Result};

use super::fee_collector;
use super::state::{ACCOUNTS, PARAMS, SUPPLY, account};
use super::types::{AccountRow, Answer, Query};
use crate::page;

pub(super) fn answer(ctx: &Ctx, query: Query) -> Result<Answer> {
    Ok(match query {
        Query::Account { address } => Answer::Account(account(ctx, &address)?),
        Query::Accounts { start, limit } => {
            let rows = ACCOUNTS.page(ctx, start.as_ref(), page::rows_to_read(limit))?;
            let (rows, next) = page::cut(rows, limit, |(address, _)| *address);
            let rows = rows.into_iter();
            let accounts = rows
                .map(|(address, account)| AccountRow { address, account })
                .collect();
            Answer::Accounts { accounts, next }
        }
        Query::Supply {} => Answer::Supply {
            total: SUPPLY.get_or_default(ctx)?,
            fees_collected: account(ctx, &fee_collector())?.balance,
        },
        Query::Params {} => Answer::Params(PARAMS.get_or_default(ctx)?),
    })
}
