//! `welkin-provider`: start, ingress, status, doctor.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use structopt::StructOpt;
use tracing_subscriber::EnvFilter;
use welkin_p2p::QUIET_LIBRARIES;
use welkin_provider::config::Config;
use welkin_provider::daemon::{self, STATUS_SOCKET, Status};
use welkin_provider::{doctor, ingress};

/// How long what is under way may take to end once the process shall end.
const GOODBYE: Duration = Duration::from_secs(1);

/// The provider of Welkin, a decentralised cloud: runs tenants' applications on this machine and is paid for it.
#[derive(StructOpt)]
#[structopt(name = "welkin-provider")]
struct Arguments {
    /// The configuration file [default: provider.toml]
    // The parser takes a default that it knows where the value was forgotten. So it knows none, here and below.
    #[structopt(
        long,
        global = true,
        env = "WELKIN_PROVIDER_CONFIG_FILE",
        parse(from_os_str)
    )]
    config: Option<PathBuf>,
    /// How logs are written: text or json [default: text]
    #[structopt(
        long,
        global = true,
        possible_values = &["text", "json"],
        env = "WELKIN_LOG_FORMAT"
    )]
    log_format: Option<String>,
    #[structopt(subcommand)]
    command: Command,
}

#[derive(StructOpt)]
enum Command {
    /// Runs the daemon: registers the provider, bids, runs leases, serves tenants
    Start,
    /// Runs the ingress, through which the world reaches tenants' applications; it outlives the daemon
    Ingress,
    /// Shows what the daemon that runs here knows: its view of the chain, what is free, its leases
    Status {
        /// table or json [default: table]
        #[structopt(short, long, possible_values = &["table", "json"], env = "WELKIN_OUTPUT")]
        output: Option<String>,
    },
    /// Looks at everything that the daemon needs, and says what to do about what is wrong
    Doctor,
}

/// The exit code of a mistake on the command line, as of every program here.
const USAGE: u8 = 2;

fn main() -> std::process::ExitCode {
    let arguments = match Arguments::from_args_safe() {
        Ok(arguments) => arguments,
        Err(refusal) if refusal.use_stderr() => {
            eprintln!("{}", refusal.message.trim_end());
            return USAGE.into();
        }
        // Help was asked for: it is what the program prints. Whoever closed the pipe has enough of it.
        Err(help) => {
            let _ = writeln!(std::io::stdout(), "{}", help.message.trim_end());
            return std::process::ExitCode::SUCCESS;
        }
    };
    match start_logging(arguments.log_format.as_deref()).and_then(|()| run(arguments)) {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("welkin-provider: {}", told(&error));
            std::process::ExitCode::FAILURE
        }
    }
}

/// What went wrong, and why. Errors that name their cause in their own words have it named once.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let between = if text.is_empty() { "" } else { ": " };
            text += &format!("{between}{cause}");
        }
    }
    text
}

fn start_logging(format: Option<&str>) -> anyhow::Result<()> {
    let filter = std::env::var("WELKIN_LOG").unwrap_or_else(|_| "warn,welkin=info".to_owned());
    let filter = EnvFilter::try_new(format!("{QUIET_LIBRARIES},{filter}"))
        .with_context(|| format!("log filter `{filter}`"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match format {
        Some("json") => builder.json().init(),
        _ => builder
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .init(),
    }
    Ok(())
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    let environment: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| name != "WELKIN_PROVIDER_CONFIG_FILE")
        .collect();
    let file = arguments.config.as_deref();
    let config = Config::read(file.unwrap_or(Path::new("provider.toml")), &environment)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(2)
        .build()?;
    let outcome = match arguments.command {
        Command::Start => runtime.block_on(until_signalled(async {
            daemon::build(config).await?.run().await
        })),
        Command::Ingress => runtime.block_on(until_signalled(run_ingress(config))),
        Command::Status { output } => {
            print_status(&config.home.join(STATUS_SOCKET), output.as_deref())
        }
        Command::Doctor => runtime.block_on(print_findings(config)),
    };
    // What still waits for the disk, a resolver or `nft` on a thread of its own ends with the process.
    runtime.shutdown_timeout(GOODBYE);
    outcome
}

/// Runs until the work ends or a signal comes. The work is a task of its own: where it blocks its thread, the signal is
/// heard all the same. Nothing has to be put in order, for the daemon may be killed at any moment.
async fn until_signalled(
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    tokio::select! {
        outcome = tokio::spawn(work) => outcome.context("the program failed")?,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

async fn run_ingress(config: Config) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.home)?;
    let ingress = ingress::Config {
        folder: config.home,
        http_listen: config.http_listen,
        ports_listen: config.ports_listen,
        max_connections: config.max_connections,
    };
    let ingress = ingress.build().await?;
    tracing::info!(target: ingress::LOG, http = %ingress.http_address(), "serving");
    ingress.run().await;
    Ok(())
}

fn print_status(socket: &Path, output: Option<&str>) -> anyhow::Result<()> {
    let stream = UnixStream::connect(socket).with_context(|| {
        format!(
            "no daemon answers on {}; start `welkin-provider start`",
            socket.display()
        )
    })?;
    let mut text = String::new();
    stream.take(16 << 20).read_to_string(&mut text)?;
    let status: Status = serde_json::from_str(&text).context("the daemon is of another version")?;
    if output == Some("json") {
        println!("{}", serde_json::to_string_pretty(&status)?);
        return Ok(());
    }
    println!("provider   {}", status.provider);
    println!("chain      {} at height {}", status.chain_id, status.height);
    println!(
        "ingress    {}",
        if status.ingress_running {
            "runs"
        } else {
            "does not run: no bids are made"
        }
    );
    if let Some(open) = &status.fence {
        println!("fence      {open}");
    }
    println!("open bids  {}", status.open_bids);
    println!(
        "free       {} millicores, {} MiB memory, {} MiB disk",
        status.free.cpu_millis,
        status.free.memory_bytes >> 20,
        status.free.storage_bytes >> 20
    );
    if let Some(error) = &status.last_error {
        println!("last look  failed: {error}");
    }
    if let Some(error) = &status.last_trade_error {
        println!("last bids  failed: {error}");
    }
    println!("leases     {}", status.leases.len());
    for lease in &status.leases {
        println!(
            "  {}  {}/{} run  {}",
            lease.lease, lease.running, lease.present, lease.owner
        );
    }
    Ok(())
}

async fn print_findings(config: Config) -> anyhow::Result<()> {
    let findings = doctor::examine(&config).await;
    for finding in &findings {
        println!(
            "{}  {}: {}",
            if finding.healthy { "ok " } else { "BAD" },
            finding.subject,
            finding.says
        );
    }
    let bad = findings.iter().filter(|finding| !finding.healthy).count();
    anyhow::ensure!(
        bad == 0,
        "{bad} of {} are not as they should be",
        findings.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use structopt::clap::ErrorKind;

    #[test]
    fn a_flag_whose_value_was_forgotten_is_refused() {
        for words in [
            &["start", "--config"][..],
            &["--config", "--log-format", "json", "start"],
            &["ingress", "--log-format"],
            &["status", "-o"],
            &["status", "--output", "--config", "x"],
        ] {
            let words = ["welkin-provider"].iter().chain(words);
            let refusal = Arguments::from_iter_safe(words.clone()).err();
            let kind = refusal.map(|refusal| refusal.kind);
            assert_eq!(kind, Some(ErrorKind::EmptyValue), "{words:?}");
        }
    }

    #[test]
    fn global_flags_are_taken_before_and_behind_the_command() {
        for words in [["--config", "x", "start"], ["start", "--config", "x"]] {
            let words = ["welkin-provider"].iter().chain(&words);
            let Ok(arguments) = Arguments::from_iter_safe(words) else {
                panic!("they are taken");
            };
            assert_eq!(arguments.config.as_deref(), Some(Path::new("x")));
        }
    }
}
