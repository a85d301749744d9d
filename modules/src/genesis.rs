//! The modules' part of a genesis file (`app_state`), with types; and the way back to it from a running chain.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{Address, Amount, Coded as _, Ctx, Module as _, Result};

use crate::moment::Reason;
use crate::{accounts, deployment, escrow, market, provider};

/// `app_state` of the genesis file: a section for each module. What is left out has its default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AppState {
    /// Who holds what.
    pub accounts: accounts::Genesis,
    /// Rules of providers.
    pub provider: provider::Genesis,
    /// Rules of deployments.
    pub deployment: deployment::Genesis,
    /// Rules of the market.
    pub market: market::Genesis,
    /// Rules of escrow.
    pub escrow: escrow::Genesis,
}

impl AppState {
    /// The default rules, with these accounts.
    pub fn with_accounts(accounts: impl IntoIterator<Item = (Address, Amount)>) -> AppState {
        let rows = accounts.into_iter();
        let rows = rows.map(|(address, balance)| accounts::GenesisAccount { address, balance });
        let accounts = accounts::Genesis {
            accounts: rows.collect(),
            ..Default::default()
        };
        AppState {
            accounts,
            ..AppState::default()
        }
    }

    /// The rules of a local test network, with these accounts: small deposits, short times.
    pub fn for_testnet(accounts: impl IntoIterator<Item = (Address, Amount)>) -> AppState {
        let mut state = AppState::with_accounts(accounts);
        state.provider.params.bond = Amount(1_000_000);
        state.escrow.params.min_deposit = Amount(1_000);
        state.escrow.params.min_runway_seconds = 5;
        state.escrow.params.grace_seconds = 60;
        state.market.params.bid_lifetime_seconds = 300;
        state.market.params.order_lifetime_seconds = 3_600;
        state
    }

    /// As it stands in the genesis file.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("plain data has a JSON form")
    }
}

/// What of a running chain a genesis cannot hold. It was ended, and its money went back to whose it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    /// Deployments that lived, with their orders, leases and escrow accounts.
    pub deployments: u64,
    /// Open bids.
    pub bids: u64,
    /// Providers that were registered.
    pub providers: u64,
    /// Attestations of auditors.
    pub attestations: u64,
}

/// The genesis of a chain that continues this one with the same rules and all of its money.
///
/// What a genesis cannot hold is ended first, as the chain itself ends it: leases are paid up to now, what is left in
/// escrow, deposits and bonds go back. So the sum of all accounts is the whole supply, and nobody gains or loses.
/// Sequence numbers begin anew: no transaction of the old chain is valid on one with another genesis.
///
/// For [`welkin_runtime::Runtime::foresee`]; the work is not bounded.
///
/// # Errors
/// The state cannot be read, or contradicts itself.
pub fn export(ctx: &mut Ctx) -> Result<(AppState, LeftOut)> {
    let left_out = LeftOut {
        deployments: deployment::end_all(ctx, Reason::DEPLOYMENT_CLOSED)?,
        bids: market::end_all_bids(ctx, Reason::DEPLOYMENT_CLOSED)?,
        providers: provider::retire_all(ctx)?,
        attestations: provider::end_all_attestations(ctx)?,
    };
    let state = AppState {
        accounts: accounts::Genesis {
            accounts: balances(ctx)?,
            params: match accounts::Accounts::query(ctx, accounts::Query::Params {})? {
                accounts::Answer::Params(params) => params,
                _ => unreachable!("{ANSWERS}"),
            },
        },
        provider: match provider::Providers::query(ctx, provider::Query::Params {})? {
            provider::Answer::Params(params) => provider::Genesis { params },
            _ => unreachable!("{ANSWERS}"),
        },
        deployment: match deployment::Deployments::query(ctx, deployment::Query::Params {})? {
            deployment::Answer::Params(params) => deployment::Genesis { params },
            _ => unreachable!("{ANSWERS}"),
        },
        market: match market::Market::query(ctx, market::Query::Params {})? {
            market::Answer::Params(params) => market::Genesis { params },
            _ => unreachable!("{ANSWERS}"),
        },
        escrow: match escrow::Escrow::query(ctx, escrow::Query::Params {})? {
            escrow::Answer::Params(params) => escrow::Genesis { params },
            _ => unreachable!("{ANSWERS}"),
        },
    };
    Ok((state, left_out))
}

const ANSWERS: &str = "a module answers a query with the variant of its name";

/// All that have money. No module has any: what it owed was paid.
fn balances(ctx: &Ctx) -> Result<Vec<accounts::GenesisAccount>> {
    let (mut rows, mut start) = (Vec::<accounts::AccountRow>::new(), None);
    loop {
        let limit = crate::page::default_limit();
        let query = accounts::Query::Accounts { start, limit };
        let accounts::Answer::Accounts { accounts, next } = accounts::Accounts::query(ctx, query)?
        else {
            unreachable!("{ANSWERS}")
        };
        rows.extend(accounts.iter().filter(|row| !row.account.balance.is_zero()));
        start = next;
        if start.is_none() {
            break;
        }
    }
    let in_modules = ["provider", "market", "escrow"].map(accounts::module_address);
    if let Some(row) = rows.iter().find(|row| in_modules.contains(&row.address)) {
        let text = format!(
            "{} uwlk would be left in a module's name",
            row.account.balance
        );
        return Err(accounts::Error::BadGenesis.because(text));
    }
    let rows = rows.iter().map(|row| accounts::GenesisAccount {
        address: row.address,
        balance: row.account.balance,
    });
    Ok(rows.collect())
}
