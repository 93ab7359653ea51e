//! `mcpctl tenants …`.

use std::num::NonZeroU32;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::{
    client::{Ask, Client},
    failure::Result,
    output::{self, Column},
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List all tenants, or those that are asked for.
    List {
        /// Only those with this status: active, suspended, deleting or erased.
        #[arg(long)]
        status: Option<String>,
        /// Only the projects of this organisation.
        #[arg(long, value_name = "TENANT")]
        parent: Option<String>,
    },
    /// Show one tenant.
    Show {
        /// The tenant's id.
        tenant: String,
    },
    /// Create a tenant.
    Create(Box<Create>),
    /// Refuse a tenant's calls and end its streams, within a second on every replica.
    Suspend {
        /// The tenant's id.
        tenant: String,
    },
    /// Let a suspended tenant be used again.
    Resume {
        /// The tenant's id.
        tenant: String,
    },
    /// Delete a tenant and its projects: refused at once, erased after a grace.
    Delete {
        /// The tenant's id.
        tenant: String,
        /// Days until its data is erased; what the platform's configuration says where it is not given.
        #[arg(long, value_name = "DAYS")]
        grace_days: Option<u32>,
    },
    /// Make a deleted tenant what it was, as long as nothing of it is erased.
    Restore {
        /// The tenant's id.
        tenant: String,
    },
    /// Show what was erased of a tenant, step by step.
    Receipt {
        /// The tenant's id.
        tenant: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The tenant's id: 1 to 48 of a-z, 0-9 and inner '-'.
    tenant: String,
    /// Its name for people; the id where it is not given.
    #[arg(long)]
    name: Option<String>,
    /// A feature it has; may be given several times.
    #[arg(long = "feature", value_name = "NAME")]
    features: Vec<String>,
    /// Requests in any minute.
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<NonZeroU32>,
    /// Contexts open at once.
    #[arg(long, value_name = "COUNT")]
    concurrent_contexts: Option<NonZeroU32>,
    /// Its tier, which sets its isolation.
    #[arg(long)]
    tier: Option<String>,
    /// Where its data lives.
    #[arg(long)]
    region: Option<String>,
    /// The organisation whose project it is.
    #[arg(long, value_name = "TENANT")]
    parent: Option<String>,
    /// Its database schema where its tier has isolation `schema`.
    #[arg(long)]
    schema: Option<String>,
    /// Makes trying again safe: the same key with the same tenant creates it once.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Create {
    fn body(&self) -> Value {
        let mut body = json!({
            "id": self.tenant,
            "name": self.name.as_ref().unwrap_or(&self.tenant),
            "features": self.features,
        });
        let limits = [
            ("requests_per_minute", self.requests_per_minute),
            ("concurrent_contexts", self.concurrent_contexts),
        ];
        for (name, count) in limits.into_iter().filter_map(|(name, count)| Some((name, count?))) {
            body["limits"][name] = count.get().into();
        }
        let texts = [
            ("tier", &self.tier),
            ("region", &self.region),
            ("parent", &self.parent),
            ("schema", &self.schema),
        ];
        for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
            body[name] = text.as_str().into();
        }
        body
    }
}

const COLUMNS: &[Column] = &[
    ("tenant", "id"),
    ("name", "name"),
    ("status", "status"),
    ("parent", "parent"),
    ("tier", "tier"),
    ("region", "region"),
    ("requests/min", "limits.requests_per_minute"),
    ("features", "features"),
];

const STEPS: &[Column] = &[("step", "name"), ("finished", "finished_at"), ("erased", "erased.counts")];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let answer = match &command {
        Command::List { status, parent } => {
            let query = [("status", status.as_deref()), ("parent", parent.as_deref())];
            client.list_where(&[client.operator()?, "tenants"], &query, None).await?
        }
        Command::Show { tenant } if client.is_operator() => {
            client.send(Ask::get(&["operator", "tenants", tenant])).await?
        }
        Command::Show { tenant } => client.send(Ask::get(&["tenants", tenant])).await?,
        Command::Create(create) => {
            let mut ask = Ask::post(&[client.operator()?, "tenants"]).body(create.body());
            ask.idempotency_key.clone_from(&create.idempotency_key);
            client.send(ask).await?
        }
        Command::Suspend { tenant } => change(client, tenant, "suspend").await?,
        Command::Resume { tenant } => change(client, tenant, "resume").await?,
        Command::Delete { tenant, grace_days } => {
            let ask = Ask::new(Method::DELETE, &[client.operator()?, "tenants", tenant]);
            client.send(ask.query("grace_days", *grace_days)).await?
        }
        Command::Restore { tenant } => change(client, tenant, "restore").await?,
        Command::Receipt { tenant } => {
            let receipt = client.send(Ask::get(&[client.operator()?, "tenants", tenant, "receipt"])).await?;
            let shown = if json { &receipt } else { &receipt["steps"] };
            output::show(shown, STEPS, json);
            return Ok(());
        }
    };
    output::show(&answer, COLUMNS, json);
    Ok(())
}

async fn change(client: &Client, tenant: &str, verb: &str) -> Result<Value> {
    client.send(Ask::post(&[client.operator()?, "tenants", tenant, verb])).await
}
