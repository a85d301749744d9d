//! The chain as text, in two forms: a genesis document from which a new chain starts ([`genesis`]), and the raw state, for
//! audits and to compare two nodes ([`write_state`]).
//!
//! A genesis holds balances, rules and validators. What else a running chain has (deployments, leases, bids, providers) it
//! cannot hold: that is ended as the chain itself ends it, so that all the money is in accounts, and said.

use crate::ledger::{Ledger, LedgerError};
use std::io::{self, Write};
use welkin_consensus::types::{AppHash, Genesis, GenesisValidator};
use welkin_modules::genesis::LeftOut;
use welkin_runtime::execute::ExecuteError;
use welkin_runtime::state::{StateRead as _, key_after};

/// Pairs that are read at once.
const PAGE: usize = 1_000;

/// Why the state was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The state cannot be brought into the form of a genesis.
    #[error("no genesis can be made of this state: {0}")]
    State(#[from] ExecuteError),
    /// It cannot be written there.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
}

/// A genesis with the name, the validators, the rules and all the money of the chain at its newest block, whose time it
/// takes; and what it could not take along.
pub fn genesis(ledger: &Ledger) -> Result<(Genesis, LeftOut), ExportError> {
    let (tip, old) = (ledger.tip(), ledger.genesis());
    let view = ledger
        .tree()
        .view(tip.version())
        .map_err(LedgerError::from)?;
    let (state, left_out) = ledger
        .runtime()
        .foresee(&view, welkin_modules::genesis::export)?;
    let name_of = |address| {
        let known = old.validators.iter().find(|one| one.address == address);
        known.map_or_else(String::new, |one| one.name.clone())
    };
    let validators = tip.chain.next_validators.validators().iter();
    let genesis = Genesis {
        genesis_time: tip.chain.last_block_time,
        chain_id: tip.chain.chain_id.clone(),
        initial_height: old.initial_height,
        consensus_params: tip.chain.consensus_params.clone(),
        validators: validators
            .map(|one| GenesisValidator {
                address: one.address,
                public_key: one.public_key,
                power: one.voting_power,
                name: name_of(one.address),
            })
            .collect(),
        app_hash: AppHash::default(),
        app_state: state.to_json(),
    };
    Ok((genesis, left_out))
}

/// Writes the newest state as one JSON object: chain, height, root, and each key with its value in
/// hex, in the order of the keys.
pub fn write_state(ledger: &Ledger, to: &mut dyn Write) -> Result<(), ExportError> {
    let tip = ledger.tip();
    let view = ledger
        .tree()
        .view(tip.version())
        .map_err(LedgerError::from)?;
    writeln!(to, "{{")?;
    writeln!(
        to,
        "  \"chain_id\": {},",
        serde_json::Value::from(tip.chain.chain_id.as_str())
    )?;
    writeln!(to, "  \"height\": \"{}\",", tip.height())?;
    writeln!(
        to,
        "  \"app_hash\": \"{}\",",
        hex::encode_upper(&tip.chain.app_hash.0)
    )?;
    write!(to, "  \"state\": {{")?;
    let (mut from, mut comma) = (Vec::new(), "");
    loop {
        let pairs = view.range(&from, &[0xff; 129], PAGE);
        let pairs = pairs.map_err(|why| LedgerError::Inconsistent(why.to_string()))?;
        let Some((last, _)) = pairs.last() else { break };
        from = key_after(last);
        for (key, value) in &pairs {
            write!(
                to,
                "{comma}\n    \"{}\": \"{}\"",
                hex::encode(key),
                hex::encode(value)
            )?;
            comma = ",";
        }
    }
    writeln!(to, "\n  }}\n}}")?;
    Ok(())
}
