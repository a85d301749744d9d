//! Bids on an order: who could make one, how long they are waited for, and which is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use welkin_client::Chain;
use welkin_modules::ids::OrderId;
use welkin_modules::market::types::{Bid, BidState};
use welkin_modules::matching::provider_mismatches;
use welkin_modules::provider::types::Status as ProviderStatus;
use welkin_modules::spec::GroupSpec;
use welkin_runtime::Address;

use super::run::{LOOK, Run};
use crate::failure::{Failure, Outcome, code};
use crate::output::tokens;

/// For how long bids are waited for before the order itself is looked at again: it may have ended.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// The wait for bids on one order.
#[derive(Clone, Debug)]
pub struct Auction {
    order: OrderId,
    since: Instant,
    /// It was said that nobody bid in time.
    is_silence_said: bool,
}

impl Run {
    /// Fails where the chain shows already that nobody can win a group, before anything is paid.
    pub(super) async fn check_that_somebody_could_run_it(&self) -> Outcome {
        for group in &self.groups {
            let mut misfits = misfits(&self.chain, &group.spec).await?;
            if let Some(wanted) = self.wishes.provider {
                let reasons = misfits.remove(&wanted).ok_or_else(|| {
                    Failure::not_found(format!(
                        "there is no provider {wanted}; `welkin provider list` lists all"
                    ))
                })?;
                misfits = BTreeMap::from([(wanted, reasons)]);
            }
            if misfits.values().any(Vec::is_empty) {
                continue;
            }
            let name = &group.spec.name;
            let mut text = format!("nothing was ordered: no provider could run group {name:?}");
            for (provider, reasons) in misfits {
                text.push_str(&format!("\n  {provider}: {}", reasons.join("; ")));
            }
            return Err(Failure::not_found(text));
        }
        Ok(())
    }

    /// Waits until every provider that could bid has done so, or the time for it is over and there is a bid. Nothing
    /// where that takes so long that the order should be looked at again.
    pub(super) async fn choose(&mut self, order: OrderId, index: usize) -> Outcome<Option<Bid>> {
        let could = could_bid(&self.chain, &self.groups[index].spec).await?;
        if self.auction.as_ref().is_none_or(|one| one.order != order) {
            self.step(format!(
                "waiting for bids on {order} ({} provider(s) could bid)",
                could.len()
            ));
            self.auction = Some(Auction {
                order,
                since: Instant::now(),
                is_silence_said: false,
            });
        }
        let began = Instant::now();
        while began.elapsed() < LOOK_AGAIN {
            let mut bids = self.chain.bids_on(order).await?;
            self.works();
            bids.retain(|bid| bid.state == BidState::Open);
            let refused = self.refused_bids.iter().rfind(|(id, _)| id.order == order);
            let failure = refused.map(|(_, failure)| failure.clone());
            bids.retain(|bid| !self.refused_bids.contains_key(&bid.id));
            if let Some(failure) = failure
                && bids.is_empty()
            {
                return Err(failure);
            }
            bids.sort_by_key(|bid| (bid.rate_uwlk_per_hour, bid.number));
            let have: BTreeSet<Address> = bids.iter().map(|bid| bid.id.provider).collect();
            let wanted = match self.wishes.provider {
                Some(provider) => bids.iter().find(|bid| bid.id.provider == provider),
                None => bids.first(),
            };
            let all_in = !could.is_empty() && could.is_subset(&have);
            let is_time = self.is_patience_over();
            match wanted {
                Some(bid) if self.wishes.choose && (all_in || is_time) => {
                    let bid = bid.clone();
                    return ask(bids).await.map(|chosen| Some(chosen.unwrap_or(bid)));
                }
                Some(bid) if all_in || is_time || self.wishes.provider.is_some() => {
                    return Ok(Some(bid.clone()));
                }
                None if is_time => self.say_silence(bids.len()),
                _ => {}
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }

    fn is_patience_over(&self) -> bool {
        let patience = self.wishes.bid_wait;
        let auction = self.auction.as_ref();
        auction.is_some_and(|auction| auction.since.elapsed() >= patience)
    }

    fn say_silence(&mut self, others: usize) {
        let Some(auction) = self.auction.as_mut().filter(|one| !one.is_silence_said) else {
            return;
        };
        auction.is_silence_said = true;
        let file = self.wishes.file.display();
        let text = match (self.wishes.provider, others) {
            (Some(provider), 1..) => {
                format!("{others} other(s) bid and {provider} did not; waiting on")
            }
            _ => format!("nobody has bid; `welkin plan {file}` asks the providers why; waiting on"),
        };
        self.tell(&text);
    }
}

/// Every provider, and why it cannot win the group as far as the chain shows. Whether it has room, only it knows.
async fn misfits(chain: &Chain, spec: &GroupSpec) -> Outcome<BTreeMap<Address, Vec<String>>> {
    let mut all = BTreeMap::new();
    for view in chain.providers().await? {
        let one = view.provider;
        let signed = chain.attestations(one.address).await?;
        let mismatches = provider_mismatches(spec, &one.profile.attributes, &signed);
        let mut reasons: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
        if one.status != ProviderStatus::Active {
            reasons.push("it takes nothing new".to_owned());
        }
        all.insert(one.address, reasons);
    }
    Ok(all)
}

async fn could_bid(chain: &Chain, spec: &GroupSpec) -> Outcome<BTreeSet<Address>> {
    let misfits = misfits(chain, spec).await?;
    let fits = misfits
        .into_iter()
        .filter(|(_, reasons)| reasons.is_empty());
    Ok(fits.map(|(provider, _)| provider).collect())
}

/// Asks beside the tasks, so that time and signals are heard meanwhile.
async fn ask(bids: Vec<Bid>) -> Outcome<Option<Bid>> {
    let asked = tokio::task::spawn_blocking(move || prompt(&bids)).await;
    asked.unwrap_or_else(|error| Err(Failure::new(code::FAILED, error.to_string())))
}

fn prompt(bids: &[Bid]) -> Outcome<Option<Bid>> {
    let items: Vec<String> = bids
        .iter()
        .map(|bid| {
            format!(
                "{}  {} an hour",
                bid.id.provider,
                tokens(bid.rate_uwlk_per_hour.0)
            )
        })
        .collect();
    let chosen = dialoguer::Select::new()
        .with_prompt("Which bid")
        .items(&items)
        .default(0)
        .interact();
    chosen
        .map(|index| bids.get(index).cloned())
        .map_err(|error| Failure::new(code::FAILED, format!("no bid was chosen: {error}")))
}
