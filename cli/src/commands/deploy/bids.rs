//! Bids on an order: who could make one, how long they are waited for, and which is taken.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use welkin_modules::ids::OrderId;
use welkin_modules::market::types::{Bid, BidState};
use welkin_modules::spec::GroupSpec;
use welkin_runtime::Address;

use super::run::{LOOK, Run};
use crate::candidates::{self, Candidate, Verdict};
use crate::failure::{Failure, Outcome, code};
use crate::output::tokens;

/// For how long bids are waited for before the order itself is looked at again: it may have ended.
const LOOK_AGAIN: Duration = Duration::from_secs(3);

/// How long providers are heard before one goes on without their word. One that is slower may bid all the same.
const HEARING: Duration = Duration::from_secs(2);

/// The wait for bids on one order.
#[derive(Clone, Debug)]
pub struct Auction {
    order: OrderId,
    since: Instant,
    /// It was said that nobody bid in time.
    is_silence_said: bool,
}

/// The providers that the person would take, and what is known of them.
#[derive(Debug)]
pub struct Survey {
    since: Instant,
    candidates: BTreeMap<Address, Candidate>,
    /// What they say themselves, as it comes.
    answers: mpsc::Receiver<Candidate>,
}

impl Survey {
    fn learn(&mut self, heard: Candidate) {
        self.candidates.insert(heard.address(), heard);
    }

    /// Takes what has come meanwhile.
    fn catch_up(&mut self) {
        while let Ok(heard) = self.answers.try_recv() {
            self.learn(heard);
        }
    }

    /// Listens until each of these groups has somebody who would run it, all have answered, or it takes too long.
    async fn hear(&mut self, groups: Range<usize>) {
        let enough = async {
            while !groups.clone().all(|index| self.somebody_would_run(index)) {
                let Some(heard) = self.answers.recv().await else {
                    break;
                };
                self.learn(heard);
            }
        };
        // What is missing then is not known, and stops nobody.
        let _ = tokio::time::timeout(HEARING, enough).await;
    }

    fn somebody_would_run(&self, index: usize) -> bool {
        let mut verdicts = self.of_group(index);
        verdicts.any(|(_, verdict)| matches!(verdict, Verdict::WouldBid(_)))
    }

    fn of_group(&self, index: usize) -> impl Iterator<Item = (Address, &Verdict)> {
        let all = self.candidates.iter();
        all.map(move |(provider, one)| (*provider, &one.verdicts[index]))
    }

    /// Who may bid on a group.
    fn could_bid(&self, index: usize) -> BTreeSet<Address> {
        let could = self
            .of_group(index)
            .filter(|(_, verdict)| verdict.may_bid());
        could.map(|(provider, _)| provider).collect()
    }

    /// Each provider's reasons, a line each.
    fn reasons(&self, index: usize) -> String {
        let lines = self.of_group(index).map(|(provider, verdict)| {
            let reasons = verdict.reasons().join("; ");
            format!("\n  {provider}: {reasons}")
        });
        match self.candidates.is_empty() {
            true => "\n  there is no provider on this chain yet".to_owned(),
            false => lines.collect(),
        }
    }
}

impl Run {
    /// Fails where nobody can win a group, as far as the chain shows and the providers say, before anything is paid.
    pub(super) async fn check_that_somebody_could_run_it(&mut self) -> Outcome {
        let mut survey = self.new_survey().await?;
        survey.hear(0..self.groups.len()).await;
        for (index, group) in self.groups.iter().enumerate() {
            let name = &group.spec.name;
            let reasons = survey.reasons(index);
            if survey.could_bid(index).is_empty() {
                return Err(Failure::not_found(format!(
                    "no provider could run group {name:?}{reasons}"
                )));
            }
            if !survey.somebody_would_run(index) {
                self.tell(&format!(
                    "nobody says that it would run group {name:?}; ordering all the same{reasons}"
                ));
            }
        }
        self.survey = Some(survey);
        Ok(())
    }

    /// What is known of the providers; looked up and asked for where that is some time ago.
    async fn survey(&mut self) -> Outcome<&mut Survey> {
        let is_old = |survey: &Survey| survey.since.elapsed() >= LOOK_AGAIN;
        let survey = match self.survey.take() {
            Some(survey) if !is_old(&survey) => survey,
            _ => self.new_survey().await?,
        };
        Ok(self.survey.insert(survey))
    }

    async fn new_survey(&mut self) -> Outcome<Survey> {
        let groups = self.groups.iter().map(|group| group.spec.clone());
        let groups: Vec<GroupSpec> = groups.collect();
        let mut known = candidates::of_chain(&self.chain, &groups).await?;
        if let Some(wanted) = self.wishes.provider {
            known.retain(|one| one.address() == wanted);
            if known.is_empty() {
                return Err(Failure::not_found(format!(
                    "there is no provider {wanted}; `welkin provider list` lists all"
                )));
            }
        }
        let mut asked = known.clone();
        asked.retain(|one| one.verdicts.iter().any(Verdict::may_bid));
        let phone = self.phone().await?;
        Ok(Survey {
            since: Instant::now(),
            candidates: known.into_iter().map(|one| (one.address(), one)).collect(),
            answers: candidates::hear(asked, self.chain.clone(), phone, groups),
        })
    }

    /// Waits until every provider that could bid has done so, or the time for it is over and there is a bid. Nothing
    /// where that takes so long that the order should be looked at again.
    pub(super) async fn choose(&mut self, order: OrderId, index: usize) -> Outcome<Option<Bid>> {
        if self.auction.as_ref().is_none_or(|one| one.order != order) {
            self.begin_auction(order, index).await?;
        }
        let began = Instant::now();
        while began.elapsed() < LOOK_AGAIN {
            let mut bids = self.chain.bids_on(order).await?;
            self.works();
            bids.retain(|bid| bid.state == BidState::Open);
            bids.retain(|bid| !self.refused_bids.contains_key(&bid.id));
            let refused = self.refused_bids.iter().rfind(|(id, _)| id.order == order);
            if let Some((id, failure)) = refused
                && (bids.is_empty() || self.wishes.provider == Some(id.provider))
            {
                return Err(failure.clone());
            }
            bids.sort_by_key(|bid| (bid.rate_uwlk_per_hour, bid.number));
            let wanted = match self.wishes.provider {
                Some(provider) => bids.iter().find(|bid| bid.id.provider == provider),
                None => bids.first(),
            };
            let is_time = self.is_patience_over();
            match wanted.cloned() {
                Some(bid) if is_time || self.has_everybody_bid(&bids, index) => {
                    return match self.wishes.choose {
                        true => ask(bids).await.map(|chosen| Some(chosen.unwrap_or(bid))),
                        false => Ok(Some(bid)),
                    };
                }
                None if is_time => {
                    self.check_that_a_bid_may_come(index, bids.len()).await?;
                    self.say_silence(bids.len());
                }
                _ => {}
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(None)
    }

    async fn begin_auction(&mut self, order: OrderId, index: usize) -> Outcome {
        let survey = self.survey().await?;
        survey.catch_up();
        let could = survey.could_bid(index).len();
        self.step(format!(
            "waiting for bids on {order} ({could} provider(s) could bid)"
        ));
        self.auction = Some(Auction {
            order,
            since: Instant::now(),
            is_silence_said: false,
        });
        Ok(())
    }

    /// Whether all have bid from whom a bid is expected.
    fn has_everybody_bid(&mut self, bids: &[Bid], index: usize) -> bool {
        let have: BTreeSet<Address> = bids.iter().map(|bid| bid.id.provider).collect();
        self.survey.as_mut().is_some_and(|survey| {
            survey.catch_up();
            survey.could_bid(index).is_subset(&have)
        })
    }

    /// Fails where all from whom a bid could be taken say that they make none.
    async fn check_that_a_bid_may_come(&mut self, index: usize, others: usize) -> Outcome {
        let survey = self.survey().await?;
        survey.hear(index..index + 1).await;
        if !survey.could_bid(index).is_empty() {
            return Ok(());
        }
        let reasons = survey.reasons(index);
        let name = &self.groups[index].spec.name;
        let hint = match others {
            0 => String::new(),
            _ => format!("\n{others} other(s) bid; without --provider the cheapest is taken"),
        };
        Err(Failure::not_found(format!(
            "no provider takes group {name:?} any more{reasons}{hint}"
        )))
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
        let file = self.wishes.file_word();
        let text = match (self.wishes.provider, others) {
            (Some(provider), 1..) => {
                format!("{others} other(s) bid and {provider} did not; waiting on")
            }
            _ => format!("nobody has bid; `welkin plan {file}` asks the providers why; waiting on"),
        };
        self.tell(&text);
    }
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
