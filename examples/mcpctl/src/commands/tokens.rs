//! `mcpctl tokens …`.

use clap::Subcommand;
use serde_json::json;

use super::whose::Whose;
use crate::{
    client::{Ask, Client},
    failure::Result,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print an access token for the tenant's API key that this is run with; --json prints the refresh token too.
    Grant {
        /// What it shall allow, where that is less than the key does; may be given several times.
        #[arg(long = "permission", value_name = "PERMISSION")]
        permissions: Vec<String>,
        /// Seconds until it ends; what the platform is configured for without it.
        #[arg(long, value_name = "SECONDS")]
        seconds: Option<u64>,
    },
    /// End the lineage of the refresh token that this is run with in place of a key: none of its tokens is redeemed any
    /// more. Access tokens that are out live to their end.
    Logout,
    /// Refuse one token until it expires, on every replica within a second.
    Revoke {
        /// The token's id, its claim `jti`.
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        whose: Whose,
        /// Who issued it, its claim `iss`; the platform itself without it.
        #[arg(long, value_name = "URL", requires = "expires_at")]
        issuer: Option<String>,
        /// When it ends anyway, as in 2027-01-31T00:00:00Z; not needed for the platform's own tokens.
        #[arg(long, value_name = "TIME")]
        expires_at: Option<String>,
    },
    /// Refuse every token of a tenant that was issued until now; its API keys go on working.
    RevokeAll {
        #[command(flatten)]
        whose: Whose,
    },
}

const REVOKED: &[Column] =
    &[("tenant", "tenant"), ("token", "id"), ("issuer", "issuer"), ("kept until", "expires_at")];
const ENDED: &[Column] = &[("tenant", "tenant"), ("issued until", "issued_until")];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    match &command {
        Command::Grant { permissions, seconds } => grant(permissions, *seconds, client, json).await?,
        Command::Logout => {
            let refresh_token = client.refresh_token()?;
            let body = json!({ "refresh_token": refresh_token.expose() });
            client.send(Ask::post(&["auth", "logout"]).body(body)).await?;
            output::note("None of its lineage is good any more.");
        }
        Command::Revoke { id, whose, issuer, expires_at } => {
            let mut body = json!({ "id": id });
            for (name, text) in [("issuer", issuer), ("expires_at", expires_at)] {
                if let Some(text) = text {
                    body[name] = text.as_str().into();
                }
            }
            let ask = Ask::post(&whose.path(client, &["tokens", "revoke"])?);
            output::show(&client.send(ask.body(body)).await?, REVOKED, json);
        }
        Command::RevokeAll { whose } => {
            let ask = Ask::post(&whose.path(client, &["tokens", "revoke-all"])?);
            output::show(&client.send(ask).await?, ENDED, json);
        }
    }
    Ok(())
}

async fn grant(permissions: &[String], seconds: Option<u64>, client: &Client, json: bool) -> Result<()> {
    client.tenant()?;
    let mut body = json!({ "grant_type": "api_key" });
    if !permissions.is_empty() {
        body["permissions"] = permissions.into();
    }
    if let Some(seconds) = seconds {
        body["expires_in"] = seconds.into();
    }
    let answer = client.send(Ask::post(&["auth", "token"]).body(body)).await?;
    if json {
        output::document(&answer);
        return Ok(());
    }
    output::text(&format!("{}\n", answer["access_token"].as_str().unwrap_or_default()));
    let seconds = answer["expires_in"].as_u64().unwrap_or_default();
    output::note(&format!("Good for {seconds} s. Send it as `Authorization: Bearer …`."));
    Ok(())
}
