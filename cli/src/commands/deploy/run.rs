//! One run: takes the steps that are next, one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use welkin_client::{Chain, ClientError, Receipt, SubmitOptions, call};
use welkin_modules::deployment::Deployments;
use welkin_modules::deployment::types::{Award, Call as DeploymentCall, DeploymentState, Nonce};
use welkin_modules::ids::{BidId, DeploymentId, GroupId, LeaseId, OrderId};
use welkin_modules::market::Market;
use welkin_modules::market::types::{Call as MarketCall, LeaseState};
use welkin_provider_api::channel::{ForwardedPort, LeaseStatus, Phase};
use welkin_provider_api::manifest::{Built, Commitment};
use welkin_runtime::crypto::SigningKey;
use welkin_runtime::tx::RawCall;
use welkin_runtime::{Address, Amount, Hash};

use super::bids::{Auction, Survey};
use super::steps::{
    Facts, Goal, GroupSeen, Leased, Obstacle, Ordered, Reaction, Seen, Setback, Step,
};
use super::{DEPOSIT_UWLK, Deployed, intent};
use crate::channel::{Link, Phone};
use crate::commands::sdl;
use crate::context::Context;
use crate::failure::{Failure, Outcome, code};
use crate::http;
use crate::money::{self, Standing, duration};
use crate::output::{one_line, say, shell_word, tokens};
use crate::sending::SILENCE;

/// How often something that changes with the blocks is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(150);

/// What the person asked for.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// The SDL file, as it was typed.
    pub file: PathBuf,
    /// The hash of its bytes.
    pub content: Hash,
    /// For escrow, in uwlk.
    pub deposit: Option<u64>,
    /// How long bids are waited for.
    pub bid_wait: Duration,
    /// Whose bid is taken instead of the cheapest.
    pub provider: Option<Address>,
    /// Whether to ask which bid is taken.
    pub choose: bool,
    /// How long all of it may take.
    pub limit: Duration,
}

impl Wishes {
    /// The file, as a word of a command.
    pub fn file_word(&self) -> String {
        shell_word(&self.file.to_string_lossy())
    }
}

/// One run.
pub struct Run {
    pub(super) wishes: Wishes,
    pub(super) chain: Chain,
    pub(super) key: SigningKey,
    pub(super) groups: Vec<Built>,
    intents: PathBuf,
    content: Hash,
    commitment: Option<Commitment>,
    facts: Facts,
    phone: Option<Phone>,
    links: BTreeMap<usize, Link>,
    /// Where services are reached, by the number of their group.
    reached: BTreeMap<usize, Reached>,
    pub(super) survey: Option<Survey>,
    pub(super) auction: Option<Auction>,
    began: Instant,
    doing: String,
    /// What fails at the moment, and may pass.
    trouble: Option<String>,
    /// Why the application does not run yet, as its provider says.
    held_up: Option<String>,
    /// Causes that were said, each once.
    told: BTreeSet<String>,
    /// What was sent to the chain, while nobody knows yet what came of it.
    on_its_way: Option<&'static str>,
    /// This run has sent an order.
    has_ordered: bool,
    /// The bid that is being taken.
    taking: Option<BidId>,
    /// Bids that the chain refused to let us take, and why.
    pub(super) refused_bids: BTreeMap<BidId, Failure>,
    /// Keeps other runs with this file away.
    _lock: std::fs::File,
}

/// Where the services of a group are reached.
#[derive(Clone, Debug)]
struct Reached {
    lease: LeaseId,
    urls: Vec<String>,
    ports: Vec<String>,
}

impl Run {
    /// A run that has sent nothing yet; waits for others with the same file.
    ///
    /// # Errors
    /// The file, or what an earlier run left, cannot be read.
    pub async fn new(
        context: &Context,
        chain: Chain,
        goal: Goal,
        groups: Vec<Built>,
        wishes: Wishes,
    ) -> Outcome<Run> {
        let began = Instant::now();
        let key = context.key()?;
        let content = wishes.content;
        let genesis = chain.info().genesis_hash;
        let intents = intent::path(&context.home, &genesis, &key.address(), &wishes.file);
        let lock = intent::lock(&intents, wishes.limit).await?;
        let known = intent::read(&intents)?;
        let mut run = Run {
            facts: Facts::new(goal, content, groups.len(), known.clone()),
            wishes,
            chain,
            key,
            groups,
            intents,
            content,
            commitment: None,
            phone: None,
            links: BTreeMap::new(),
            reached: BTreeMap::new(),
            survey: None,
            auction: None,
            began,
            doing: "starting".to_owned(),
            trouble: None,
            held_up: None,
            told: BTreeSet::new(),
            on_its_way: None,
            has_ordered: false,
            taking: None,
            refused_bids: BTreeMap::new(),
            _lock: lock,
        };
        if let Some(known) = known {
            run.work_out_commitment(&known.nonce);
        }
        Ok(run)
    }

    /// The nonce of an update to this content, which is on the disk before it is sent: the one of an earlier attempt, or a
    /// new one.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn update_nonce(&self, id: DeploymentId) -> Outcome<Nonce> {
        let path = self.intents.with_extension(format!("update-{id}.json"));
        let earlier = intent::read(&path)?.filter(|earlier| earlier.content == self.content);
        if let Some(earlier) = earlier {
            return Ok(earlier.nonce);
        }
        let new = intent::of(&self.wishes.file, self.content, intent::new_nonce());
        intent::write(&path, &new)?;
        Ok(new.nonce)
    }

    /// Takes the deployment with this nonce for what the file is from now on, so that `deploy` continues it too.
    ///
    /// # Errors
    /// The disk refuses.
    pub async fn follow(&mut self, nonce: Nonce) -> Outcome {
        if let Some(before) = self.facts.nonce().filter(|before| *before != nonce) {
            let owner = self.key.address();
            let before = self.chain.deployment_by_nonce(owner, before).await?;
            if let Some(before) = before.filter(|one| one.state == DeploymentState::Active) {
                let id = before.id;
                say(format!(
                    "{} was deployment {id} up to now, which goes on and is paid for; `welkin deployment close {id}` ends it",
                    self.wishes.file.display()
                ));
            }
        }
        let intent = intent::of(&self.wishes.file, self.content, nonce);
        intent::write(&self.intents, &intent)?;
        self.facts.learn(Seen::Remembered(intent));
        Ok(())
    }

    /// Takes step after step until it runs and answers.
    ///
    /// # Errors
    /// What will not pass by itself.
    pub async fn finish(&mut self) -> Outcome<Deployed> {
        let mut refusal = None;
        loop {
            let step = self.facts.next();
            match step {
                Step::Done => break,
                Step::Stop(obstacle) => return Err(self.in_the_way(obstacle)),
                Step::GiveUp => return Err(refusal.unwrap_or_else(no_such_step)),
                _ => {}
            }
            let failure = match self.take(step).await {
                Ok(seen) => {
                    self.works();
                    self.taking = None;
                    self.facts.learn(seen);
                    continue;
                }
                Err(failure) => failure,
            };
            let bid = self.taking.take();
            let setback = setback(step, &failure, bid);
            match self.facts.failed(step, setback) {
                Reaction::GiveUp => return Err(failure),
                Reaction::TryOn => self.try_on(&failure).await,
                Reaction::LookAgain => match bid {
                    Some(bid) => {
                        self.refused_bids.insert(bid, failure);
                    }
                    None => refusal = Some(failure),
                },
            }
        }
        self.until_it_answers().await?;
        self.deployed().await
    }

    /// What came of it, and for how long its money lasts.
    async fn deployed(&mut self) -> Outcome<Deployed> {
        let Some(deployment) = self.facts.deployment() else {
            return Err(Failure::new(code::FAILED, "it runs and is not known"));
        };
        let leases = self.facts.leases();
        let rate = rate(&leases);
        // It runs, whether its money can be shown or not.
        let escrow = self.chain.escrow(deployment).await.ok();
        let escrow = escrow.and_then(|seen| seen.answer.zip(Some(seen.time)));
        let standing = escrow.as_ref().map(|(view, now)| Standing::of(view, *now));
        let lasts = match (standing, &escrow) {
            (Some(Standing::Pays(nanos)), Some((view, _))) => {
                let left = tokens(view.free_uwlk.0);
                format!("; {left} lasts {}", duration(nanos))
            }
            _ => String::new(),
        };
        self.step(match leases.is_empty() {
            true => "nothing runs: no group has a lease".to_owned(),
            false => format!("it runs, for {} an hour{lasts}", tokens(rate)),
        });
        if let Some(warning) = standing.and_then(|standing| standing.warning(deployment)) {
            say(warning);
        }
        let reached = || self.reached.values();
        Ok(Deployed {
            deployment,
            leases,
            rate_uwlk_per_hour: Amount(rate),
            paid_until: escrow.and_then(|(view, _)| view.account.due),
            urls: reached().flat_map(|one| one.urls.clone()).collect(),
            ports: reached().flat_map(|one| one.ports.clone()).collect(),
        })
    }

    async fn take(&mut self, step: Step) -> Outcome<Seen> {
        match step {
            Step::Remember => {
                let intent = intent::of(&self.wishes.file, self.content, intent::new_nonce());
                intent::write(&self.intents, &intent)?;
                self.work_out_commitment(&intent.nonce);
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
                // One that failed is sent again: the person wants it tried again.
                let failed = failed_there(&status).is_some();
                let has_it = status.accepted_manifest == Some(wanted) && !failed;
                Ok(Seen::Manifest(index, has_it))
            }
            Step::SendManifest(lease, index) => self.send_manifest(lease, index).await,
            Step::AwaitReady(lease, index) => self.await_ready(lease, index).await,
            Step::Done | Step::Stop(_) | Step::GiveUp => Err(no_such_step()),
        }
    }

    fn work_out_commitment(&mut self, nonce: &Nonce) {
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
        let found = self.chain.deployment_by_nonce(owner, nonce).await?;
        // An update is committed to under a nonce of its own.
        if let Some(found) = found
            .as_ref()
            .filter(|one| one.state == DeploymentState::Active)
        {
            self.work_out_commitment(&found.version_nonce);
        }
        let wanted = self.commitment()?.hash;
        let found = found.map(|one| Ordered {
            id: one.id,
            lives: one.state == DeploymentState::Active,
            is_this_version: one.commitment == wanted,
        });
        if let Some(found) = found.filter(|found| found.lives) {
            self.on_its_way = None;
            self.step(format!("deployment {} is there", found.id));
            if let Some(deposit) = self.wishes.deposit.filter(|_| !self.has_ordered) {
                let id = found.id;
                self.tell(&format!(
                    "its deposit was made with it; `welkin deployment deposit {id} {deposit}` adds to that"
                ));
            }
        }
        Ok(Seen::Deployment(found))
    }

    async fn create(&mut self, nonce: Nonce) -> Outcome<Seen> {
        self.check_that_somebody_could_run_it().await?;
        let deposit = self.wishes.deposit.unwrap_or(DEPOSIT_UWLK);
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
        self.has_ordered = true;
        let sent = self.send("an order", calls).await;
        sent.map_err(money::deposit_refused)?;
        Ok(Seen::MayHaveChanged)
    }

    async fn find_group(&self, deployment: DeploymentId, index: usize) -> Outcome<Seen> {
        let id = GroupId {
            deployment,
            group: u32::try_from(index + 1).unwrap_or(u32::MAX),
        };
        let group = self.chain.group(id).await?;
        let group = group.ok_or_else(|| Failure::not_found(format!("there is no group {id}")))?;
        let (order, state) = (group.newest_order(), group.state);
        Ok(Seen::Group(index, GroupSeen { order, state }))
    }

    async fn find_lease(&mut self, lease: LeaseId, index: usize) -> Outcome<Seen> {
        let found = self.chain.lease(lease).await?;
        let active = found.filter(|lease| lease.state == LeaseState::Active);
        if active.is_some() {
            self.on_its_way = None;
        }
        let leased = active.map(|lease| Leased {
            lease: lease.id,
            provider: lease.provider,
            rate_uwlk_per_hour: lease.rate_uwlk_per_hour,
        });
        Ok(Seen::Lease(index, leased))
    }

    async fn take_bid(&mut self, order: OrderId, index: usize) -> Outcome<Seen> {
        let Some(bid) = self.choose(order, index).await? else {
            return Ok(Seen::MayHaveChanged);
        };
        let provider = bid.id.provider;
        self.step(format!(
            "taking the bid of {provider} for {} an hour",
            tokens(bid.rate_uwlk_per_hour.0)
        ));
        let accept = MarketCall::Accept { bid: bid.id };
        self.taking = Some(bid.id);
        let calls = vec![call::<Market>(&accept)];
        self.send("the taking of a bid", calls).await?;
        Ok(Seen::MayHaveChanged)
    }

    /// Sends calls and waits until a block has them; says once why that takes long.
    pub(super) async fn send(
        &mut self,
        what: &'static str,
        calls: Vec<RawCall>,
    ) -> Result<Receipt, ClientError> {
        let earlier = self.on_its_way.replace(what);
        let (chain, key) = (self.chain.clone(), self.key.clone());
        let began = Instant::now();
        let mut hear = |reason: &str| {
            if began.elapsed() >= SILENCE {
                self.has_trouble(reason);
            }
        };
        let options = SubmitOptions::default();
        let sent = chain.submit_hearing(&key, calls, &options, &mut hear).await;
        match &sent {
            Ok(_) => self.on_its_way = None,
            // This one did nothing; one before it may still.
            Err(ClientError::Refused { .. }) => self.on_its_way = earlier,
            Err(_) => {}
        }
        sent
    }

    /// This run's end of its lines to providers; the one that was used before, until something fails.
    pub(super) async fn phone(&mut self) -> Outcome<Phone> {
        let phone = match self.phone.take() {
            Some(phone) => phone,
            None => Phone::new(&self.chain).await?,
        };
        Ok(self.phone.insert(phone).clone())
    }

    /// A link to the provider of a lease; the one that was used before, until it fails.
    async fn link(&mut self, lease: LeaseId, index: usize) -> Outcome<&Link> {
        if !self.links.contains_key(&index) {
            let phone = self.phone().await?;
            let link = Link::to(&phone, &self.chain, self.key.clone(), lease).await?;
            self.links.insert(index, link);
        }
        Ok(&self.links[&index])
    }

    async fn status(&mut self, lease: LeaseId, index: usize) -> Outcome<LeaseStatus> {
        let link = self.link(lease, index).await?;
        link.status().await
    }

    async fn send_manifest(&mut self, lease: LeaseId, index: usize) -> Outcome<Seen> {
        let bytes = self.groups[index].manifest.encode();
        let opening = self.commitment()?.openings[index].clone();
        let provider = self.link(lease, index).await?.provider;
        self.step(format!("handing the manifest to {provider}"));
        let link = self.link(lease, index).await?;
        link.send_manifest(bytes, opening).await?;
        Ok(Seen::Manifest(index, true))
    }

    async fn await_ready(&mut self, lease: LeaseId, index: usize) -> Outcome<Seen> {
        self.step(format!("waiting until lease {lease} runs"));
        let wanted = self.commitment()?.hash;
        loop {
            let status = self.status(lease, index).await?;
            self.works();
            if let Some(failure) = failed_there(&status) {
                return Err(failure);
            }
            if status.phase == Phase::Ready && status.running_manifest == Some(wanted) {
                self.held_up = None;
                self.reached.insert(index, Reached::of(lease, &status));
                return Ok(Seen::Ready(index));
            }
            self.hear_what_holds_it_up(lease, &status);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says why the application does not run yet: each cause once.
    fn hear_what_holds_it_up(&mut self, lease: LeaseId, status: &LeaseStatus) {
        let Some(cause) = what_holds_it_up(status) else {
            return;
        };
        let cause = format!(
            "{cause}; `welkin lease events {lease}` shows what was tried, `welkin lease logs {lease}` what it wrote"
        );
        if self.told.insert(cause.clone()) {
            self.tell(&cause);
        }
        self.held_up = Some(cause);
    }

    async fn until_it_answers(&mut self) -> Outcome {
        for (index, reached) in self.reached.clone() {
            for url in reached.urls {
                self.step(format!("waiting until {url} answers"));
                while let Err(cause) = http::answers(&url).await {
                    // Its provider may know why.
                    match self.status(reached.lease, index).await {
                        Ok(status) => match (failed_there(&status), what_holds_it_up(&status)) {
                            (Some(failure), _) => return Err(failure),
                            (None, Some(_)) => self.hear_what_holds_it_up(reached.lease, &status),
                            (None, None) => self.held_up = Some(cause),
                        },
                        Err(failure) if failure.is_temporary => self.try_on(&failure).await,
                        Err(failure) => return Err(failure),
                    }
                    tokio::time::sleep(LOOK).await;
                }
            }
        }
        Ok(())
    }

    pub(super) fn step(&mut self, doing: impl Into<String>) {
        let doing = doing.into();
        if doing != self.doing {
            self.tell(&doing);
            self.doing = doing;
        }
    }

    pub(super) fn tell(&self, text: &str) {
        say(format!(
            "{:6.1} s  {text}",
            self.began.elapsed().as_secs_f64()
        ));
    }

    /// What failed works again.
    pub(super) fn works(&mut self) {
        self.trouble = None;
    }

    fn has_trouble(&mut self, cause: &str) {
        if self.trouble.is_none() {
            self.tell(&format!("{cause}; trying on"));
        }
        self.trouble = Some(cause.to_owned());
    }

    /// Says once what fails, and lets a moment pass.
    pub(super) async fn try_on(&mut self, failure: &Failure) {
        self.has_trouble(&failure.message);
        // A provider that comes back may have another address.
        self.links.clear();
        self.phone = None;
        tokio::time::sleep(LOOK).await;
    }

    /// How much of its time is left.
    pub fn left(&self) -> Duration {
        self.wishes.limit.saturating_sub(self.began.elapsed())
    }

    /// What it is about, for messages.
    pub fn doing(&self) -> &str {
        &self.doing
    }

    /// What fails or is held up at the moment, for messages.
    pub fn trouble(&self) -> String {
        let text = |trouble: &String| format!(" ({trouble})");
        let trouble = self.trouble.as_ref().or(self.held_up.as_ref());
        trouble.map(text).unwrap_or_default()
    }

    fn in_the_way(&self, obstacle: Obstacle) -> Failure {
        let file = self.wishes.file_word();
        match obstacle {
            Obstacle::Ended => Failure::usage(format!(
                "the deployment has ended meanwhile; `welkin deploy {file}` makes a new one"
            )),
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
    pub fn say_what_exists(&self, failure: &Failure) {
        let file = self.wishes.file_word();
        if let Some(what) = self.on_its_way {
            say(format!(
                "{what} was sent and may still get into a block; `welkin deploy {file}` finds it and continues"
            ));
        }
        let Some(deployment) = self.facts.deployment() else {
            match (self.facts.has_nothing(), self.on_its_way) {
                (true, None) => say("nothing was ordered and nothing is paid for"),
                (true, Some(_)) => {}
                (false, _) => {
                    say("`welkin deployment list` shows what exists and is paid for");
                }
            }
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
        let next = match failure.code {
            // The same once more would fail as it did.
            code::REFUSED_BY_PROVIDER => format!(
                "mend the file, then `welkin deployment update {deployment} {file}` replaces it"
            ),
            _ => format!("`welkin deploy {file}` continues"),
        };
        say(format!(
            "deployment {deployment} exists with {} lease(s) found so far, for {} an hour; {next}, \
             `welkin deployment close {deployment}` ends it",
            leases.len(),
            tokens(rate(&leases)),
        ));
    }
}

impl Reached {
    fn of(lease: LeaseId, status: &LeaseStatus) -> Reached {
        let ports = status.services.iter().flat_map(|one| &one.ports);
        Reached {
            lease,
            urls: status
                .services
                .iter()
                .flat_map(|one| one.urls.clone())
                .collect(),
            ports: ports.map(port_for_people).collect(),
        }
    }
}

/// Where a port is reached, like `tcp://host:31000`.
pub fn port_for_people(port: &ForwardedPort) -> String {
    let kind = format!("{:?}", port.protocol).to_lowercase();
    format!("{kind}://{}:{}", port.host, port.external_port)
}

/// The failure of an application that its provider has given up.
fn failed_there(status: &LeaseStatus) -> Option<Failure> {
    if !matches!(status.phase, Phase::Failed | Phase::UpdateFailed) {
        return None;
    }
    let cause = status.failure.as_deref().unwrap_or("no cause was given");
    let text = format!("the provider could not run it: {}", one_line(cause));
    Some(Failure::new(code::REFUSED_BY_PROVIDER, text))
}

/// How a step failed; `bid` is the one that it was taking.
fn setback(step: Step, failure: &Failure, bid: Option<BidId>) -> Setback {
    let is_sent = match step {
        Step::TakeBid(..) => bid.is_some(),
        _ => step.is_sent_to_the_chain(),
    };
    match is_sent {
        // Calls carry a nonce or the number of an order: a second one is refused, never done twice.
        true if failure.is_temporary || failure.code == code::TIMED_OUT => Setback::MayPass,
        true => Setback::Refused,
        false if failure.is_temporary => Setback::MayPass,
        false => Setback::Final,
    }
}

fn no_such_step() -> Failure {
    Failure::new(code::FAILED, "there is no such step")
}

fn what_holds_it_up(status: &LeaseStatus) -> Option<String> {
    let of_services = status.services.iter().filter_map(|service| {
        let message = service.message.as_ref()?;
        Some(format!("{}: {message}", service.name))
    });
    let causes: Vec<String> = status.failure.iter().cloned().chain(of_services).collect();
    (!causes.is_empty()).then(|| one_line(&causes.join("; ")))
}

fn rate(leases: &[Leased]) -> u64 {
    leases.iter().fold(0u64, |sum, one| {
        sum.saturating_add(one.rate_uwlk_per_hour.0)
    })
}
