//! `mcp-platform tenant …`.

use std::{num::NonZeroU32, time::Duration};

use clap::{Args, Subcommand};
use mcp_core::{Result, scope::TenantId};
use mcp_tenancy::tenant::{Name, NewTenant, SchemaName, Tenant};

use super::{operator, output, output::Table};
use crate::{config::Config, platform::Administration};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a tenant.
    Create(Box<Create>),
    /// List all tenants.
    List,
    /// Show one tenant.
    Show {
        /// The tenant's id.
        tenant: TenantId,
    },
    /// Refuse a tenant's calls and end its streams, within a second on every replica.
    Suspend {
        /// The tenant's id.
        tenant: TenantId,
    },
    /// Let a suspended tenant be used again.
    Resume {
        /// The tenant's id.
        tenant: TenantId,
    },
    /// Delete a tenant and its projects: refused at once, erased by the servers after a grace.
    Delete {
        /// The tenant's id.
        tenant: TenantId,
        /// Days until its data is erased; tenants.grace_days where it is not given.
        #[arg(long, value_name = "DAYS")]
        grace_days: Option<u32>,
    },
    /// Make a deleted tenant what it was, as long as nothing of it is erased.
    Restore {
        /// The tenant's id.
        tenant: TenantId,
    },
    /// Show what was erased of a tenant, as JSON.
    Receipt {
        /// The tenant's id.
        tenant: TenantId,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The tenant's id: 1 to 48 of a-z, 0-9 and inner '-'.
    tenant: TenantId,
    /// Its name for people; the id where it is not given.
    #[arg(long)]
    name: Option<String>,
    /// A feature it has; may be given several times.
    #[arg(long = "feature", value_name = "NAME", value_parser = Name::parse)]
    features: Vec<Name>,
    /// Requests in any minute.
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<NonZeroU32>,
    /// Contexts open at once.
    #[arg(long, value_name = "COUNT")]
    concurrent_contexts: Option<NonZeroU32>,
    /// Its tier, which sets its isolation.
    #[arg(long, value_parser = Name::parse)]
    tier: Option<Name>,
    /// Where its data lives.
    #[arg(long, value_parser = Name::parse)]
    region: Option<Name>,
    /// The organisation whose project it is.
    #[arg(long, value_name = "TENANT")]
    parent: Option<TenantId>,
    /// Its database schema where its tier has isolation `schema`.
    #[arg(long, value_parser = SchemaName::parse)]
    schema: Option<SchemaName>,
    /// Makes trying again safe: the same key with the same tenant creates it once.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

impl Create {
    fn into_new(self) -> NewTenant {
        let name = self.name.unwrap_or_else(|| self.tenant.to_string());
        let mut new = NewTenant::new(self.tenant, name);
        let profile = &mut new.profile;
        profile.features = self.features.into_iter().collect();
        profile.limits.requests_per_minute =
            self.requests_per_minute.unwrap_or(profile.limits.requests_per_minute);
        profile.limits.concurrent_contexts =
            self.concurrent_contexts.unwrap_or(profile.limits.concurrent_contexts);
        profile.tier = self.tier.unwrap_or_else(|| profile.tier.clone());
        profile.region = self.region.unwrap_or_else(|| profile.region.clone());
        new.schema = self.schema.unwrap_or(new.schema);
        new.parent = self.parent;
        new.idempotency_key = self.idempotency_key;
        new
    }
}

pub(crate) async fn run(command: Command, config: &Config, json: bool) -> Result<()> {
    let administration = Administration::open(config).await?;
    let done = apply(command, &administration, config, json).await;
    administration.close().await;
    done
}

async fn apply(command: Command, administration: &Administration, config: &Config, json: bool) -> Result<()> {
    let tenancy = administration.tenancy();
    let tenants = match command {
        Command::Create(create) => {
            vec![tenancy.create_tenant(&operator("tenant create")?, create.into_new()).await?]
        }
        Command::List => return list(administration, json).await,
        Command::Show { tenant } => vec![tenancy.tenant(&operator("tenant show")?, &tenant).await?],
        Command::Suspend { tenant } => {
            vec![tenancy.suspend_tenant(&operator("tenant suspend")?, &tenant).await?]
        }
        Command::Resume { tenant } => {
            vec![tenancy.resume_tenant(&operator("tenant resume")?, &tenant).await?]
        }
        Command::Delete { tenant, grace_days } => {
            let days = u64::from(grace_days.unwrap_or(config.tenants.grace_days));
            let grace = Duration::from_secs(days * 24 * 3600);
            vec![tenancy.delete_tenant(&operator("tenant delete")?, &tenant, grace).await?]
        }
        Command::Restore { tenant } => {
            vec![tenancy.restore_tenant(&operator("tenant restore")?, &tenant).await?]
        }
        Command::Receipt { tenant } => {
            return output::json(&tenancy.erasure_receipt(&operator("tenant receipt")?, &tenant).await?);
        }
    };
    if json {
        return tenants.iter().try_for_each(output::json);
    }
    table(&tenants).print();
    Ok(())
}

async fn list(administration: &Administration, json: bool) -> Result<()> {
    let scope = operator("tenant list")?;
    let (mut tenants, mut cursor) = (Vec::new(), None);
    loop {
        let page = administration.tenancy().tenants(&scope, cursor.as_deref(), 500).await?;
        tenants.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if json {
        return output::json(&tenants);
    }
    table(&tenants).print();
    Ok(())
}

fn table(tenants: &[Tenant]) -> Table {
    let mut table = Table::new(&["tenant", "name", "status", "tier", "region", "requests/min", "features"]);
    for tenant in tenants {
        let profile = &tenant.profile;
        let features: Vec<&str> = profile.features.iter().map(Name::as_str).collect();
        table.row([
            tenant.id.to_string(),
            profile.name.clone(),
            tenant.status.as_str().to_owned(),
            profile.tier.to_string(),
            profile.region.to_string(),
            profile.limits.requests_per_minute.to_string(),
            features.join(", "),
        ]);
    }
    table
}
