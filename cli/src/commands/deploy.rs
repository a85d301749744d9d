//! `welkin deploy`: from a file to a URL, in steps that can be taken again.
//!
//! ```text
//!   read ─> remember a nonce (on disk, before anything is sent) ─> create ─> bids ─> accept ─> manifest ─> URL
//! ```
//!
//! Every step first looks whether it was taken already: a deployment is found by its nonce, a lease by its group, a
//! manifest by its commitment. So a run that was interrupted anywhere is continued by the next one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rand::RngCore;
use serde::{Deserialize, Serialize};
use welkin_client::{Chain, call};
use welkin_modules::deployment::Deployments;
use welkin_modules::deployment::types::{
    Answer as DeploymentAnswer, Award, Call as DeploymentCall, Deployment, DeploymentState, Group,
    Nonce, Query as DeploymentQuery,
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
use welkin_runtime::{Address, Amount, Hash};

use super::{market, provider, sdl};
use crate::args::Deploy;
use crate::channel::Link;
use crate::context::Context;
use crate::failure::{Failure, Outcome, code};
use crate::http;
use crate::output::{say, tokens};

/// How often something that changes with the blocks is looked at.
const LOOK: Duration = Duration::from_millis(150);

/// What a run leaves on the disk before it sends anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Intent {
    file: PathBuf,
    content: Hash,
    nonce: Nonce,
}

/// What `deploy` prints as data.
#[derive(Debug, Serialize)]
struct Deployed {
    deployment: DeploymentId,
    leases: Vec<Leased>,
    rate_uwlk_per_hour: Amount,
    urls: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Leased {
    lease: LeaseId,
    provider: Address,
    rate_uwlk_per_hour: Amount,
}

/// Deploys a file.
pub async fn run(context: &Context, options: Deploy) -> Outcome {
    let sdl = sdl::read(&options.file, options.strict)?;
    let groups = sdl::groups(&sdl, options.price_as_uwlk)?;
    let key = context.key()?;
    let chain = context.chain().await?;
    let mut run = Run::new(context, chain, key, groups, &options);
    let limit = Duration::from_secs(options.timeout);
    match tokio::time::timeout(limit, run.finish(&options)).await {
        Ok(Ok(deployed)) => context.format.print(&deployed, |deployed| {
            if deployed.urls.is_empty() {
                return deployed
                    .leases
                    .iter()
                    .map(|one| format!("{}\n", one.lease))
                    .collect();
            }
            deployed.urls.iter().map(|url| format!("{url}\n")).collect()
        }),
        Ok(Err(failure)) => {
            run.say_what_exists(&options);
            Err(failure)
        }
        Err(_) => {
            run.say_what_exists(&options);
            let text = format!(
                "it took longer than {} s while {}",
                options.timeout, run.doing
            );
            Err(Failure::new(code::TIMED_OUT, text))
        }
    }
}

/// One run.
struct Run {
    chain: Chain,
    key: SigningKey,
    groups: Vec<Built>,
    intents: PathBuf,
    began: Instant,
    /// What it is about, for messages.
    doing: String,
    deployment: Option<DeploymentId>,
    leases: Vec<Leased>,
}

impl Run {
    fn new(
        context: &Context,
        chain: Chain,
        key: SigningKey,
        groups: Vec<Built>,
        options: &Deploy,
    ) -> Run {
        let file = std::fs::canonicalize(&options.file).unwrap_or_else(|_| options.file.clone());
        let name = format!(
            "{}\n{}\n{}",
            chain.info().genesis_hash,
            key.address(),
            file.display()
        );
        let name = welkin_runtime::crypto::blake3_hash(name.as_bytes()).to_string();
        Run {
            chain,
            key,
            groups,
            intents: context
                .home
                .join("deployments")
                .join(format!("{}.json", &name[..32])),
            began: Instant::now(),
            doing: "starting".to_owned(),
            deployment: None,
            leases: Vec::new(),
        }
    }

    fn step(&mut self, doing: impl Into<String>) {
        self.doing = doing.into();
        say(format!(
            "{:6.1} s  {}",
            self.began.elapsed().as_secs_f64(),
            self.doing
        ));
    }

    async fn finish(&mut self, options: &Deploy) -> Outcome<Deployed> {
        let intent = self.intent(options).await?;
        let commitment = sdl::commitment(&self.groups, &self.chain, &self.key, &intent.nonce);
        let deployment = self.deployment(&intent, &commitment, options).await?;
        self.deployment = Some(deployment.id);
        if deployment.commitment != commitment.hash {
            return Err(Failure::usage(format!(
                "deployment {} runs another version of this file; `welkin deployment update {} {}` replaces it",
                deployment.id,
                deployment.id,
                options.file.display()
            )));
        }
        self.lease_all(deployment.id, options).await?;
        let urls = self.hand_over(&commitment).await?;
        let rate = self.leases.iter().fold(0u64, |sum, one| {
            sum.saturating_add(one.rate_uwlk_per_hour.0)
        });
        self.step(format!("it runs, for {} an hour", tokens(rate)));
        Ok(Deployed {
            deployment: deployment.id,
            leases: std::mem::take(&mut self.leases),
            rate_uwlk_per_hour: Amount(rate),
            urls,
        })
    }

    /// The intent of an earlier run that can be continued, or a new one, on the disk before anything is sent.
    async fn intent(&mut self, options: &Deploy) -> Outcome<Intent> {
        let bytes =
            std::fs::read(&options.file).map_err(|error| Failure::file(&options.file, &error))?;
        let content = welkin_runtime::crypto::blake3_hash(&bytes);
        if let Some(known) = read_intent(&self.intents)? {
            let found = self
                .patiently(async |run: &Run| run.by_nonce(known.nonce).await)
                .await?;
            let lives = found
                .as_ref()
                .is_some_and(|d| d.state != DeploymentState::Closed);
            if lives && known.content == content {
                self.step("continuing what an earlier run began");
                return Ok(known);
            }
            if let Some(deployment) = found.filter(|_| lives) {
                self.deployment = Some(deployment.id);
                return Err(Failure::usage(format!(
                    "{} was changed since it became deployment {}; `welkin deployment update {} {}` replaces what runs, \
                     `welkin deployment close {}` ends it",
                    options.file.display(),
                    deployment.id,
                    deployment.id,
                    options.file.display(),
                    deployment.id
                )));
            }
            // Nothing was created with it: the same nonce may be used for the same content only.
            if known.content == content && !self.was_used(known.nonce).await? {
                return Ok(known);
            }
        }
        let mut nonce = [0; 16];
        rand::rng().fill_bytes(&mut nonce);
        let intent = Intent {
            file: options.file.clone(),
            content,
            nonce: Nonce(nonce),
        };
        write_intent(&self.intents, &intent)?;
        Ok(intent)
    }

    async fn was_used(&self, nonce: Nonce) -> Outcome<bool> {
        Ok(self.by_nonce(nonce).await?.is_some())
    }

    async fn by_nonce(&self, nonce: Nonce) -> Outcome<Option<Deployment>> {
        let query = DeploymentQuery::ByNonce {
            owner: self.key.address(),
            nonce,
        };
        match self.chain.query::<Deployments>(&query).await?.answer {
            DeploymentAnswer::ByNonce(found) => Ok(found),
            _ => Err(other_kind()),
        }
    }

    async fn deployment(
        &mut self,
        intent: &Intent,
        commitment: &Commitment,
        options: &Deploy,
    ) -> Outcome<Deployment> {
        let nonce = intent.nonce;
        if let Some(found) = self
            .patiently(async |run: &Run| run.by_nonce(nonce).await)
            .await?
        {
            return Ok(found);
        }
        self.step(format!(
            "ordering {} group(s), {} into escrow",
            self.groups.len(),
            tokens(options.deposit)
        ));
        let create = DeploymentCall::Create {
            groups: self.groups.iter().map(|group| group.spec.clone()).collect(),
            commitment: commitment.hash,
            nonce,
            deposit: Amount(options.deposit),
            award: Award::Tenant,
        };
        let calls = vec![call::<Deployments>(&create)];
        let mut told = false;
        loop {
            match self
                .chain
                .submit(&self.key, calls.clone())
                .await
                .map_err(Failure::from)
            {
                Ok(_) => {}
                Err(failure) if failure.is_temporary => {
                    self.tell_once(&mut told, &failure);
                    tokio::time::sleep(LOOK).await;
                }
                // Sent before, and the answer got lost: the deployment is there.
                Err(failure) => {
                    if self.by_nonce(nonce).await?.is_none() {
                        return Err(failure);
                    }
                }
            }
            if let Some(found) = self
                .patiently(async |run: &Run| run.by_nonce(nonce).await)
                .await?
            {
                self.step(format!("deployment {}", found.id));
                return Ok(found);
            }
        }
    }

    /// A lease for each group: those that are there, and new ones from bids.
    async fn lease_all(&mut self, deployment: DeploymentId, options: &Deploy) -> Outcome {
        self.leases.clear();
        for number in 1..=u32::try_from(self.groups.len()).unwrap_or(u32::MAX) {
            let group = GroupId {
                deployment,
                group: number,
            };
            let leased = self.lease_one(group, options).await?;
            self.leases.push(leased);
        }
        Ok(())
    }

    async fn lease_one(&mut self, id: GroupId, options: &Deploy) -> Outcome<Leased> {
        let group = self
            .patiently(async |run: &Run| run.group(id).await)
            .await?;
        let order = OrderId {
            deployment: id.deployment,
            group: id.group,
            order: group.orders,
        };
        if let Some(leased) = self
            .patiently(async |run: &Run| run.leased(order).await)
            .await?
        {
            return Ok(leased);
        }
        let bid = self.choose(order, &group.spec, options).await?;
        self.step(format!(
            "taking the bid of {} for {} an hour",
            bid.id.provider,
            tokens(bid.rate_uwlk_per_hour.0)
        ));
        let accept = MarketCall::Accept {
            bid: BidId {
                order,
                provider: bid.id.provider,
            },
        };
        let outcome = self
            .chain
            .submit(&self.key, vec![call::<Market>(&accept)])
            .await
            .map_err(Failure::from);
        match self
            .patiently(async |run: &Run| run.leased(order).await)
            .await?
        {
            Some(leased) => Ok(leased),
            None => Err(outcome.err().unwrap_or_else(other_kind)),
        }
    }

    async fn group(&self, id: GroupId) -> Outcome<Group> {
        match self
            .chain
            .query::<Deployments>(&DeploymentQuery::Group { group: id })
            .await?
            .answer
        {
            DeploymentAnswer::Group(Some(group)) => Ok(group),
            _ => Err(Failure::not_found(format!("there is no group {id}"))),
        }
    }

    async fn leased(&self, lease: LeaseId) -> Outcome<Option<Leased>> {
        match self
            .chain
            .query::<Market>(&MarketQuery::Lease { lease })
            .await?
            .answer
        {
            MarketAnswer::Lease(Some(lease)) if lease.state == LeaseState::Active => {
                Ok(Some(Leased {
                    lease: lease.id,
                    provider: lease.provider,
                    rate_uwlk_per_hour: lease.rate_uwlk_per_hour,
                }))
            }
            MarketAnswer::Lease(_) => Ok(None),
            _ => Err(other_kind()),
        }
    }

    /// Waits until every provider that could bid has done so, or the time for it is over and there is a bid.
    async fn choose(&mut self, order: OrderId, spec: &GroupSpec, options: &Deploy) -> Outcome<Bid> {
        let could = self
            .patiently(async |run: &Run| could_bid(&run.chain, spec).await)
            .await?;
        self.step(format!(
            "waiting for bids on {order} ({} provider(s) could bid)",
            could.len()
        ));
        if could.is_empty() {
            say(
                "no provider is what this group asks for; `welkin plan` says why; waiting all the same",
            );
        }
        let since = Instant::now();
        let patience = Duration::from_secs(options.bid_wait);
        loop {
            let mut bids = self
                .patiently(async |run: &Run| market::bids(&run.chain, order).await)
                .await?;
            bids.retain(|bid| bid.state == BidState::Open);
            bids.sort_by_key(|bid| (bid.rate_uwlk_per_hour, bid.number));
            let have: BTreeSet<Address> = bids.iter().map(|bid| bid.id.provider).collect();
            let wanted = match options.provider {
                Some(provider) => bids.iter().find(|bid| bid.id.provider == provider),
                None => bids.first(),
            };
            let all_in = !could.is_empty() && could.is_subset(&have);
            match wanted {
                Some(bid) if options.choose => {
                    return ask(&bids).map(|chosen| chosen.unwrap_or_else(|| bid.clone()));
                }
                Some(bid)
                    if options.provider.is_some() || all_in || since.elapsed() >= patience =>
                {
                    return Ok(bid.clone());
                }
                _ => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Sends each group's manifest to its provider, and waits until all of it runs and answers.
    async fn hand_over(&mut self, commitment: &Commitment) -> Outcome<Vec<String>> {
        let mut urls = Vec::new();
        for index in 0..self.leases.len() {
            let lease = self.leases[index].lease;
            let link = self
                .patiently(async |run: &Run| Link::to(&run.chain, run.key.clone(), lease).await)
                .await?;
            let status = self.status(&link).await?;
            if status.accepted_manifest != Some(commitment.hash) {
                self.step(format!("handing the manifest to {}", link.provider));
                self.send(&link, index, commitment).await?;
            }
            self.step(format!("waiting until lease {lease} runs"));
            let status = self.until_ready(&link).await?;
            urls.extend(status.services.into_iter().flat_map(|service| service.urls));
        }
        for url in &urls {
            self.step(format!("waiting until {url} answers"));
            while http::status(url).await.is_none() {
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok(urls)
    }

    async fn status(&self, link: &Link) -> Outcome<LeaseStatus> {
        let mut told = false;
        loop {
            match status_once(link).await {
                Err(failure) if failure.is_temporary => self.tell_once(&mut told, &failure),
                other => return other,
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn send(&self, link: &Link, index: usize, commitment: &Commitment) -> Outcome {
        let mut told = false;
        let bytes = self.groups[index].manifest.encode();
        loop {
            let sent = async {
                let client = link.open(Scope::SendManifest).await?;
                Ok(client
                    .send_manifest(bytes.clone(), commitment.openings[index].clone())
                    .await?)
            };
            match sent.await {
                Ok(_) => return Ok(()),
                Err(
                    failure @ Failure {
                        is_temporary: true, ..
                    },
                ) => self.tell_once(&mut told, &failure),
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn until_ready(&self, link: &Link) -> Outcome<LeaseStatus> {
        loop {
            let status = self.status(link).await?;
            match status.phase {
                Phase::Ready => return Ok(status),
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

    /// Asks until it works, as long as what fails may pass; says so once.
    async fn patiently<T>(&self, ask: impl AsyncFn(&Run) -> Outcome<T>) -> Outcome<T> {
        let mut told = false;
        loop {
            match ask(self).await {
                Err(failure) if failure.is_temporary => self.tell_once(&mut told, &failure),
                other => return other,
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn tell_once(&self, told: &mut bool, failure: &Failure) {
        if !std::mem::replace(told, true) {
            say(format!(
                "{:6.1} s  {failure}; trying on",
                self.began.elapsed().as_secs_f64()
            ));
        }
    }

    fn say_what_exists(&self, options: &Deploy) {
        let Some(deployment) = self.deployment else {
            say("nothing was ordered and nothing is paid for, as far as this program knows");
            return;
        };
        let rate = self.leases.iter().fold(0u64, |sum, one| {
            sum.saturating_add(one.rate_uwlk_per_hour.0)
        });
        say(format!(
            "deployment {deployment} exists with {} lease(s), for {} an hour; `welkin deploy {}` continues, \
             `welkin deployment close {deployment}` ends it",
            self.leases.len(),
            tokens(rate),
            options.file.display()
        ));
    }
}

async fn status_once(link: &Link) -> Outcome<LeaseStatus> {
    Ok(link.open(Scope::Status).await?.status().await?)
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

fn read_intent(path: &Path) -> Outcome<Option<Intent>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Failure::new(
                code::FAILED,
                format!("{}: {error}; delete it to begin anew", path.display()),
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file(path, &error)),
    }
}

fn write_intent(path: &Path, intent: &Intent) -> Outcome {
    use std::io::Write;
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(failed)?;
    let bytes =
        serde_json::to_vec_pretty(intent).map_err(|error| Failure::new(1, error.to_string()))?;
    let temporary = path.with_extension("partial");
    std::fs::File::create(&temporary)
        .and_then(|mut file| file.write_all(&bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| std::fs::File::open(folder)?.sync_all())
        .map_err(failed)
}

fn other_kind() -> Failure {
    Failure::new(
        code::FAILED,
        "the chain's answer is of another kind than was asked for",
    )
}
