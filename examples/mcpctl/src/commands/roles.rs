//! `mcpctl roles …`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::whose::Whose;
use crate::{
    client::{Ask, Client},
    failure::Result,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the tenant's roles.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Show one role.
    Show {
        /// The role's name.
        role: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Make a role or, with --expected-version, replace it.
    Put(Put),
    /// Delete a role and take it from all who had it.
    Delete {
        /// The role's name.
        role: String,
        /// The version that is deleted.
        #[arg(long, value_name = "VERSION")]
        expected_version: i64,
        #[command(flatten)]
        whose: Whose,
    },
    /// Give a role to a principal.
    Give {
        /// The role's name.
        role: String,
        /// The principal's id.
        principal: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Take a role from a principal.
    Take {
        /// The role's name.
        role: String,
        /// The principal's id.
        principal: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// List the principals who were given a role.
    Holders {
        /// The role's name.
        role: String,
        #[command(flatten)]
        whose: Whose,
    },
    /// Show what a principal's roles come to.
    Of {
        /// The principal's id.
        principal: String,
        #[command(flatten)]
        whose: Whose,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The role's name: 1 to 64 of a-z 0-9 _ -.
    role: String,
    #[command(flatten)]
    whose: Whose,
    /// What it allows, `area:verb` or `*`; may be given several times.
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// A role whose permissions it has too; may be given several times.
    #[arg(long = "inherit", value_name = "ROLE")]
    inherits: Vec<String>,
    /// What it is, for people.
    #[arg(long, default_value = "", value_name = "TEXT")]
    description: String,
    /// The version that is replaced.
    #[arg(long, value_name = "VERSION")]
    expected_version: Option<i64>,
}

const COLUMNS: &[Column] = &[
    ("role", "name"),
    ("version", "version"),
    ("permissions", "permissions"),
    ("inherits", "inherits"),
    ("description", "description"),
];
const GRANTED: &[Column] = &[("roles", "roles"), ("permissions", "permissions")];
const HOLDERS: &[Column] = &[("principal", "principal")];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    match &command {
        Command::List { whose } => {
            let roles = client.send(Ask::get(&whose.path(client, &["roles"])?)).await?;
            output::show(&roles["items"], COLUMNS, json);
        }
        Command::Show { role, whose } => {
            let path = whose.path(client, &["roles", role])?;
            output::show(&client.send(Ask::get(&path)).await?, COLUMNS, json);
        }
        Command::Put(put) => output::show(&put.send(client).await?, COLUMNS, json),
        Command::Delete { role, expected_version, whose } => {
            let mut ask = Ask::new(Method::DELETE, &whose.path(client, &["roles", role])?);
            ask.if_match = Some(*expected_version);
            client.send(ask).await?;
        }
        Command::Give { role, principal, whose } => {
            let path = whose.path(client, &["principals", principal, "roles", role])?;
            client.send(Ask::new(Method::PUT, &path)).await?;
        }
        Command::Take { role, principal, whose } => {
            let path = whose.path(client, &["principals", principal, "roles", role])?;
            client.send(Ask::new(Method::DELETE, &path)).await?;
        }
        Command::Holders { role, whose } => {
            let ids = client.list(&whose.path(client, &["roles", role, "principals"])?, None).await?;
            if json {
                output::document(&ids);
                return Ok(());
            }
            let entries: Vec<Value> =
                ids.as_array().into_iter().flatten().map(|id| json!({ "principal": id })).collect();
            output::show(&Value::Array(entries), HOLDERS, false);
        }
        Command::Of { principal, whose } => {
            let path = whose.path(client, &["principals", principal, "roles"])?;
            output::show(&client.send(Ask::get(&path)).await?, GRANTED, json);
        }
    }
    Ok(())
}

impl Put {
    async fn send(&self, client: &Client) -> Result<Value> {
        let path = self.whose.path(client, &["roles", &self.role])?;
        let mut ask = Ask::new(Method::PUT, &path).body(json!({
            "description": self.description,
            "permissions": self.permissions,
            "inherits": self.inherits,
        }));
        ask.if_match = self.expected_version;
        client.send(ask).await
    }
}
