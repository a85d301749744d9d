//! `welkin deploy`: from a file to a URL, in steps that can be taken again.
//!
//! ```text
//!   steps (pure): what exists already, what is next ──> run: looks, sends, waits ──> what it saw ──> steps
//!                                                        │
//!                                                     intent: the nonce, on the disk before anything is sent
//! ```
//!
//! A deployment is found by its nonce, a lease by its group, a manifest by its commitment. So a run that was interrupted
//! anywhere is continued by the next one. What may pass (a server or a provider that is down) is said once and tried
//! again until the time is over.

pub mod intent;
mod run;
mod steps;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;
use welkin_modules::ids::DeploymentId;
use welkin_runtime::Amount;

use super::sdl;
use crate::args::Deploy;
use crate::context::Context;
use crate::failure::{Failure, Outcome, code};
use run::Run;
use steps::Leased;

/// What `deploy` prints as data.
#[derive(Debug, Serialize)]
struct Deployed {
    deployment: DeploymentId,
    leases: Vec<Leased>,
    rate_uwlk_per_hour: Amount,
    urls: Vec<String>,
}

/// Deploys a file.
pub async fn run(context: &Context, options: Deploy) -> Outcome {
    let sdl = sdl::read(&options.file, options.strict)?;
    let groups = sdl::groups(&sdl, options.price_as_uwlk)?;
    let key = context.key()?;
    let chain = context.chain().await?;
    let mut run = Run::new(context, chain, key, groups, &options)?;
    let limit = Duration::from_secs(options.timeout);
    match tokio::time::timeout(limit, run.finish()).await {
        Ok(Ok(deployed)) => context.format.print(&deployed, for_people),
        Ok(Err(failure)) => {
            run.say_what_exists();
            Err(failure)
        }
        Err(_) => {
            run.say_what_exists();
            let text = format!(
                "it took longer than {} s while {}{}; the next run continues",
                options.timeout,
                run.doing(),
                run.trouble()
            );
            Err(Failure::new(code::TIMED_OUT, text))
        }
    }
}

fn for_people(deployed: &Deployed) -> String {
    if deployed.urls.is_empty() {
        let leases = deployed.leases.iter();
        return leases.map(|one| format!("{}\n", one.lease)).collect();
    }
    deployed.urls.iter().map(|url| format!("{url}\n")).collect()
}
