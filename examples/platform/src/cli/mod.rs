//! The command line: what can be said, and where each word leads.

mod audit;
mod key;
mod operator_key;
pub(crate) mod output;
mod serve;
mod tenant;
mod token;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};
use mcp_core::{
    Error, PlatformScope, Result,
    clock::{Clock as _, SystemClock, Timestamp},
    scope::PrincipalId,
};

use crate::{
    config::{self, Source},
    demo,
    platform::Administration,
};

/// Multi-tenant MCP: one binary, many tenants, their servers behind one gateway.
#[derive(Debug, Parser)]
#[command(name = "mcp-platform", version, propagate_version = true)]
pub struct Cli {
    /// Configuration file (TOML). Without it `mcp-platform.toml` is read where it exists.
    #[arg(long, global = true, env = "MCP_PLATFORM_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON for programs instead of tables for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the API and the MCP endpoint until SIGTERM or Ctrl-C.
    Serve,
    /// Show the platform at work: two tenants, real MCP servers, nothing kept.
    Demo(demo::DemoArgs),
    /// Print every setting with its meaning, value and default.
    Config,
    /// Create, list, suspend, resume, delete and restore tenants.
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Create, list, rotate and revoke API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Create, list and revoke the keys of operators, for the REST API above tenants.
    #[command(subcommand)]
    OperatorKey(operator_key::Command),
    /// Issue and revoke tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Check the audit chains.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Bring the database's tables up to this version.
    Migrate,
    /// Run the fixture MCP server (what the demo mounts).
    #[command(hide = true)]
    Fixture(mcp_fixture::FixtureArgs),
}

impl Cli {
    /// Runs the command; errors go to standard error in one line.
    pub async fn run(self) -> ExitCode {
        if let Command::Fixture(args) = self.command {
            return mcp_fixture::run(args).await;
        }
        match self.dispatch().await {
            Ok(code) => code,
            Err(error) => {
                output::complain(&error);
                ExitCode::FAILURE
            }
        }
    }

    async fn dispatch(self) -> Result<ExitCode> {
        let config = Source::of_process(self.config).load()?;
        let json = self.json;
        match self.command {
            Command::Serve => return serve::run(config).await,
            Command::Demo(args) => return demo::run(args, json).await,
            Command::Config => output::text(&config::print(&config)?),
            Command::Migrate => {
                let tenants = Administration::migrate(&config, &operator("migrate")?).await?;
                if json {
                    output::json(&serde_json::json!({ "tenants": tenants }))?;
                } else {
                    output::text(&format!("The tables are up to date, those of {tenants} tenants too.\n"));
                }
            }
            Command::Tenant(command) => tenant::run(command, &config, json).await?,
            Command::Key(command) => key::run(command, &config, json).await?,
            Command::OperatorKey(command) => operator_key::run(command, &config, json).await?,
            Command::Token(command) => token::run(command, &config, json).await?,
            Command::Audit(command) => return audit::run(command, &config, json).await,
            Command::Fixture(_) => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The scope of what an operator does at the command line: named after the user of the machine.
fn operator(reason: &str) -> Result<PlatformScope> {
    let user = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
    let actor = PrincipalId::parse(&format!("operator:{user}")).map_err(|error| {
        Error::invalid_input("cli.operator", format!("the user name {user:?} is unusable")).with_source(error)
    })?;
    Ok(PlatformScope::new(actor, format!("mcp-platform {reason}")))
}

/// So many days from now.
fn in_days(days: Option<u64>) -> Option<Timestamp> {
    days.map(|days| SystemClock.now().after(Duration::from_secs(days * 24 * 3600)))
}
