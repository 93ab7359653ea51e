//! The rows core writes: events and audit records.

use sqlx::{PgConnection, Postgres};

use super::query;
use crate::{
    audit::Entry,
    clock::Timestamp,
    error::Result,
    event::Event,
    sql::{fault::OrFault, tx},
};

impl tx::Backend for Postgres {}

impl tx::sealed::Rows for Postgres {
    async fn insert_event(
        conn: &mut PgConnection,
        prepares: bool,
        chain: &str,
        event: &Event,
        now: Timestamp,
    ) -> Result<()> {
        query(
            "WITH event AS (
                 INSERT INTO outbox (tenant_id, id, envelope, created_at) VALUES ($1, $2, $3, $4)
                 RETURNING tenant_id, seq
             )
             INSERT INTO outbox_pending (tenant_id, seq) SELECT tenant_id, seq FROM event",
        )
        .bind(chain)
        .bind(event.id().to_string())
        .bind(event.to_json()?)
        .bind(now.as_micros())
        .persistent(prepares)
        .execute(conn)
        .await
        .or_fault("event.emit")?;
        Ok(())
    }

    async fn insert_audit(conn: &mut PgConnection, prepares: bool, chain: &str, entry: &Entry) -> Result<()> {
        query(
            "WITH record AS (
                 INSERT INTO audit (tenant_id, id, time, actor, action, resource, outcome, request_id, detail,
                                    detail_digest)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
                 RETURNING tenant_id, seq, id
             )
             INSERT INTO audit_pending (tenant_id, seq, record_id) SELECT tenant_id, seq, id FROM record",
        )
        .bind(chain)
        .bind(entry.id.to_string())
        .bind(entry.time.as_micros())
        .bind(&entry.actor)
        .bind(&entry.action)
        .bind(&entry.resource)
        .bind(&entry.outcome)
        .bind(&entry.request_id)
        .bind(entry.detail.as_deref())
        .bind(entry.detail_digest.as_slice())
        .persistent(prepares)
        .execute(conn)
        .await
        .or_fault("audit.append")?;
        Ok(())
    }
}
