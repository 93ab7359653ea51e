//! `mcp-platform token …`.

use std::time::Duration;

use clap::Subcommand;
use mcp_core::{
    Result,
    scope::{Permission, Principal, PrincipalId, PrincipalKind, TenantId},
};
use serde_json::json;

use super::{operator, output};
use crate::{config::Config, platform::Administration};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Issue a token for a user of a tenant.
    Issue {
        /// The tenant's id.
        tenant: TenantId,
        /// The user's id.
        #[arg(long, default_value = "operator", value_name = "ID")]
        user: PrincipalId,
        /// What the user may do, `area:verb` or `*`; may be given several times.
        #[arg(long = "permission", default_value = "*", value_name = "PERMISSION")]
        permissions: Vec<String>,
        /// Seconds until it ends; `auth.token_seconds` where it is not given.
        #[arg(long)]
        seconds: Option<u64>,
    },
}

pub(crate) async fn run(command: Command, config: &Config, json: bool) -> Result<()> {
    let administration = Administration::open(config).await?;
    let done = apply(command, &administration, config, json).await;
    administration.close().await;
    done
}

async fn apply(command: Command, administration: &Administration, config: &Config, json: bool) -> Result<()> {
    let Command::Issue { tenant, user, permissions, seconds } = command;
    let permissions = permissions.iter().map(|text| Permission::parse(text)).collect::<Result<_>>()?;
    let principal = Principal { id: user, kind: PrincipalKind::User, permissions };
    let lifetime = Duration::from_secs(seconds.unwrap_or(config.auth.token_seconds));
    let scope = operator("token issue")?;
    let issued = administration.tenancy().issue_token(&scope, &tenant, &principal, lifetime).await?;
    if json {
        return output::json(&json!({
            "access_token": issued.token.expose(),
            "token_type": "Bearer",
            "expires_in": lifetime.as_secs(),
            "tenant_id": tenant,
            "user_id": principal.id,
            "permissions": principal.permissions,
        }));
    }
    output::text(&format!("{}\n", issued.token.expose()));
    output::note(&format!("Good until {}. Send it as `Authorization: Bearer …`.", issued.expires_at));
    Ok(())
}
