//! The engine behind its Docker-compatible API: finding it, and what its answers mean.

use std::path::PathBuf;
use std::time::Duration;

use bollard::errors::Error as ApiError;
use bollard::{API_DEFAULT_VERSION, Docker};

use super::spec::Dialect;
use crate::backend::{BackendError, Inventory, Isolation};

/// Seconds for one answer of the engine. Streams (logs, commands) are not cut by it.
pub(super) const TIMEOUT_SECONDS: u64 = 120;
/// How long a look at what is there may take: one that answers at all does so in a moment, and whoever looks has more to
/// do than to wait for one that does not.
pub(super) const LOOK_TIMEOUT: Duration = Duration::from_secs(20);

/// Where engines listen, in the order in which they are tried when none is configured.
fn usual_sockets() -> Vec<PathBuf> {
    let mut sockets = vec![
        PathBuf::from("/var/run/docker.sock"),
        PathBuf::from("/run/podman/podman.sock"),
    ];
    if let Some(folder) = std::env::var_os("XDG_RUNTIME_DIR") {
        sockets.push(PathBuf::from(folder).join("podman/podman.sock"));
    }
    sockets
}

/// The engine's socket: the configured one, else `DOCKER_HOST`, else the first usual one that is there.
///
/// # Errors
/// A sentence that says where it was looked for and what to do.
pub fn find_socket(configured: Option<PathBuf>) -> Result<PathBuf, BackendError> {
    let named = configured.or_else(|| {
        let host = std::env::var("DOCKER_HOST").ok()?;
        host.strip_prefix("unix://").map(PathBuf::from)
    });
    if let Some(socket) = named {
        if socket.exists() {
            return Ok(socket);
        }
        return Err(BackendError::Unreachable(format!(
            "there is no socket at {}; start the engine, or set `engine_socket` to where it listens",
            socket.display()
        )));
    }
    let sockets = usual_sockets();
    sockets.iter().find(|socket| socket.exists()).cloned().ok_or_else(|| {
        let tried: Vec<String> = sockets.iter().map(|socket| socket.display().to_string()).collect();
        BackendError::Unreachable(format!(
            "no container engine was found (tried {}); start Docker or `podman system service`, or set `engine_socket`",
            tried.join(", ")
        ))
    })
}

/// A connected engine and what it is.
#[derive(Clone)]
pub(super) struct Engine {
    pub api: Docker,
    pub socket: PathBuf,
    pub dialect: Dialect,
    /// What its own configuration amounts to, before the operator's word.
    pub isolation: Isolation,
    pub inventory: Inventory,
}

impl Engine {
    pub(super) async fn connect(socket: &std::path::Path) -> Result<Engine, BackendError> {
        let path = socket.to_string_lossy();
        let api = Docker::connect_with_unix(&path, TIMEOUT_SECONDS, API_DEFAULT_VERSION)
            .map_err(error)?
            .negotiate_version()
            .await
            .map_err(error)?;
        // Once and no more: Podman takes seconds to tell of itself.
        let (version, info) = tokio::try_join!(api.version(), api.info()).map_err(error)?;
        let is_podman = version
            .components
            .iter()
            .flatten()
            .any(|component| component.name.to_ascii_lowercase().contains("podman"));
        let maps_users = info
            .security_options
            .iter()
            .flatten()
            .any(|option| option.contains("name=userns") || option.contains("name=rootless"));
        let positive =
            |value: Option<i64>| u64::try_from(value.unwrap_or_default()).unwrap_or_default();
        Ok(Engine {
            api,
            socket: socket.to_owned(),
            inventory: Inventory {
                cpu_millis: positive(info.ncpu).saturating_mul(1000),
                memory_bytes: positive(info.mem_total),
            },
            dialect: if is_podman {
                Dialect::Podman
            } else {
                Dialect::Docker
            },
            isolation: if maps_users {
                Isolation::Userns
            } else {
                Isolation::Restricted
            },
        })
    }
}

/// What is said of an engine that took a request and gives no answer.
pub(super) fn silent(limit: Duration) -> BackendError {
    let seconds = limit.as_secs();
    BackendError::Unreachable(format!(
        "it took the request and gave no answer within {seconds} s"
    ))
}

/// What an answer with the status of a failure means for the daemon.
pub(super) fn refusal(status: u16, message: String) -> BackendError {
    match status {
        404 => BackendError::Missing(message),
        // Podman says 500 of a container that goes while it is looked at.
        500 if message.contains("no such container") => BackendError::Missing(message),
        400 | 409 => BackendError::Refused(message),
        _ => BackendError::Engine(message),
    }
}

/// What engines say of a container whose command is none; the first two are Podman's, the others Docker's.
const NO_COMMAND: [&str; 4] = [
    "command that was not found",
    "oci permission denied",
    "executable file not found",
    "exec: permission denied",
];

/// Why a service's container did not start. Only what its image lacks is the tenant's to change: what else there is (its
/// network, its control group, the disk) may be there the next time.
pub(super) fn not_started(service: &str, cause: BackendError) -> BackendError {
    let (message, is_final) = match cause {
        BackendError::Unreachable(_) => return cause,
        BackendError::Refused(message) => (message, true),
        BackendError::Engine(message) | BackendError::Missing(message) => {
            let said = message.to_lowercase();
            let is_final = NO_COMMAND.iter().any(|words| said.contains(words));
            (message, is_final)
        }
    };
    let text = format!("the service {service} does not start: {message}");
    if is_final {
        BackendError::Refused(text)
    } else {
        BackendError::Engine(text)
    }
}

/// What an error of the API means for the daemon.
pub(super) fn error(error: ApiError) -> BackendError {
    match error {
        ApiError::DockerResponseServerError {
            status_code,
            message,
        } => refusal(status_code, message),
        ApiError::SocketNotFoundError(path) => {
            BackendError::Unreachable(format!("there is no socket at {path}"))
        }
        ApiError::HyperResponseError { .. }
        | ApiError::HyperLegacyError { .. }
        | ApiError::IOError { .. }
        | ApiError::RequestTimeoutError => BackendError::Unreachable(error.to_string()),
        other => BackendError::Engine(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_fails_is_final_only_for_what_the_image_lacks() {
        let failed =
            |status, message: &str| not_started("web", refusal(status, message.to_owned()));
        for (status, last) in [
            (
                500,
                "runc: runc create failed: unable to start container process: exec: \"/x\": stat /x: no such file or \
                 directory: OCI runtime attempted to invoke a command that was not found",
            ),
            (
                500,
                "runc: runc create failed: exec: \"/etc\": is a directory: OCI permission denied",
            ),
            (
                400,
                "failed to create task: exec: \"x\": executable file not found in $PATH",
            ),
        ] {
            let BackendError::Refused(text) = failed(status, last) else {
                panic!("{last}");
            };
            assert!(
                text.starts_with("the service web does not start: "),
                "{text}"
            );
        }
        for passing in [
            "netavark: code: 1, msg: iptables: Chain already exists.",
            "failed to set up container networking: driver failed programming external connectivity",
            "write /sys/fs/cgroup/pids/x/cgroup.procs: no space left on device",
        ] {
            assert!(
                matches!(failed(500, passing), BackendError::Engine(_)),
                "{passing}"
            );
        }
    }

    #[test]
    fn an_engine_that_does_not_answer_says_nothing_of_the_service() {
        let silent = silent(Duration::from_secs(1));
        assert_eq!(not_started("web", silent.clone()), silent);
    }
}
