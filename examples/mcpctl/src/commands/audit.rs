//! `mcpctl audit …`.

use std::process::ExitCode;

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
        Command::List { tenant, limit } => {
            let path = match (&tenant, client.is_operator()) {
                (Some(tenant), true) => vec!["operator", "tenants", tenant, "audit"],
                (None, true) => vec!["operator", "audit"],
                (None, false) => vec!["audit"],
                (Some(_), false) => {
                    return Err(Failure::Usage(
                        "--tenant takes an operator's key; this one reads its own records".to_owned(),
                    ));
                }
            };
            output::show(&client.list(&path, Some(limit)).await?, COLUMNS, json);
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify => verify(client, json).await,
    }
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
