//! `welkin-testnet`: builds and simulates networks. One sub-command a file.

use std::process::ExitCode;
use structopt::StructOpt;
use welkin_testnet::simulate::Simulate;

/// Builds and simulates Welkin networks.
#[derive(StructOpt)]
#[structopt(name = "welkin-testnet")]
enum Command {
    Simulate(Simulate),
}

fn main() -> ExitCode {
    let passed = match Command::from_args() {
        Command::Simulate(simulate) => simulate.run(),
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
