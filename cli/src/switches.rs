//! Variables for flags that take no value. The argument parser knows variables only for the others.

use crate::args::{Command, Deployment, Keys, Lease};
use crate::failure::{Failure, Outcome};

/// Turns on what variables of the environment turn on.
///
/// # Errors
/// One of them is neither on nor off.
pub fn apply(command: &mut Command) -> Outcome {
    let switches: Vec<(&str, &mut bool)> = match command {
        Command::Deploy(options) => vec![
            ("WELKIN_CHOOSE", &mut options.choose),
            ("WELKIN_PRICE_AS_UWLK", &mut options.price_as_uwlk),
            ("WELKIN_STRICT", &mut options.strict),
        ],
        Command::Plan(options) => vec![
            ("WELKIN_OFFLINE", &mut options.offline),
            ("WELKIN_PRICE_AS_UWLK", &mut options.price_as_uwlk),
            ("WELKIN_STRICT", &mut options.strict),
        ],
        Command::Deployment(Deployment::Update(options)) => vec![
            ("WELKIN_PRICE_AS_UWLK", &mut options.price_as_uwlk),
            ("WELKIN_STRICT", &mut options.strict),
        ],
        Command::Lease(Lease::Logs { follow, .. } | Lease::Events { follow, .. }) => {
            vec![("WELKIN_FOLLOW", follow)]
        }
        Command::Lease(Lease::Shell { tty, .. }) => vec![("WELKIN_TTY", tty)],
        Command::Keys(Keys::Export { unsafe_print, .. }) => {
            vec![("WELKIN_UNSAFE_PRINT", unsafe_print)]
        }
        Command::Keys(Keys::Delete { yes, .. }) => vec![("WELKIN_YES", yes)],
        _ => Vec::new(),
    };
    for (name, switch) in switches {
        *switch |= is_on(name, std::env::var(name).ok().as_deref())?;
    }
    Ok(())
}

fn is_on(name: &str, value: Option<&str>) -> Outcome<bool> {
    match value {
        None | Some("" | "0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(other) => Err(Failure::usage(format!(
            "{name} is {other:?}; it turns a flag on with 1 or true, off with 0 or false"
        ))),
    }
}
