//! Quotes: what the provider would bid, for anybody who asks over the peer channel.
//!
//! The trader shows its newest ledger here, and the same decision that bids is made about groups that nobody ordered yet.
//! Nothing is kept of an inquiry. Strangers can make the provider compute, and how much is bounded three times: an
//! inquiry is one frame, a peer opens so many streams a second, and one inquiry is computed at a time, beside the tasks
//! that serve tenants.

use std::sync::Arc;

use tokio::sync::{Semaphore, watch};
use welkin_modules::deployment::types::Params;
use welkin_modules::matching::limits::check_groups;
use welkin_modules::spec::GroupSpec;
use welkin_provider_api::channel::{Quote, Reason, Refusal};

use crate::bid::{self, Decision, Ledger, Offering, PriceTable};

/// What quotes are made of.
#[derive(Clone)]
pub struct Quotes {
    rules: Arc<Rules>,
    ledgers: watch::Receiver<Option<Ledger>>,
    turn: Arc<Semaphore>,
}

struct Rules {
    offering: Offering,
    prices: PriceTable,
    params: Params,
}

impl Quotes {
    /// Quotes of a provider that is this and asks these prices, for deployments that the chain takes by these rules.
    /// `ledgers` has the trader's newest one, or none while it does not bid.
    pub fn new(
        offering: Offering,
        prices: PriceTable,
        params: Params,
        ledgers: watch::Receiver<Option<Ledger>>,
    ) -> Quotes {
        let rules = Rules {
            offering,
            prices,
            params,
        };
        Quotes {
            rules: Arc::new(rules),
            ledgers,
            turn: Arc::new(Semaphore::new(1)),
        }
    }

    /// What would be bid on each of these groups now.
    ///
    /// # Errors
    /// [`Reason::Malformed`] for groups that the chain would not take, [`Reason::NotReady`] while there are no bids.
    pub async fn quote(&self, groups: Vec<GroupSpec>) -> Result<Vec<Quote>, Refusal> {
        let turn = self.turn.clone().acquire_owned().await;
        let turn = turn.expect("the semaphore is never closed");
        let ledger = self.ledgers.borrow().clone();
        let rules = self.rules.clone();
        let computed = tokio::task::spawn_blocking(move || {
            let quotes = rules.quote(&groups, ledger.as_ref());
            drop(turn);
            quotes
        });
        let failed = |_| refuse(Reason::Internal, "the provider failed; try another one");
        computed.await.map_err(failed)?
    }
}

impl Rules {
    fn quote(&self, groups: &[GroupSpec], ledger: Option<&Ledger>) -> Result<Vec<Quote>, Refusal> {
        check_groups(groups, &self.params)
            .map_err(|error| refuse(Reason::Malformed, &error.to_string()))?;
        let ledger = ledger.ok_or_else(|| {
            let text = "the provider makes no bids just now; try again in a moment";
            refuse(Reason::NotReady, text)
        })?;
        let decisions = bid::quote(groups, &self.offering, ledger, &self.prices);
        let quote = |decision| match decision {
            Decision::Bid(rate) => Quote::Rate(rate),
            Decision::Pass(reasons) => Quote::declined(reasons.iter().map(ToString::to_string)),
        };
        Ok(decisions.into_iter().map(quote).collect())
    }
}

fn refuse(reason: Reason, message: &str) -> Refusal {
    Refusal {
        reason,
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use welkin_modules::matching::Resources;
    use welkin_modules::spec::ResourceUnit;
    use welkin_runtime::Amount;

    use super::*;

    fn group(cpu_millis: u64, rate: u64) -> GroupSpec {
        GroupSpec {
            name: format!("with {cpu_millis}"),
            requirements: Default::default(),
            resources: vec![ResourceUnit {
                id: 1,
                cpu_millis,
                memory_bytes: 1 << 20,
                gpu: Default::default(),
                storage: Vec::new(),
                endpoints: Vec::new(),
                count: 1,
                max_rate_uwlk_per_hour: Amount(rate),
            }],
        }
    }

    fn quotes(ledger: Option<Ledger>) -> (Quotes, watch::Sender<Option<Ledger>>) {
        let (sender, ledgers) = watch::channel(ledger);
        let (offering, prices) = (Offering::default(), PriceTable::default());
        (
            Quotes::new(offering, prices, Params::default(), ledgers),
            sender,
        )
    }

    fn ledger() -> Ledger {
        Ledger::new(Resources {
            cpu_millis: 2_000,
            memory_bytes: 1 << 30,
            gpus: 0,
            storage_bytes: 1 << 30,
        })
    }

    #[tokio::test]
    async fn each_group_gets_a_rate_or_every_reason_in_words() {
        let (quotes, _trader) = quotes(Some(ledger()));
        let groups = vec![group(1_000, 1_000_000), group(2_500, 1)];
        let answer = quotes.quote(groups).await.unwrap();
        let asked = PriceTable::default().rate(&group(1_000, 1)).unwrap();
        assert_eq!(answer[0], Quote::Rate(asked));
        let Quote::Declined(reasons) = &answer[1] else {
            panic!("it would bid on what it does not have: {answer:?}");
        };
        let reasons = reasons.join("; ");
        let dear = PriceTable::default().rate(&group(2_500, 1)).unwrap();
        for words in ["2500 needed, 2000 free", &format!("would cost {dear}")] {
            assert!(reasons.contains(words), "{words:?} is not in {reasons:?}");
        }
    }

    #[tokio::test]
    async fn what_the_chain_would_not_take_is_refused_and_nothing_is_quoted_without_bids() {
        let (quotes, trader) = quotes(None);
        let refused = quotes.quote(vec![group(1_000, 1)]).await.unwrap_err();
        assert_eq!(refused.reason, Reason::NotReady);
        trader.send_replace(Some(ledger()));
        assert!(quotes.quote(vec![group(1_000, 1)]).await.is_ok());
        let mut crowded = group(1_000, 1);
        crowded.resources = vec![crowded.resources[0].clone(); 21];
        let refused = quotes.quote(vec![crowded]).await.unwrap_err();
        assert_eq!(refused.reason, Reason::Malformed);
        assert!(refused.message.contains("units: 21"), "{refused}");
    }
}
