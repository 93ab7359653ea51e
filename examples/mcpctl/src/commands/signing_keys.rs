//! `mcpctl signing-keys …`.

use clap::Subcommand;
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
    /// List a tenant's signing keys, newest first.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Make the next signing key: published at once, it signs after the lead, and what was signed before stays good.
    Rotate {
        #[command(flatten)]
        whose: Whose,
        /// EdDSA, ES256 or RS256; without it what the platform is configured for.
        #[arg(long, value_name = "NAME")]
        algorithm: Option<String>,
        /// Seconds until it signs, 5 to 86400; 600 without it. For a key that has leaked, 5.
        #[arg(long, value_name = "SECONDS")]
        lead: Option<u64>,
    },
    /// Remove a signing key that does not sign, because it leaked: every token that it signed is refused.
    Remove {
        /// The key's name, `kid`.
        #[arg(value_name = "KID")]
        kid: String,
        #[command(flatten)]
        whose: Whose,
    },
}

const COLUMNS: &[Column] = &[
    ("key", "kid"),
    ("algorithm", "algorithm"),
    ("state", "state"),
    ("created", "created_at"),
    ("signs from", "active_from"),
    ("verifies until", "verifies_until"),
];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let answer = match &command {
        Command::List { whose } => client.list(&whose.path(client, &["signing-keys"])?, None).await?,
        Command::Rotate { whose, algorithm, lead } => {
            let mut body = json!({});
            if let Some(name) = algorithm {
                body["algorithm"] = name.as_str().into();
            }
            if let Some(seconds) = lead {
                body["lead_seconds"] = (*seconds).into();
            }
            client.send(Ask::post(&whose.path(client, &["signing-keys"])?).body(body)).await?
        }
        Command::Remove { kid, whose } => {
            client.send(Ask::new(Method::DELETE, &whose.path(client, &["signing-keys", kid])?)).await?
        }
    };
    output::show(&answer, COLUMNS, json);
    Ok(())
}
