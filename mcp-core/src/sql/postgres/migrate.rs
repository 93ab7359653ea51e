//! Applying migrations to a schema, as its owner.

use sqlx::{ConnectOptions, Connection, PgConnection, postgres::PgConnectOptions};

use super::{config::Roles, query, query_as, query_scalar, secure};
use crate::{
    error::{Error, Result},
    sql::{
        Migration, Migrations,
        fault::OrFault,
        ident,
        migrations::{Plan, Set},
    },
};

const LOG: Migration = Migration {
    version: 1,
    name: "outbox and audit",
    sql: include_str!("../../../migrations/postgres/0001_log.sql"),
};
const CONTROL: Migration = Migration {
    version: 2,
    name: "placements and leases",
    sql: include_str!("../../../migrations/postgres/0002_control.sql"),
};
const PUBLISHED: Migration = Migration {
    version: 3,
    name: "published events",
    sql: include_str!("../../../migrations/postgres/0003_published.sql"),
};
const DATA_KEYS: Migration = Migration {
    version: 4,
    name: "data keys",
    sql: include_str!("../../../migrations/postgres/0004_data_keys.sql"),
};
const PLACES: Migration = Migration {
    version: 5,
    name: "places by region, closed places",
    sql: include_str!("../../../migrations/postgres/0005_places.sql"),
};

/// Core's own tables.
pub(crate) const CORE: Migrations = Migrations {
    name: "core",
    control: &[LOG, CONTROL, PUBLISHED, DATA_KEYS, PLACES],
    tenant: &[LOG, PUBLISHED],
};

/// Whether the schema has everything this program knows. Any role may ask.
pub(crate) async fn is_current(conn: &mut PgConnection, schema: &str, plan: &Plan, set: Set) -> Result<bool> {
    let mut applied = Vec::new();
    for table in plan.tables() {
        let known: bool = query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(format!("{}.{}", ident::quoted(schema), ident::quoted(&table)))
            .fetch_one(&mut *conn)
            .await
            .or_fault("sql.migrate")?;
        if !known {
            return Ok(false);
        }
        let rows = query_as(ident::sql("SELECT version, checksum FROM {}.{}", &[schema, &table]));
        applied.push(rows.fetch_all(&mut *conn).await.or_fault("sql.migrate")?);
    }
    plan.is_current(set, &applied)
}

/// Makes the schema, applies what is pending and secures every table, in one transaction under a lock of
/// this schema alone.
pub(crate) async fn apply(
    owner: &PgConnectOptions,
    schema: &str,
    plan: &Plan,
    set: Set,
    roles: &Roles,
) -> Result<()> {
    let mut conn = owner.clone().disable_statement_logging().connect().await.or_fault("sql.migrate")?;
    let mut tx = conn.begin().await.or_fault("sql.migrate")?;
    query("SELECT pg_advisory_xact_lock(hashtextextended('mcp-migrate:' || $1, 0))")
        .bind(schema)
        .execute(&mut *tx)
        .await
        .or_fault("sql.migrate")?;
    query(ident::sql("CREATE SCHEMA IF NOT EXISTS {}", &[schema]))
        .execute(&mut *tx)
        .await
        .or_fault("sql.migrate")?;
    // With row security off, a migration that reads rows under forced row-level security fails, where it
    // would otherwise see none and quietly do nothing.
    query("SELECT set_config('search_path', $1, true), set_config('row_security', 'off', true)")
        .bind(format!("{}, pg_temp", ident::quoted(schema)))
        .execute(&mut *tx)
        .await
        .or_fault("sql.migrate")?;
    plan.apply(set, &mut *tx).await?;
    secure::schema(&mut tx, schema, set, roles).await?;
    tx.commit().await.or_fault("sql.migrate")?;
    conn.close().await.or_fault("sql.migrate")
}

/// Makes a tenant's database, if it is not there, which none but the platform's roles may enter.
pub(crate) async fn create_database(owner: &PgConnectOptions, name: &str, roles: &Roles) -> Result<()> {
    let mut conn = owner.clone().disable_statement_logging().connect().await.or_fault("sql.provision")?;
    if !database_exists(&mut conn, name).await? {
        // Not template1: a session in it, an operator's say, would make this fail.
        let made =
            query(ident::sql("CREATE DATABASE {} TEMPLATE template0", &[name])).execute(&mut conn).await;
        if let Err(error) = made {
            let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
            // Another process was first: duplicate_database, or unique_violation in the very same moment.
            if code != "42P04" && code != "23505" {
                return Err(error).or_fault("sql.provision");
            }
        }
    }
    let mut run = async |sql| query(sql).execute(&mut conn).await.or_fault("sql.provision");
    run(ident::sql("REVOKE ALL ON DATABASE {} FROM PUBLIC", &[name])).await?;
    for role in [Some(&roles.app), roles.relay.as_ref()].into_iter().flatten() {
        run(ident::sql("GRANT CONNECT ON DATABASE {} TO {}", &[name, role.get_username()])).await?;
    }
    conn.close().await.or_fault("sql.provision")
}

/// Whether there is a database of that name.
pub(crate) async fn database_exists(conn: &mut PgConnection, name: &str) -> Result<bool> {
    query_scalar("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)")
        .bind(name)
        .fetch_one(conn)
        .await
        .or_fault("sql.provision")
}

/// Whether there is a schema of that name in the connection's database.
pub(crate) async fn schema_exists(conn: &mut PgConnection, name: &str) -> Result<bool> {
    query_scalar("SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)")
        .bind(name)
        .fetch_one(conn)
        .await
        .or_fault("sql.provision")
}

/// The error for a schema that is behind this program.
pub(crate) fn outdated(what: &str) -> Error {
    Error::unavailable(
        "sql.open",
        format!("{what} is not up to date: run `mcp-platform migrate` with the owner's URL"),
    )
}
