//! `mcpctl policies …`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use http::Method;
use serde_json::{Value, json};

use super::whose::Whose;
use crate::{
    client::{Ask, Client},
    failure::{Failure, Result},
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the versions of the tenant's policy, the newest first.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Show one version with its text.
    Show {
        /// The version's number.
        #[arg(id = "policy_version", value_name = "VERSION")]
        version: u32,
        #[command(flatten)]
        whose: Whose,
    },
    /// Keep a new version, as a draft.
    Create(Create),
    /// Compile a version and note that it is valid; errors name line and column.
    Validate {
        /// The version's number.
        #[arg(id = "policy_version", value_name = "VERSION")]
        version: u32,
        #[command(flatten)]
        whose: Whose,
    },
    /// Try a version on what was asked lately; changes nothing.
    DryRun {
        /// The version's number.
        #[arg(id = "policy_version", value_name = "VERSION")]
        version: u32,
        #[command(flatten)]
        whose: Whose,
    },
    /// Print the number of the version that decides, 0 for none.
    Active {
        #[command(flatten)]
        whose: Whose,
    },
    /// Let a validated version decide, an earlier one too, or 0 for none.
    Activate {
        /// The version's number.
        #[arg(id = "policy_version", value_name = "VERSION")]
        version: u32,
        /// The version that decides now; looked up where it is not given.
        #[arg(long, value_name = "VERSION")]
        expected: Option<u32>,
        #[command(flatten)]
        whose: Whose,
    },
    /// Ask what is decided if the key's holder does something, and why.
    Decide {
        /// What is to be done, as in `tools:call`.
        action: String,
        /// To what, as in `tool/everything__echo`.
        resource: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// File with the policies; in Rego one module.
    file: PathBuf,
    #[command(flatten)]
    whose: Whose,
    /// What it is written in.
    #[arg(long, value_enum, default_value_t = Language::Cedar)]
    language: Language,
    /// JSON file with what Rego finds under `data`.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Why it is made, for people.
    #[arg(long, default_value = "", value_name = "TEXT")]
    note: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    /// Cedar.
    Cedar,
    /// Rego, version 1.
    Rego,
    /// Rego as it was before.
    RegoV0,
}

impl Language {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Cedar => "cedar",
            Self::Rego => "rego",
            Self::RegoV0 => "rego_v0",
        }
    }
}

const COLUMNS: &[Column] = &[
    ("version", "version"),
    ("state", "state"),
    ("language", "language"),
    ("author", "author"),
    ("created", "created_at"),
    ("validated", "validated_at"),
    ("note", "note"),
];
const ACTIVE: &[Column] = &[("active", "version")];
const DECISION: &[Column] = &[("allowed", "allowed"), ("reasons", "reasons"), ("errors", "errors")];
const RUN: &[Column] = &[
    ("requests", "requests"),
    ("newly denied", "newly_denied"),
    ("newly allowed", "newly_allowed"),
    ("failed", "failed"),
];
const CHANGED: &[Column] = &[
    ("principal", "request.principal.id"),
    ("action", "request.action"),
    ("type", "request.resource.type"),
    ("resource", "request.resource.id"),
    ("before", "before.allowed"),
    ("after", "after.allowed"),
    ("reasons", "after.reasons"),
];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    match &command {
        Command::List { whose } => {
            output::show(&client.list(&whose.path(client, &["policies"])?, None).await?, COLUMNS, json);
        }
        Command::Show { version, whose } => {
            let version = version.to_string();
            let found = client.send(Ask::get(&whose.path(client, &["policies", &version])?)).await?;
            output::show(&found, COLUMNS, json);
            if !json {
                output::text(&format!("\n{}\n", printable(&found["policy"]["text"])));
            }
        }
        Command::Create(create) => {
            let ask = Ask::post(&create.whose.path(client, &["policies"])?).body(create.body()?);
            output::show(&client.send(ask).await?, COLUMNS, json);
        }
        Command::Validate { version, whose } => {
            output::show(&post(client, whose, *version, "validate").await?, COLUMNS, json);
        }
        Command::DryRun { version, whose } => {
            let run = post(client, whose, *version, "dry-run").await?;
            output::show(&run, RUN, json);
            if !json && run["changed"].as_array().is_some_and(|changed| !changed.is_empty()) {
                output::text("\n");
                output::show(&run["changed"], CHANGED, false);
            }
        }
        Command::Active { whose } => output::show(&active(client, whose).await?, ACTIVE, json),
        Command::Activate { version, expected, whose } => {
            let expected = match expected {
                Some(expected) => Value::from(*expected),
                None => active(client, whose).await?["version"].take(),
            };
            let body = json!({ "version": version, "expected": expected });
            let path = whose.path(client, &["policies", "active"])?;
            let answer = client.send(Ask::new(Method::PUT, &path).body(body)).await?;
            output::show(&answer, ACTIVE, json);
        }
        Command::Decide { action, resource } => {
            // Of the caller itself, who is a principal of the tenant.
            client.tenant()?;
            let (kind, id) = resource.split_once('/').ok_or_else(|| {
                Failure::Usage(format!("{resource:?} is no resource, as in tool/everything__echo"))
            })?;
            let body = json!({ "action": action, "resource": { "type": kind, "id": id } });
            let answer = client.send(Ask::post(&["policies", "decide"]).body(body)).await?;
            output::show(if json { &answer } else { &answer["decision"] }, DECISION, json);
        }
    }
    Ok(())
}

impl Create {
    fn body(&self) -> Result<Value> {
        let mut body = json!({
            "language": self.language.as_str(),
            "text": read(&self.file)?,
            "note": self.note,
        });
        if let Some(file) = &self.data {
            body["data"] = serde_json::from_str(&read(file)?)
                .map_err(|error| Failure::Usage(format!("{}: {error}", file.display())))?;
        }
        Ok(body)
    }
}

fn read(file: &Path) -> Result<String> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("cannot read {}: {error}", file.display())))
}

async fn post(client: &Client, whose: &Whose, version: u32, what: &str) -> Result<Value> {
    client.send(Ask::post(&whose.path(client, &["policies", &version.to_string(), what])?)).await
}

async fn active(client: &Client, whose: &Whose) -> Result<Value> {
    client.send(Ask::get(&whose.path(client, &["policies", "active"])?)).await
}

/// A text of several lines, each without control characters.
fn printable(text: &Value) -> String {
    let lines = text.as_str().unwrap_or_default().lines().map(output::printable);
    lines.collect::<Vec<_>>().join("\n")
}
