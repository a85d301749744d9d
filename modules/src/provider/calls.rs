//! Registering, leaving, attesting.

use std::collections::BTreeMap;

use welkin_runtime::{Address, Amount, Coded, Ctx, Result, Time};

use super::Providers;
use super::state::{ATTESTATIONS, ENGAGEMENTS, PARAMS, PROVIDERS, RETIRED, address};
use super::types::{Attestation, Error, Event, Params, Profile, Provider, Status};
use crate::matching::{self, Mismatch, attributes};
use crate::moment::Moment;
use crate::spec::{Attributes, GroupSpec};
use crate::{accounts, seconds};

/// The longest address, website and contact, in bytes.
const MAX_TEXT_BYTES: usize = 256;

pub(super) fn genesis(ctx: &mut Ctx, params: &Params) -> Result<()> {
    if params.pruned_per_block == 0 {
        return Err(Error::BadParams.because("pruned_per_block is at least 1"));
    }
    PARAMS.set(ctx, params)
}

pub(super) fn register(ctx: &mut Ctx, profile: Profile) -> Result<()> {
    let sender = ctx.sender()?;
    let params = PARAMS.get_or_default(ctx)?;
    check_profile(&params, &profile)?;
    let now = Moment::now(ctx);
    let known = PROVIDERS.get(ctx, &sender)?;
    let (bond, registered) = match &known {
        Some(provider) if provider.status == Status::Active => {
            return Err(Error::AlreadyRegistered.because(sender));
        }
        // It was leaving: its bond never left.
        Some(provider) if provider.status == Status::Leaving => {
            (provider.bond, provider.registered)
        }
        _ => {
            accounts::transfer(ctx, &sender, &address(), params.bond)?;
            (params.bond, now)
        }
    };
    let provider = Provider {
        address: sender,
        status: Status::Active,
        profile,
        bond,
        registered,
        updated: now,
        retired: None,
    };
    PROVIDERS.insert(ctx, &sender, &provider)?;
    ctx.emit::<Providers>(Event::Registered { provider: sender })
}

pub(super) fn update(ctx: &mut Ctx, profile: Profile) -> Result<()> {
    let sender = ctx.sender()?;
    check_profile(&PARAMS.get_or_default(ctx)?, &profile)?;
    let mut provider = known(ctx, &sender)?;
    if provider.status == Status::Retired {
        return Err(Error::NotActive.because("it is retired: register again"));
    }
    let old = std::mem::replace(&mut provider.profile, profile);
    provider.updated = Moment::now(ctx);
    PROVIDERS.insert(ctx, &sender, &provider)?;
    let new = &provider.profile.attributes;
    let dropped = old
        .attributes
        .iter()
        .filter(|(key, value)| new.get(*key) != Some(*value));
    let dropped = dropped.map(|(key, _)| key.clone()).collect();
    ctx.emit::<Providers>(Event::Updated {
        provider: sender,
        dropped,
    })
}

pub(super) fn deactivate(ctx: &mut Ctx) -> Result<()> {
    let sender = ctx.sender()?;
    let mut provider = active(ctx, &sender)?;
    provider.status = Status::Leaving;
    PROVIDERS.insert(ctx, &sender, &provider)?;
    ctx.emit::<Providers>(Event::Deactivated { provider: sender })?;
    retire_if_free(ctx, &sender)
}

pub(super) fn attest(ctx: &mut Ctx, provider: &Address, attributes: Attributes) -> Result<()> {
    let auditor = ctx.sender()?;
    let params = PARAMS.get_or_default(ctx)?;
    if attributes.is_empty() {
        return Err(Error::BadAttributes.because("there are none: revoke instead"));
    }
    check_attributes(&params, &attributes)?;
    if known(ctx, provider)?.status == Status::Retired {
        return Err(Error::NotActive.because(format!("{provider} is retired")));
    }
    let key = (*provider, auditor);
    let deposit = match ATTESTATIONS.get(ctx, &key)? {
        Some(earlier) => earlier.deposit,
        None => {
            accounts::transfer(ctx, &auditor, &address(), params.attestation_deposit)?;
            params.attestation_deposit
        }
    };
    let signed = Moment::now(ctx);
    let attestation = Attestation {
        provider: *provider,
        auditor,
        attributes,
        deposit,
        signed,
    };
    ATTESTATIONS.insert(ctx, &key, &attestation)?;
    ctx.emit::<Providers>(Event::Attested {
        provider: *provider,
        auditor,
    })
}

pub(super) fn revoke(ctx: &mut Ctx, provider: &Address) -> Result<()> {
    let auditor = ctx.sender()?;
    let attestation = ATTESTATIONS
        .get(ctx, &(*provider, auditor))?
        .ok_or_else(|| Error::UnknownAttestation.because(format!("{auditor} of {provider}")))?;
    end_attestation(ctx, &attestation)
}

/// The one way in which an attestation ends.
fn end_attestation(ctx: &mut Ctx, attestation: &Attestation) -> Result<()> {
    let Attestation {
        provider,
        auditor,
        deposit,
        ..
    } = *attestation;
    ATTESTATIONS.remove(ctx, &(provider, auditor))?;
    accounts::transfer(ctx, &address(), &auditor, deposit)?;
    ctx.emit::<Providers>(Event::Revoked { provider, auditor })
}

/// A provider that may bid and be chosen.
pub fn active(ctx: &Ctx, address: &Address) -> Result<Provider> {
    let provider = known(ctx, address)?;
    match provider.status {
        Status::Active => Ok(provider),
        Status::Leaving | Status::Retired => Err(Error::NotActive.because(address)),
    }
}

fn known(ctx: &Ctx, address: &Address) -> Result<Provider> {
    PROVIDERS
        .get(ctx, address)?
        .ok_or_else(|| Error::UnknownProvider.because(address))
}

/// Why this provider is not what `spec` requires; nothing if it is.
pub fn mismatches(ctx: &Ctx, provider: &Provider, spec: &GroupSpec) -> Result<Vec<Mismatch>> {
    let signed_by = &spec.requirements.signed_by;
    let mut signed = BTreeMap::new();
    for auditor in signed_by.all_of.iter().chain(&signed_by.any_of) {
        if let Some(attestation) = ATTESTATIONS.get(ctx, &(provider.address, *auditor))? {
            signed.insert(*auditor, attestation.attributes);
        }
    }
    Ok(matching::provider_mismatches(
        spec,
        &provider.profile.attributes,
        &signed,
    ))
}

/// Counts an open bid or active lease, which holds the provider's bond.
pub fn engage(ctx: &mut Ctx, provider: &Address) -> Result<()> {
    let count = ENGAGEMENTS.get_or_default(ctx, provider)?;
    ENGAGEMENTS.insert(ctx, provider, &count.saturating_add(1))
}

/// Counts one less; the last one of a leaving provider sets its bond free.
pub fn disengage(ctx: &mut Ctx, provider: &Address) -> Result<()> {
    match ENGAGEMENTS.get_or_default(ctx, provider)?.saturating_sub(1) {
        0 => ENGAGEMENTS.remove(ctx, provider)?,
        count => ENGAGEMENTS.insert(ctx, provider, &count)?,
    }
    retire_if_free(ctx, provider)
}

/// The one way in which a bond returns.
fn retire_if_free(ctx: &mut Ctx, address_of_provider: &Address) -> Result<()> {
    if ENGAGEMENTS.contains(ctx, address_of_provider)? {
        return Ok(());
    }
    let mut provider = known(ctx, address_of_provider)?;
    if provider.status != Status::Leaving {
        return Ok(());
    }
    let bond = std::mem::replace(&mut provider.bond, Amount::ZERO);
    provider.status = Status::Retired;
    provider.retired = Some(Moment::now(ctx));
    PROVIDERS.insert(ctx, address_of_provider, &provider)?;
    accounts::transfer(ctx, &address(), address_of_provider, bond)?;
    ctx.emit::<Providers>(Event::Retired {
        provider: *address_of_provider,
        bond,
    })
}

/// Retires all that have no engagement any more. Returns how many. For exports: the work is not bounded.
pub(crate) fn retire_all(ctx: &mut Ctx) -> Result<u64> {
    let (mut retired, mut after) = (0, None);
    loop {
        let page = PROVIDERS.page(ctx, after.as_ref(), crate::EACH_PAGE)?;
        let Some((last, _)) = page.last() else {
            return Ok(retired);
        };
        after = Some(*last);
        for (address, mut provider) in page {
            if provider.status == Status::Retired {
                continue;
            }
            provider.status = Status::Leaving;
            PROVIDERS.insert(ctx, &address, &provider)?;
            retire_if_free(ctx, &address)?;
            retired += 1;
        }
    }
}

/// Ends all attestations. Returns how many. For exports: the work is not bounded.
pub(crate) fn end_all_attestations(ctx: &mut Ctx) -> Result<u64> {
    let mut ended = 0;
    loop {
        let page = ATTESTATIONS.page(ctx, None, crate::EACH_PAGE)?;
        if page.is_empty() {
            return Ok(ended);
        }
        for (_, attestation) in page {
            end_attestation(ctx, &attestation)?;
            ended += 1;
        }
    }
}

/// Removes what has been retired for long enough: attestations first, then the provider.
pub(super) fn prune(ctx: &mut Ctx) {
    ctx.attempt("prune providers", |ctx| {
        let params = PARAMS.get_or_default(ctx)?;
        let Some(last) = ctx
            .time()
            .0
            .checked_sub(seconds(params.prune_delay_seconds))
        else {
            return Ok(());
        };
        let mut budget = params.pruned_per_block as usize;
        for (since, gone) in RETIRED.up_to(ctx, &Time(last), budget)? {
            let attestations = ATTESTATIONS.page_of(ctx, &gone, None, budget)?;
            for (_, attestation) in &attestations {
                end_attestation(ctx, attestation)?;
            }
            budget -= attestations.len();
            if budget == 0 {
                break;
            }
            PROVIDERS.remove(ctx, &gone)?;
            ctx.emit::<Providers>(Event::Pruned {
                provider: gone,
                retired_at: since,
            })?;
            budget -= 1;
        }
        Ok(())
    });
}

fn check_profile(params: &Params, profile: &Profile) -> Result<()> {
    check_peer_id(&profile.peer_id)?;
    if profile.addresses.len() > params.max_addresses as usize {
        let message = format!(
            "{}, at most {}",
            profile.addresses.len(),
            params.max_addresses
        );
        return Err(Error::BadAddress.because(message));
    }
    for address in &profile.addresses {
        let graphic = address.bytes().all(|byte| byte.is_ascii_graphic());
        if !address.starts_with('/') || !graphic || address.len() > MAX_TEXT_BYTES {
            return Err(Error::BadAddress.because(format!("{address:.80?}")));
        }
    }
    for text in [&profile.website, &profile.contact] {
        if text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
            return Err(Error::BadText.because(format!("{text:.80?}")));
        }
    }
    check_attributes(params, &profile.attributes)
}

fn check_peer_id(peer_id: &str) -> Result<()> {
    let base58 = |byte: u8| byte.is_ascii_alphanumeric() && !b"0OIl".contains(&byte);
    if (32..=128).contains(&peer_id.len()) && peer_id.bytes().all(base58) {
        Ok(())
    } else {
        Err(Error::BadPeerId.because(format!("{peer_id:.140?}")))
    }
}

fn check_attributes(params: &Params, attributes: &Attributes) -> Result<()> {
    if attributes.len() > params.max_attributes as usize {
        let message = format!("{}, at most {}", attributes.len(), params.max_attributes);
        return Err(Error::BadAttributes.because(message));
    }
    attributes::check(attributes, attributes::Keys::Plain)
        .map_err(|error| Error::BadAttributes.because(error))
}
