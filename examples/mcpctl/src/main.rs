//! `mcpctl`: the command-line tool of an MCP platform.

use std::process::ExitCode;

use clap::Parser as _;
use mcpctl::Cli;

fn main() -> ExitCode {
    Cli::parse().run()
}
