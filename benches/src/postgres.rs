//! A database of a bench's own, with the three roles that ours need.

use mcp_core::{key::Secret, sql::postgres::PgConfig};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::Failure;

const ROLES: [&str; 3] = ["owner", "app", "relay"];
/// Connections that write, ours and the reference's.
pub(crate) const CONNECTIONS: u32 = 4;

/// A database that is removed at the end; a bench that fails leaves it for a look.
#[derive(Debug)]
pub(crate) struct Database {
    admin: PgConnectOptions,
    name: String,
}

impl Database {
    /// Makes one on the server at `server`, a superuser's URL.
    ///
    /// # Errors
    /// When the server is away or refuses.
    pub(crate) async fn create(server: &str) -> Result<Self, Failure> {
        let admin: PgConnectOptions = server.parse()?;
        let name = format!("bench{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
        let database = Self { admin, name };
        let name = &database.name;
        let mut conn = database.admin.connect().await?;
        for role in ROLES {
            run(&mut conn, format!("CREATE ROLE {name}_{role} LOGIN CREATEDB PASSWORD 'bench'")).await?;
        }
        run(&mut conn, format!("CREATE DATABASE {name} OWNER {name}_owner TEMPLATE template0")).await?;
        conn.close().await?;
        Ok(database)
    }

    /// What a kernel on it is opened with.
    pub(crate) fn config(&self) -> PgConfig {
        let [owner, app, relay] = ROLES.map(|role| Secret::new(self.at(role).to_url_lossy().to_string()));
        let mut config = PgConfig::new(app);
        (config.owner, config.relay) = (Some(owner), Some(relay));
        config.connections = CONNECTIONS;
        // No pooler is in between, and the reference prepares its statements once as well.
        config.named_statements = true;
        config
    }

    /// How its owner connects.
    pub(crate) fn owner(&self) -> PgConnectOptions {
        self.at("owner")
    }

    /// Removes it. Its pools are closed first.
    ///
    /// # Errors
    /// When the server refuses.
    pub(crate) async fn remove(self) -> Result<(), Failure> {
        let (name, mut conn) = (&self.name, self.admin.connect().await?);
        run(&mut conn, format!("DROP DATABASE {name} WITH (FORCE)")).await?;
        for role in ROLES {
            run(&mut conn, format!("DROP ROLE {name}_{role}")).await?;
        }
        Ok(conn.close().await?)
    }

    fn at(&self, role: &str) -> PgConnectOptions {
        let name = format!("{}_{role}", self.name);
        self.admin.clone().username(&name).password("bench").database(&self.name)
    }
}

/// Runs a statement; every name in it is ours.
async fn run(conn: &mut PgConnection, statement: String) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(conn).await?;
    Ok(())
}
