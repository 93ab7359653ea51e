//! The control table that says where each tenant's data lives.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::query;
use crate::{
    clock::Timestamp,
    error::{Error, ErrorKind, Result},
    scope::TenantId,
    sql::{Placement, SchemaName, fault::OrFault},
};

pub(crate) async fn insert(conn: &mut PgConnection, placement: &Placement, now: Timestamp) -> Result<()> {
    query(
        "INSERT INTO placement (tenant_id, mode, schema_name, ready, created_at) VALUES ($1, $2, $3, FALSE, $4)",
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

pub(crate) async fn set_ready(conn: &mut PgConnection, tenant: &TenantId) -> Result<()> {
    query("UPDATE placement SET ready = TRUE WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .execute(conn)
        .await
        .or_fault("sql.provision")?;
    Ok(())
}

pub(crate) async fn find(conn: &mut PgConnection, tenant: &TenantId) -> Result<Option<Placement>> {
    query("SELECT tenant_id, mode, schema_name, ready FROM placement WHERE tenant_id = $1")
        .bind(tenant.as_str())
        .fetch_optional(conn)
        .await
        .or_fault("sql.placement")?
        .map(|row| read(&row))
        .transpose()
}

/// The next placements in the order of the tenants' ids.
pub(crate) async fn page(
    conn: &mut PgConnection,
    after: Option<&TenantId>,
    limit: u32,
) -> Result<Vec<Placement>> {
    query(
        "SELECT tenant_id, mode, schema_name, ready FROM placement WHERE tenant_id > $1 ORDER BY tenant_id LIMIT $2",
    )
    .bind(after.map_or("", TenantId::as_str))
    .bind(i64::from(limit))
    .fetch_all(conn)
    .await
    .or_fault("sql.placement")?
    .iter()
    .map(read)
    .collect()
}

fn read(row: &PgRow) -> Result<Placement> {
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
