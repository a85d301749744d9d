//! Looks at containers, in the words of every engine.
//!
//! bollard refuses an answer with a state that Docker does not have. Podman has some (a container that ended is `stopped`
//! until it was cleaned up, which may be never), and with one such container nothing at all would be seen. So these answers
//! are asked for here, and their states put into Docker's words before bollard's models read them.

use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;

use super::engine::{Engine, LOOK_TIMEOUT, TIMEOUT_SECONDS, silent};
use crate::backend::BackendError;

/// The largest answer that is read: some 3 KiB for each container of the engine.
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// All containers with these labels, running or not.
pub(super) async fn list(
    engine: &Engine,
    labels: &[String],
) -> Result<Vec<ContainerSummary>, BackendError> {
    let filters = serde_json::json!({ "label": labels }).to_string();
    let path = format!("/containers/json?all=true&filters={}", escaped(&filters));
    let mut listed = get(&engine.socket, &path, LOOK_TIMEOUT).await?;
    for container in listed.as_array_mut().into_iter().flatten() {
        translate(container.get_mut("State"));
    }
    read(listed)
}

/// One container.
pub(super) async fn inspect(
    engine: &Engine,
    id: &str,
) -> Result<ContainerInspectResponse, BackendError> {
    let path = format!("/containers/{}/json", escaped(id));
    inspect_at(engine, &path, LOOK_TIMEOUT).await
}

/// One container, with the bytes that it wrote.
pub(super) async fn inspect_with_size(
    engine: &Engine,
    id: &str,
) -> Result<ContainerInspectResponse, BackendError> {
    let path = format!("/containers/{}/json?size=true", escaped(id));
    // It goes through all that the container wrote.
    inspect_at(engine, &path, Duration::from_secs(TIMEOUT_SECONDS)).await
}

async fn inspect_at(
    engine: &Engine,
    path: &str,
    limit: Duration,
) -> Result<ContainerInspectResponse, BackendError> {
    let mut seen = get(&engine.socket, path, limit).await?;
    translate(
        seen.get_mut("State")
            .and_then(|state| state.get_mut("Status")),
    );
    read(seen)
}

/// Puts a state into Docker's words.
fn translate(state: Option<&mut Value>) {
    let Some(Value::String(state)) = state else {
        return;
    };
    let words = match state.as_str() {
        "stopped" => "exited",
        "configured" | "initialized" | "unknown" => "created",
        _ => return,
    };
    *state = words.to_owned();
}

fn read<T: DeserializeOwned>(answer: Value) -> Result<T, BackendError> {
    serde_json::from_value(answer)
        .map_err(|cause| BackendError::Engine(format!("an answer of another form: {cause}")))
}

async fn get(socket: &Path, path: &str, limit: Duration) -> Result<Value, BackendError> {
    let (status, body) = tokio::time::timeout(limit, exchange(socket, path))
        .await
        .map_err(|_| silent(limit))??;
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    if status.is_success() {
        return Ok(answer);
    }
    let message = answer["message"].as_str().unwrap_or("no reason given");
    Err(super::engine::refusal(status.as_u16(), message.to_owned()))
}

async fn exchange(socket: &Path, path: &str) -> Result<(StatusCode, Bytes), BackendError> {
    let gone = |cause: &dyn std::fmt::Display| BackendError::Unreachable(cause.to_string());
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| gone(&error))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| gone(&error))?;
    let request = Request::get(path)
        .header("host", "engine")
        .body(Empty::<Bytes>::new())
        .expect("the path is escaped");
    let answered = async {
        let answer = sender
            .send_request(request)
            .await
            .map_err(|error| gone(&error))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect();
        let body = body.await.map_err(|error| gone(&error))?.to_bytes();
        Ok((status, body))
    };
    tokio::pin!(answered);
    tokio::select! {
        answer = &mut answered => answer,
        // The connection ends with its answer, or without one.
        _ = connection => answered.await,
    }
}

/// A text as a part of a URL.
fn escaped(text: &str) -> String {
    let mut url = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::ContainerSummaryStateEnum;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn an_engine_that_takes_a_request_and_never_answers_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let _silent = UnixListener::bind(&socket).unwrap();
        let answer = get(&socket, "/containers/json", Duration::from_millis(20)).await;
        assert!(
            matches!(&answer, Err(BackendError::Unreachable(says)) if says.contains("no answer")),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn a_container_in_a_state_of_podmans_own_does_not_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("api.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let engine = async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut asked = [0; 4096];
            let length = stream.read(&mut asked).await.unwrap();
            let body = r#"[{"Id":"a","State":"stopped"},{"Id":"b","State":"running"}]"#;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
            let answer = format!("{head}: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&asked[..length]).into_owned()
        };
        let labels = serde_json::json!({ "label": ["x=y"] }).to_string();
        let path = format!("/containers/json?filters={}", escaped(&labels));
        let (asked, answer) = tokio::join!(engine, get(&socket, &path, LOOK_TIMEOUT));
        assert!(
            asked.contains("filters=%7B%22label%22%3A%5B%22x%3Dy%22%5D%7D"),
            "{asked}"
        );
        let mut listed = answer.unwrap();
        for container in listed.as_array_mut().unwrap() {
            translate(container.get_mut("State"));
        }
        let listed: Vec<ContainerSummary> = read(listed).unwrap();
        let states: Vec<_> = listed.iter().map(|one| one.state.unwrap()).collect();
        let wanted = [
            ContainerSummaryStateEnum::EXITED,
            ContainerSummaryStateEnum::RUNNING,
        ];
        assert_eq!(states, wanted);
    }
}
