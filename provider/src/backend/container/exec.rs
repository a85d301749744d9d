//! Commands in a container, with input, a terminal and an exit code.

use std::pin::Pin;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::ending::{self, EndError};
use super::engine::{Engine, error};
use super::spec::Dialect;
use crate::backend::{BackendError, ExecInput, ExecOutput, ExecRequest, ExecSession, LOG};

/// Pieces in each direction that wait before the sender waits.
const QUEUE: usize = 16;
/// How often, and how far apart, the engine is asked for a command's state: 5 s in all.
const TRIES: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);
/// The same, for a command that is being started: a terminal is waited for.
const START_PAUSE: Duration = Duration::from_millis(10);
/// How long input is held back from a command that runs. Podman loses what a command said last where it ends with input
/// unread; one that reads none mostly has ended by then.
const HOLD_BACK: Duration = Duration::from_millis(200);
/// How Podman tells that a command left input unread: in the stream, as if the command had said it.
const UNREAD_START: [&[u8]; 2] = [
    b"Error: read unixpacket @->",
    b"Error: write unixpacket @->",
];
const UNREAD_END: [&[u8]; 2] = [b": connection reset by peer\n", b": broken pipe\n"];

/// Starts the command; it runs until it ends or the session's receiver is dropped.
pub(super) async fn start(
    engine: &Engine,
    container: &str,
    request: ExecRequest,
) -> Result<ExecSession, BackendError> {
    let (command, output, input) = Command::start(engine, container, request).await?;
    let (to_command, from_tenant) = mpsc::channel(QUEUE);
    let (to_tenant, from_command) = mpsc::channel(QUEUE);
    let writer = tokio::spawn(command.clone().pass_in(from_tenant, input));
    tokio::spawn(async move {
        let outcome = pass_out(output, &to_tenant).await;
        writer.abort();
        command.finish(outcome, &to_tenant).await;
    });
    Ok(ExecSession {
        input: to_command,
        output: from_command,
    })
}

/// A command that was started.
#[derive(Clone)]
pub(super) struct Command {
    engine: Engine,
    container: String,
    id: String,
}

type FromCommand = BoxStream<'static, Result<LogOutput, bollard::errors::Error>>;
type ToTenant = mpsc::Sender<Result<ExecOutput, BackendError>>;
type IntoCommand = Pin<Box<dyn AsyncWrite + Send>>;

impl Command {
    /// One that runs in this container, by the engine's name for it.
    pub(super) fn of(engine: &Engine, container: &str, id: String) -> Command {
        Command {
            engine: engine.clone(),
            container: container.to_owned(),
            id,
        }
    }

    async fn start(
        engine: &Engine,
        container: &str,
        request: ExecRequest,
    ) -> Result<(Command, FromCommand, IntoCommand), BackendError> {
        let options = CreateExecOptions {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(request.tty.is_some()),
            cmd: Some(request.command),
            ..Default::default()
        };
        let created = engine.api.create_exec(container, options).await;
        let command = Command::of(engine, container, created.map_err(error)?.id);
        let options = StartExecOptions {
            detach: false,
            tty: request.tty.is_some(),
            output_capacity: None,
        };
        let started = engine.api.start_exec(&command.id, Some(options)).await;
        let StartExecResults::Attached { output, input } = started.map_err(error)? else {
            return Err(BackendError::Engine(
                "the engine ran the command detached".to_owned(),
            ));
        };
        if let Some(size) = request.tty {
            // The command may have ended already; then its size does not matter.
            let _ = command.resize(size).await;
        }
        Ok((command, output, input))
    }

    /// Waits until the command runs, for a while. Podman loses the output of a command that ends while input from before
    /// its start is unread.
    async fn until_it_runs(&self) {
        for _ in 0..TRIES {
            let seen = self.engine.api.inspect_exec(&self.id).await;
            let has_begun = seen.is_ok_and(|seen| {
                seen.running == Some(true) || seen.pid.is_some_and(|process| process > 0)
            });
            if has_begun {
                return;
            }
            tokio::time::sleep(START_PAUSE).await;
        }
    }

    /// Passes on what the tenant says, until it says no more.
    async fn pass_in(self, mut from_tenant: mpsc::Receiver<ExecInput>, mut input: IntoCommand) {
        self.until_it_runs().await;
        if self.engine.dialect == Dialect::Podman {
            tokio::time::sleep(HOLD_BACK).await;
        }
        while let Some(piece) = from_tenant.recv().await {
            let outcome = match piece {
                ExecInput::Stdin(bytes) => match input.write_all(&bytes).await {
                    Ok(()) => input.flush().await,
                    failed => failed,
                },
                ExecInput::StdinEnd => input.shutdown().await,
                ExecInput::Resize(columns, rows) => {
                    let _ = self.resize((columns, rows)).await;
                    Ok(())
                }
            };
            if outcome.is_err() {
                return;
            }
        }
        let _ = input.shutdown().await;
    }

    /// What is left to do when no more output is passed on.
    async fn finish(&self, passed: Passed, to_tenant: &ToTenant) {
        match passed {
            Passed::All => match self.exit_code().await {
                Ok(code) => drop(to_tenant.send(Ok(ExecOutput::Exit(code))).await),
                // It closed its output and runs on, or the engine lost it: nobody hears it again.
                Err(cause) => {
                    tokio::join!(to_tenant.send(Err(cause)).map(drop), self.end());
                }
            },
            Passed::Broken(cause) => match self.exit_code().await {
                // Engines cut the stream of a command that ended before it had read all of its input.
                Ok(code) => drop(to_tenant.send(Ok(ExecOutput::Exit(code))).await),
                Err(_) => {
                    tokio::join!(to_tenant.send(Err(cause)).map(drop), self.end());
                }
            },
            Passed::Unheard => self.end().await,
        }
    }

    /// The command's exit code. The end of its output comes a little before the engine knows that it ended.
    async fn exit_code(&self) -> Result<i64, BackendError> {
        patiently(|| self.clone().final_code()).await
    }

    async fn final_code(self) -> Result<i64, BackendError> {
        let seen = self.engine.api.inspect_exec(&self.id).await;
        let seen = seen.map_err(error)?;
        match seen.exit_code {
            Some(code) if seen.running != Some(true) => Ok(code),
            _ => Err(BackendError::Engine(
                "the command closed its output and did not end, so its exit code is not known"
                    .to_owned(),
            )),
        }
    }

    /// Nobody hears it any more.
    pub(super) async fn end(&self) {
        let ended = patiently(|| self.clone().try_end()).await;
        let ended = ended.unwrap_or_else(|cause| Err(cause.into()));
        if let Err(cause) = ended {
            tracing::warn!(target: LOG, %cause, container = self.container, "a command runs on without its tenant");
        }
    }

    /// Fails as a whole where the engine does, which may pass.
    async fn try_end(self) -> Result<Result<(), EndError>, BackendError> {
        match ending::end(&self.engine, &self.container, &self.id).await {
            Err(EndError::Engine(cause)) => Err(cause),
            ended => Ok(ended),
        }
    }

    async fn resize(&self, (columns, rows): (u16, u16)) -> Result<(), BackendError> {
        let options = ResizeExecOptions {
            height: rows,
            width: columns,
        };
        let resized = self.engine.api.resize_exec(&self.id, options).await;
        resized.map_err(error)
    }
}

/// Asks until there is an answer, or 5 s are over: an engine that was started again answers in a moment.
async fn patiently<T, F>(mut ask: impl FnMut() -> F) -> Result<T, BackendError>
where
    F: Future<Output = Result<T, BackendError>>,
{
    for _ in 1..TRIES {
        match ask().await {
            Err(BackendError::Unreachable(_) | BackendError::Engine(_)) => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
    ask().await
}

/// How the passing on of output ended.
enum Passed {
    /// With the output.
    All,
    /// Before it: the engine cut it, and why.
    Broken(BackendError),
    /// Before it: the tenant is gone.
    Unheard,
}

async fn pass_out(mut output: FromCommand, to_tenant: &ToTenant) -> Passed {
    // What may be the engine's last words is known for that when nothing follows.
    let mut held = None;
    loop {
        let piece = tokio::select! {
            piece = output.next() => piece,
            () = to_tenant.closed() => return Passed::Unheard,
        };
        let piece = match piece {
            None => return Passed::All,
            Some(Err(cause)) => return Passed::Broken(error(cause)),
            Some(Ok(piece)) => piece,
        };
        let (said, last_words) = without_last_words(piece);
        let pieces = [held.take(), said];
        held = last_words;
        for piece in pieces.into_iter().flatten() {
            if to_tenant.send(Ok(piece)).await.is_err() {
                return Passed::Unheard;
            }
        }
    }
}

/// What a command said, and what may be Podman's last words: a piece of standard error of its own, or, where there is a
/// terminal, the end of one.
fn without_last_words(piece: LogOutput) -> (Option<ExecOutput>, Option<ExecOutput>) {
    match piece {
        LogOutput::StdErr { message } if is_last_words(&message) => {
            (None, Some(ExecOutput::Stderr(message)))
        }
        LogOutput::StdErr { message } => (Some(ExecOutput::Stderr(message)), None),
        LogOutput::Console { mut message } => {
            let begins = |at: &usize| is_last_words(&message[*at..]);
            let Some(at) = (0..message.len()).rev().find(begins) else {
                return (Some(ExecOutput::Stdout(message)), None);
            };
            let said = message.split_to(at);
            let said = (!said.is_empty()).then_some(ExecOutput::Stdout(said));
            (said, Some(ExecOutput::Stdout(message)))
        }
        other => (Some(ExecOutput::Stdout(other.into_bytes())), None),
    }
}

fn is_last_words(bytes: &[u8]) -> bool {
    UNREAD_START.iter().any(|start| bytes.starts_with(start))
        && UNREAD_END.iter().any(|end| bytes.ends_with(end))
        && bytes.iter().filter(|byte| **byte == b'\n').count() == 1
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::os::unix::process::ExitStatusExt;

    use bollard::{API_DEFAULT_VERSION, Docker};
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixListener;

    use super::*;
    use crate::backend::container::spec::Dialect;
    use crate::backend::{Inventory, Isolation};

    /// Answers every request with this.
    async fn engine_that_says(listener: UnixListener, body: String) {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            while matches!(stream.read(&mut [0; 4096]).await, Ok(length) if length > 0) {
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_command_whose_output_ended_and_that_runs_on_is_ended() {
        let mut process = std::process::Command::new("setsid")
            .args(["sleep", "4000"])
            .spawn()
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let says = format!(r#"{{"ID":"e","Running":true,"Pid":{}}}"#, process.id());
        let listener = UnixListener::bind(&socket).unwrap();
        tokio::spawn(engine_that_says(listener, says));
        let api = Docker::connect_with_unix(&socket.to_string_lossy(), 5, API_DEFAULT_VERSION);
        let engine = Engine {
            api: api.unwrap(),
            socket,
            dialect: Dialect::Docker,
            isolation: Isolation::Restricted,
            inventory: Inventory {
                cpu_millis: 0,
                memory_bytes: 0,
            },
        };
        // What is in the name of the control group of every process here.
        let command = Command::of(&engine, ":", "e".to_owned());
        let (to_tenant, mut from_command) = mpsc::channel(1);
        command.finish(Passed::All, &to_tenant).await;
        assert!(from_command.recv().await.unwrap().is_err());
        // Who runs the tests may ignore SIGHUP (`nohup`), and so does then what they start; SIGKILL comes next.
        let signal = process.wait().unwrap().signal();
        assert!(matches!(signal, Some(1 | 9)), "{signal:?}");
    }

    async fn passed(pieces: Vec<LogOutput>) -> Vec<ExecOutput> {
        let (to_tenant, mut from_command) = mpsc::channel(8);
        let output = futures::stream::iter(pieces.into_iter().map(Ok)).boxed();
        assert!(matches!(pass_out(output, &to_tenant).await, Passed::All));
        drop(to_tenant);
        let mut heard = Vec::new();
        while let Some(piece) = from_command.recv().await {
            heard.push(piece.unwrap());
        }
        heard
    }

    #[tokio::test]
    async fn the_engines_own_last_words_are_not_the_commands() {
        let said =
            "Error: read unixpacket @->/proc/self/fd/16/attach: read: connection reset by peer\n";
        let stderr = |text: &str| LogOutput::StdErr {
            message: text.to_owned().into(),
        };
        let stdout = |text: &str| LogOutput::StdOut {
            message: text.to_owned().into(),
        };
        let console = |text: &str| LogOutput::Console {
            message: text.to_owned().into(),
        };
        let heard = passed(vec![stdout("hi\n"), stderr(said)]).await;
        assert_eq!(heard, [ExecOutput::Stdout("hi\n".into())]);
        let heard = passed(vec![console(&format!("hi\r\n{said}"))]).await;
        assert_eq!(heard, [ExecOutput::Stdout("hi\r\n".into())]);
        // A command may say the same, and more.
        let heard = passed(vec![stderr(said), stderr("x")]).await;
        let both = [
            ExecOutput::Stderr(said.into()),
            ExecOutput::Stderr("x".into()),
        ];
        assert_eq!(heard, both);
        for own in [stderr("Error: read unixpacket @->x\n"), stdout(said)] {
            assert_eq!(passed(vec![own]).await.len(), 1);
        }
    }

    #[tokio::test]
    async fn an_engine_that_fails_is_asked_again_and_one_that_answers_is_not() {
        let mut answers = vec![
            Ok(7),
            Err(BackendError::Engine("starting".to_owned())),
            Err(BackendError::Unreachable("gone".to_owned())),
        ];
        let answer = patiently(|| ready(answers.pop().unwrap())).await;
        assert_eq!(answer.unwrap(), 7);
        let mut count = 0;
        let gone = patiently(|| {
            count += 1;
            ready(Err::<(), _>(BackendError::Missing(
                "the command".to_owned(),
            )))
        });
        assert!(matches!(gone.await, Err(BackendError::Missing(_))));
        assert_eq!(count, 1);
    }
}
