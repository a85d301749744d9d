//! One run of `deploy`: takes the steps that are next, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use welkin_client::{Chain, call};
use welkin_modules::deployment::Deployments;
use welkin_modules::deployment::types::{
    Answer as DeploymentAnswer, Award, Call as DeploymentCall, DeploymentState, Nonce,
    Query as DeploymentQuery,
};
use welkin_modules::ids::{BidId, DeploymentId, GroupId, LeaseId, OrderId};
use welkin_modules::market::Market;
use welkin_modules::market::types::{
    Answer as MarketAnswer, Bid, BidState, Call as MarketCall, LeaseState, Query as MarketQuery,
};
use welkin_modules::matching::provider_mismatches;
use welkin_modules::provider::types::Status as ProviderStatus;
use welkin_modules::spec::GroupSpec;
use welkin_provider_api::channel::{LeaseStatus, Phase};
use welkin_provider_api::delegation::Scope;
use welkin_provider_api::manifest::{Built, Commitment};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::{Address, Amount};

use super::steps::{Facts, GroupSeen, Leased, Obstacle, Ordered, Seen, Step};
use super::{Deployed, intent};
use crate::args::Deploy;
use crate::channel::Link;
use crate::commands::{market, provider, sdl};
use crate::context::Context;
use crate::failure::{Failure, Outcome, code};
use crate::http;
use crate::output::{say, tokens};

/// How often something that changes with the blocks is looked at.
const LOOK: Duration = Duration::from_millis(150);

/// One run.
pub struct Run<'a> {
    options: &'a Deploy,
    chain: Chain,
    key: SigningKey,
    groups: Vec<Built>,
    intents: PathBuf,
    content: welkin_runtime::Hash,
    commitment: Option<Commitment>,
    facts: Facts,
    links: BTreeMap<usize, Link>,
    /// Services' URLs by the number of their group.
    urls: BTreeMap<usize, Vec<String>>,
    /// Since when bids on an order are waited for.
    waiting: Option<(OrderId, Instant)>,
    began: Instant,
    doing: String,
    /// What fails at the moment, and may pass.
    trouble: Option<String>,
}

impl<'a> Run<'a> {
    /// A run that has asked and sent nothing yet.
    ///
    /// # Errors
    /// The file, or what an earlier run left, cannot be read.
    pub fn new(
        context: &Context,
        chain: Chain,
        key: SigningKey,
        groups: Vec<Built>,
        options: &'a Deploy,
    ) -> Outcome<Run<'a>> {
        let bytes = sdl::bytes(&options.file)?;
        let content = welkin_runtime::crypto::blake3_hash(&bytes);
        let genesis = chain.info().genesis_hash;
        let intents = intent::path(&context.home, &genesis, &key.address(), &options.file);
        let known = intent::read(&intents)?;
        let mut run = Run {
            facts: Facts::new(content, groups.len(), known.clone()),
            options,
            chain,
            key,
            groups,
            intents,
            content,
            commitment: None,
            links: BTreeMap::new(),
            urls: BTreeMap::new(),
            waiting: None,
            began: Instant::now(),
            doing: "starting".to_owned(),
            trouble: None,
        };
        if let Some(known) = known {
            run.commit(&known.nonce);
        }
        Ok(run)
    }

    /// Takes step after step until it runs and answers.
    ///
    /// # Errors
    /// What will not pass by itself.
    pub async fn finish(&mut self) -> Outcome<Deployed> {
        let mut refused: Option<(Step, Failure)> = None;
        loop {
            let step = self.facts.next();
            match step {
                Step::Done => break,
                Step::Stop(obstacle) => return Err(self.in_the_way(obstacle)),
                _ => {}
            }
            // Refused, and a look showed that it was not done before either.
            if let Some((_, failure)) = refused.take_if(|(again, _)| *again == step) {
                return Err(failure);
            }
            match self.take(step).await {
                Ok(seen) => {
                    self.trouble = None;
                    self.facts.learn(seen);
                }
                Err(failure) => {
                    let is_sent = step.is_sent_to_the_chain();
                    // Calls carry a nonce or the number of an order: a second one is refused, never done twice.
                    let may_pass =
                        failure.is_temporary || (is_sent && failure.code == code::TIMED_OUT);
                    if !may_pass && !is_sent {
                        return Err(failure);
                    }
                    if is_sent {
                        self.facts.learn(Seen::Sent);
                    }
                    if may_pass {
                        self.try_on(&failure).await;
                    } else {
                        refused = Some((step, failure));
                    }
                }
            }
        }
        self.until_it_answers().await?;
        let leases = self.facts.leases();
        let rate = rate(&leases);
        self.step(format!("it runs, for {} an hour", tokens(rate)));
        Ok(Deployed {
            deployment: self.facts.deployment().ok_or_else(other_kind)?,
            leases,
            rate_uwlk_per_hour: Amount(rate),
            urls: self.urls.values().flatten().cloned().collect(),
        })
    }

    async fn take(&mut self, step: Step) -> Outcome<Seen> {
        match step {
            Step::Remember => {
                let intent = intent::new(&self.options.file, self.content);
                intent::write(&self.intents, &intent)?;
                self.commit(&intent.nonce);
                Ok(Seen::Remembered(intent))
            }
            Step::FindDeployment(nonce) => self.find_deployment(nonce).await,
            Step::Create(nonce) => self.create(nonce).await,
            Step::FindGroup(deployment, index) => self.find_group(deployment, index).await,
            Step::FindLease(order, index) => self.find_lease(order, index).await,
            Step::TakeBid(order, index) => self.take_bid(order, index).await,
            Step::AskProvider(lease, index) => {
                self.step(format!("asking the provider of lease {lease}"));
                let status = self.status(lease, index).await?;
                let wanted = self.commitment()?.hash;
                let has_it = status.accepted_manifest == Some(wanted);
                Ok(Seen::Manifest(index, has_it))
            }
            Step::SendManifest(lease, index) => self.send_manifest(lease, index).await,
            Step::AwaitReady(lease, index) => self.await_ready(lease, index).await,
            Step::Done | Step::Stop(_) => Err(Failure::new(code::FAILED, "there is no such step")),
        }
    }

    fn commit(&mut self, nonce: &Nonce) {
        let made = sdl::commitment(&self.groups, &self.chain, &self.key, nonce);
        self.commitment = Some(made);
    }

    fn commitment(&self) -> Outcome<&Commitment> {
        self.commitment
            .as_ref()
            .ok_or_else(|| Failure::new(code::FAILED, "nothing is committed to yet"))
    }

    async fn find_deployment(&mut self, nonce: Nonce) -> Outcome<Seen> {
        let owner = self.key.address();
        let query = DeploymentQuery::ByNonce { owner, nonce };
        let answer = self.chain.query::<Deployments>(&query).await?.answer;
        let DeploymentAnswer::ByNonce(found) = answer else {
            return Err(other_kind());
        };
        // An update is committed to under a nonce of its own.
        if let Some(found) = found
            .as_ref()
            .filter(|one| one.state == DeploymentState::Active)
        {
            self.commit(&found.version_nonce);
        }
        let wanted = self.commitment()?.hash;
        let found = found.map(|one| Ordered {
            id: one.id,
            lives: one.state == DeploymentState::Active,
            is_this_version: one.commitment == wanted,
        });
        if let Some(found) = found.filter(|found| found.lives) {
            self.step(format!("deployment {} is there", found.id));
        }
        Ok(Seen::Deployment(found))
    }

    async fn create(&mut self, nonce: Nonce) -> Outcome<Seen> {
        let deposit = self.options.deposit;
        self.step(format!(
            "ordering {} group(s), {} into escrow",
            self.groups.len(),
            tokens(deposit)
        ));
        let create = DeploymentCall::Create {
            groups: self.groups.iter().map(|group| group.spec.clone()).collect(),
            commitment: self.commitment()?.hash,
            nonce,
            deposit: Amount(deposit),
            award: Award::Tenant,
        };
        let calls = vec![call::<Deployments>(&create)];
        self.chain.submit(&self.key, calls).await?;
        Ok(Seen::Sent)
    }

    async fn find_group(&self, deployment: DeploymentId, index: usize) -> Outcome<Seen> {
        let id = GroupId {
            deployment,
            group: u32::try_from(index + 1).unwrap_or(u32::MAX),
        };
        let query = DeploymentQuery::Group { group: id };
        match self.chain.query::<Deployments>(&query).await?.answer {
            DeploymentAnswer::Group(Some(group)) => {
                let order = group.newest_order();
                let state = group.state;
                Ok(Seen::Group(index, GroupSeen { order, state }))
            }
            _ => Err(Failure::not_found(format!("there is no group {id}"))),
        }
    }

    async fn find_lease(&self, lease: LeaseId, index: usize) -> Outcome<Seen> {
        let query = MarketQuery::Lease { lease };
        let MarketAnswer::Lease(found) = self.chain.query::<Market>(&query).await?.answer else {
            return Err(other_kind());
        };
        let active = found.filter(|lease| lease.state == LeaseState::Active);
        let leased = active.map(|lease| Leased {
            lease: lease.id,
            provider: lease.provider,
            rate_uwlk_per_hour: lease.rate_uwlk_per_hour,
        });
        Ok(Seen::Lease(index, leased))
    }

    async fn take_bid(&mut self, order: OrderId, index: usize) -> Outcome<Seen> {
        let bid = self.choose(order, index).await?;
        let provider = bid.id.provider;
        self.step(format!(
            "taking the bid of {provider} for {} an hour",
            tokens(bid.rate_uwlk_per_hour.0)
        ));
        let accept = MarketCall::Accept {
            bid: BidId { order, provider },
        };
        self.chain
            .submit(&self.key, vec![call::<Market>(&accept)])
            .await?;
        Ok(Seen::Sent)
    }

    /// Waits until every provider that could bid has done so, or the time for it is over and there is a bid.
    async fn choose(&mut self, order: OrderId, index: usize) -> Outcome<Bid> {
        let could = could_bid(&self.chain, &self.groups[index].spec).await?;
        let since = match self.waiting {
            Some((known, since)) if known == order => since,
            _ => {
                self.step(format!(
                    "waiting for bids on {order} ({} provider(s) could bid)",
                    could.len()
                ));
                if could.is_empty() {
                    say(
                        "no provider is what this group asks for; `welkin plan` says why; waiting all the same",
                    );
                }
                self.waiting.insert((order, Instant::now())).1
            }
        };
        let patience = Duration::from_secs(self.options.bid_wait);
        loop {
            let mut bids = market::bids(&self.chain, order).await?;
            self.trouble = None;
            bids.retain(|bid| bid.state == BidState::Open);
            bids.sort_by_key(|bid| (bid.rate_uwlk_per_hour, bid.number));
            let have: BTreeSet<Address> = bids.iter().map(|bid| bid.id.provider).collect();
            let wanted = match self.options.provider {
                Some(provider) => bids.iter().find(|bid| bid.id.provider == provider),
                None => bids.first(),
            };
            let all_in = !could.is_empty() && could.is_subset(&have);
            let is_time = self.options.provider.is_some() || all_in || since.elapsed() >= patience;
            match wanted {
                Some(bid) if self.options.choose => {
                    return ask(&bids).map(|chosen| chosen.unwrap_or_else(|| bid.clone()));
                }
                Some(bid) if is_time => return Ok(bid.clone()),
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// A link to the provider of a lease; the one that was used before, until it fails.
    async fn link(&mut self, lease: LeaseId, index: usize) -> Outcome<&Link> {
        if !self.links.contains_key(&index) {
            let link = Link::to(&self.chain, self.key.clone(), lease).await?;
            self.links.insert(index, link);
        }
        Ok(&self.links[&index])
    }

    async fn status(&mut self, lease: LeaseId, index: usize) -> Outcome<LeaseStatus> {
        let link = self.link(lease, index).await?;
        Ok(link.open(Scope::Status).await?.status().await?)
    }

    async fn send_manifest(&mut self, lease: LeaseId, index: usize) -> Outcome<Seen> {
        let bytes = self.groups[index].manifest.encode();
        let opening = self.commitment()?.openings[index].clone();
        let provider = self.link(lease, index).await?.provider;
        self.step(format!("handing the manifest to {provider}"));
        let link = self.link(lease, index).await?;
        let client = link.open(Scope::SendManifest).await?;
        client.send_manifest(bytes, opening).await?;
        Ok(Seen::Manifest(index, true))
    }

    async fn await_ready(&mut self, lease: LeaseId, index: usize) -> Outcome<Seen> {
        self.step(format!("waiting until lease {lease} runs"));
        loop {
            let status = self.status(lease, index).await?;
            self.trouble = None;
            match status.phase {
                Phase::Ready => {
                    let urls = status.services.into_iter().flat_map(|service| service.urls);
                    self.urls.insert(index, urls.collect());
                    return Ok(Seen::Ready(index));
                }
                Phase::Failed | Phase::UpdateFailed => {
                    let cause = status
                        .failure
                        .unwrap_or_else(|| "no cause was given".to_owned());
                    let text = format!("the provider could not run it: {cause}");
                    return Err(Failure::new(code::REFUSED_BY_PROVIDER, text));
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    async fn until_it_answers(&mut self) -> Outcome {
        let urls: Vec<String> = self.urls.values().flatten().cloned().collect();
        for url in urls {
            self.step(format!("waiting until {url} answers"));
            while http::status(&url).await.is_none() {
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(())
    }

    fn step(&mut self, doing: impl Into<String>) {
        let doing = doing.into();
        if doing != self.doing {
            self.tell(&doing);
            self.doing = doing;
        }
    }

    fn tell(&self, text: &str) {
        say(format!(
            "{:6.1} s  {text}",
            self.began.elapsed().as_secs_f64()
        ));
    }

    /// Says once what fails, and lets a moment pass.
    async fn try_on(&mut self, failure: &Failure) {
        if self.trouble.is_none() {
            self.tell(&format!("{failure}; trying on"));
        }
        self.trouble = Some(failure.to_string());
        // A provider that comes back may have another address.
        self.links.clear();
        tokio::time::sleep(LOOK).await;
    }

    /// What it is about, for messages.
    pub fn doing(&self) -> &str {
        &self.doing
    }

    /// What fails at the moment, for messages.
    pub fn trouble(&self) -> String {
        let text = |trouble: &String| format!(" ({trouble})");
        self.trouble.as_ref().map(text).unwrap_or_default()
    }

    fn in_the_way(&self, obstacle: Obstacle) -> Failure {
        let file = self.options.file.display();
        match obstacle {
            Obstacle::FileChanged(id) => Failure::usage(format!(
                "{file} was changed since it became deployment {id}; `welkin deployment update {id} {file}` replaces \
                 what runs, `welkin deployment close {id}` ends it"
            )),
            Obstacle::OtherVersion(id) => Failure::usage(format!(
                "deployment {id} runs another version of this file; `welkin deployment update {id} {file}` replaces it"
            )),
            Obstacle::GroupEnded(order, state) => {
                let group = order.group_id();
                let state = format!("{state:?}").to_lowercase();
                let text = format!(
                    "group {group} is {state}; `welkin tx deployment start-group --group {group}` starts a paused one, \
                     `welkin deployment close {}` ends all",
                    order.deployment
                );
                Failure::new(code::FAILED, text)
            }
        }
    }

    /// Says what exists, and what it costs.
    pub fn say_what_exists(&self) {
        let Some(deployment) = self.facts.deployment() else {
            say("nothing was ordered and nothing is paid for, as far as this program knows");
            return;
        };
        // What is in the way says itself what to do, and comes before the leases were looked for.
        if let Step::Stop(_) = self.facts.next() {
            say(format!(
                "deployment {deployment} exists and is paid for; `welkin deployment show {deployment}` shows it"
            ));
            return;
        }
        let leases = self.facts.leases();
        say(format!(
            "deployment {deployment} exists with {} lease(s) found so far, for {} an hour; `welkin deploy {}` \
             continues, `welkin deployment close {deployment}` ends it",
            leases.len(),
            tokens(rate(&leases)),
            self.options.file.display()
        ));
    }
}

fn rate(leases: &[Leased]) -> u64 {
    leases.iter().fold(0u64, |sum, one| {
        sum.saturating_add(one.rate_uwlk_per_hour.0)
    })
}

/// The providers that are what the group asks for. Whether they have room, only they know.
async fn could_bid(chain: &Chain, spec: &GroupSpec) -> Outcome<BTreeSet<Address>> {
    let mut could = BTreeSet::new();
    for view in provider::all(chain).await? {
        let one = view.provider;
        if one.status != ProviderStatus::Active {
            continue;
        }
        let signed = provider::attestations(chain, one.address).await?;
        if provider_mismatches(spec, &one.profile.attributes, &signed).is_empty() {
            could.insert(one.address);
        }
    }
    Ok(could)
}

fn ask(bids: &[Bid]) -> Outcome<Option<Bid>> {
    use std::io::IsTerminal;
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "--choose asks on a terminal; give --provider instead",
        ));
    }
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

fn other_kind() -> Failure {
    Failure::new(
        code::FAILED,
        "the chain's answer is of another kind than was asked for",
    )
}
