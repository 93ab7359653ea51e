//! A fresh PostgreSQL database with fresh roles, for one test.

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use super::pgbouncer::PgBouncer;
use crate::{
    error::{Error, Result},
    key::Secret,
    sql::{
        OrFault as _, ident,
        postgres::{PgConfig, query, query_scalar},
    },
};

/// A database with an owner, an app and a relay role, all of names that no other test has.
///
/// [`destroy`](Self::destroy) removes it; a test that fails leaves it for a look.
#[derive(Debug)]
pub struct PgTestDatabase {
    admin: PgConnectOptions,
    name: String,
    /// What a kernel on it is opened with.
    pub config: PgConfig,
    pooler: Option<PgBouncer>,
}

impl PgTestDatabase {
    /// Makes one on the server at the environment's `DATABASE_URL`, which names a superuser.
    ///
    /// # Errors
    /// If the variable is not set or the server is away. Tests fail then, and are never skipped.
    pub async fn create() -> Result<Self> {
        let url = std::env::var("DATABASE_URL").map_err(|_| {
            let message = "DATABASE_URL is not set: `cargo xtask test` starts a server and sets it; \
                           or set it to a superuser's postgres://user@host/database";
            Error::invalid_input("conformance.postgres", message)
        })?;
        let admin: PgConnectOptions = url.parse().or_fault("conformance.postgres")?;
        let admin = admin.disable_statement_logging();
        let name = format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let mut conn = admin.connect().await.or_fault("conformance.postgres")?;
        let [owner, app, relay] = ["owner", "app", "relay"].map(|role| format!("{name}_{role}"));
        run(&mut conn, "CREATE ROLE {} LOGIN CREATEDB PASSWORD 'test'", &[&owner]).await?;
        run(&mut conn, "CREATE ROLE {} LOGIN PASSWORD 'test'", &[&app]).await?;
        run(&mut conn, "CREATE ROLE {} LOGIN PASSWORD 'test'", &[&relay]).await?;
        run(&mut conn, "CREATE DATABASE {} OWNER {} TEMPLATE template0", &[&name, &owner]).await?;
        conn.close().await.or_fault("conformance.postgres")?;
        let url = |role: &str| {
            let at = admin.clone().username(role).password("test").database(&name).to_url_lossy();
            Secret::new(at.to_string())
        };
        let mut config = PgConfig::new(url(&app));
        config.owner = Some(url(&owner));
        config.relay = Some(url(&relay));
        config.connections = 4;
        config.database_prefix = format!("{name}_");
        Ok(Self { admin, name, config, pooler: None })
    }

    /// The same, with the app and the relay role behind a PgBouncer of its own, in transaction mode and with two
    /// connections to the server for each. The owner, who migrates, comes to the server itself.
    ///
    /// # Errors
    /// As [`create`](Self::create), and if PgBouncer is missing or does not start.
    pub async fn create_pooled() -> Result<Self> {
        const CONNECTIONS: u32 = 2;
        let mut database = Self::create().await?;
        let users = ["app", "relay"].map(|role| format!("{}_{role}", database.name));
        let pooler = PgBouncer::start(&database.admin, CONNECTIONS, &users)?;
        let [app, relay] = users.map(|role| {
            let at = database.admin.clone().host("127.0.0.1").port(pooler.port());
            let at = at.username(&role).password("test").database(&database.name).to_url_lossy();
            Secret::new(at.to_string())
        });
        (database.config.app, database.config.relay) = (app, Some(relay));
        // More clients than the pooler has connections, so that they take turns.
        database.config.connections = 8;
        database.pooler = Some(pooler);
        Ok(database)
    }

    /// A superuser's connection to the database, or to a tenant's.
    ///
    /// # Errors
    /// If the server is away.
    pub async fn admin(&self, tenant_schema: Option<&str>) -> Result<PgConnection> {
        let name = match tenant_schema {
            None => self.name.clone(),
            Some(schema) => format!("{}{schema}", self.config.database_prefix),
        };
        self.admin.clone().database(&name).connect().await.or_fault("conformance.postgres")
    }

    /// The name of the app role.
    #[must_use]
    pub fn app_role(&self) -> String {
        format!("{}_app", self.name)
    }

    /// How many transactions of the test's roles are open, in all its databases.
    ///
    /// # Errors
    /// If the server is away.
    pub async fn open_transactions(&self) -> Result<u64> {
        let mut conn = self.admin.connect().await.or_fault("conformance.postgres")?;
        // Statements that run are open transactions too: of these there are none when the caller is quiet.
        let open: i64 = query_scalar(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname LIKE $1 || '%' AND usename LIKE $1 || '%' AND state <> 'idle'",
        )
        .bind(&self.name)
        .fetch_one(&mut conn)
        .await
        .or_fault("conformance.postgres")?;
        conn.close().await.or_fault("conformance.postgres")?;
        Ok(open.unsigned_abs())
    }

    /// Removes the database, the tenants' databases and the roles. Kernels are closed first.
    ///
    /// # Errors
    /// If the server refuses.
    pub async fn destroy(mut self) -> Result<()> {
        drop(self.pooler.take());
        let mut conn = self.admin.connect().await.or_fault("conformance.postgres")?;
        let databases: Vec<String> =
            query_scalar("SELECT datname::text FROM pg_database WHERE datname LIKE $1 || '%'")
                .bind(&self.name)
                .fetch_all(&mut conn)
                .await
                .or_fault("conformance.postgres")?;
        for database in databases {
            run(&mut conn, "DROP DATABASE {} WITH (FORCE)", &[&database]).await?;
        }
        for role in ["owner", "app", "relay"] {
            run(&mut conn, "DROP ROLE {}", &[&format!("{}_{role}", self.name)]).await?;
        }
        conn.close().await.or_fault("conformance.postgres")
    }
}

async fn run(conn: &mut PgConnection, template: &'static str, names: &[&str]) -> Result<()> {
    query(ident::sql(template, names)).execute(conn).await.or_fault("conformance.postgres")?;
    Ok(())
}
