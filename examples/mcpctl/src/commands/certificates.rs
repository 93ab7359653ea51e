//! `mcpctl certificates …`.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::json;

use super::whose::Whose;
use crate::{
    client::{Ask, Client},
    failure::Result,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the client certificates that are registered for a tenant.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Register the client certificates with a subject for a principal of a tenant; takes an operator's key.
    Register(Register),
    /// End a registration: requests with those certificates are refused within a second; takes an operator's key.
    Revoke {
        /// The registration's id.
        #[arg(value_name = "ID")]
        id: String,
        /// The tenant's id.
        #[arg(long, value_name = "TENANT")]
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Register {
    /// Which certificates: spiffe://domain/path, dns:host.example, or spki: and the SHA-256 of the public key in hex.
    subject: String,
    /// The tenant's id.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// The registration's name for people.
    #[arg(long, default_value = "certificate")]
    name: String,
    /// As whom its holder acts.
    #[arg(long, default_value = "service", value_name = "ID")]
    principal: String,
    /// What its holder may do, `area:verb` or `*`; may be given several times.
    #[arg(long = "permission", value_name = "PERMISSION", required = true)]
    permissions: Vec<String>,
    /// When it ends, as in 2027-01-31T00:00:00Z; without it the registration does not end.
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

const COLUMNS: &[Column] = &[
    ("id", "id"),
    ("name", "name"),
    ("subject", "subject"),
    ("principal", "principal_id"),
    ("permissions", "permissions"),
    ("created", "created_at"),
    ("expires", "expires_at"),
];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let answer = match &command {
        Command::List { whose } => client.list(&whose.path(client, &["certificates"])?, None).await?,
        Command::Register(new) => {
            let mut body = json!({
                "subject": new.subject, "name": new.name, "principal": new.principal,
                "permissions": new.permissions,
            });
            if let Some(at) = &new.expires_at {
                body["expires_at"] = at.as_str().into();
            }
            let ask = Ask::post(&[client.operator()?, "tenants", &new.tenant, "certificates"]);
            client.send(ask.body(body)).await?
        }
        Command::Revoke { id, tenant } => {
            let path = [client.operator()?, "tenants", tenant, "certificates", id];
            client.send(Ask::new(Method::DELETE, &path)).await?
        }
    };
    output::show(&answer, COLUMNS, json);
    Ok(())
}
