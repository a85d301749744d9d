//! `welkind`: the validator and full node.

mod commands;

use commands::Command;
use std::io::Write as _;
use std::process::ExitCode;
use structopt::StructOpt;
use tracing_subscriber::EnvFilter;
use welkin_node::config::{LogConfig, LogFormat};
use welkin_p2p::QUIET_LIBRARIES;

/// What a wrong command line ends with.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match Command::from_iter_safe(std::env::args_os()) {
        Ok(command) => command,
        Err(refusal) if refusal.use_stderr() => {
            eprintln!("{}", refusal.message);
            return USAGE.into();
        }
        // Help was asked for: it is what the command prints. Whoever closed the pipe has enough of it.
        Err(help) => {
            let _ = writeln!(std::io::stdout(), "{}", help.message.trim_end());
            return ExitCode::SUCCESS;
        }
    };
    match commands::run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("welkind: {why:#}");
            ExitCode::FAILURE
        }
    }
}

/// Sends logs to stderr, as the configuration or `WELKIN_LOG` says.
fn start_logging(config: &LogConfig) -> anyhow::Result<()> {
    let filter = std::env::var("WELKIN_LOG").unwrap_or_else(|_| config.filter.clone());
    let filter = EnvFilter::try_new(format!("{QUIET_LIBRARIES},{filter}"))
        .map_err(|why| anyhow::anyhow!("log filter `{filter}`: {why}"))?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
    Ok(())
}
