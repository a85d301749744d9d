//! `welkin completions SHELL`.

use structopt::StructOpt;
use structopt::clap::Shell;

use crate::args::Arguments;
use crate::failure::{Failure, Outcome};

/// Prints completions for a shell.
pub fn run(shell: &str) -> Outcome {
    let shell: Shell = shell.parse().map_err(Failure::usage)?;
    Arguments::clap().gen_completions_to("welkin", shell, &mut std::io::stdout());
    Ok(())
}
