//! `welkin lease`: over the private channel to the lease's provider.

use std::io::{ErrorKind, IsTerminal, Write};

use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use welkin_consensus::types::Timestamp;
use welkin_p2p::channel::Stream;
use welkin_provider_api::channel::{
    ChannelClient, ExecRequest, Inputs, LeaseStatus, LogQuery, Output, Outputs, Severity,
    TerminalSize,
};
use welkin_provider_api::delegation::Scope;
use welkin_runtime::Time;
use welkin_runtime::types::NANOS_PER_SECOND;

use super::deploy::port_for_people;
use crate::args::Lease;
use crate::channel::{Link, Phone, answered};
use crate::context::Context;
use crate::failure::{Failure, Outcome, code};
use crate::output::{Format, harmless, pairs, say, table};

/// Exit code of `shell` for its own failures.
const SHELL_FAILED: u8 = 255;

/// Looks into a lease; the exit code is 0, or the remote command's.
pub async fn run(context: &Context, command: Lease) -> Outcome<u8> {
    match command {
        Lease::Status { id } => {
            let link = link(context, id).await?;
            let status = link.status().await;
            let status = status.map_err(|failure| link.while_away(failure))?;
            context.format.print(&status, for_people)?;
            Ok(0)
        }
        Lease::Logs {
            id,
            service,
            follow,
            tail,
        } => {
            let link = link(context, id).await?;
            let query = LogQuery {
                services: service,
                follow,
                tail,
            };
            let client = open(&link, Scope::Logs).await?;
            let output = answered(client.logs(query)).await?;
            print_all(context.format, output).await
        }
        Lease::Events { id, follow } => {
            let link = link(context, id).await?;
            let client = open(&link, Scope::Events).await?;
            let output = answered(client.events(follow)).await?;
            print_all(context.format, output).await
        }
        Lease::Shell {
            id,
            service,
            replica,
            tty,
            command,
        } => {
            let outcome = shell(context, id, service, replica.unwrap_or(0), tty, command).await;
            outcome.map_or_else(
                |failure| {
                    say(format!("error: {failure} (code {})", failure.code));
                    Ok(SHELL_FAILED)
                },
                Ok,
            )
        }
    }
}

async fn link(context: &Context, id: welkin_modules::ids::LeaseId) -> Outcome<Link> {
    let key = context.key()?;
    let chain = context.chain().await?;
    Link::to(&Phone::new(&chain).await?, &chain, key, id).await
}

async fn open(link: &Link, scope: Scope) -> Outcome<ChannelClient<Stream>> {
    let opened = link.open(scope).await;
    opened.map_err(|failure| link.while_away(failure))
}

fn for_people(status: &LeaseStatus) -> String {
    let mut text = pairs(&[
        ("lease", status.lease.to_string()),
        ("provider", status.provider.to_string()),
        (
            "phase",
            serde_json::to_value(status.phase)
                .map(|v| v.as_str().unwrap_or("?").to_owned())
                .unwrap_or_default(),
        ),
    ]);
    if let Some(failure) = &status.failure {
        text.push_str(&pairs(&[("failure ", failure.clone())]));
    }
    text.push_str(&table(
        &["SERVICE", "READY", "RESTARTS", "REACHED AT", "MESSAGE"],
        status.services.iter().map(|service| {
            let ports = service
                .ports
                .iter()
                .map(|port| format!("{} (port {})", port_for_people(port), port.port));
            let reached: Vec<String> = service.urls.iter().cloned().chain(ports).collect();
            vec![
                service.name.clone(),
                format!("{}/{}", service.ready, service.wanted),
                service.restarts.to_string(),
                reached.join(" "),
                service.message.clone().unwrap_or_default(),
            ]
        }),
    ));
    for host in status
        .services
        .iter()
        .flat_map(|service| &service.unproven_hosts)
    {
        text.push_str(&format!(
            "the host name {} is not served yet: set the TXT record {} to {}\n",
            host.host, host.txt_name, host.txt_value
        ));
    }
    text
}

/// Prints lines or events as they come: as text, or one JSON value in a line.
async fn print_all(format: Format, mut output: Outputs<Stream>) -> Outcome<u8> {
    while let Some(piece) = output.next().await? {
        let line = match (&piece, format) {
            (Output::Log(line), Format::Table) => {
                format!("{}-{} | {}", line.service, line.replica, line.text)
            }
            (Output::Event(event), Format::Table) => {
                let about = event
                    .service
                    .as_deref()
                    .map(|service| format!(" [{service}]"))
                    .unwrap_or_default();
                let second = Time(event.time.0 / NANOS_PER_SECOND * NANOS_PER_SECOND);
                let time = Timestamp::from_runtime(second);
                let severity = match event.severity {
                    Severity::Normal => "",
                    Severity::Warning => " warning:",
                };
                let (name, message) = (&event.name, &event.message);
                format!("{time}{severity} {name}{about}: {message}")
            }
            (Output::Log(line), _) => json(line),
            (Output::Event(event), _) => json(event),
            (Output::Failed(refusal), _) => {
                return Err(
                    welkin_provider_api::channel::ChannelError::from(refusal.clone()).into(),
                );
            }
            _ => continue,
        };
        let line = match std::io::stdout().is_terminal() {
            true => harmless(&line),
            false => line,
        };
        let mut out = std::io::stdout().lock();
        match writeln!(out, "{line}").and_then(|()| out.flush()) {
            // Whoever read our output has enough of it.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(0),
            written => written.map_err(|error| not_written("stdout", &error))?,
        }
    }
    Ok(0)
}

/// What was to be kept would be lost: that is no success.
fn not_written(stream: &str, error: &std::io::Error) -> Failure {
    Failure::new(code::FAILED, format!("{stream}: {error}"))
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

async fn shell(
    context: &Context,
    id: welkin_modules::ids::LeaseId,
    service: Option<String>,
    replica: u32,
    tty: bool,
    command: Vec<String>,
) -> Outcome<u8> {
    let link = link(context, id).await?;
    let service = match service {
        Some(service) => service,
        None => first_service(&link).await?,
    };
    let interactive = std::io::stdin().is_terminal();
    let command = match (command.is_empty(), interactive) {
        (false, _) => command,
        (true, true) => vec!["sh".to_owned()],
        (true, false) => return Err(Failure::usage("give a command after --")),
    };
    let tty = tty || (interactive && std::io::stdout().is_terminal() && command == ["sh"]);
    let request = ExecRequest {
        service,
        replica,
        command,
        tty,
        stdin: true,
        size: tty.then(terminal_size).flatten(),
    };
    let client = open(&link, Scope::Shell).await?;
    let (output, input) = answered(client.exec(request)).await?;
    let _raw = if tty { RawTerminal::enter() } else { None };
    let typing = tokio::spawn(send_input(input, tty));
    let outcome = receive(output).await;
    typing.abort();
    outcome
}

async fn first_service(link: &Link) -> Outcome<String> {
    let status = link.status().await?;
    let services = status.services.into_iter().map(|service| service.name);
    services
        .into_iter()
        .next()
        .ok_or_else(|| Failure::not_found("nothing runs for this lease yet"))
}

async fn receive(mut output: Outputs<Stream>) -> Outcome<u8> {
    while let Some(piece) = output.next().await? {
        match piece {
            Output::Stdout(bytes) => {
                let mut out = std::io::stdout().lock();
                match out.write_all(&bytes).and_then(|()| out.flush()) {
                    // Whoever read our output has enough of it, and the command is not heard any more.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                        return Ok(code::of_signal(rustix::process::Signal::PIPE.as_raw()));
                    }
                    written => written.map_err(|error| not_written("stdout", &error))?,
                }
            }
            Output::Stderr(bytes) => {
                let mut out = std::io::stderr().lock();
                let written = out.write_all(&bytes).and_then(|()| out.flush());
                written.map_err(|error| not_written("stderr", &error))?;
            }
            Output::Exit { code } => return Ok(u8::try_from(code).unwrap_or(SHELL_FAILED)),
            Output::Failed(refusal) => {
                return Err(welkin_provider_api::channel::ChannelError::from(refusal).into());
            }
            _ => {}
        }
    }
    Err(Failure::new(
        1,
        "the provider ended the stream without an exit code",
    ))
}

async fn send_input(mut input: Inputs<Stream>, tty: bool) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; 8 * 1024];
    let Ok(mut resized) = signal(SignalKind::window_change()) else {
        return;
    };
    loop {
        tokio::select! {
            read = stdin.read(&mut buffer) => {
                let count = read.unwrap_or(0);
                let sent = match count {
                    0 => input.stdin_end().await,
                    count => input.stdin(&buffer[..count]).await,
                };
                if count == 0 || sent.is_err() {
                    // Dropping the input would close the stream under the output.
                    return std::future::pending().await;
                }
            }
            _ = resized.recv(), if tty => {
                if let Some(size) = terminal_size() {
                    let _ = input.resize(size).await;
                }
            }
        }
    }
}

fn terminal_size() -> Option<TerminalSize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(TerminalSize {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}

/// The terminal without line editing and echo, while a remote one does that; back as it was when dropped.
struct RawTerminal {
    before: rustix::termios::Termios,
}

impl RawTerminal {
    fn enter() -> Option<RawTerminal> {
        let before = rustix::termios::tcgetattr(std::io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        let set = rustix::termios::tcsetattr(
            std::io::stdin(),
            rustix::termios::OptionalActions::Now,
            &raw,
        );
        set.ok().map(|()| RawTerminal { before })
    }
}

impl Drop for RawTerminal {
    fn drop(&mut self) {
        let now = rustix::termios::OptionalActions::Now;
        let _ = rustix::termios::tcsetattr(std::io::stdin(), now, &self.before);
    }
}
