//! The modules' part of a genesis file (`app_state`), with types.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use welkin_runtime::{Address, Amount};

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
