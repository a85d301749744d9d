//! `welkin plan`: who would run a file, at what price, and why the others would not. Each provider is asked over the peer
//! channel; only it knows its prices and what it has free.

use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use welkin_client::Chain;
use welkin_modules::matching::{Resources, provider_mismatches};
use welkin_modules::provider::types::{Provider as ProviderRecord, ProviderView, Status};
use welkin_modules::spec::GroupSpec;
use welkin_provider_api::channel::Quote;
use welkin_provider_api::sdl::Sdl;
use welkin_runtime::{Address, Amount};

use super::sdl;
use crate::args::Plan;
use crate::channel::Phone;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{one_line, pairs, say, tokens};

/// Providers that are asked at the same time, at most.
const AT_ONCE: usize = 16;
/// Hours of a month, for prices: 365 * 24 / 12.
const HOURS_PER_MONTH: u64 = 730;

#[derive(Debug, Serialize)]
struct Planned {
    accepted: bool,
    groups: Vec<PlannedGroup>,
}

/// What `--offline` prints.
#[derive(Debug, Serialize)]
struct Verdict {
    accepted: bool,
    /// Whether `deploy` would take it as well.
    deployable: bool,
}

#[derive(Debug, Serialize)]
struct PlannedGroup {
    name: String,
    cpu_millis: u64,
    memory_bytes: u64,
    storage_bytes: u64,
    max_rate_uwlk_per_hour: Amount,
    max_rate_uwlk_per_month: Amount,
    providers: Vec<Candidate>,
}

#[derive(Debug, Serialize)]
struct Candidate {
    provider: Address,
    could_run: bool,
    rate_uwlk_per_hour: Option<Amount>,
    rate_uwlk_per_month: Option<Amount>,
    /// Why it could not.
    reasons: Vec<String>,
}

/// Plans a file.
pub async fn run(context: &Context, options: Plan) -> Outcome {
    let read = sdl::read(&options.file, options.strict)?.sdl;
    if options.offline {
        return offline(context, &read, options.price_as_uwlk);
    }
    let built = sdl::groups(&read, options.price_as_uwlk)?;
    let chain = context.chain().await?;
    let specs: Vec<GroupSpec> = built.into_iter().map(|group| group.spec).collect();
    let mut providers = candidates(&chain, &specs).await?;
    let groups = specs
        .into_iter()
        .map(|spec| {
            // Each provider's answers stand in the order of the groups.
            let of_group = providers.iter_mut().map(|answers| answers.remove(0));
            group_plan(spec, of_group.collect())
        })
        .collect();
    context.format.print(
        &Planned {
            accepted: true,
            groups,
        },
        |planned| planned.groups.iter().map(for_people).collect(),
    )
}

/// The verdict on the file alone. A file can be right and yet not for this chain: prices in another money, other auditors.
fn offline(context: &Context, read: &Sdl, price_as_uwlk: bool) -> Outcome {
    let refusal = sdl::groups(read, price_as_uwlk).err();
    if let Some(refusal) = &refusal {
        say(format!(
            "accepted, but `welkin deploy` would refuse it:\n{refusal}"
        ));
    }
    let verdict = Verdict {
        accepted: true,
        deployable: refusal.is_none(),
    };
    context.format.print(&verdict, |_| "accepted".to_owned())
}

/// What every provider says to all groups: outer by provider, inner by group.
async fn candidates(chain: &Chain, specs: &[GroupSpec]) -> Outcome<Vec<Vec<Candidate>>> {
    let phone = Phone::new(chain).await?;
    let providers = chain.providers().await?;
    let ask = |view: ProviderView| {
        let phone = &phone;
        async move { of_provider(chain, phone, &view.provider, specs).await }
    };
    futures::stream::iter(providers)
        .map(ask)
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn of_provider(
    chain: &Chain,
    phone: &Phone,
    provider: &ProviderRecord,
    specs: &[GroupSpec],
) -> Outcome<Vec<Candidate>> {
    let address = provider.address;
    let candidate = |rate: Option<Amount>, reasons: Vec<String>| Candidate {
        provider: address,
        could_run: rate.is_some(),
        rate_uwlk_per_hour: rate,
        rate_uwlk_per_month: rate.map(per_month),
        reasons,
    };
    if provider.status != Status::Active {
        let out = || candidate(None, vec!["it takes nothing new".to_owned()]);
        return Ok(specs.iter().map(|_| out()).collect());
    }
    let failure = match phone.quote(chain, provider, specs.to_vec()).await {
        Ok(quotes) => {
            let quotes = quotes.into_iter().map(|quote| match quote {
                Quote::Rate(rate) => candidate(Some(rate), Vec::new()),
                Quote::Declined(reasons) => {
                    candidate(None, reasons.iter().map(|one| one_line(one)).collect())
                }
            });
            return Ok(quotes.collect());
        }
        Err(failure) => failure,
    };
    // What the chain says is all there is to know of one that does not answer.
    let signed = chain.attestations(address).await?;
    let of_group = |spec: &GroupSpec| {
        let mismatches = provider_mismatches(spec, &provider.profile.attributes, &signed);
        let reasons = mismatches.iter().map(ToString::to_string);
        candidate(None, reasons.chain([failure.to_string()]).collect())
    };
    Ok(specs.iter().map(of_group).collect())
}

fn group_plan(spec: GroupSpec, mut providers: Vec<Candidate>) -> PlannedGroup {
    let needed = Resources::needed(&spec);
    let rate = spec.resources.iter().fold(0u64, |sum, unit| {
        sum.saturating_add(
            unit.max_rate_uwlk_per_hour
                .0
                .saturating_mul(u64::from(unit.count)),
        )
    });
    providers.sort_by_key(|one| (!one.could_run, one.rate_uwlk_per_hour, one.provider));
    PlannedGroup {
        name: spec.name,
        cpu_millis: needed.cpu_millis,
        memory_bytes: needed.memory_bytes,
        storage_bytes: needed.storage_bytes,
        max_rate_uwlk_per_hour: Amount(rate),
        max_rate_uwlk_per_month: per_month(Amount(rate)),
        providers,
    }
}

fn per_month(rate: Amount) -> Amount {
    Amount(rate.0.saturating_mul(HOURS_PER_MONTH))
}

fn for_people(group: &PlannedGroup) -> String {
    let both = |rate: Amount| {
        let (hour, month) = (tokens(rate.0), tokens(per_month(rate).0));
        format!("{hour} an hour, {month} a month")
    };
    let mut text = pairs(&[
        ("group", group.name.clone()),
        (
            "needs",
            format!(
                "{} millicores, {} MiB memory, {} MiB disk",
                group.cpu_millis,
                group.memory_bytes >> 20,
                group.storage_bytes >> 20
            ),
        ),
        ("pays at most", both(group.max_rate_uwlk_per_hour)),
    ]);
    for candidate in &group.providers {
        let verdict = match candidate.rate_uwlk_per_hour {
            Some(rate) => format!("would run it for {}", both(rate)),
            None => format!("cannot: {}", candidate.reasons.join("; ")),
        };
        text.push_str(&format!("  {}  {verdict}\n", candidate.provider));
    }
    if group.providers.is_empty() {
        text.push_str("  there is no provider on this chain yet\n");
    }
    text
}
