//! The rows core writes: events and audit records.

use sqlx::{Sqlite, SqliteConnection};

use crate::{
    audit::Entry,
    clock::Timestamp,
    error::Result,
    event::Event,
    sql::{fault::OrFault, tx},
};

impl tx::Backend for Sqlite {}

impl tx::sealed::Rows for Sqlite {
    async fn insert_event(
        conn: &mut SqliteConnection,
        _: bool,
        chain: &str,
        event: &Event,
        now: Timestamp,
    ) -> Result<()> {
        sqlx::query("INSERT INTO outbox (tenant_id, id, envelope, created_at) VALUES (?, ?, ?, ?)")
            .bind(chain)
            .bind(event.id().to_string())
            .bind(event.to_json()?)
            .bind(now.as_micros())
            .execute(conn)
            .await
            .or_fault("event.emit")?;
        Ok(())
    }

    async fn insert_audit(conn: &mut SqliteConnection, _: bool, chain: &str, entry: &Entry) -> Result<()> {
        sqlx::query(
            "INSERT INTO audit (tenant_id, id, time, actor, action, resource, outcome, request_id, detail,
                                detail_digest)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
        .execute(conn)
        .await
        .or_fault("audit.append")?;
        Ok(())
    }
}
