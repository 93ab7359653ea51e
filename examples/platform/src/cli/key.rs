//! `mcp-platform key …`.

use std::time::Duration;

use clap::{Args, Subcommand};
use mcp_core::{
    Result,
    scope::{Permission, TenantId},
};
use mcp_tenancy::key::{ApiKey, IssuedKey, KeyId, NewApiKey};
use serde_json::json;

use super::{in_days, operator, output, output::Table};
use crate::{config::Config, platform::Administration};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a key; its text is printed now and never again.
    Create(Create),
    /// List a tenant's keys.
    List {
        /// The tenant's id.
        tenant: TenantId,
    },
    /// Give a key a new secret under the same id; it is printed now and never again.
    Rotate {
        /// The tenant's id.
        tenant: TenantId,
        /// The key's id, the middle part of its text.
        #[arg(value_parser = KeyId::parse)]
        key: KeyId,
        /// Seconds for which the secret before goes on working, 90 days at most.
        #[arg(long, default_value_t = 0, value_name = "SECONDS")]
        overlap: u64,
    },
    /// Revoke a key; it stops working within a second.
    Revoke {
        /// The tenant's id.
        tenant: TenantId,
        /// The key's id, the middle part of its text.
        #[arg(value_parser = KeyId::parse)]
        key: KeyId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The tenant's id.
    tenant: TenantId,
    /// The key's name for people.
    #[arg(long, default_value = "key")]
    name: String,
    /// As whom its holder acts.
    #[arg(long, default_value = "service", value_name = "ID")]
    principal: String,
    /// What its holder may do, `area:verb` or `*`; may be given several times.
    #[arg(long = "permission", default_value = "*", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// Days until it ends; without it the key does not end.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u64).range(1..=3650))]
    expires_days: Option<u64>,
}

impl Create {
    fn into_new(self) -> Result<NewApiKey> {
        let permissions =
            self.permissions.iter().map(|text| Permission::parse(text)).collect::<Result<_>>()?;
        let mut new = NewApiKey::service(self.tenant, self.name, &self.principal, permissions)?;
        new.expires_at = in_days(self.expires_days);
        Ok(new)
    }
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
        Command::Create(create) => {
            show_secret(&tenancy.create_key(&operator("key create")?, create.into_new()?).await?, json)?;
        }
        Command::Rotate { tenant, key, overlap } => {
            let (scope, overlap) = (operator("key rotate")?, Duration::from_secs(overlap));
            show_secret(&tenancy.rotate_key(&scope, &tenant, &key, overlap).await?, json)?;
        }
        Command::List { tenant } => {
            let (scope, mut keys, mut cursor) = (operator("key list")?, Vec::new(), None);
            tenancy.tenant(&scope, &tenant).await?;
            loop {
                let page = tenancy.keys(&scope, &tenant, cursor.as_deref(), 500).await?;
                keys.extend(page.items);
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
            show(&keys, json)?;
        }
        Command::Revoke { tenant, key } => {
            show(&[tenancy.revoke_key(&operator("key revoke")?, &tenant, &key).await?], json)?;
        }
    }
    Ok(())
}

fn show_secret(issued: &IssuedKey, json: bool) -> Result<()> {
    if json {
        return output::json(&json!({ "key": issued.text.expose(), "id": issued.key.id }));
    }
    output::text(&format!("{}\n", issued.text.expose()));
    output::note("This is shown once. Send it as `Authorization: Bearer …`.");
    Ok(())
}

fn show(keys: &[ApiKey], json: bool) -> Result<()> {
    if json {
        return output::json(&keys);
    }
    let mut table =
        Table::new(&["key", "name", "principal", "permissions", "created", "used", "expires", "revoked"]);
    for key in keys {
        let permissions: Vec<&str> = key.permissions.iter().map(Permission::as_str).collect();
        table.row([
            key.id.to_string(),
            key.name.clone(),
            key.principal_id.to_string(),
            permissions.join(" "),
            key.created_at.to_string(),
            output::time(key.last_used_at),
            output::time(key.expires_at),
            output::time(key.revoked_at),
        ]);
    }
    table.print();
    Ok(())
}
