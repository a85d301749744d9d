//! What invariants are written with.

use welkin_runtime::{Address, Amount, Ctx, Result};

use crate::accounts;

/// Rows that are read at a time.
pub(crate) const EACH_PAGE: usize = 256;

/// Visits all rows of a map, which `page` reads from after a key.
pub(crate) fn each<K, V>(
    page: impl Fn(Option<&K>) -> Result<Vec<(K, V)>>,
    mut visit: impl FnMut(&K, &V) -> Result<(), String>,
) -> Result<(), String> {
    let mut rows = page(None).map_err(|error| error.to_string())?;
    while let Some((last, _)) = rows.last() {
        for (key, value) in &rows {
            visit(key, value)?;
        }
        rows = page(Some(last)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Checks that `address` holds exactly `owed`.
pub(crate) fn expect_balance(ctx: &Ctx, address: &Address, owed: Amount) -> Result<(), String> {
    let held = accounts::account(ctx, address)
        .map_err(|error| error.to_string())?
        .balance;
    if held == owed {
        Ok(())
    } else {
        Err(format!("{held} uwlk held, {owed} uwlk owed"))
    }
}
