//! `welkin deploy`: from a file to a URL, in steps that can be taken again; and `welkin deployment update`.
//!
//! ```text
//!   steps (pure): what exists already, what is next ──> run: looks, sends, waits ──> what it saw ──> steps
//!                                                        │       │
//!                                                        │     bids: who could bid, which is taken
//!                                                     intent: the nonce, on the disk before anything is sent
//!   update: commits to another version, then the same steps
//! ```
//!
//! A deployment is found by its nonce, a lease by its group, a manifest by its commitment. So a run that was interrupted
//! anywhere is continued by the next one. What may pass (a server or a provider that is down) is said once and tried
//! again until the time is over. Two runs with one file wait for each other.

mod bids;
mod intent;
mod run;
mod steps;
#[cfg(test)]
mod tests;
pub mod update;

use std::io::IsTerminal;
use std::time::Duration;

use serde::Serialize;
use welkin_modules::ids::DeploymentId;
use welkin_runtime::{Amount, Time};

use super::sdl;
use crate::args::Deploy;
use crate::context::Context;
use crate::failure::{Failure, Outcome, code};
use crate::signals::Signals;
pub use run::port_for_people;
use run::{Run, Wishes};
use steps::{Goal, Leased};

/// What is put into escrow unless somebody says another amount.
const DEPOSIT_UWLK: u64 = 5_000_000;
/// How long bids are waited for unless somebody says another time.
const BID_WAIT: Duration = Duration::from_secs(10);
/// How long all of it may take unless somebody says another time.
const TIMEOUT: Duration = Duration::from_secs(300);

/// What is printed as data.
#[derive(Debug, Serialize)]
struct Deployed {
    deployment: DeploymentId,
    leases: Vec<Leased>,
    rate_uwlk_per_hour: Amount,
    /// The last instant that the money in escrow covers, in nanoseconds since the Unix epoch.
    paid_until: Option<Time>,
    urls: Vec<String>,
    ports: Vec<String>,
}

/// Deploys a file.
pub async fn run(context: &Context, options: Deploy) -> Outcome {
    if options.choose && !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "--choose asks on a terminal; give --provider instead",
        ));
    }
    let source = sdl::read(&options.file, options.strict)?;
    let groups = sdl::groups(&source.sdl, options.price_as_uwlk)?;
    let wishes = Wishes {
        file: options.file,
        content: source.content,
        deposit: options.deposit,
        bid_wait: options.bid_wait.map_or(BID_WAIT, Duration::from_secs),
        provider: options.provider,
        choose: options.choose,
        limit: options.timeout.map_or(TIMEOUT, Duration::from_secs),
    };
    let chain = context.chain().await?;
    let mut run = Run::new(context, chain, Goal::Deploy, groups, wishes).await?;
    conclude(context, &mut run, async |run| run.finish().await).await
}

/// Lets a run work until it is done, its time is over, or somebody ends the program; says what exists where it failed.
async fn conclude(
    context: &Context,
    run: &mut Run,
    work: impl AsyncFnOnce(&mut Run) -> Outcome<Deployed>,
) -> Outcome {
    let mut signals = Signals::listen()?;
    let (limit, left) = (run.wishes.limit, run.left());
    let ended = tokio::select! {
        outcome = work(run) => Ended::Finished(outcome),
        () = tokio::time::sleep(left) => Ended::TimeIsOver,
        number = signals.next() => Ended::Signal(number),
    };
    let while_doing = || format!("while {}{}", run.doing(), run.trouble());
    let failure = match ended {
        Ended::Finished(Ok(deployed)) => return context.format.print(&deployed, for_people),
        Ended::Finished(Err(failure)) => failure,
        Ended::TimeIsOver => Failure::new(
            code::TIMED_OUT,
            format!(
                "it took longer than {} s {}; the next run continues",
                limit.as_secs(),
                while_doing()
            ),
        ),
        Ended::Signal(number) => Failure::new(
            code::of_signal(number),
            format!("interrupted {}; the next run continues", while_doing()),
        ),
    };
    // With wrong input nothing was sent, and the failure names what is in the way.
    if failure.code != code::USAGE {
        run.say_what_exists(&failure);
    }
    Err(failure)
}

/// How a run came to its end.
enum Ended {
    Finished(Outcome<Deployed>),
    TimeIsOver,
    Signal(i32),
}

fn for_people(deployed: &Deployed) -> String {
    let entrances = || deployed.urls.iter().chain(&deployed.ports);
    if entrances().next().is_none() {
        let leases = deployed.leases.iter();
        return leases.map(|one| format!("{}\n", one.lease)).collect();
    }
    entrances().map(|one| format!("{one}\n")).collect()
}
