//! `mcpctl keys …`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Ask, Client},
    failure::{Failure, Result},
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List a tenant's keys, without their secrets.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Create a key; its secret is printed now and never again.
    Create(Create),
    /// Revoke a key; it stops working within a second.
    Revoke {
        /// The key's id, the middle part of its text.
        #[arg(value_name = "KEY")]
        id: String,
        #[command(flatten)]
        whose: Whose,
    },
}

/// Whose keys are meant.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// The tenant, with an operator's key; a tenant's key means its own.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl Whose {
    /// Where the keys are below the API's root.
    fn path(&self, client: &Client) -> Result<Vec<&str>> {
        match (&self.tenant, client.is_operator()) {
            (Some(tenant), true) => Ok(vec!["operator", "tenants", tenant, "keys"]),
            (None, false) => Ok(vec!["keys"]),
            (None, true) => Err(Failure::Usage("an operator names the tenant: --tenant ID".to_owned())),
            (Some(_), false) => {
                Err(Failure::Usage("--tenant takes an operator's key; this one means its own".to_owned()))
            }
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    whose: Whose,
    /// The key's name for people.
    #[arg(long, default_value = "key")]
    name: String,
    /// As whom its holder acts.
    #[arg(long, default_value = "service", value_name = "ID")]
    principal: String,
    /// What its holder may do, `area:verb` or `*`; may be given several times.
    #[arg(long = "permission", value_name = "PERMISSION", required = true)]
    permissions: Vec<String>,
    /// When it ends, as in 2027-01-31T00:00:00Z; without it the key does not end.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

const COLUMNS: &[Column] = &[
    ("key", "id"),
    ("name", "name"),
    ("principal", "principal_id"),
    ("permissions", "permissions"),
    ("created", "created_at"),
    ("expires", "expires_at"),
    ("revoked", "revoked_at"),
];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let answer = match &command {
        Command::List { whose } => client.list(&whose.path(client)?, None).await?,
        Command::Create(new) => return create(new, client, json).await,
        Command::Revoke { id, whose } => {
            let mut path = whose.path(client)?;
            path.push(id);
            client.send(Ask::new(Method::DELETE, &path)).await?
        }
    };
    output::show(&answer, COLUMNS, json);
    Ok(())
}

async fn create(new: &Create, client: &Client, json: bool) -> Result<()> {
    let mut body = json!({ "name": new.name, "principal": new.principal, "permissions": new.permissions });
    if let Some(at) = &new.expires_at {
        body["expires_at"] = at.as_str().into();
    }
    let answer = client.send(Ask::post(&new.whose.path(client)?).body(body)).await?;
    if json {
        output::document(&answer);
        return Ok(());
    }
    let secret = answer.get("secret").and_then(Value::as_str).unwrap_or_default();
    output::text(&format!("{secret}\n"));
    output::note("This is shown once. Send it as `Authorization: Bearer …`.");
    Ok(())
}
