//! The conversation of tenant and provider over one stream.

mod messages;

pub use messages::{
    Answer, ExecRequest, ForwardedPort, Hello, Input, KeptManifest, LeaseEvent, LeaseStatus,
    LogLine, LogQuery, Output, PROTOCOL_VERSION, Phase, Reason, Refusal, Request, ServiceStatus,
    Severity, TerminalSize, UnprovenHost,
};
