//! `mcpctl completion …`.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{cli::Cli, output};

/// Prints the shell's script.
pub(crate) fn print(shell: Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mcpctl", &mut script);
    output::text(&String::from_utf8_lossy(&script));
}
