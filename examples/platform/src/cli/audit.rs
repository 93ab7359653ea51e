//! `mcp-platform audit …`.

use std::process::ExitCode;

use clap::Subcommand;
use mcp_core::Result;

use super::output;
use crate::{config::Config, platform::Administration};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Recompute every link of every chain and compare it with the signed checkpoints outside the database.
    ///
    /// Exits with 1 if a record was removed, altered or moved. May run while the platform works.
    Verify,
}

pub(crate) async fn run(command: Command, config: &Config, json: bool) -> Result<ExitCode> {
    let Command::Verify = command;
    let administration = Administration::open(config).await?;
    let report = administration.verify_audit().await;
    administration.close().await;
    let report = report?;
    if json {
        output::json(&report)?;
    } else {
        output::text(&format!("{report}\n"));
        for problem in &report.problems {
            output::text(&format!("  {problem}\n"));
        }
    }
    Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
