//! `welkin-testnet`: builds, runs and simulates networks. One sub-command a module.

use std::io::Write as _;
use std::process::ExitCode;
use structopt::StructOpt;
use welkin_testnet::bench::Bench;
use welkin_testnet::cluster::{ClusterCommand, Forward};
use welkin_testnet::network::{Down, FaucetCommand, Up};
use welkin_testnet::simulate::Simulate;

/// Builds, runs, measures and simulates Welkin networks on this machine
#[derive(StructOpt)]
#[structopt(name = "welkin-testnet")]
enum Command {
    /// Runs the consensus machine through many networks with faults, each determined by its seed
    Simulate(Simulate),
    /// Builds a network if there is none, starts what does not run, and waits until it is ready
    Up(Up),
    /// Ends a network; its folder stays, and `up` goes on with it
    Down(Down),
    /// Runs the faucet of a network; `up` does this
    Faucet(FaucetCommand),
    /// Builds, runs and ends Kubernetes clusters of this machine
    Cluster(ClusterCommand),
    /// Leads ports of this machine to a cluster; `cluster up` does this
    Forward(Forward),
    /// Measures this build on this machine, and prints the figures
    Bench(Bench),
}

/// What a wrong command line ends with.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match Command::from_iter_safe(std::env::args_os()) {
        Ok(command) => command,
        Err(answer) => return say(&answer).into(),
    };
    let passed = match command {
        Command::Simulate(simulate) => simulate.run(),
        Command::Up(up) => report(up.run()),
        Command::Down(down) => report(down.run()),
        Command::Faucet(faucet) => report(faucet.run()),
        Command::Forward(forward) => report(forward.run()),
        Command::Cluster(command) => report(command.run()),
        Command::Bench(bench) => report(bench.run()),
    };
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says what is wrong with a command line, or the help that was asked for; the exit code.
fn say(answer: &structopt::clap::Error) -> u8 {
    if answer.use_stderr() {
        eprintln!("{}", answer.message);
        return USAGE;
    }
    // It is what the command prints. Whoever closed the pipe has enough of it.
    let _ = writeln!(std::io::stdout(), "{}", answer.message.trim_end());
    0
}

/// Says what failed.
fn report(outcome: anyhow::Result<()>) -> bool {
    if let Err(why) = &outcome {
        eprintln!("error: {why:#}");
    }
    outcome.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(words: &[&str]) -> structopt::clap::Error {
        let words = ["welkin-testnet"].iter().chain(words);
        match Command::from_iter_safe(words) {
            Ok(_) => panic!("it is taken"),
            Err(answer) => answer,
        }
    }

    #[test]
    fn a_wrong_command_line_ends_with_2() {
        for wrong in [
            &["upp"][..],
            &["up", "--validators", "8"],
            &["up", "--providers", "-1"],
            &["down", "--name", "A/B"],
            &["down", "--purge", "--name"],
            &["up", "--dir"],
            &["bench", "-o"],
            &["bench", "--dir"],
            &["bench", "--only", "-o", "json"],
            &[],
        ] {
            assert_eq!(say(&answer(wrong)), 2, "{wrong:?}");
        }
        let why = answer(&["up", "--validators", "8"]).message;
        assert!(why.contains("a number from 1 to 7"), "{why}");
    }

    #[test]
    fn help_says_what_the_program_is_and_what_each_command_does() {
        let help = answer(&["--help"]);
        assert!(!help.use_stderr());
        let head = help.message.lines().nth(1).unwrap();
        assert!(head.starts_with("Builds, runs, measures"), "{head}");
        for (command, does) in [
            ("up", "Builds a network if there is none"),
            ("down", "Ends a network"),
            ("bench", "Measures this build"),
            ("faucet", "Runs the faucet"),
            ("cluster", "Builds, runs and ends"),
            ("forward", "Leads ports"),
            ("simulate", "Runs the consensus machine"),
        ] {
            let help = answer(&[command, "--help"]).message;
            let head = help.lines().nth(1).unwrap();
            assert!(head.starts_with(does), "{command}: {head}");
        }
    }
}
