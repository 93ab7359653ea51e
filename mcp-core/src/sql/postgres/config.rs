//! Settings of the PostgreSQL kernel.

use std::{collections::BTreeMap, time::Duration};

use sqlx::postgres::PgConnectOptions;

use crate::{
    error::{Error, Result},
    key::Secret,
    sql::IsolationMode,
};

/// Settings of the PostgreSQL kernel. [`new`](Self::new) gives the defaults.
///
/// Three roles, each with a URL (`postgres://user:password@host/database`) to the same database: what a
/// process has no URL for, it cannot do.
#[derive(Debug, Clone)]
pub struct PgConfig {
    /// The role of the running platform. It owns nothing, has no `BYPASSRLS`, and may only append to the
    /// audit log. May lead through PgBouncer in transaction mode (with `extra_float_digits` in its
    /// `ignore_startup_parameters`).
    pub app: Secret<String>,
    /// The role that owns the tables: it migrates and provisions. Needed by whoever does; never through
    /// PgBouncer. For mode `database` it has `CREATEDB`.
    pub owner: Option<Secret<String>>,
    /// The role that publishes and seals: of all tenants it reads the outbox and the audit log, deletes what
    /// is delivered or sealed from `outbox` and `audit_pending`, and inserts seals and checkpoints. It reads
    /// placements and holds leases, and nothing more. May be the owner's URL, which keeps the owner's rights.
    /// Needed by whoever publishes, seals or verifies.
    pub relay: Option<Secret<String>>,
    /// For each region whose tenants' data lives elsewhere, the databases there: their names are as those here, the
    /// tables above tenants stay here. Default: none.
    pub regions: BTreeMap<String, PgRegion>,
    /// The isolation modes tenants may have. Default: all three.
    pub modes: Vec<IsolationMode>,
    /// How long a begin waits for a connection. Default 5 s.
    pub wait: Duration,
    /// How long a statement may take where the scope's deadline is not nearer. Default 30 s.
    pub statement_timeout: Duration,
    /// How long a transaction may be open without a statement. Default 30 s.
    pub idle_timeout: Duration,
    /// Connections to the main database. Default 16.
    pub connections: u32,
    /// Connections to one tenant's database, in mode `database`. Default 4.
    pub tenant_connections: u32,
    /// Pools of tenants' databases kept open while nobody uses them. Default 64.
    pub open_tenants: u64,
    /// How long an unused connection stays open. Default 5 minutes.
    pub idle: Duration,
    /// Whether statements that are used over and over are prepared once for each connection, which saves a round trip
    /// and the planning each time. Only where the URLs lead to the server itself, or through a pooler that follows
    /// names (PgBouncer from 1.21 with `max_prepared_statements`): through any other, a name is another program's
    /// statement. Default false.
    pub named_statements: bool,
    /// What the names of tenants' databases begin with: `[a-z_][a-z0-9_]{0,15}`. Default `mcp_`.
    pub database_prefix: String,
}

impl PgConfig {
    /// The defaults, for the app role alone.
    #[must_use]
    pub fn new(app: Secret<String>) -> Self {
        Self {
            app,
            owner: None,
            relay: None,
            regions: BTreeMap::new(),
            modes: IsolationMode::ALL.to_vec(),
            wait: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(30),
            connections: 16,
            tenant_connections: 4,
            open_tenants: 64,
            idle: Duration::from_secs(300),
            named_statements: false,
            database_prefix: "mcp_".to_owned(),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        for (setting, zero) in [
            ("modes", self.modes.is_empty()),
            ("wait", self.wait.is_zero()),
            ("statement_timeout", self.statement_timeout.is_zero()),
            ("idle_timeout", self.idle_timeout.is_zero()),
            ("connections", self.connections == 0),
            ("tenant_connections", self.tenant_connections == 0),
            ("open_tenants", self.open_tenants == 0),
            ("idle", self.idle.is_zero()),
        ] {
            if zero {
                return Err(Error::invalid_input(
                    "sql.open",
                    format!("`{setting}` must not be empty or zero"),
                ));
            }
        }
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let prefix = self.database_prefix.as_bytes();
        let first = prefix.first().is_some_and(|b| !b.is_ascii_digit());
        if !first || prefix.len() > 16 || !prefix.iter().copied().all(inner) || prefix.starts_with(b"pg_") {
            let message = "`database_prefix` must be [a-z_][a-z0-9_]{0,15} and not begin with `pg_`";
            return Err(Error::invalid_input("sql.open", message));
        }
        Ok(())
    }

    /// The three roles' options. The URLs' passwords stay in them.
    pub(crate) fn roles(&self) -> Result<Roles> {
        roles(&self.app, self.owner.as_ref(), self.relay.as_ref())
    }
}

/// Where the data of a region's tenants lives: as the URLs of the same names in [`PgConfig`].
#[derive(Debug, Clone)]
pub struct PgRegion {
    /// The role of the running platform.
    pub app: Secret<String>,
    /// The role that owns the tables.
    pub owner: Option<Secret<String>>,
    /// The role that publishes and seals.
    pub relay: Option<Secret<String>>,
}

impl PgRegion {
    pub(crate) fn roles(&self, region: &str) -> Result<Roles> {
        roles(&self.app, self.owner.as_ref(), self.relay.as_ref())
            .map_err(|error| error.with_context("region", region))
    }
}

fn roles(
    app: &Secret<String>,
    owner: Option<&Secret<String>>,
    relay: Option<&Secret<String>>,
) -> Result<Roles> {
    let app = parse("app", app)?;
    let owner = owner.map(|url| parse("owner", url)).transpose()?;
    let relay = relay.map(|url| parse("relay", url)).transpose()?;
    let main = app.get_database().unwrap_or_else(|| app.get_username()).to_owned();
    for (name, options) in [("owner", &owner), ("relay", &relay)] {
        let Some(options) = options else { continue };
        if options.get_username() == app.get_username() {
            let message = format!("the URLs `app` and `{name}` must name different roles");
            return Err(Error::invalid_input("sql.open", message));
        }
    }
    Ok(Roles { main, app, owner, relay })
}

/// How each role connects.
#[derive(Clone)]
pub(crate) struct Roles {
    /// The main database's name.
    pub(crate) main: String,
    pub(crate) app: PgConnectOptions,
    pub(crate) owner: Option<PgConnectOptions>,
    pub(crate) relay: Option<PgConnectOptions>,
}

impl Roles {
    /// The owner's options.
    ///
    /// # Errors
    /// If this process has none.
    pub(crate) fn owner(&self) -> Result<PgConnectOptions> {
        self.owner.clone().ok_or_else(|| missing("owner", "migrates and provisions"))
    }

    /// The relay's options.
    ///
    /// # Errors
    /// If this process has none.
    pub(crate) fn relay(&self) -> Result<PgConnectOptions> {
        self.relay.clone().ok_or_else(|| missing("relay", "publishes, seals and verifies"))
    }
}

impl std::fmt::Debug for Roles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Roles").field("main", &self.main).finish_non_exhaustive()
    }
}

fn missing(role: &str, does: &str) -> Error {
    Error::invalid_input(
        "sql.role",
        format!("set the database URL of the role `{role}`: it is the one that {does}"),
    )
}

fn parse(role: &str, url: &Secret<String>) -> Result<PgConnectOptions> {
    // The parser's complaint may quote the URL, password and all.
    let options: PgConnectOptions = url.expose().parse().map_err(|_: sqlx::Error| {
        Error::invalid_input(
            "sql.open",
            format!("the database URL `{role}` is no postgres://user@host/database"),
        )
    })?;
    Ok(options.application_name(&format!("mcp-{role}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(app: &str) -> PgConfig {
        PgConfig::new(Secret::new(app.to_owned()))
    }

    #[test]
    fn a_bad_url_is_refused_without_being_shown() {
        let error = config("postgres://app:hunter2@:bad:/x").roles().unwrap_err();
        assert!(!error.report().contains("hunter2"), "{error:?}");
        assert!(!format!("{:?}", config("postgres://app:hunter2@db/x").roles().unwrap()).contains("hunter2"));
    }

    #[test]
    fn one_role_cannot_play_two() {
        let mut config = config("postgres://app@db/x");
        config.owner = Some(Secret::new("postgres://app@db/x".to_owned()));
        assert!(config.roles().unwrap_err().message().contains("different roles"));
    }

    #[test]
    fn a_missing_role_is_named() {
        let error = config("postgres://app@db/x").roles().unwrap().owner().unwrap_err();
        assert!(error.message().contains("`owner`"), "{error}");
    }
}
