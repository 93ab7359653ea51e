//! `mcp-platform operator-key …`.

use clap::{Args, Subcommand};
use mcp_core::{Result, scope::PrincipalId};
use mcp_tenancy::{
    key::KeyId,
    operator::{NewOperatorKey, OperatorKey},
};
use serde_json::json;

use super::{in_days, operator, output, output::Table};
use crate::{config::Config, platform::Administration};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create an operator key; its text is printed now and never again.
    Create(Create),
    /// List all operator keys.
    List,
    /// Revoke an operator key; it stops working within a second.
    Revoke {
        /// The key's id, the middle part of its text.
        #[arg(value_parser = KeyId::parse)]
        key: KeyId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The key's name for people.
    #[arg(long, default_value = "operator")]
    name: String,
    /// As whom its holder acts; the actor in audit records.
    #[arg(long, default_value = "operator", value_name = "ID")]
    principal: PrincipalId,
    /// Days until it ends; without it the key does not end.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3650))]
    expires_days: Option<u64>,
}

pub(crate) async fn run(command: Command, config: &Config, json: bool) -> Result<()> {
    let administration = Administration::open(config).await?;
    let done = apply(command, &administration, json).await;
    administration.close().await;
    done
}

async fn apply(command: Command, administration: &Administration, json: bool) -> Result<()> {
    let tenancy = administration.tenancy();
    match command {
        Command::Create(Create { name, principal, expires_days }) => {
            let new =
                NewOperatorKey { expires_at: in_days(expires_days), ..NewOperatorKey::new(name, principal) };
            let issued = tenancy.create_operator_key(&operator("operator-key create")?, new).await?;
            if json {
                return output::json(&json!({ "key": issued.text.expose(), "id": issued.key.id }));
            }
            output::text(&format!("{}\n", issued.text.expose()));
            output::note("This is shown once. It reaches /api/v1/operator and every tenant through it.");
        }
        Command::List => {
            let (scope, mut keys, mut cursor) = (operator("operator-key list")?, Vec::new(), None);
            loop {
                let page = tenancy.operator_keys(&scope, cursor.as_deref(), 500).await?;
                keys.extend(page.items);
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            show(&keys, json)?;
        }
        Command::Revoke { key } => {
            show(&[tenancy.revoke_operator_key(&operator("operator-key revoke")?, &key).await?], json)?;
        }
    }
    Ok(())
}

fn show(keys: &[OperatorKey], json: bool) -> Result<()> {
    if json {
        return output::json(&keys);
    }
    let mut table = Table::new(&["key", "name", "principal", "created", "expires", "revoked"]);
    for key in keys {
        table.row([
            key.id.to_string(),
            key.name.clone(),
            key.principal_id.to_string(),
            key.created_at.to_string(),
            output::time(key.expires_at),
            output::time(key.revoked_at),
        ]);
    }
    table.print();
    Ok(())
}
