//! Storage of providers.

use std::collections::BTreeMap;

use welkin_runtime::{
    Address, Amount, Ctx, Index, IndexedMap, Invariant, Item, Map, Result, StorageItem, Time,
};

use super::types::{Attestation, Params, Provider, Status};
use crate::accounts;

pub(super) const PROVIDERS: IndexedMap<Address, Provider> = IndexedMap::new(
    "provider/provider",
    [2, 1],
    "Each provider, by its account.",
    &[&RETIRED],
);
pub(super) const RETIRED: Index<Address, Provider, Time> = Index::new(
    "provider/retired",
    [2, 2],
    "Retired providers, by the time since when.",
    |_, provider| provider.retired.map(|at| at.time),
);
pub(super) const ENGAGEMENTS: Map<Address, u32> = Map::new(
    "provider/engagements",
    [2, 3],
    "How many open bids and active leases a provider has, if any.",
);
pub(super) const ATTESTATIONS: Map<(Address, Address), Attestation> = Map::new(
    "provider/attestation",
    [2, 4],
    "What each auditor attests, by provider and auditor.",
);
pub(super) const PARAMS: Item<Params> =
    Item::new("provider/params", [2, 5], "The rules, fixed at genesis.");

pub(super) const STORAGE: &[StorageItem] = &[
    PROVIDERS.info(),
    RETIRED.info(),
    ENGAGEMENTS.info(),
    ATTESTATIONS.info(),
    PARAMS.info(),
];

pub(super) const INVARIANTS: &[Invariant] = &[
    (
        "the module holds all bonds and attestation deposits",
        holds_what_it_owes,
    ),
    (
        "a provider is retired if and only if it has no bond to get back",
        retired_without_bond,
    ),
];

/// The address under which the module holds bonds and deposits.
pub(super) fn address() -> Address {
    accounts::module_address("provider")
}

/// Open bids and active leases of a provider.
pub(super) fn engagements(ctx: &Ctx, provider: &Address) -> Result<u32> {
    ENGAGEMENTS.get_or_default(ctx, provider)
}

/// The engagements of all providers that have any, for invariants.
pub(crate) fn all_engagements(ctx: &Ctx) -> Result<BTreeMap<Address, u32>, String> {
    let mut all = BTreeMap::new();
    crate::each(
        |after| ENGAGEMENTS.page(ctx, after, crate::EACH_PAGE),
        |address, count| {
            all.insert(*address, *count);
            Ok(())
        },
    )?;
    Ok(all)
}

fn holds_what_it_owes(ctx: &Ctx) -> Result<(), String> {
    let mut owed = Amount::ZERO;
    let mut add = |amount| {
        owed = owed.checked_add(amount).ok_or("what is owed overflows")?;
        Ok(())
    };
    let each = crate::EACH_PAGE;
    crate::each(
        |after| PROVIDERS.page(ctx, after, each),
        |_, provider| add(provider.bond),
    )?;
    crate::each(
        |after| ATTESTATIONS.page(ctx, after, each),
        |_, signed| add(signed.deposit),
    )?;
    crate::expect_balance(ctx, &address(), owed)
}

fn retired_without_bond(ctx: &Ctx) -> Result<(), String> {
    crate::each(
        |after| PROVIDERS.page(ctx, after, crate::EACH_PAGE),
        |address, provider| {
            let engagements = engagements(ctx, address).map_err(|error| error.to_string())?;
            let retired = provider.status == Status::Retired;
            if retired != provider.retired.is_some() || (retired && !provider.bond.is_zero()) {
                return Err(format!("{address} is {:?} with a bond", provider.status));
            }
            if retired && engagements > 0 {
                return Err(format!(
                    "{address} is retired with {engagements} engagements"
                ));
            }
            if provider.status == Status::Leaving && engagements == 0 {
                return Err(format!("{address} is leaving and nothing holds it"));
            }
            Ok(())
        },
    )
}
