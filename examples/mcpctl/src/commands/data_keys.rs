//! `mcpctl data-keys …`.

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    client::{Ask, Client},
    failure::{Failure, Result},
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show how the vault does, and what the data keys of tenants are wrapped by.
    Show,
    /// Wrap the data keys of all tenants by the vault's current key.
    Rewrap,
    /// Give a tenant a new data key; what earlier ones sealed still opens.
    Rotate {
        /// The tenant's id.
        tenant: String,
    },
}

const VAULT: &[Column] = &[("vault", "state"), ("since", "since"), ("failure", "failure")];
const WRAPPING: &[Column] = &[("wrapping key", "name"), ("data keys", "data_keys")];
const REWRAPPED: &[Column] = &[("tenants", "tenants"), ("rewrapped", "rewrapped"), ("failed", "failed")];
const VERSION: &[Column] = &[("version", "version")];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let operator = client.operator()?;
    match &command {
        Command::Show => {
            let shown = client.send(Ask::get(&[operator, "data-keys"])).await?;
            if json {
                output::document(&shown);
                return Ok(());
            }
            output::show(&shown["vault"], VAULT, false);
            output::text("\n");
            output::show(&shown["wrapping_keys"], WRAPPING, false);
        }
        Command::Rewrap => output::show(&rewrap(client, operator).await?, REWRAPPED, json),
        Command::Rotate { tenant } => {
            let answer =
                client.send(Ask::post(&[operator, "tenants", tenant, "data-keys", "rotate"])).await?;
            output::show(&answer, VERSION, json);
        }
    }
    Ok(())
}

/// All tenants, a batch at a time.
async fn rewrap(client: &Client, operator: &'static str) -> Result<Value> {
    let (mut tenants, mut rewrapped, mut failed) = (0, 0, Vec::new());
    let mut after = None::<String>;
    loop {
        let ask = Ask::post(&[operator, "data-keys", "rewrap"]).query("after", after.as_deref());
        let batch = client.send(ask).await?;
        let count = |name: &str| {
            let nonsense = || Failure::Unexpected(format!("the platform answered without `{name}`"));
            batch[name].as_u64().ok_or_else(nonsense)
        };
        tenants += count("tenants")?;
        rewrapped += count("rewrapped")?;
        failed.extend(batch["failed"].as_array().into_iter().flatten().cloned());
        after = batch["next"].as_str().map(str::to_owned);
        if after.is_none() {
            return Ok(json!({ "tenants": tenants, "rewrapped": rewrapped, "failed": failed }));
        }
    }
}
