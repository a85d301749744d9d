//! Commands in pods.

use futures::{FutureExt, SinkExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::cluster::error;
use crate::backend::{BackendError, ExecInput, ExecOutput, ExecRequest, ExecSession};

/// Messages in each direction that wait for a slow reader.
const CAPACITY: usize = 16;
/// Bytes of one piece of output.
const PIECE_BYTES: usize = 16 * 1024;

type ToTenant = mpsc::Sender<Result<ExecOutput, BackendError>>;

/// Begins a command in a pod.
///
/// # Errors
/// [`BackendError`]
pub async fn exec(
    pods: &Api<Pod>,
    pod: &str,
    request: ExecRequest,
) -> Result<ExecSession, BackendError> {
    let params = AttachParams {
        container: Some(request.service.clone()),
        stdin: true,
        stdout: true,
        // A terminal has one output.
        stderr: request.tty.is_none(),
        tty: request.tty.is_some(),
        max_stdin_buf_size: Some(PIECE_BYTES),
        max_stdout_buf_size: Some(PIECE_BYTES),
        max_stderr_buf_size: Some(PIECE_BYTES),
    };
    let process = pods
        .exec(pod, request.command.clone(), &params)
        .await
        .map_err(error)?;
    let (input, from_tenant) = mpsc::channel(CAPACITY);
    let (to_tenant, output) = mpsc::channel(CAPACITY);
    tokio::spawn(run(process, request.tty, from_tenant, to_tenant));
    Ok(ExecSession { input, output })
}

async fn run(
    mut process: AttachedProcess,
    size: Option<(u16, u16)>,
    from_tenant: mpsc::Receiver<ExecInput>,
    to_tenant: ToTenant,
) {
    let (stdout, stderr, status) = (process.stdout(), process.stderr(), process.take_status());
    let feeding = feed(&mut process, size, from_tenant);
    let talking = async {
        tokio::join!(
            pass_out(stdout, ExecOutput::Stdout, &to_tenant),
            pass_out(stderr, ExecOutput::Stderr, &to_tenant),
        );
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    let fed_for_good = feeding.then(|()| std::future::pending::<()>());
    let status = tokio::select! {
        status = talking => status,
        () = to_tenant.closed() => None,
        () = fed_for_good => None,
    };
    let end = status.map_or_else(
        || {
            Err(BackendError::Engine(
                "the cluster did not say how the command ended".to_owned(),
            ))
        },
        |status| exit_code(&status),
    );
    let _ = to_tenant.send(end.map(ExecOutput::Exit)).await;
    process.abort();
}

/// Passes on what the tenant says, until there is no more of it.
async fn feed(
    process: &mut AttachedProcess,
    size: Option<(u16, u16)>,
    mut from_tenant: mpsc::Receiver<ExecInput>,
) {
    let mut stdin = process.stdin();
    let mut sizes = process.terminal_size();
    let first = size.map(|(columns, rows)| ExecInput::Resize(columns, rows));
    let mut next = first;
    loop {
        let input = match next.take() {
            Some(input) => Some(input),
            None => from_tenant.recv().await,
        };
        match input {
            Some(ExecInput::Stdin(bytes)) => {
                if let Some(writer) = &mut stdin
                    && writer.write_all(&bytes).await.is_err()
                {
                    stdin = None;
                }
            }
            Some(ExecInput::Resize(width, height)) => {
                if let Some(sizes) = &mut sizes {
                    let _ = sizes.send(TerminalSize { width, height }).await;
                }
            }
            Some(ExecInput::StdinEnd) => {
                if let Some(mut writer) = stdin.take() {
                    let _ = writer.shutdown().await;
                }
            }
            None => {
                if let Some(mut writer) = stdin.take() {
                    let _ = writer.shutdown().await;
                }
                return;
            }
        }
    }
}

async fn pass_out(
    reader: Option<impl AsyncRead + Unpin>,
    piece: impl Fn(bytes::Bytes) -> ExecOutput,
    to_tenant: &ToTenant,
) {
    let Some(mut reader) = reader else { return };
    let mut buffer = vec![0; PIECE_BYTES];
    while let Ok(length @ 1..) = reader.read(&mut buffer).await {
        let bytes = bytes::Bytes::copy_from_slice(&buffer[..length]);
        if to_tenant.send(Ok(piece(bytes))).await.is_err() {
            return;
        }
    }
}

/// The exit code that the cluster's last word holds.
fn exit_code(status: &Status) -> Result<i64, BackendError> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status
        .details
        .as_ref()
        .and_then(|details| details.causes.as_ref());
    let mut causes = causes.into_iter().flatten();
    let code = causes.find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    match code.and_then(|cause| cause.message.as_ref()?.parse().ok()) {
        Some(code) => Ok(code),
        None => Err(BackendError::Refused(
            status.message.clone().unwrap_or_default(),
        )),
    }
}
