//! `mcp-platform token …`.

use std::time::Duration;

use clap::Subcommand;
use mcp_core::{
    Result,
    clock::{Clock as _, SystemClock},
    scope::{Permission, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::revocation::DeniedToken;
use serde_json::{Value, json};

use super::{operator, output};
use crate::{
    config::Config,
    platform::{Administration, tokens},
};

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
    /// Refuse one token that the platform issued, on every replica within a second.
    Revoke {
        /// The tenant's id.
        tenant: TenantId,
        /// The token's id, its claim `jti`.
        id: String,
    },
    /// Refuse every token of a tenant that was issued until now; its API keys go on working.
    RevokeAll {
        /// The tenant's id.
        tenant: TenantId,
    },
}

pub(crate) async fn run(command: Command, config: &Config, json: bool) -> Result<()> {
    let administration = Administration::open(config).await?;
    let done = apply(command, &administration, config, json).await;
    administration.close().await;
    done
}

async fn apply(command: Command, administration: &Administration, config: &Config, json: bool) -> Result<()> {
    let tenancy = administration.tenancy();
    let (tenant, user, permissions, seconds) = match command {
        Command::Issue { tenant, user, permissions, seconds } => (tenant, user, permissions, seconds),
        Command::Revoke { tenant, id } => {
            let tokens = tokens(config);
            let (issuer, expires_at) =
                (tokens.issuer_of(&tenant), SystemClock.now().after(tokens.max_lifetime));
            let token = DeniedToken { tenant, issuer, id, expires_at };
            tenancy.revoke_token(&operator("token revoke")?, token.clone()).await?;
            return say(
                json,
                &format!("The token {} is refused.", token.id),
                &json!({ "revoked": token.id }),
            );
        }
        Command::RevokeAll { tenant } => {
            tenancy.end_tokens(&operator("token revoke-all")?, &tenant).await?;
            let said = format!("Every token of {tenant} that was issued until now is refused.");
            return say(json, &said, &json!({ "revoked_all_of": tenant }));
        }
    };
    let permissions = permissions.iter().map(|text| Permission::parse(text)).collect::<Result<_>>()?;
    let principal = Principal { id: user, kind: PrincipalKind::User, permissions };
    let lifetime = Duration::from_secs(seconds.unwrap_or(config.auth.token_seconds));
    let scope = operator("token issue")?;
    let issued = tenancy.issue_token(&scope, &tenant, &principal, lifetime).await?;
    if json {
        return output::json(&json!({
            "access_token": issued.token.expose(),
            "token_type": "Bearer",
            "expires_in": lifetime.as_secs(),
            "token_id": issued.id,
            "tenant_id": tenant,
            "user_id": principal.id,
            "permissions": principal.permissions,
        }));
    }
    output::text(&format!("{}\n", issued.token.expose()));
    output::note(&format!("Good until {}. Send it as `Authorization: Bearer …`.", issued.expires_at));
    Ok(())
}

fn say(json: bool, text: &str, value: &Value) -> Result<()> {
    if json {
        return output::json(value);
    }
    output::text(&format!("{text}\n"));
    Ok(())
}
