//! One HTTP server: connections that are kept, answers that are bounded.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;

use super::endpoint::Endpoint;

/// Connections that are kept open without work.
const MAX_IDLE: usize = 8;
/// Bytes of headers that are read at most.
const MAX_HEADER_BYTES: usize = 64 * 1024;

type Sender = SendRequest<Full<Bytes>>;

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failure {
    /// In words.
    pub(super) why: String,
    /// Whether the server may have got the question.
    pub(super) maybe_sent: bool,
}

/// A server and the connections to it that are free.
pub(super) struct Server {
    pub(super) endpoint: Endpoint,
    idle: Mutex<Vec<Sender>>,
}

impl Server {
    pub(super) fn new(endpoint: Endpoint) -> Server {
        Server {
            endpoint,
            idle: Mutex::default(),
        }
    }

    /// Posts `body` and reads the answer, which is complete, successful and at most `max_bytes`
    /// long. The error says in words what went wrong.
    ///
    /// A kept connection may have been closed meanwhile; then the request is sent once more on a
    /// new one. Every request of ours may be repeated.
    pub(super) async fn post(
        &self,
        body: Bytes,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Bytes, Failure> {
        let exchange = async {
            if let Some(mut kept) = self.take_idle()
                && let Ok(response) = self.send(&mut kept, body.clone()).await
            {
                return self.read(response, kept, max_bytes).await.map_err(sent);
            }
            let mut fresh = self.open().await.map_err(|why| Failure {
                why,
                maybe_sent: false,
            })?;
            let response = self.send(&mut fresh, body).await.map_err(sent)?;
            self.read(response, fresh, max_bytes).await.map_err(sent)
        };
        match tokio::time::timeout(timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(sent(format!(
                "no answer within {:.1} s",
                timeout.as_secs_f64()
            ))),
        }
    }

    async fn open(&self) -> Result<Sender, String> {
        let stream = self
            .endpoint
            .connect()
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEADER_BYTES)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("cannot connect: {error}"))?;
        // Ends with the last sender, or with the server's end of the connection.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(target: super::LOG, %error, "a connection ended");
            }
        });
        Ok(sender)
    }

    async fn send(
        &self,
        sender: &mut Sender,
        body: Bytes,
    ) -> Result<Response<hyper::body::Incoming>, String> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.endpoint.path())
            .header(HOST, self.endpoint.authority())
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        sender.ready().await.map_err(|error| error.to_string())?;
        sender
            .send_request(request)
            .await
            .map_err(|error| error.to_string())
    }

    async fn read(
        &self,
        response: Response<hyper::body::Incoming>,
        sender: Sender,
        max_bytes: usize,
    ) -> Result<Bytes, String> {
        if response.status() != StatusCode::OK {
            return Err(format!("HTTP status {}", response.status()));
        }
        let body = Limited::new(response.into_body(), max_bytes)
            .collect()
            .await;
        let body = body.map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                format!("the answer is longer than {max_bytes} bytes")
            } else {
                format!("the answer is cut off: {error}")
            }
        })?;
        self.keep(sender);
        Ok(body.to_bytes())
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        idle.pop()
    }

    fn keep(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE {
            idle.push(sender);
        }
    }
}

fn sent(why: String) -> Failure {
    Failure {
        why,
        maybe_sent: true,
    }
}
