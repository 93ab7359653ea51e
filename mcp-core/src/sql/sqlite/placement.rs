//! The control table that says where each tenant's data lives.

use sqlx::{Row, SqliteConnection, sqlite::SqliteRow};

use crate::{
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    scope::TenantId,
    sql::{Placement, SchemaName, fault::OrFault},
};

pub(crate) async fn insert(conn: &mut SqliteConnection, placement: &Placement, now: Timestamp) -> Result<()> {
    sqlx::query(
        "INSERT INTO placement (tenant_id, mode, schema_name, ready, created_at) VALUES (?, ?, ?, 0, ?)",
    )
    .bind(placement.tenant.as_str())
    .bind(placement.mode.as_str())
    .bind(placement.schema.as_str())
    .bind(now.as_micros())
    .execute(conn)
    .await
    .or_fault("sql.place")?;
    Ok(())
}

pub(crate) async fn set_ready(conn: &mut SqliteConnection, tenant: &TenantId) -> Result<()> {
    sqlx::query("UPDATE placement SET ready = 1 WHERE tenant_id = ?")
        .bind(tenant.as_str())
        .execute(conn)
        .await
        .or_fault("sql.provision")?;
    Ok(())
}

pub(crate) async fn find(conn: &mut SqliteConnection, tenant: &TenantId) -> Result<Option<Placement>> {
    sqlx::query("SELECT tenant_id, mode, schema_name, ready FROM placement WHERE tenant_id = ?")
        .bind(tenant.as_str())
        .fetch_optional(conn)
        .await
        .or_fault("sql.placement")?
        .map(|row| read(&row))
        .transpose()
}

/// The next placements in the order of the tenants' ids.
pub(crate) async fn page(
    conn: &mut SqliteConnection,
    after: Option<&TenantId>,
    limit: u32,
) -> Result<Vec<Placement>> {
    sqlx::query(
        "SELECT tenant_id, mode, schema_name, ready FROM placement WHERE tenant_id > ? ORDER BY tenant_id LIMIT ?",
    )
    .bind(after.map_or("", TenantId::as_str))
    .bind(limit)
    .fetch_all(conn)
    .await
    .or_fault("sql.placement")?
    .iter()
    .map(read)
    .collect()
}

fn read(row: &SqliteRow) -> Result<Placement> {
    let column = |name: &str| row.try_get::<String, _>(name).or_fault("sql.placement");
    let broken = |error: Error| {
        Error::new(ErrorKind::Corrupted, "sql.placement", "a stored placement is damaged").with_source(error)
    };
    Ok(Placement {
        tenant: TenantId::parse(&column("tenant_id")?).map_err(broken)?,
        mode: column("mode")?.parse().map_err(broken)?,
        schema: SchemaName::parse(&column("schema_name")?).map_err(broken)?,
        ready: row.try_get("ready").or_fault("sql.placement")?,
    })
}
