//! Storage of accounts.

use std::sync::LazyLock;

use welkin_runtime::{Address, Amount, Ctx, Invariant, Item, Map, Result, StorageItem};

use super::FEES;
use super::types::{Account, Params};

pub(super) const ACCOUNTS: Map<Address, Account> = Map::new(
    "accounts/account",
    [1, 1],
    "What each account, and each module, has.",
);
pub(super) const SUPPLY: Item<Amount> = Item::new(
    "accounts/supply",
    [1, 2],
    "The sum of all balances, fixed at genesis.",
);
pub(super) const PARAMS: Item<Params> =
    Item::new("accounts/params", [1, 3], "The rules, fixed at genesis.");

pub(super) const STORAGE: &[StorageItem] = &[ACCOUNTS.info(), SUPPLY.info(), PARAMS.info()];

pub(super) const INVARIANTS: &[Invariant] = &[("total supply is constant", supply_is_constant)];

/// Who holds money in a module's name. Hashed once: every fee goes to one of them.
static MODULES: LazyLock<[(&str, Address); 4]> = LazyLock::new(|| {
    [FEES, "provider", "market", "escrow"].map(|name| (name, Address::of_module(name)))
});

/// The address under which a module holds money.
pub fn module_address(name: &str) -> Address {
    let known = MODULES.iter().find(|(module, _)| *module == name);
    known.map_or_else(|| Address::of_module(name), |(_, address)| *address)
}

/// Whether money is held there in a module's name.
pub(super) fn is_module(address: &Address) -> bool {
    MODULES.iter().any(|(_, module)| module == address)
}

/// What an account has; zeros for one that was never heard of.
pub fn account(ctx: &Ctx, address: &Address) -> Result<Account> {
    ACCOUNTS.get_or_default(ctx, address)
}

/// Stores what an account has; a record without content is none.
pub(super) fn set_account(ctx: &mut Ctx, address: &Address, account: &Account) -> Result<()> {
    if *account == Account::default() {
        ACCOUNTS.remove(ctx, address)
    } else {
        ACCOUNTS.insert(ctx, address, account)
    }
}

/// Goes through a whole map in order.
fn supply_is_constant(ctx: &Ctx) -> Result<(), String> {
    let mut sum = Amount::ZERO;
    crate::each(
        |after| ACCOUNTS.page(ctx, after, crate::EACH_PAGE),
        |_, account| {
            sum = sum
                .checked_add(account.balance)
                .ok_or("the sum of balances overflows")?;
            Ok(())
        },
    )?;
    let supply = SUPPLY
        .get_or_default(ctx)
        .map_err(|error| error.to_string())?;
    if sum == supply {
        Ok(())
    } else {
        Err(format!("balances sum to {sum}, supply is {supply}"))
    }
}
