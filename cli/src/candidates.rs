//! Who could run groups: what the chain shows of each provider, and what the provider itself says over the peer channel.
//! Only it knows its prices and what it has free.

use std::collections::BTreeMap;

use futures::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use welkin_client::Chain;
use welkin_modules::matching::provider_mismatches;
use welkin_modules::provider::types::{Provider as ProviderRecord, ProviderView, Status};
use welkin_modules::spec::{Attributes, GroupSpec};
use welkin_provider_api::channel::Quote;
use welkin_runtime::{Address, Amount};

use crate::channel::Phone;
use crate::failure::{Outcome, code};
use crate::output::one_line;

/// Providers that are asked at the same time, at most.
const AT_ONCE: usize = 16;

/// A provider, and how it stands to each of the groups.
#[derive(Clone, Debug)]
pub struct Candidate {
    pub provider: ProviderRecord,
    /// In the order of the groups.
    pub verdicts: Vec<Verdict>,
}

/// How a provider stands to a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It would bid this, in uwlk an hour for the whole group, if the group were ordered now.
    WouldBid(Amount),
    /// The chain shows nothing against it, and itself it has not said anything.
    Silent(String),
    /// It cannot, for these reasons.
    Cannot(Vec<String>),
}

impl Verdict {
    /// Whether a bid may come.
    pub fn may_bid(&self) -> bool {
        !matches!(self, Verdict::Cannot(_))
    }

    /// What there is to say where no bid is certain.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Verdict::WouldBid(_) => Vec::new(),
            Verdict::Silent(reason) => vec![reason.clone()],
            Verdict::Cannot(reasons) => reasons.clone(),
        }
    }

    fn of_chain(
        group: &GroupSpec,
        provider: &ProviderRecord,
        signed: &BTreeMap<Address, Attributes>,
    ) -> Verdict {
        let mismatches = provider_mismatches(group, &provider.profile.attributes, signed);
        let mut reasons: Vec<String> = mismatches.iter().map(ToString::to_string).collect();
        if provider.status != Status::Active {
            reasons.push("it takes nothing new".to_owned());
        }
        match reasons.is_empty() {
            true => Verdict::Silent("it has not answered yet".to_owned()),
            false => Verdict::Cannot(reasons),
        }
    }

    fn of_quote(quote: Quote) -> Verdict {
        match quote {
            Quote::Rate(rate) => Verdict::WouldBid(rate),
            Quote::Declined(reasons) => {
                Verdict::Cannot(reasons.iter().map(|reason| one_line(reason)).collect())
            }
        }
    }

    /// The same where the provider does not answer.
    fn and_silence(self, why: &str) -> Verdict {
        match self {
            Verdict::Cannot(mut reasons) => {
                reasons.push(why.to_owned());
                Verdict::Cannot(reasons)
            }
            _ => Verdict::Silent(why.to_owned()),
        }
    }
}

/// All providers, as far as the chain shows.
///
/// # Errors
/// The chain cannot be asked.
pub async fn of_chain(chain: &Chain, groups: &[GroupSpec]) -> Outcome<Vec<Candidate>> {
    let asks_for_signatures = groups.iter().any(|group| {
        let signed_by = &group.requirements.signed_by;
        !signed_by.all_of.is_empty() || !signed_by.any_of.is_empty()
    });
    let candidate = |view: ProviderView| async move {
        let provider = view.provider;
        let signed = match asks_for_signatures {
            true => chain.attestations(provider.address).await?,
            false => BTreeMap::new(),
        };
        let verdicts = groups.iter();
        let verdicts = verdicts.map(|group| Verdict::of_chain(group, &provider, &signed));
        Ok(Candidate {
            verdicts: verdicts.collect(),
            provider,
        })
    };
    futures::stream::iter(chain.providers().await?)
        .map(candidate)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

/// Asks the providers themselves, several at a time. What each says comes as it answers; nobody asks on where it is
/// received no more.
pub fn hear(
    candidates: Vec<Candidate>,
    chain: Chain,
    phone: Phone,
    groups: Vec<GroupSpec>,
) -> mpsc::Receiver<Candidate> {
    let (heard, receiver) = mpsc::channel(AT_ONCE);
    tokio::spawn(async move {
        let ask = |candidate: Candidate| candidate.heard(&chain, &phone, &groups);
        let mut answers = futures::stream::iter(candidates)
            .map(ask)
            .buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            if heard.send(answer).await.is_err() {
                break;
            }
        }
    });
    receiver
}

impl Candidate {
    /// Whose account.
    pub fn address(&self) -> Address {
        self.provider.address
    }

    /// What it says itself comes before what the chain shows; one that does not answer is known by the chain alone.
    async fn heard(mut self, chain: &Chain, phone: &Phone, groups: &[GroupSpec]) -> Candidate {
        if self.provider.status != Status::Active {
            return self;
        }
        let answer = phone.quote(chain, &self.provider, groups.to_vec()).await;
        self.verdicts = match answer {
            Ok(quotes) => quotes.into_iter().map(Verdict::of_quote).collect(),
            // It has heard, and would refuse the order as well.
            Err(refusal) if refusal.code == code::REFUSED_BY_PROVIDER && !refusal.is_temporary => {
                let groups = groups.iter();
                groups
                    .map(|_| Verdict::Cannot(vec![refusal.to_string()]))
                    .collect()
            }
            Err(failure) => {
                let why = failure.to_string();
                let verdicts = self.verdicts.into_iter();
                verdicts.map(|one| one.and_silence(&why)).collect()
            }
        };
        self
    }
}
