//! Applying migrations to a file.

use sqlx::{Connection, SqliteConnection};

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
    sql: include_str!("../../../migrations/sqlite/0001_log.sql"),
};
const CONTROL: Migration = Migration {
    version: 2,
    name: "placements and leases",
    sql: include_str!("../../../migrations/sqlite/0002_control.sql"),
};
const PUBLISHED: Migration = Migration {
    version: 3,
    name: "published events",
    sql: include_str!("../../../migrations/sqlite/0003_published.sql"),
};
const DATA_KEYS: Migration = Migration {
    version: 4,
    name: "data keys",
    sql: include_str!("../../../migrations/sqlite/0004_data_keys.sql"),
};
const PLACES: Migration = Migration {
    version: 5,
    name: "places by region, closed places",
    sql: include_str!("../../../migrations/sqlite/0005_places.sql"),
};

/// Core's own tables.
pub(crate) const CORE: Migrations = Migrations {
    name: "core",
    control: &[LOG, CONTROL, PUBLISHED, DATA_KEYS, PLACES],
    tenant: &[LOG, PUBLISHED],
};

pub(crate) async fn is_current(conn: &mut SqliteConnection, plan: &Plan, set: Set) -> Result<bool> {
    let mut applied = Vec::new();
    for table in plan.tables() {
        let known: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = ?")
            .bind(&table)
            .fetch_one(&mut *conn)
            .await
            .or_fault("sql.migrate")?;
        if known == 0 {
            return Ok(false);
        }
        let rows = sqlx::query_as(ident::sql("SELECT version, checksum FROM {}", &[&table]));
        applied.push(rows.fetch_all(&mut *conn).await.or_fault("sql.migrate")?);
    }
    plan.is_current(set, &applied)
}

/// Applies what is pending in one transaction.
pub(crate) async fn apply(conn: &mut SqliteConnection, plan: &Plan, set: Set) -> Result<()> {
    let mut tx = conn.begin_with("BEGIN IMMEDIATE").await.or_fault("sql.migrate")?;
    plan.apply(set, &mut *tx).await?;
    if set == Set::Tenant {
        refuse_tables_without_tenant(&mut tx).await?;
    }
    tx.commit().await.or_fault("sql.migrate")
}

async fn refuse_tables_without_tenant(conn: &mut SqliteConnection) -> Result<()> {
    let bare: Option<String> = sqlx::query_scalar(
        "SELECT t.name FROM pragma_table_list AS t
         WHERE t.schema = 'main' AND t.type = 'table'
           AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND t.name NOT LIKE '\\_migrations\\_%' ESCAPE '\\'
           AND NOT EXISTS (SELECT 1 FROM pragma_table_info(t.name) AS c
                           WHERE c.name = 'tenant_id' AND c.\"notnull\" = 1)
         ORDER BY t.name LIMIT 1",
    )
    .fetch_optional(conn)
    .await
    .or_fault("sql.migrate")?;
    match bare {
        None => Ok(()),
        Some(table) => Err(Error::invalid_input(
            "sql.migrate",
            format!(
                "the tenants' table `{table}` needs a column `tenant_id TEXT NOT NULL`, first in its key"
            ),
        )),
    }
}
