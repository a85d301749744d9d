//! HTTP: by host name to a replica, with limits, upgrades (WebSocket) and the next replica where one does not answer.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, UPGRADE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::routes::{HttpRoute, host_key};
use super::{LOG, Shared};

/// Longest head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = 100;
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// An upgraded connection with no byte in either direction for this long is cut.
const UPGRADE_IDLE: Duration = Duration::from_secs(3600);

type Error = Box<dyn std::error::Error + Send + Sync>;
type Body = BoxBody<Bytes, Error>;

/// Headers that belong to one connection and are not passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
];

/// Accepts connections for ever; over the limit of connections new ones wait in the listen queue.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>, connections: Arc<Semaphore>) {
    loop {
        let Ok(permit) = connections.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(connection(stream, peer, shared.clone(), permit));
            }
            Err(error) => {
                tracing::warn!(target: LOG, %error, "a connection could not be accepted");
                // Out of file descriptors: wait for some to come back instead of spinning.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    permit: OwnedSemaphorePermit,
) {
    let _ = stream.set_nodelay(true);
    // A request that becomes another protocol takes the place along for as long as that lives.
    let permit = Arc::new(permit);
    let service = service_fn(move |request| {
        let (shared, permit) = (shared.clone(), permit.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(request, peer, &shared, permit).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if let Err(error) = served {
        tracing::debug!(target: LOG, %peer, %error, "a connection ended with an error");
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    shared: &Shared,
    permit: Arc<OwnedSemaphorePermit>,
) -> Response<Body> {
    let host = request.uri().host().map(str::to_owned).or_else(|| {
        request
            .headers()
            .get(HOST)?
            .to_str()
            .ok()
            .map(str::to_owned)
    });
    let Some(host) = host else {
        return plain(StatusCode::BAD_REQUEST, "The request names no host.\n");
    };
    let routes = shared.routes.load();
    let Some(route) = routes.http.get(&host_key(&host)) else {
        return plain(
            StatusCode::NOT_FOUND,
            "No application answers at this host name.\n",
        );
    };
    let length = request
        .headers()
        .get("content-length")
        .and_then(|v| v.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > route.max_body_bytes) {
        return plain(
            StatusCode::PAYLOAD_TOO_LARGE,
            "The request is longer than this application takes.\n",
        );
    }
    let turn = shared.turn.fetch_add(1, Ordering::Relaxed);
    let Some(stream) = connect(route, turn).await else {
        return plain(
            StatusCode::BAD_GATEWAY,
            "The application does not answer just now.\n",
        );
    };
    match forward(request, stream, peer, route, permit).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(target: LOG, %host, %error, "a request failed");
            match error.downcast_ref::<tokio::time::error::Elapsed>() {
                Some(_) => plain(
                    StatusCode::GATEWAY_TIMEOUT,
                    "The application took too long.\n",
                ),
                None if is_length_limit(&*error) => plain(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "The request is longer than this application takes.\n",
                ),
                None => plain(
                    StatusCode::BAD_GATEWAY,
                    "The application broke off its answer.\n",
                ),
            }
        }
    }
}

fn is_length_limit(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A connection to the first replica that takes one, beginning at the one whose turn it is.
async fn connect(route: &HttpRoute, turn: usize) -> Option<TcpStream> {
    let count = route.backends.len();
    let tries = count.min(route.tries.max(1) as usize);
    for attempt in 0..tries {
        let backend = &route.backends[turn.wrapping_add(attempt) % count];
        if let Ok(stream) = backend.connect().await {
            return Some(stream);
        }
    }
    None
}

async fn forward(
    mut request: Request<Incoming>,
    stream: TcpStream,
    peer: SocketAddr,
    route: &HttpRoute,
    permit: Arc<OwnedSemaphorePermit>,
) -> Result<Response<Body>, Error> {
    let read_timeout = Duration::from_millis(route.read_timeout_ms.max(1));
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection.with_upgrades());

    let upgrade = upgrade_of(request.headers());
    let client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    let (mut head, body) = request.into_parts();
    head.version = Version::HTTP_11;
    if !head.headers.contains_key(HOST)
        && let Some(authority) = head.uri.authority()
    {
        head.headers
            .insert(HOST, HeaderValue::from_str(authority.as_str())?);
    }
    let target = head.uri.path_and_query().map_or("/", |path| path.as_str());
    head.uri = target.parse()?;
    pass_on(&mut head.headers, upgrade.as_ref());
    head.headers.insert(
        "x-forwarded-for",
        HeaderValue::from_str(&peer.ip().to_string())?,
    );
    head.headers
        .insert("x-forwarded-proto", HeaderValue::from_static("http"));
    let limit = usize::try_from(route.max_body_bytes).unwrap_or(usize::MAX);
    let request = Request::from_parts(head, Limited::new(body, limit));

    let mut response = timeout(read_timeout, sender.send_request(request)).await??;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let server = hyper::upgrade::on(&mut response);
        if let Some(client) = client {
            tokio::spawn(join(client, server, permit));
        }
        let (mut head, _) = response.into_parts();
        pass_on(&mut head.headers, upgrade.as_ref());
        return Ok(Response::from_parts(head, empty()));
    }
    let (mut head, body) = response.into_parts();
    pass_on(&mut head.headers, None);
    Ok(Response::from_parts(
        head,
        body.map_err(Error::from).boxed(),
    ))
}

/// The protocol that the client wants to change to, if it does.
fn upgrade_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let asked = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| {
            value
                .split(',')
                .any(|word| word.trim().eq_ignore_ascii_case("upgrade"))
        });
    headers.get(UPGRADE).filter(|_| asked).cloned()
}

/// Drops what belongs to one connection only, and sets the upgrade anew where there is one.
fn pass_on(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove(UPGRADE);
    if let Some(protocol) = upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol.clone());
    }
}

async fn join(
    client: hyper::upgrade::OnUpgrade,
    server: hyper::upgrade::OnUpgrade,
    _permit: Arc<OwnedSemaphorePermit>,
) {
    let (Ok(client), Ok(server)) = (client.await, server.await) else {
        return;
    };
    let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
    super::streams::copy_until_idle(&mut client, &mut server, UPGRADE_IDLE).await;
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes()))
        .map_err(|never| match never {})
        .boxed();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert("content-type", kind);
    response
}

fn empty() -> Body {
    Full::new(Bytes::new())
        .map_err(|never| match never {})
        .boxed()
}
