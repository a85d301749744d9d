//! `welkin-testnet`: builds, runs and simulates networks. One sub-command a module.

use std::process::ExitCode;
use structopt::StructOpt;
use welkin_testnet::bench::Bench;
use welkin_testnet::network::{Down, FaucetCommand, Up};
use welkin_testnet::simulate::Simulate;

/// Builds, runs and simulates Welkin networks.
#[derive(StructOpt)]
#[structopt(name = "welkin-testnet")]
enum Command {
    Simulate(Simulate),
    Up(Up),
    Down(Down),
    Faucet(FaucetCommand),
    Bench(Bench),
}

fn main() -> ExitCode {
    let passed = match Command::from_args() {
        Command::Simulate(simulate) => simulate.run(),
        Command::Up(up) => report(up.run()),
        Command::Down(down) => report(down.run()),
        Command::Faucet(faucet) => report(faucet.run()),
        Command::Bench(bench) => report(bench.run()),
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says what failed.
fn report(outcome: anyhow::Result<()>) -> bool {
    if let Err(why) = &outcome {
        eprintln!("error: {why:#}");
    }
    outcome.is_ok()
}
