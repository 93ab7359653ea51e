//! The database product, chosen by configuration; the rest of the platform sees traits.

use std::{sync::Arc, time::Duration};

use mcp_automation::release::{PostgresReleaseStore, ReleaseStore, SqliteReleaseStore};
use mcp_context::{
    context::{ContextLimits, ContextStore, PostgresContextStore, SqliteContextStore},
    memory::{MemoryStore, PostgresMemoryStore, SqliteMemoryStore},
};
use mcp_core::{
    Error, PlatformScope, Result,
    audit::{AuditStore, DenialLog, PgAudit, SqliteAudit},
    clock::SystemClock,
    event::{EventFeed, OutboxStore, PgOutbox, SqliteOutbox},
    key::{DataKeyStore, MasterKey, PostgresDataKeyStore, Secret, SqliteDataKeyStore},
    lease::{Leases, PgLeases, SqliteLeases},
    sql::{
        IsolationMode, Migrations,
        postgres::{PgConfig, PgEraser, PgKernel, PgRegion},
        sqlite::{SqliteConfig, SqliteEraser, SqliteKernel},
    },
};
use mcp_tenancy::{
    TenancyDeps,
    policy::AuthorizationDeps,
    tenant::{Name, PostgresTenantStore, Regions, SqliteTenantStore, TierModes},
    token::TokenConfig,
};

use crate::config::{self, Backend, Config, Isolation};

/// What the crates of the platform store, on either database.
const SQLITE_MIGRATIONS: &[Migrations] =
    &[mcp_tenancy::SQLITE_MIGRATIONS, mcp_context::SQLITE_MIGRATIONS, mcp_automation::SQLITE_MIGRATIONS];
const POSTGRES_MIGRATIONS: &[Migrations] = &[
    mcp_tenancy::POSTGRES_MIGRATIONS,
    mcp_context::POSTGRES_MIGRATIONS,
    mcp_automation::POSTGRES_MIGRATIONS,
];

/// An open database.
#[derive(Debug)]
pub(super) struct Database {
    kernel: Kernel,
    modes: TierModes,
    regions: Regions,
    /// How long an erasure waits for replicas that have not heard of it.
    settle: Duration,
}

#[derive(Debug)]
enum Kernel {
    Sqlite(SqliteKernel),
    Postgres(PgKernel),
}

impl Database {
    /// Opens the database; an embedded one is made where there is none.
    pub(super) async fn open(config: &Config) -> Result<Self> {
        let (modes, regions) = (tier_modes(config)?, regions(&config.tenants)?);
        let clock = Arc::new(SystemClock);
        let kernel = match config.database.backend {
            Backend::Sqlite => {
                let mut settings = SqliteConfig::new(&config.data.dir);
                settings.modes = modes.modes();
                settings.regions = config.tenants.region_directories.clone();
                Kernel::Sqlite(SqliteKernel::open(settings, SQLITE_MIGRATIONS, clock).await?)
            }
            Backend::Postgres => {
                let settings = postgres(config, &modes);
                let connected = PgKernel::connect(settings, POSTGRES_MIGRATIONS, clock).await;
                Kernel::Postgres(connected.map_err(say_migrate)?)
            }
        };
        let settle = Duration::from_secs(config.tenants.settle_seconds);
        Ok(Self { kernel, modes, regions, settle })
    }

    /// Makes or updates the tables above tenants, then every tenant's; returns how many tenants there are.
    pub(super) async fn migrate(config: &Config, scope: &PlatformScope) -> Result<u64> {
        if config.database.backend == Backend::Postgres {
            let settings = postgres(config, &tier_modes(config)?);
            PgKernel::install(&settings, POSTGRES_MIGRATIONS).await?;
        }
        let database = Self::open(config).await?;
        let migrated = match &database.kernel {
            Kernel::Sqlite(kernel) => kernel.migrate(scope).await,
            Kernel::Postgres(kernel) => kernel.migrate(scope).await,
        };
        database.close().await;
        migrated
    }

    /// The stores of tenants, keys and signing keys.
    pub(super) fn tenancy(&self, tokens: TokenConfig, master: MasterKey) -> TenancyDeps {
        let (modes, regions) = (self.modes.clone(), self.regions.clone());
        let mut deps = match &self.kernel {
            Kernel::Sqlite(kernel) => {
                let tenants = SqliteTenantStore::new(kernel.clone(), modes.clone());
                TenancyDeps {
                    tenants: Arc::new(tenants.with_regions(regions.clone())),
                    erasers: vec![Arc::new(SqliteEraser::new(kernel.clone(), self.settle))],
                    ..TenancyDeps::sqlite(kernel, modes, master, tokens)
                }
            }
            Kernel::Postgres(kernel) => {
                let tenants = PostgresTenantStore::new(kernel.clone(), modes.clone());
                TenancyDeps {
                    tenants: Arc::new(tenants.with_regions(regions.clone())),
                    erasers: vec![Arc::new(PgEraser::new(kernel.clone(), self.settle))],
                    ..TenancyDeps::postgres(kernel, modes, master, tokens)
                }
            }
        };
        deps.regions = regions;
        deps
    }

    /// The store of tenants' data keys.
    pub(super) fn data_keys(&self) -> Arc<dyn DataKeyStore> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => Arc::new(SqliteDataKeyStore::new(kernel.clone())),
            Kernel::Postgres(kernel) => Arc::new(PostgresDataKeyStore::new(kernel.clone())),
        }
    }

    /// The stores of roles and policies.
    pub(super) fn authorization(&self, denials: Arc<dyn DenialLog>) -> Result<AuthorizationDeps> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => AuthorizationDeps::sqlite(kernel, denials),
            Kernel::Postgres(kernel) => AuthorizationDeps::postgres(kernel, denials),
        }
    }

    /// The store of added servers; their environments are sealed under `master`.
    pub(super) fn releases(&self, master: MasterKey) -> Arc<dyn ReleaseStore> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => Arc::new(SqliteReleaseStore::new(kernel.clone(), master)),
            Kernel::Postgres(kernel) => Arc::new(PostgresReleaseStore::new(kernel.clone(), master)),
        }
    }

    /// The audit log's store.
    pub(super) fn audit(&self) -> Arc<dyn AuditStore> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => Arc::new(SqliteAudit::new(kernel.clone())),
            Kernel::Postgres(kernel) => Arc::new(PgAudit::new(kernel.clone())),
        }
    }

    /// The leases that make one replica of many do what only one may.
    pub(super) fn leases(&self) -> Arc<dyn Leases> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => Arc::new(SqliteLeases::new(kernel.clone())),
            Kernel::Postgres(kernel) => Arc::new(PgLeases::new(kernel.clone())),
        }
    }

    /// The outboxes, as the relay sees them.
    pub(super) fn outbox(&self) -> Arc<dyn OutboxStore> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => Arc::new(SqliteOutbox::new(kernel.clone())),
            Kernel::Postgres(kernel) => Arc::new(PgOutbox::new(kernel.clone())),
        }
    }

    /// The published events, as tenants see them.
    pub(super) fn feed(&self) -> Arc<dyn EventFeed> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => Arc::new(SqliteOutbox::new(kernel.clone())),
            Kernel::Postgres(kernel) => Arc::new(PgOutbox::new(kernel.clone())),
        }
    }

    /// The store of contexts.
    pub(super) fn contexts(&self, limits: ContextLimits) -> Arc<dyn ContextStore> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => Arc::new(SqliteContextStore::new(kernel.clone(), limits)),
            Kernel::Postgres(kernel) => Arc::new(PostgresContextStore::new(kernel.clone(), limits)),
        }
    }

    /// The store of memories.
    pub(super) fn memories(&self) -> Arc<dyn MemoryStore> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => Arc::new(SqliteMemoryStore::new(kernel.clone())),
            Kernel::Postgres(kernel) => Arc::new(PostgresMemoryStore::new(kernel.clone())),
        }
    }

    /// Asks the database for anything at all.
    pub(super) async fn ping(&self, scope: &PlatformScope) -> Result<()> {
        match &self.kernel {
            Kernel::Sqlite(kernel) => kernel.control_read(scope).await.map(drop),
            Kernel::Postgres(kernel) => kernel.control_read(scope).await.map(drop),
        }
    }

    pub(super) async fn close(&self) {
        match &self.kernel {
            Kernel::Sqlite(kernel) => kernel.close().await,
            Kernel::Postgres(kernel) => kernel.close().await,
        }
    }
}

fn postgres(config: &Config, modes: &TierModes) -> PgConfig {
    let database = &config.database;
    let url = |text: &str| Some(Secret::new(text.to_owned())).filter(|_| !text.is_empty());
    let region = |region: &config::RegionDatabase| PgRegion {
        app: Secret::new(region.url.clone()),
        owner: url(&region.owner_url),
        relay: url(&region.relay_url).or_else(|| url(&region.owner_url)),
    };
    let mut settings = PgConfig::new(Secret::new(database.url.clone()));
    settings.owner = url(&database.owner_url);
    settings.relay = url(&database.relay_url).or_else(|| url(&database.owner_url));
    settings.modes = modes.modes();
    let regions = config.tenants.region_databases.iter();
    settings.regions = regions.map(|(name, urls)| (name.clone(), region(urls))).collect();
    settings.named_statements = database.named_statements;
    settings.database_prefix = database.tenant_database_prefix.clone();
    settings
}

/// An operator who starts before migrating learns the command.
fn say_migrate(error: Error) -> Error {
    match error.kind() {
        mcp_core::ErrorKind::Unavailable => {
            let message = format!("{}; `mcp-platform migrate` makes and updates the tables", error.message());
            Error::unavailable("database.open", message).with_source(error)
        }
        _ => error,
    }
}

/// The regions whose tenants are served, as configured.
fn regions(tenants: &config::Tenants) -> Result<Regions> {
    let here = tenants.regions.iter().map(|name| Name::parse(name)).collect::<Result<Vec<_>>>()?;
    let elsewhere = tenants.region_directories.keys().chain(tenants.region_databases.keys());
    elsewhere
        .map(|name| Name::parse(name))
        .try_fold(Regions::here(here), |regions, name| Ok(regions.with(name?)))
}

/// The isolation mode of each tier, as configured; `auto` is what suits the backend.
fn tier_modes(config: &Config) -> Result<TierModes> {
    let database = &config.database;
    let otherwise = match (database.isolation, database.backend) {
        (Isolation::Auto, Backend::Sqlite) | (Isolation::Database, _) => IsolationMode::Database,
        (Isolation::Auto, Backend::Postgres) | (Isolation::Row, _) => IsolationMode::Row,
        (Isolation::Schema, _) => IsolationMode::Schema,
    };
    let tiers = database.tier_isolation.iter();
    tiers.map(|(tier, mode)| Ok((Name::parse(tier)?, *mode))).try_fold(
        TierModes::all(otherwise),
        |modes, tier: Result<_>| {
            let (tier, mode) = tier?;
            Ok(modes.with(tier, mode))
        },
    )
}
