//! `welkin`: the tenant's command line.
//!
//! ```text
//!   args, switches ──> context: files, key, chain ──> commands: one file (or folder) each ──> output, failure
//!                            │                             │
//!                      welkin-client: proven answers   channel: a provider, over the peer channel
//! ```
//!
//! Beside the context stand `money`, which says what an escrow account means to its owner, `candidates`, which says who
//! could run groups, and `sending` with `signals`: how a call is sent while somebody waits. Beside the commands stand
//! `sdl`, which reads files for several of them, and `dynamic`, which makes the trees of `tx` and `query` from the
//! runtime's metadata.
//!
//! Invariants: data goes to stdout and everything else to stderr; the exit code says what kind of failure it was
//! ([`failure::code`]); every flag has a variable `WELKIN_*`; nothing is sent before its nonce is on the disk.
//!
//! Not here: rules of the chain and of matching, which are `welkin-modules`', and what a provider accepts.

mod args;
mod candidates;
mod channel;
mod commands;
mod context;
mod failure;
mod http;
mod money;
mod output;
mod sending;
mod signals;
mod switches;

use std::io::Write;

use structopt::StructOpt;

use args::{Arguments, Command};
use context::Context;
use failure::{Outcome, code};

fn main() -> std::process::ExitCode {
    let mut arguments = match Arguments::from_iter_safe(std::env::args_os()) {
        Ok(arguments) => arguments,
        Err(refusal) if refusal.use_stderr() => {
            output::say(&refusal.message);
            return code::USAGE.into();
        }
        // Help was asked for: it is what the command prints. Whoever closed the pipe has enough of it.
        Err(help) => {
            let _ = writeln!(std::io::stdout(), "{}", help.message.trim_end());
            return 0.into();
        }
    };
    if let Err(failure) = switches::apply(&mut arguments.command) {
        output::say_error(failure.to_string());
        return failure.code.into();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: {error}");
            return 1.into();
        }
    };
    let outcome = runtime.block_on(run(arguments));
    // Tasks that still listen for hints are not waited for.
    runtime.shutdown_background();
    match outcome {
        Ok(code) => code.into(),
        Err(failure) => {
            output::say_error(failure.to_string());
            failure.code.into()
        }
    }
}

async fn run(arguments: Arguments) -> Outcome<u8> {
    let context = Context::new(&arguments.global)?;
    match arguments.command {
        Command::Deploy(options) => commands::deploy::run(&context, options).await?,
        Command::Plan(options) => commands::plan::run(&context, options).await?,
        Command::Deployment(command) => commands::deployment::run(&context, command).await?,
        Command::Lease(command) => return commands::lease::run(&context, command).await,
        Command::Market(command) => commands::market::run(&context, command).await?,
        Command::Provider(command) => commands::provider::run(&context, command).await?,
        Command::Keys(command) => commands::keys::run(&context, command)?,
        Command::Tx(dynamic) => commands::tx::run(&context, &dynamic.words).await?,
        Command::Query(dynamic) => commands::query::run(&context, &dynamic.words).await?,
        Command::Version => commands::version::run(&context)?,
        Command::Completions { shell } => commands::completions::run(&shell)?,
    }
    Ok(0)
}
