//! `welkin completions SHELL`.

use std::io::Write;

use structopt::StructOpt;
use structopt::clap::Shell;

use crate::args::Arguments;
use crate::failure::{Failure, Outcome};

/// Prints completions for a shell.
pub fn run(shell: &str) -> Outcome {
    let shell: Shell = shell.parse().map_err(Failure::usage)?;
    // By way of memory: the generator panics where nobody reads.
    let mut script = Vec::new();
    Arguments::clap().gen_completions_to("welkin", shell, &mut script);
    match std::io::stdout().lock().write_all(&script) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(1, format!("stdout: {error}")))
        }
        _ => Ok(()),
    }
}
