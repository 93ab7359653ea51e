//! `mcpctl keys …`.

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
    /// List a tenant's keys, without their secrets.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Create a key; its secret is printed now and never again.
    Create(Create),
    /// Give a key a new secret under the same id; it is printed now and never again.
    Rotate {
        /// The key's id, the middle part of its text.
        #[arg(value_name = "KEY")]
        id: String,
        #[command(flatten)]
        whose: Whose,
        /// Seconds for which the secret before goes on working, 90 days at most.
        #[arg(long, default_value_t = 0, value_name = "SECONDS")]
        overlap: u64,
    },
    /// Revoke a key; it stops working within a second.
    Revoke {
        /// The key's id, the middle part of its text.
        #[arg(value_name = "KEY")]
        id: String,
        #[command(flatten)]
        whose: Whose,
    },
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
    ("used", "last_used_at"),
    ("expires", "expires_at"),
    ("revoked", "revoked_at"),
];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let answer = match &command {
        Command::List { whose } => client.list(&whose.path(client, &["keys"])?, None).await?,
        Command::Create(new) => return create(new, client, json).await,
        Command::Rotate { id, whose, overlap } => {
            let ask = Ask::post(&whose.path(client, &["keys", id, "rotate"])?);
            let answer = client.send(ask.body(json!({ "overlap_seconds": overlap }))).await?;
            show_secret(&answer, json);
            return Ok(());
        }
        Command::Revoke { id, whose } => {
            client.send(Ask::new(Method::DELETE, &whose.path(client, &["keys", id])?)).await?
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
    let answer = client.send(Ask::post(&new.whose.path(client, &["keys"])?).body(body)).await?;
    show_secret(&answer, json);
    Ok(())
}

fn show_secret(answer: &Value, json: bool) {
    if json {
        return output::document(answer);
    }
    let secret = answer.get("secret").and_then(Value::as_str).unwrap_or_default();
    output::text(&format!("{secret}\n"));
    output::note("This is shown once. Send it as `Authorization: Bearer …`.");
}
