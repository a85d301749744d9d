//! `welkin plan`: who would run a file, at what price, and why the others would not.

use serde::Serialize;
use welkin_modules::matching::Resources;
use welkin_modules::spec::GroupSpec;
use welkin_provider_api::sdl::Sdl;
use welkin_runtime::{Address, Amount};

use super::sdl;
use crate::args::Plan;
use crate::candidates::{self, Candidate, Verdict};
use crate::channel::Phone;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{pairs, say, tokens};

/// Hours of a month, for prices: 365 * 24 / 12.
const HOURS_PER_MONTH: u64 = 730;

#[derive(Debug, Serialize)]
struct Planned {
    accepted: bool,
    groups: Vec<PlannedGroup>,
}

/// What `--offline` prints.
#[derive(Debug, Serialize)]
struct FileVerdict {
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
    providers: Vec<PlannedProvider>,
}

#[derive(Debug, Serialize)]
struct PlannedProvider {
    provider: Address,
    /// Nothing where it does not say.
    could_run: Option<bool>,
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
    let phone = Phone::new(&chain).await?;
    let known = candidates::of_chain(&chain, &specs).await?;
    let mut answers = candidates::hear(known, chain, phone, specs.clone());
    let mut heard = Vec::new();
    while let Some(one) = answers.recv().await {
        heard.push(one);
    }
    let groups = specs.iter().enumerate();
    let groups = groups
        .map(|(index, spec)| group_plan(spec, index, &heard))
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
    let verdict = FileVerdict {
        accepted: true,
        deployable: refusal.is_none(),
    };
    context.format.print(&verdict, |_| "accepted".to_owned())
}

fn group_plan(spec: &GroupSpec, index: usize, candidates: &[Candidate]) -> PlannedGroup {
    let needed = Resources::needed(spec);
    let rate = spec.max_rate().unwrap_or(Amount(u64::MAX));
    let mut providers: Vec<PlannedProvider> = candidates
        .iter()
        .map(|one| planned_provider(one.address(), &one.verdicts[index]))
        .collect();
    providers.sort_by_key(|one| {
        (
            one.could_run != Some(true),
            one.rate_uwlk_per_hour,
            one.provider,
        )
    });
    PlannedGroup {
        name: spec.name.clone(),
        cpu_millis: needed.cpu_millis,
        memory_bytes: needed.memory_bytes,
        storage_bytes: needed.storage_bytes,
        max_rate_uwlk_per_hour: rate,
        max_rate_uwlk_per_month: per_month(rate),
        providers,
    }
}

fn planned_provider(provider: Address, verdict: &Verdict) -> PlannedProvider {
    let (could_run, rate) = match verdict {
        Verdict::WouldBid(rate) => (Some(true), Some(*rate)),
        Verdict::Silent(_) => (None, None),
        Verdict::Cannot(_) => (Some(false), None),
    };
    PlannedProvider {
        provider,
        could_run,
        rate_uwlk_per_hour: rate,
        rate_uwlk_per_month: rate.map(per_month),
        reasons: verdict.reasons(),
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
    for provider in &group.providers {
        let reasons = provider.reasons.join("; ");
        let verdict = match (provider.could_run, provider.rate_uwlk_per_hour) {
            (_, Some(rate)) => format!("would run it for {}", both(rate)),
            (None, None) => format!("does not say: {reasons}"),
            (Some(_), None) => format!("cannot: {reasons}"),
        };
        text.push_str(&format!("  {}  {verdict}\n", provider.provider));
    }
    if group.providers.is_empty() {
        text.push_str("  there is no provider on this chain yet\n");
    }
    text
}
