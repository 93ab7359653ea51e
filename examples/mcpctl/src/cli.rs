//! The command line: what can be said, and where each word leads.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use crate::{
    access::Access,
    client::Client,
    commands::{
        audit, certificates, completion, contexts, data_keys, issuers, keys, memories, policies, principals,
        quotas, roles, servers, signing_keys, tenants, tokens,
    },
    failure::{Failure, Result},
    output,
};

/// Tenants, keys, roles, policies, quotas, contexts, memories, servers and the audit log of an MCP platform.
///
/// An operator's key (mcpo_…, from `mcp-platform operator-key create`) reaches all tenants, a tenant's key or
/// token its own.
#[derive(Debug, Parser)]
#[command(name = "mcpctl", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    connection: Connection,
    /// Print JSON for programs instead of tables for people.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed; or the audit log is damaged
  2  the arguments, or what they say, are refused
  3  the key is not good, or may not do this
  4  there is no such thing
  5  it exists already, or was changed meanwhile
  6  the platform is away or busy: trying again may help";

/// How the platform is reached.
#[derive(Debug, clap::Args)]
pub(crate) struct Connection {
    /// The platform's URL.
    #[arg(
        long,
        global = true,
        env = "MCPCTL_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub(crate) url: String,
    /// The key or token. Other users of the machine can read it here: MCPCTL_KEY and --key-file keep it.
    #[arg(long, global = true, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// File with the key or token; or MCPCTL_KEY_FILE.
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "key")]
    pub(crate) key_file: Option<PathBuf>,
    /// PEM file with this client's certificate chain, where the platform asks for one; no key is needed where it is
    /// registered.
    #[arg(long, global = true, env = "MCPCTL_CLIENT_CERT", value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// PEM file with the private key of --client-cert.
    #[arg(long, global = true, env = "MCPCTL_CLIENT_KEY", value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// PEM file with certificates to trust beside the system's.
    #[arg(long, global = true, env = "MCPCTL_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Seconds to wait for an answer.
    #[arg(long, global = true, default_value_t = 60, value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create, list, suspend, resume, delete and restore tenants.
    #[command(subcommand)]
    Tenants(tenants::Command),
    /// Create, list, rotate and revoke API keys of tenants.
    #[command(subcommand)]
    Keys(keys::Command),
    /// List, rotate and remove the keys that sign a tenant's tokens.
    #[command(subcommand)]
    SigningKeys(signing_keys::Command),
    /// Get a token for an API key, log out, and revoke tokens.
    #[command(subcommand)]
    Tokens(tokens::Command),
    /// Declare, list, show and remove identity providers whose tokens are taken.
    #[command(subcommand)]
    Issuers(issuers::Command),
    /// End all credentials of a principal.
    #[command(subcommand)]
    Principals(principals::Command),
    /// List, register and revoke client certificates.
    #[command(subcommand)]
    Certificates(certificates::Command),
    /// See, make, give and take the roles of a tenant.
    #[command(subcommand)]
    Roles(roles::Command),
    /// Write, validate, try and activate the policy of a tenant.
    #[command(subcommand)]
    Policies(policies::Command),
    /// See and set what tenants may use in a day or month.
    #[command(subcommand)]
    Quotas(quotas::Command),
    /// See, rotate and wrap anew the keys that seal what is tenants'.
    #[command(subcommand)]
    DataKeys(data_keys::Command),
    /// List, read, create, append to and delete contexts.
    #[command(subcommand)]
    Contexts(contexts::Command),
    /// Remember, recall and forget texts.
    #[command(subcommand)]
    Memories(memories::Command),
    /// See what the MCP servers do, restart, add, switch and remove them.
    #[command(subcommand)]
    Servers(servers::Command),
    /// Read, export and verify the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Print what makes a shell complete the words of mcpctl.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl Cli {
    /// Runs the command; errors go to standard error, their kind into the exit code.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.dispatch() {
            Ok(code) => code,
            Err(failure) => {
                output::complain(&failure);
                failure.exit_code()
            }
        }
    }

    fn dispatch(self) -> Result<ExitCode> {
        if let Command::Completion { shell } = self.command {
            completion::print(shell);
            return Ok(ExitCode::SUCCESS);
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Local(format!("cannot start: {error}")))?;
        runtime.block_on(self.ask())
    }

    async fn ask(self) -> Result<ExitCode> {
        let Self { connection, json, command } = self;
        let timeout = Duration::from_secs(connection.timeout);
        let client = Client::new(Access::of(&connection)?, &connection, timeout)?;
        match command {
            Command::Tenants(command) => tenants::run(command, &client, json).await?,
            Command::Keys(command) => keys::run(command, &client, json).await?,
            Command::SigningKeys(command) => signing_keys::run(command, &client, json).await?,
            Command::Tokens(command) => tokens::run(command, &client, json).await?,
            Command::Issuers(command) => issuers::run(command, &client, json).await?,
            Command::Principals(command) => principals::run(command, &client, json).await?,
            Command::Certificates(command) => certificates::run(command, &client, json).await?,
            Command::Roles(command) => roles::run(command, &client, json).await?,
            Command::Policies(command) => policies::run(command, &client, json).await?,
            Command::Quotas(command) => quotas::run(command, &client, json).await?,
            Command::DataKeys(command) => data_keys::run(command, &client, json).await?,
            Command::Contexts(command) => contexts::run(command, &client, json).await?,
            Command::Memories(command) => memories::run(command, &client, json).await?,
            Command::Servers(command) => servers::run(command, &client, json).await?,
            Command::Audit(command) => return audit::run(command, &client, json).await,
            Command::Completion { .. } => {}
        }
        Ok(ExitCode::SUCCESS)
    }
}
