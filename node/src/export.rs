//! The state of the chain as text: for audits, and to compare two nodes.
//!
//! What comes out is the raw state, not a genesis: the modules' types of genesis do not hold what a
//! running chain has (leases, open payments), and no network can be started from it.

use crate::ledger::{Ledger, LedgerError};
use std::io::{self, Write};
use welkin_runtime::state::{StateRead as _, key_after};

/// Pairs that are read at once.
const PAGE: usize = 1_000;

/// Why the state was not written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// It cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// It cannot be written there.
    #[error("cannot write: {0}")]
    Io(#[from] io::Error),
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
