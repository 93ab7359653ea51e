//! `mcpctl quotas …`.

use clap::{Args, Subcommand, ValueEnum};
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
    /// List quotas: a tenant's with an operator's key; else those that apply to the key's holder, and what was
    /// used of them.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Show what was used in the day and month that run: of a tenant's quotas with an operator's key, else of those that
    /// apply to the key's holder.
    Usage {
        #[command(flatten)]
        whose: Whose,
        /// Show the quotas of this principal too, with an operator's key.
        #[arg(long, value_name = "ID")]
        principal: Option<String>,
    },
    /// Set a quota, or another amount of one.
    Set {
        #[command(flatten)]
        which: Which,
        /// How much may be used in the period; 0 allows nothing.
        amount: u64,
    },
    /// Remove a quota.
    Remove {
        #[command(flatten)]
        which: Which,
    },
    /// Forget all that a tenant has used.
    Reset {
        /// The tenant.
        #[arg(long, value_name = "TENANT")]
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The tenant.
    #[arg(long, value_name = "TENANT")]
    tenant: String,
    /// Whose use it counts: `tenant`, `each_principal` or `principal/ID`.
    #[arg(long, default_value = "tenant")]
    subject: String,
    /// What it counts, as in `tools.calls`.
    #[arg(long)]
    meter: String,
    /// The time after which it begins anew, in UTC.
    #[arg(long, value_enum)]
    period: Period,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Period {
    /// A day.
    Day,
    /// A month.
    Month,
}

impl Period {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }
}

const LIMITS: &[Column] =
    &[("subject", "subject"), ("meter", "meter"), ("period", "period"), ("amount", "amount")];
const USAGE: &[Column] = &[
    ("subject", "subject"),
    ("meter", "meter"),
    ("period", "window.period"),
    ("used", "used"),
    ("limit", "limit"),
    ("until", "window.end"),
];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    match &command {
        Command::List { whose } => {
            let columns = if client.is_operator() { LIMITS } else { USAGE };
            let path = whose.path(client, &["quotas"])?;
            output::show(&client.send(Ask::get(&path)).await?["items"], columns, json);
        }
        Command::Usage { whose, principal } => {
            let root = if client.is_operator() { "usage" } else { "quotas" };
            if principal.is_some() {
                client.operator()?;
            }
            let ask = Ask::get(&whose.path(client, &[root])?).query("principal", principal.as_ref());
            output::show(&client.send(ask).await?["items"], USAGE, json);
        }
        Command::Set { which, amount } => {
            let body = json!({
                "subject": which.subject,
                "meter": which.meter,
                "period": which.period.as_str(),
                "amount": amount,
            });
            let path = [client.operator()?, "tenants", &which.tenant, "quotas"];
            output::show(&client.send(Ask::new(Method::PUT, &path).body(body)).await?, LIMITS, json);
        }
        Command::Remove { which } => {
            let ask = Ask::new(Method::DELETE, &[client.operator()?, "tenants", &which.tenant, "quotas"])
                .query("subject", Some(&which.subject))
                .query("meter", Some(&which.meter))
                .query("period", Some(which.period.as_str()));
            client.send(ask).await?;
        }
        Command::Reset { tenant } => {
            client.send(Ask::post(&[client.operator()?, "tenants", tenant, "quotas", "reset"])).await?;
        }
    }
    Ok(())
}
