//! How a command fails: what to say, and the exit code that says what kind of failure it is.

use std::fmt;

use welkin_client::ClientError;
use welkin_client::keyring::KeyringError;
use welkin_provider_api::channel::ChannelError;
use welkin_provider_api::sdl::Diagnostics;

/// Exit codes (design, section 7). Two come from [`ClientError::exit_code`] alone: 4, refused by the chain, and 7, what a
/// server told is not true.
pub mod code {
    /// Failed.
    pub const FAILED: u8 = 1;
    /// The input is wrong; nothing was sent.
    pub const USAGE: u8 = 2;
    /// There is no such thing.
    pub const NOT_FOUND: u8 = 3;
    /// Refused by the chain.
    pub const REFUSED_BY_CHAIN: u8 = 4;
    /// Refused by the provider.
    pub const REFUSED_BY_PROVIDER: u8 = 5;
    /// It did not happen in time.
    pub const TIMED_OUT: u8 = 6;

    /// Ended by a signal, as shells count it.
    pub fn of_signal(number: i32) -> u8 {
        u8::try_from(number).map_or(FAILED, |number| number.saturating_add(128))
    }
}

/// A command's failure.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The exit code.
    pub code: u8,
    /// What happened, where, why, and what to do.
    pub message: String,
    /// Whether trying again a moment later may help.
    pub is_temporary: bool,
}

/// What commands return.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with this code.
    pub fn new(code: u8, message: impl Into<String>) -> Failure {
        Failure {
            code,
            message: message.into(),
            is_temporary: false,
        }
    }

    /// Wrong input.
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(code::USAGE, message)
    }

    /// Nothing of that name.
    pub fn not_found(message: impl Into<String>) -> Failure {
        Failure::new(code::NOT_FOUND, message)
    }

    /// A file that cannot be used.
    pub fn file(path: &std::path::Path, error: &std::io::Error) -> Failure {
        Failure::new(code::FAILED, format!("{}: {error}", path.display()))
    }

    /// The same failure, worth another try a moment later.
    #[must_use]
    pub fn temporary(self) -> Failure {
        Failure {
            is_temporary: true,
            ..self
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Failure {
        let is_temporary = error.is_temporary();
        let help = match error {
            ClientError::Unreachable { .. } => "; --node or WELKIN_NODE names other servers",
            _ => "",
        };
        Failure {
            is_temporary,
            ..Failure::new(error.exit_code(), format!("{error}{help}"))
        }
    }
}

impl From<KeyringError> for Failure {
    fn from(error: KeyringError) -> Failure {
        let code = match error {
            KeyringError::Missing { .. } => code::NOT_FOUND,
            KeyringError::Name(_) | KeyringError::Exists(_) => code::USAGE,
            _ => code::FAILED,
        };
        let help = match error {
            KeyringError::Password { .. } => {
                "; type it again, or correct WELKIN_KEYRING_PASSWORD or the file of --password-file"
            }
            _ => "",
        };
        Failure::new(code, format!("{error}{help}"))
    }
}

impl From<Diagnostics> for Failure {
    fn from(diagnostics: Diagnostics) -> Failure {
        Failure::usage(diagnostics.to_string())
    }
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Failure {
        let code = match error {
            ChannelError::Refused(_) => code::REFUSED_BY_PROVIDER,
            _ => code::FAILED,
        };
        let is_temporary = crate::channel::is_worth_a_retry(&error);
        Failure {
            is_temporary,
            ..Failure::new(code, error.to_string())
        }
    }
}
