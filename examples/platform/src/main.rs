//! `mcp-platform`: the reference server.

#![expect(clippy::print_stderr, reason = "says why it cannot start")]

use std::process::ExitCode;

use clap::Parser as _;
use mcp_platform::Cli;

fn main() -> ExitCode {
    // A process that was started as a launcher of a stdio server never becomes a platform.
    mcp_automation::fleet::launcher::run_if_launched();
    let cli = Cli::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            eprintln!("mcp-platform: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
