//! `mcpctl roles …`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Ask, Client},
    failure::Result,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the tenant's roles.
    List,
    /// Show one role.
    Show {
        /// The role's name.
        role: String,
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
    },
    /// Give a role to a principal.
    Give {
        /// The role's name.
        role: String,
        /// The principal's id.
        principal: String,
    },
    /// Take a role from a principal.
    Take {
        /// The role's name.
        role: String,
        /// The principal's id.
        principal: String,
    },
    /// List the principals who were given a role.
    Holders {
        /// The role's name.
        role: String,
    },
    /// Show what a principal's roles come to.
    Of {
        /// The principal's id.
        principal: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The role's name: 1 to 64 of a-z 0-9 _ -.
    role: String,
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
    client.tenant()?;
    match &command {
        Command::List => {
            let roles = client.send(Ask::get(&["roles"])).await?;
            output::show(&roles["items"], COLUMNS, json);
        }
        Command::Show { role } => {
            output::show(&client.send(Ask::get(&["roles", role])).await?, COLUMNS, json);
        }
        Command::Put(put) => output::show(&put.send(client).await?, COLUMNS, json),
        Command::Delete { role, expected_version } => {
            let mut ask = Ask::new(Method::DELETE, &["roles", role]);
            ask.if_match = Some(*expected_version);
            client.send(ask).await?;
        }
        Command::Give { role, principal } => change(client, Method::PUT, principal, role).await?,
        Command::Take { role, principal } => change(client, Method::DELETE, principal, role).await?,
        Command::Holders { role } => {
            let ids = client.list(&["roles", role, "principals"], None).await?;
            if json {
                output::document(&ids);
                return Ok(());
            }
            let entries: Vec<Value> =
                ids.as_array().into_iter().flatten().map(|id| json!({ "principal": id })).collect();
            output::show(&Value::Array(entries), HOLDERS, false);
        }
        Command::Of { principal } => {
            output::show(&client.send(Ask::get(&["principals", principal, "roles"])).await?, GRANTED, json);
        }
    }
    Ok(())
}

impl Put {
    async fn send(&self, client: &Client) -> Result<Value> {
        let mut ask = Ask::new(Method::PUT, &["roles", &self.role]).body(json!({
            "description": self.description,
            "permissions": self.permissions,
            "inherits": self.inherits,
        }));
        ask.if_match = self.expected_version;
        client.send(ask).await
    }
}

async fn change(client: &Client, method: Method, principal: &str, role: &str) -> Result<()> {
    client.send(Ask::new(method, &["principals", principal, "roles", role])).await.map(drop)
}
