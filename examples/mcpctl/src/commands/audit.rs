//! `mcpctl audit …`.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;
use serde_json::Value;

use crate::{
    client::{Ask, Client},
    failure::{Failure, Result},
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List records, latest first: the platform's with an operator's key, else the tenant's own.
    List {
        /// A tenant's records instead of the platform's, with an operator's key.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50, value_name = "COUNT")]
        limit: usize,
        /// Only this action, as in tenant.suspend, or area of actions, as in `tenant.*`.
        #[arg(long)]
        action: Option<String>,
        /// Only what this principal did, or was denied.
        #[arg(long, value_name = "ID")]
        actor: Option<String>,
        /// Only what was `done`, or `denied`.
        #[arg(long)]
        outcome: Option<String>,
        /// Only from this time on, as in 2027-01-31T00:00:00Z.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Only before this time.
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
    },
    /// Write what has been sealed of a chain, a JSON object a line: the platform's with an operator's key, else
    /// the tenant's own.
    Export {
        /// A tenant's chain instead of the platform's, with an operator's key.
        #[arg(long, value_name = "TENANT")]
        tenant: Option<String>,
        /// `jsonl`, which can be verified, or `ocsf`, events of the Open Cybersecurity Schema.
        #[arg(long, default_value = "jsonl")]
        format: String,
        /// Begin behind this link, the last `seq` of an earlier export.
        #[arg(long, default_value_t = 0, value_name = "SEQ")]
        after: u64,
        /// The file to write, which must not be there; standard output without it.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Recompute every link of every chain and compare it with the signed checkpoints outside the database.
    ///
    /// Exits with 1 if a record was removed, altered or moved.
    Verify,
}

const COLUMNS: &[Column] = &[
    ("time", "time"),
    ("actor", "actor"),
    ("action", "action"),
    ("resource", "resource"),
    ("outcome", "outcome"),
    ("request", "request_id"),
];
const CHAIN_COLUMNS: &[Column] = &[("chain", "chain"), ("sealed", "sealed"), ("unsealed", "unsealed")];
const PROBLEM_COLUMNS: &[Column] =
    &[("problem", "kind"), ("chain", "chain"), ("link", "seq"), ("record", "record_id"), ("line", "line")];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<ExitCode> {
    match command {
        Command::List { tenant, limit, action, actor, outcome, from, until } => {
            let path = chain(tenant.as_deref(), client)?;
            let filter = [
                ("action", action.as_deref()),
                ("actor", actor.as_deref()),
                ("outcome", outcome.as_deref()),
                ("from", from.as_deref()),
                ("until", until.as_deref()),
            ];
            output::show(&client.list_where(&path, &filter, Some(limit)).await?, COLUMNS, json);
            Ok(ExitCode::SUCCESS)
        }
        Command::Export { tenant, format, after, out } => {
            let mut path = chain(tenant.as_deref(), client)?;
            path.push("export");
            let ask = Ask::get(&path).query("format", Some(format)).query("after", Some(after));
            match out {
                None => client.download(ask, &mut std::io::stdout()).await?,
                Some(file) => client.download(ask, &mut create(&file)?).await?,
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify => verify(client, json).await,
    }
}

/// Where the records are below the API's root.
fn chain<'a>(tenant: Option<&'a str>, client: &Client) -> Result<Vec<&'a str>> {
    match (tenant, client.is_operator()) {
        (Some(tenant), true) => Ok(vec!["operator", "tenants", tenant, "audit"]),
        (None, true) => Ok(vec!["operator", "audit"]),
        (None, false) => Ok(vec!["audit"]),
        (Some(_), false) => {
            Err(Failure::Usage("--tenant takes an operator's key; this one reads its own records".to_owned()))
        }
    }
}

/// A new file: an export must not take the place of an earlier one.
fn create(file: &Path) -> Result<File> {
    File::create_new(file)
        .map_err(|error| Failure::Usage(format!("cannot create {}: {error}", file.display())))
}

async fn verify(client: &Client, json: bool) -> Result<ExitCode> {
    let report = client.send(Ask::post(&[client.operator()?, "audit", "verify"])).await?;
    let intact = report.get("intact").and_then(Value::as_bool).unwrap_or(false);
    if json {
        output::document(&report);
    } else {
        output::show(&report["chains"], CHAIN_COLUMNS, false);
        if !intact {
            output::show(&report["problems"], PROBLEM_COLUMNS, false);
        }
        output::text(if intact { "The audit log is intact.\n" } else { "The audit log is DAMAGED.\n" });
    }
    Ok(if intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
