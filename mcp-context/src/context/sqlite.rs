//! Contexts in SQLite, beside the rest of a tenant's data.

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    audit::AuditRecord,
    scope::TenantId,
    sql::{
        OrFault as _,
        sqlite::{SqliteKernel, TenantTx},
    },
};
use serde_json::{Map, Value};
use sqlx::{SqliteConnection, query, query_as, query_scalar};

use super::{
    Append, Appended, Context, ContextHead, ContextId, ContextLimits, ContextQuery, ContextStore, MAX_NEWEST,
    Message, MessageQuery, NewContext,
    change::{self, About},
    check::{append_fingerprint, create_fingerprint, json_of},
    merge::merge,
    row::{self, Earlier, HeadRow, MessageRow, RequestRow, WholeRow, refusal},
    store::{created, not_found, parse_context_cursor, parse_message_cursor, too_many},
};
use crate::page::{Page, limit};

const GROW: &str = "UPDATE context SET version = version + 1, messages = messages + $3, \
     updated_at = CASE WHEN updated_at > $4 THEN updated_at ELSE $4 END \
     WHERE tenant_id = $1 AND id = $2 AND ($5 IS NULL OR version = $5) RETURNING user_id, version, messages";
const INSERT_MESSAGE: &str = "INSERT INTO message (tenant_id, context_id, seq, role, content, metadata, \
     author, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// A [`ContextStore`] in SQLite, on a kernel that was opened with
/// [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS).
#[derive(Debug, Clone)]
pub struct SqliteContextStore {
    kernel: SqliteKernel,
    limits: ContextLimits,
}

impl SqliteContextStore {
    /// A store on `kernel`.
    #[must_use]
    pub const fn new(kernel: SqliteKernel, limits: ContextLimits) -> Self {
        Self { kernel, limits }
    }
}

#[async_trait]
impl ContextStore for SqliteContextStore {
    async fn create(&self, scope: &Scope, new: NewContext) -> Result<Context> {
        self.limits.new_context(&new)?;
        let id = ContextId::generate();
        let mut tx = self.kernel.begin(scope).await?;
        if let Some(key) = &new.idempotency_key
            && let fingerprint = create_fingerprint(scope, &new)?
            && let Some(made) = claim(&mut tx, "context.create", key, &fingerprint, &id).await?
        {
            tx.rollback().await?;
            return self.read(scope, &made.id, 0).await;
        }
        if let Some(most) = new.at_most {
            refuse_above(&mut tx, most).await?;
        }
        let head = created(scope, &new, id, tx.now());
        query(row::INSERT)
            .bind(head.tenant.as_str())
            .bind(id.to_string())
            .bind(&head.user_id)
            .bind(&head.session_id)
            .bind(json_of("context.create", &new.data)?)
            .bind(head.created_at.as_micros())
            .execute(tx.conn())
            .await
            .or_fault("context.create")?;
        tx.emit(change::created(&head, new.data.clone())).await?;
        tx.commit().await?;
        Ok(Context { head, data: new.data, history: Some(Vec::new()) })
    }

    async fn read(&self, scope: &Scope, id: &ContextId, newest: u32) -> Result<Context> {
        let mut read = self.kernel.read(scope).await?;
        let tenant = scope.tenant();
        let (head, data) = whole(read.conn(), tenant, id).await?.ok_or_else(|| not_found("context.read"))?;
        let mut history =
            window(read.conn(), row::NEWEST, tenant, id, i64::MAX, newest.min(MAX_NEWEST)).await?;
        history.reverse();
        Ok(Context { head, data, history: Some(history) })
    }

    async fn list(&self, scope: &Scope, asked: &ContextQuery) -> Result<Page<ContextHead>> {
        let (before, limit) = (parse_context_cursor(asked.cursor.as_deref())?, limit(asked.limit));
        let (sql, filters) = match (&asked.user_id, &asked.session_id) {
            (None, None) => (row::LIST, vec![]),
            (Some(user), None) => (row::LIST_OF_USER, vec![user]),
            (None, Some(session)) => (row::LIST_OF_SESSION, vec![session]),
            (Some(user), Some(session)) => (row::LIST_OF_BOTH, vec![user, session]),
        };
        let mut read = self.kernel.read(scope).await?;
        let mut rows = query_as::<_, HeadRow>(sql)
            .bind(scope.tenant().as_str().to_owned())
            .bind(before.map_or_else(|| row::LAST_ID.to_owned(), |id| id.to_string()))
            .bind(i64::from(limit) + 1);
        for filter in filters {
            rows = rows.bind(filter.clone());
        }
        let rows = rows.fetch_all(read.conn()).await.or_fault("context.list")?;
        let items = rows.into_iter().map(|row| row::head(scope.tenant(), row)).collect::<Result<_>>()?;
        Ok(Page::cut(items, limit, |head: &ContextHead| head.id.to_string()))
    }

    async fn messages(&self, scope: &Scope, id: &ContextId, asked: &MessageQuery) -> Result<Page<Message>> {
        let (from, limit) = (parse_message_cursor(asked)?, limit(asked.limit));
        let mut read = self.kernel.read(scope).await?;
        let tenant = scope.tenant();
        find(read.conn(), tenant, id).await?.ok_or_else(|| not_found("context.messages"))?;
        let sql = if asked.newest_first { row::NEWEST } else { row::MESSAGES };
        let items = window(read.conn(), sql, tenant, id, from, limit + 1).await?;
        Ok(Page::cut(items, limit, |message: &Message| message.seq.to_string()))
    }

    async fn append(&self, scope: &Scope, id: &ContextId, append: Append) -> Result<Appended> {
        const OPERATION: &str = "context.append";
        self.limits.append(&append)?;
        let mut tx = self.kernel.begin(scope).await?;
        if let Some(key) = &append.idempotency_key
            && let fingerprint = append_fingerprint(scope, id, &append)?
            && let Some(earlier) = claim(&mut tx, OPERATION, key, &fingerprint, id).await?
        {
            tx.rollback().await?;
            return Ok(earlier.appended);
        }
        let (now, count) = (tx.now(), append.messages.len() as i64);
        let grown: Option<(String, i64, i64)> = query_as(GROW)
            .bind(scope.tenant().as_str())
            .bind(id.to_string())
            .bind(count)
            .bind(now.as_micros())
            .bind(append.expected_version)
            .fetch_optional(tx.conn())
            .await
            .or_fault(OPERATION)?;
        let Some((user, version, last_seq)) = grown else {
            return Err(refusal(OPERATION, version(&mut tx, id).await?));
        };
        let appended = Appended { version, first_seq: last_seq - count + 1, last_seq };
        for (seq, message) in (appended.first_seq..).zip(&append.messages) {
            query(INSERT_MESSAGE)
                .bind(scope.tenant().as_str())
                .bind(id.to_string())
                .bind(seq)
                .bind(message.role.as_str())
                .bind(json_of(OPERATION, &message.content)?)
                .bind(json_of(OPERATION, &message.metadata)?)
                .bind(scope.principal().id.as_str())
                .bind(now.as_micros())
                .execute(tx.conn())
                .await
                .or_fault(OPERATION)?;
        }
        if let Some(key) = &append.idempotency_key {
            answered(&mut tx, key, appended).await?;
        }
        let about = About { tenant: scope.tenant(), id, user: &user, at: now };
        tx.emit(change::appended(&about, appended)).await?;
        tx.commit().await?;
        Ok(appended)
    }

    async fn patch(
        &self,
        scope: &Scope,
        id: &ContextId,
        patch: Map<String, Value>,
        expected_version: i64,
    ) -> Result<Context> {
        const OPERATION: &str = "context.patch";
        self.limits.object(OPERATION, &patch)?;
        let mut tx = self.kernel.begin(scope).await?;
        let found = version(&mut tx, id).await?;
        if found != Some(expected_version) {
            return Err(refusal(OPERATION, found));
        }
        let tenant = scope.tenant();
        let mut data = row::data(&data_of(tx.conn(), tenant, id).await?)?;
        merge(&mut data, &patch);
        let stored = self.limits.data(OPERATION, &data)?;
        let now = tx.now();
        let changed: Option<HeadRow> = query_as(row::PATCH)
            .bind(tenant.as_str())
            .bind(id.to_string())
            .bind(stored)
            .bind(now.as_micros())
            .bind(expected_version)
            .fetch_optional(tx.conn())
            .await
            .or_fault(OPERATION)?;
        let Some(changed) = changed else {
            return Err(refusal(OPERATION, version(&mut tx, id).await?));
        };
        let head = row::head(tenant, changed)?;
        tx.emit(change::patched(&head, patch)).await?;
        tx.commit().await?;
        Ok(Context { head, data, history: None })
    }

    async fn delete(&self, scope: &Scope, id: &ContextId, expected_version: Option<i64>) -> Result<()> {
        const OPERATION: &str = "context.delete";
        let mut tx = self.kernel.begin(scope).await?;
        let gone: Option<(String, i64)> = query_as(row::DELETE)
            .bind(scope.tenant().as_str())
            .bind(id.to_string())
            .bind(expected_version)
            .fetch_optional(tx.conn())
            .await
            .or_fault(OPERATION)?;
        let Some((user, gone)) = gone else {
            return Err(refusal(OPERATION, version(&mut tx, id).await?));
        };
        query(row::DELETE_MESSAGES)
            .bind(scope.tenant().as_str())
            .bind(id.to_string())
            .execute(tx.conn())
            .await
            .or_fault(OPERATION)?;
        let about = About { tenant: scope.tenant(), id, user: &user, at: tx.now() };
        tx.emit(change::deleted(&about, gone)).await?;
        tx.audit(AuditRecord::done(scope, OPERATION, format!("context/{id}"))).await?;
        tx.commit().await
    }
}

async fn find(conn: &mut SqliteConnection, tenant: &TenantId, id: &ContextId) -> Result<Option<ContextHead>> {
    let row: Option<HeadRow> = query_as(row::HEAD)
        .bind(tenant.as_str())
        .bind(id.to_string())
        .fetch_optional(conn)
        .await
        .or_fault("context.read")?;
    row.map(|row| row::head(tenant, row)).transpose()
}

async fn whole(
    conn: &mut SqliteConnection,
    tenant: &TenantId,
    id: &ContextId,
) -> Result<Option<(ContextHead, Map<String, Value>)>> {
    let row: Option<WholeRow> = query_as(row::WHOLE)
        .bind(tenant.as_str())
        .bind(id.to_string())
        .fetch_optional(conn)
        .await
        .or_fault("context.read")?;
    row.map(|row| row::whole(tenant, row)).transpose()
}

async fn data_of(conn: &mut SqliteConnection, tenant: &TenantId, id: &ContextId) -> Result<String> {
    let data = query_scalar(row::DATA).bind(tenant.as_str()).bind(id.to_string());
    let data: Option<String> = data.fetch_optional(conn).await.or_fault("context.read")?;
    data.ok_or_else(|| not_found("context.read"))
}

async fn window(
    conn: &mut SqliteConnection,
    sql: &'static str,
    tenant: &TenantId,
    id: &ContextId,
    from: i64,
    limit: u32,
) -> Result<Vec<Message>> {
    let rows: Vec<MessageRow> = query_as(sql)
        .bind(tenant.as_str())
        .bind(id.to_string())
        .bind(from)
        .bind(i64::from(limit))
        .fetch_all(conn)
        .await
        .or_fault("context.messages")?;
    rows.into_iter().map(row::message).collect()
}

async fn version(tx: &mut TenantTx, id: &ContextId) -> Result<Option<i64>> {
    let tenant = tx.tenant().to_string();
    let version = query_scalar(row::VERSION).bind(tenant).bind(id.to_string());
    version.fetch_optional(tx.conn()).await.or_fault("context.read")
}

async fn refuse_above(tx: &mut TenantTx, most: u32) -> Result<()> {
    let tenant = tx.tenant().to_string();
    let count = query_scalar(row::COUNT).bind(tenant).bind(i64::from(most));
    let count: i64 = count.fetch_one(tx.conn()).await.or_fault("context.create")?;
    if count < i64::from(most) { Ok(()) } else { Err(too_many(most)) }
}

/// Takes the key for this request, or says what the request that has it came to.
async fn claim(
    tx: &mut TenantTx,
    operation: &'static str,
    key: &str,
    fingerprint: &[u8],
    id: &ContextId,
) -> Result<Option<Earlier>> {
    let (tenant, now) = (tx.tenant().to_string(), tx.now());
    query(row::FORGET_KEYS)
        .bind(&tenant)
        .bind(now.as_micros().saturating_sub(row::KEPT.as_micros() as i64))
        .bind(row::FORGET)
        .execute(tx.conn())
        .await
        .or_fault(operation)?;
    let taken = query(row::CLAIM)
        .bind(&tenant)
        .bind(key)
        .bind(fingerprint)
        .bind(id.to_string())
        .bind(now.as_micros())
        .execute(tx.conn())
        .await
        .or_fault(operation)?;
    if taken.rows_affected() == 1 {
        return Ok(None);
    }
    let earlier: RequestRow =
        query_as(row::CLAIMED).bind(tenant).bind(key).fetch_one(tx.conn()).await.or_fault(operation)?;
    Earlier::read(operation, earlier, fingerprint).map(Some)
}

async fn answered(tx: &mut TenantTx, key: &str, appended: Appended) -> Result<()> {
    let tenant = tx.tenant().to_string();
    query(row::ANSWERED)
        .bind(tenant)
        .bind(key)
        .bind(appended.version)
        .bind(appended.first_seq)
        .bind(appended.last_seq)
        .execute(tx.conn())
        .await
        .or_fault("context.append")?;
    Ok(())
}
