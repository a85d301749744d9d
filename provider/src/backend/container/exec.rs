//! Commands in a container, with input, a terminal and an exit code.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{CreateExecOptions, ResizeExecOptions, StartExecOptions, StartExecResults};
use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::engine::{Engine, error};
use crate::backend::{BackendError, ExecInput, ExecOutput, ExecRequest, ExecSession};

/// Pieces in each direction that wait before the sender waits.
const QUEUE: usize = 16;
/// How often, and how far apart, the engine is asked for a command's exit code: 5 s in all.
const EXIT_TRIES: u32 = 100;
const EXIT_PAUSE: Duration = Duration::from_millis(50);

/// Starts the command; it runs until it ends or the session's receiver is dropped.
pub(super) async fn start(
    engine: &Engine,
    container: &str,
    request: ExecRequest,
) -> Result<ExecSession, BackendError> {
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        tty: Some(request.tty.is_some()),
        cmd: Some(request.command),
        ..Default::default()
    };
    let id = engine
        .api
        .create_exec(container, options)
        .await
        .map_err(error)?
        .id;
    let options = StartExecOptions {
        detach: false,
        tty: request.tty.is_some(),
        output_capacity: None,
    };
    let StartExecResults::Attached {
        mut output,
        mut input,
    } = engine
        .api
        .start_exec(&id, Some(options))
        .await
        .map_err(error)?
    else {
        return Err(BackendError::Engine(
            "the engine ran the command detached".to_owned(),
        ));
    };
    if let Some(size) = request.tty {
        // The command may have ended already; then its size does not matter.
        let _ = resize(engine, &id, size).await;
    }

    let (to_command, mut from_tenant) = mpsc::channel(QUEUE);
    let (to_tenant, from_command) = mpsc::channel(QUEUE);
    let (writer_engine, writer_id) = (engine.clone(), id.clone());
    let writer = tokio::spawn(async move {
        while let Some(piece) = from_tenant.recv().await {
            let outcome = match piece {
                ExecInput::Stdin(bytes) => match input.write_all(&bytes).await {
                    Ok(()) => input.flush().await,
                    failed => failed,
                },
                ExecInput::StdinEnd => input.shutdown().await,
                ExecInput::Resize(columns, rows) => {
                    let _ = resize(&writer_engine, &writer_id, (columns, rows)).await;
                    Ok(())
                }
            };
            if outcome.is_err() {
                return;
            }
        }
        let _ = input.shutdown().await;
    });
    let engine = engine.clone();
    tokio::spawn(async move {
        while let Some(piece) = output.next().await {
            let piece = match piece {
                Ok(LogOutput::StdErr { message }) => Ok(ExecOutput::Stderr(message)),
                Ok(other) => Ok(ExecOutput::Stdout(other.into_bytes())),
                Err(cause) => Err(error(cause)),
            };
            let failed = piece.is_err();
            if to_tenant.send(piece).await.is_err() || failed {
                writer.abort();
                return;
            }
        }
        writer.abort();
        let _ = to_tenant
            .send(exit_code(&engine, &id).await.map(ExecOutput::Exit))
            .await;
    });
    Ok(ExecSession {
        input: to_command,
        output: from_command,
    })
}

/// The command's exit code. The end of its output comes a little before the engine knows that it ended.
async fn exit_code(engine: &Engine, id: &str) -> Result<i64, BackendError> {
    for _ in 0..EXIT_TRIES {
        let seen = engine.api.inspect_exec(id).await.map_err(error)?;
        match seen.exit_code {
            Some(code) if seen.running != Some(true) => return Ok(code),
            _ => tokio::time::sleep(EXIT_PAUSE).await,
        }
    }
    Err(BackendError::Engine(
        "the command's exit code is not known".to_owned(),
    ))
}

async fn resize(
    engine: &Engine,
    id: &str,
    (columns, rows): (u16, u16),
) -> Result<(), BackendError> {
    let options = ResizeExecOptions {
        height: rows,
        width: columns,
    };
    engine.api.resize_exec(id, options).await.map_err(error)
}
