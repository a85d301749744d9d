//! `welkin plan`: who could run a file, for how much at most, and why the others could not.

use serde::Serialize;
use welkin_client::Chain;
use welkin_modules::matching::{Resources, provider_mismatches};
use welkin_modules::provider::types::Status;
use welkin_modules::spec::GroupSpec;
use welkin_runtime::{Address, Amount};

use super::{provider, sdl};
use crate::args::Plan;
use crate::context::Context;
use crate::failure::Outcome;
use crate::output::{pairs, tokens};

/// Hours of a month, for prices: 365 * 24 / 12.
const HOURS_PER_MONTH: u64 = 730;

#[derive(Debug, Serialize)]
struct Planned {
    accepted: bool,
    groups: Vec<PlannedGroup>,
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
    reasons: Vec<String>,
}

/// Plans a file.
pub async fn run(context: &Context, options: Plan) -> Outcome {
    let read = sdl::read(&options.file, options.strict)?;
    if options.offline {
        return context.format.print(
            &Planned {
                accepted: true,
                groups: Vec::new(),
            },
            |_| "accepted".to_owned(),
        );
    }
    let built = sdl::groups(&read, options.price_as_uwlk)?;
    let chain = context.chain().await?;
    let mut groups = Vec::new();
    for group in built {
        groups.push(group_plan(&chain, group.spec).await?);
    }
    context.format.print(
        &Planned {
            accepted: true,
            groups,
        },
        |planned| planned.groups.iter().map(for_people).collect(),
    )
}

async fn group_plan(chain: &Chain, spec: GroupSpec) -> Outcome<PlannedGroup> {
    let mut providers = Vec::new();
    for view in provider::all(chain).await? {
        let one = view.provider;
        let signed = provider::attestations(chain, one.address).await?;
        let mut reasons: Vec<String> = provider_mismatches(&spec, &one.profile.attributes, &signed)
            .iter()
            .map(ToString::to_string)
            .collect();
        if one.status != Status::Active {
            reasons.push("it takes nothing new".to_owned());
        }
        providers.push(Candidate {
            provider: one.address,
            could_run: reasons.is_empty(),
            reasons,
        });
    }
    let needed = Resources::needed(&spec);
    let rate = spec.resources.iter().fold(0u64, |sum, unit| {
        sum.saturating_add(
            unit.max_rate_uwlk_per_hour
                .0
                .saturating_mul(u64::from(unit.count)),
        )
    });
    Ok(PlannedGroup {
        name: spec.name,
        cpu_millis: needed.cpu_millis,
        memory_bytes: needed.memory_bytes,
        storage_bytes: needed.storage_bytes,
        max_rate_uwlk_per_hour: Amount(rate),
        max_rate_uwlk_per_month: Amount(rate.saturating_mul(HOURS_PER_MONTH)),
        providers,
    })
}

fn for_people(group: &PlannedGroup) -> String {
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
        (
            "costs at most",
            format!(
                "{} an hour, {} a month; bids say what it really costs",
                tokens(group.max_rate_uwlk_per_hour.0),
                tokens(group.max_rate_uwlk_per_month.0)
            ),
        ),
    ]);
    for candidate in &group.providers {
        let verdict = match candidate.could_run {
            true => "could run it, if it has room".to_owned(),
            false => format!("cannot: {}", candidate.reasons.join("; ")),
        };
        text.push_str(&format!("  {}  {verdict}\n", candidate.provider));
    }
    if group.providers.is_empty() {
        text.push_str("  there is no provider on this chain yet\n");
    }
    text
}
