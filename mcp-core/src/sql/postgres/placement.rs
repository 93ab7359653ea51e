//! The control tables that say where each tenant's data lives, or lived.

use sqlx::{PgConnection, Row, postgres::PgRow};

use super::{query, query_scalar};

use crate::{
    clock::Timestamp,
    erase::Erased,
    error::{Error, ErrorKind, Result},
    scope::TenantId,
    sql::{
        Placement, SchemaName,
        fault::OrFault,
        placement::{ClosedPlace, counted_of, counted_text, names_taken},
    },
};

/// A regional place is ready where `placement_region` says so.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT p.tenant_id, p.mode, p.schema_name, r.region, coalesce(r.ready, p.ready) AS ready \
             FROM placement p LEFT JOIN placement_region r ON r.tenant_id = p.tenant_id ",
            $rest
        )
    };
}

pub(crate) async fn insert(conn: &mut PgConnection, placement: &Placement, now: Timestamp) -> Result<()> {
    let closed: Option<i32> =
        query_scalar("SELECT 1 FROM closed_placement WHERE tenant_id = $1 OR schema_name = $2")
            .bind(placement.tenant.as_str())
            .bind(placement.schema.as_str())
            .fetch_optional(&mut *conn)
            .await
            .or_fault("sql.place")?;
    if closed.is_some() {
        return Err(names_taken());
    }
    query(
        "INSERT INTO placement (tenant_id, mode, schema_name, ready, created_at) VALUES ($1, $2, $3, FALSE, $4)",
    )
    .bind(placement.tenant.as_str())
    .bind(placement.mode.as_str())
    .bind(placement.schema.as_str())
    .bind(now.as_micros())
    .execute(&mut *conn)
    .await
    .or_fault("sql.place")?;
    if let Some(region) = &placement.region {
        query("INSERT INTO placement_region (tenant_id, region) VALUES ($1, $2)")
            .bind(placement.tenant.as_str())
            .bind(region)
            .execute(conn)
            .await
            .or_fault("sql.place")?;
    }
    Ok(())
}

pub(crate) async fn set_ready(conn: &mut PgConnection, placement: &Placement) -> Result<()> {
    let sql = match placement.region {
        None => "UPDATE placement SET ready = TRUE WHERE tenant_id = $1",
        Some(_) => "UPDATE placement_region SET ready = TRUE WHERE tenant_id = $1",
    };
    query(sql).bind(placement.tenant.as_str()).execute(conn).await.or_fault("sql.provision")?;
    Ok(())
}

pub(crate) async fn find(conn: &mut PgConnection, tenant: &TenantId) -> Result<Option<Placement>> {
    query(select!("WHERE p.tenant_id = $1"))
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
    query(select!("WHERE p.tenant_id > $1 ORDER BY p.tenant_id LIMIT $2"))
        .bind(after.map_or("", TenantId::as_str))
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await
        .or_fault("sql.placement")?
        .iter()
        .map(read)
        .collect()
}

/// Turns a placement into a closed one, if there is one.
pub(crate) async fn close(conn: &mut PgConnection, tenant: &TenantId, now: Timestamp) -> Result<()> {
    let Some(place) = find(&mut *conn, tenant).await? else { return Ok(()) };
    query(
        "INSERT INTO closed_placement (tenant_id, mode, schema_name, region, closed_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(tenant.as_str())
    .bind(place.mode.as_str())
    .bind(place.schema.as_str())
    .bind(&place.region)
    .bind(now.as_micros())
    .execute(&mut *conn)
    .await
    .or_fault("sql.erase")?;
    for sql in
        ["DELETE FROM placement_region WHERE tenant_id = $1", "DELETE FROM placement WHERE tenant_id = $1"]
    {
        query(sql).bind(tenant.as_str()).execute(&mut *conn).await.or_fault("sql.erase")?;
    }
    Ok(())
}

pub(crate) async fn closed(conn: &mut PgConnection, tenant: &TenantId) -> Result<Option<ClosedPlace>> {
    let row = query(
        "SELECT tenant_id, mode, schema_name, region, TRUE AS ready, closed_at, counted, erased_at
         FROM closed_placement WHERE tenant_id = $1",
    )
    .bind(tenant.as_str())
    .fetch_optional(conn)
    .await
    .or_fault("sql.erase")?;
    let Some(row) = row else { return Ok(None) };
    let erased_at: Option<i64> = row.try_get("erased_at").or_fault("sql.erase")?;
    Ok(Some(ClosedPlace {
        place: read(&row)?,
        closed_at: Timestamp::from_micros(row.try_get("closed_at").or_fault("sql.erase")?),
        counted: counted_of(row.try_get("counted").or_fault("sql.erase")?)?,
        erased: erased_at.is_some(),
    }))
}

pub(crate) async fn set_counted(conn: &mut PgConnection, tenant: &TenantId, counted: &Erased) -> Result<()> {
    query("UPDATE closed_placement SET counted = $1 WHERE tenant_id = $2 AND counted IS NULL")
        .bind(counted_text(counted)?)
        .bind(tenant.as_str())
        .execute(conn)
        .await
        .or_fault("sql.erase")?;
    Ok(())
}

pub(crate) async fn set_erased(conn: &mut PgConnection, tenant: &TenantId, now: Timestamp) -> Result<()> {
    query("UPDATE closed_placement SET erased_at = $1 WHERE tenant_id = $2 AND erased_at IS NULL")
        .bind(now.as_micros())
        .bind(tenant.as_str())
        .execute(conn)
        .await
        .or_fault("sql.erase")?;
    Ok(())
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
        region: row.try_get("region").or_fault("sql.placement")?,
        ready: row.try_get("ready").or_fault("sql.placement")?,
    })
}
