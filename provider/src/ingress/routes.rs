//! The route file: what the daemon writes and the ingress serves.
//!
//! The daemon replaces the whole file atomically; the ingress reads it whenever it changed and keeps the last good one
//! when the new one cannot be read. Nothing else passes between the two, so traffic outlives the daemon.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::dial::Replica;

/// The version of the route file; 1 did not name interfaces.
const FORMAT: u32 = 2;
/// Longest route file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// Everything that the ingress serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Routes {
    /// Version of the file's format.
    format: u32,
    /// By host name, lower case, without a port.
    pub http: BTreeMap<String, HttpRoute>,
    /// By public TCP port.
    pub tcp: BTreeMap<u16, Vec<Replica>>,
    /// By public UDP port.
    pub udp: BTreeMap<u16, Vec<Replica>>,
}

/// Where requests for one host name go, and within which limits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpRoute {
    /// The replicas, tried in turn. Empty: the service exists and none of its replicas runs.
    pub backends: Vec<Replica>,
    /// Longest request body, in bytes.
    pub max_body_bytes: u64,
    /// How long the replica may be silent while it answers, in milliseconds.
    pub read_timeout_ms: u64,
    /// How many replicas are tried at most for one request.
    pub tries: u32,
}

/// Why a route file was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// The disk refused.
    #[error("{path}: {source}")]
    Io {
        /// The route file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not a route file of ours.
    #[error("{path} is no route file of this version: {reason}")]
    Format {
        /// The route file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl Routes {
    /// No routes.
    pub fn new() -> Routes {
        Routes {
            format: FORMAT,
            ..Routes::default()
        }
    }

    /// Reads a route file. One that does not exist holds no routes.
    ///
    /// # Errors
    /// [`RoutesError`] when it cannot be read, is too long, or is of another form.
    pub fn read(path: &Path) -> Result<Routes, RoutesError> {
        let io = |source| RoutesError::Io {
            path: path.display().to_string(),
            source,
        };
        let format = |reason: String| RoutesError::Format {
            path: path.display().to_string(),
            reason,
        };
        let length = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Routes::new()),
            Err(error) => return Err(io(error)),
        };
        if length > MAX_FILE_BYTES {
            return Err(format(format!(
                "{length} bytes, more than {MAX_FILE_BYTES}"
            )));
        }
        let text = std::fs::read(path).map_err(io)?;
        let routes: Routes =
            serde_json::from_slice(&text).map_err(|error| format(error.to_string()))?;
        if routes.format != FORMAT {
            return Err(format(format!("format {} is not known", routes.format)));
        }
        Ok(routes)
    }

    /// Replaces the route file durably.
    ///
    /// # Errors
    /// [`RoutesError::Io`] when the disk refuses; the old file is then still whole.
    pub fn write(&self, path: &Path) -> Result<(), RoutesError> {
        let io = |source| RoutesError::Io {
            path: path.display().to_string(),
            source,
        };
        let text = serde_json::to_vec_pretty(self).expect("routes are always JSON");
        welkin_client::files::replace_durably(path, &text).map_err(io)
    }

    /// The public ports in use, TCP and UDP together.
    pub fn ports(&self) -> BTreeSet<u16> {
        self.tcp.keys().chain(self.udp.keys()).copied().collect()
    }
}

/// The host name of a request, as [`Routes::http`] is keyed: lower case, without a port or a final dot.
pub fn host_key(host: &str) -> String {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(address: &str, interface: Option<&str>) -> Replica {
        Replica {
            address: address.parse().unwrap(),
            interface: interface.map(str::to_owned),
        }
    }

    #[test]
    fn a_route_file_comes_back_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.json");
        assert_eq!(Routes::read(&path).unwrap(), Routes::new());
        let mut routes = Routes::new();
        routes
            .tcp
            .insert(31_000, vec![replica("10.0.0.2:5432", None)]);
        routes.http.insert(
            "app.localhost".into(),
            HttpRoute {
                backends: vec![replica("10.0.0.3:80", Some("wk0"))],
                max_body_bytes: 1,
                read_timeout_ms: 2,
                tries: 3,
            },
        );
        routes.write(&path).unwrap();
        assert_eq!(Routes::read(&path).unwrap(), routes);
        assert_eq!(routes.ports(), BTreeSet::from([31_000]));
    }

    #[test]
    fn a_file_of_another_form_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("routes.json");
        for text in [
            "",
            "{}",
            r#"{"format":1,"http":{},"tcp":{},"udp":{}}"#,
            r#"{"format":3,"http":{},"tcp":{},"udp":{}}"#,
            "[1]",
        ] {
            std::fs::write(&path, text).unwrap();
            let error = Routes::read(&path).unwrap_err().to_string();
            assert!(error.contains("routes.json"), "{error}");
        }
    }

    #[test]
    fn host_names_are_compared_without_port_case_and_final_dot() {
        for host in [
            "app.localhost",
            "APP.localhost:8080",
            "app.localhost.",
            "App.Localhost.:1",
        ] {
            assert_eq!(host_key(host), "app.localhost");
        }
    }
}
