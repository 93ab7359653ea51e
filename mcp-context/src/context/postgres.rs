//! Contexts in PostgreSQL, in every isolation mode.
//!
//! Changes of one context take turns, which come before anything is written: a transaction gets its id with its
//! first write, and events are published in the order of these ids. Where two waited for the row instead, the
//! second could have the lower id, and its event would come first.

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    audit::AuditRecord,
    scope::TenantId,
    sql::{
        OrFault as _,
        postgres::{PgKernel, TenantRead, TenantTx, query, query_as, query_scalar},
    },
};
use serde_json::{Map, Value};
use sqlx::PgConnection;

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

/// Counters and messages in one round trip. Nothing is written where the context is not there, or has another
/// version than is expected.
const APPEND: &str = "WITH grown AS ( \
         UPDATE context SET version = version + 1, messages = messages + $3, updated_at = greatest(updated_at, $4) \
         WHERE tenant_id = $1 AND id = $2 AND ($5 IS NULL OR version = $5) RETURNING user_id, version, messages \
     ), said AS ( \
         INSERT INTO message (tenant_id, context_id, seq, role, content, metadata, author, created_at) \
         SELECT $1, $2, grown.messages - $3 + new.place, new.role, new.content, new.metadata, $6, $4 \
         FROM grown, unnest($7, $8, $9) WITH ORDINALITY AS new (role, content, metadata, place) \
     ) \
     SELECT user_id, version, messages FROM grown";

/// A [`ContextStore`] in PostgreSQL, on a kernel that was opened with
/// [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
#[derive(Debug, Clone)]
pub struct PostgresContextStore {
    kernel: PgKernel,
    limits: ContextLimits,
}

impl PostgresContextStore {
    /// A store on `kernel`.
    #[must_use]
    pub const fn new(kernel: PgKernel, limits: ContextLimits) -> Self {
        Self { kernel, limits }
    }

    /// Begins a change of one context, when its turn has come.
    async fn begin(&self, scope: &Scope, id: &ContextId) -> Result<TenantTx> {
        self.kernel.begin_in_turn(scope, turn(scope, &id.to_string())).await
    }

    /// Begins what counts contexts. One at a time, as two that count at once would both find room.
    async fn begin_counting(&self, scope: &Scope) -> Result<TenantTx> {
        self.kernel.begin_in_turn(scope, turn(scope, "")).await
    }
}

#[async_trait]
impl ContextStore for PostgresContextStore {
    async fn create(&self, scope: &Scope, new: NewContext) -> Result<Context> {
        self.limits.new_context(&new)?;
        let id = ContextId::generate();
        let mut tx = match new.at_most {
            Some(_) => self.begin_counting(scope).await?,
            None => self.kernel.begin(scope).await?,
        };
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
        let (head, data) = whole(&mut read, id).await?.ok_or_else(|| not_found("context.read"))?;
        let mut history = window(&mut read, row::NEWEST, id, i64::MAX, newest.min(MAX_NEWEST)).await?;
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
        let mut rows = query_as::<HeadRow>(sql)
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
        find(&mut read, id).await?.ok_or_else(|| not_found("context.messages"))?;
        let sql = if asked.newest_first { row::NEWEST } else { row::MESSAGES };
        let items = window(&mut read, sql, id, from, limit + 1).await?;
        Ok(Page::cut(items, limit, |message: &Message| message.seq.to_string()))
    }

    async fn append(&self, scope: &Scope, id: &ContextId, append: Append) -> Result<Appended> {
        const OPERATION: &str = "context.append";
        self.limits.append(&append)?;
        let mut tx = self.begin(scope, id).await?;
        if let Some(key) = &append.idempotency_key
            && let fingerprint = append_fingerprint(scope, id, &append)?
            && let Some(earlier) = claim(&mut tx, OPERATION, key, &fingerprint, id).await?
        {
            tx.rollback().await?;
            return Ok(earlier.appended);
        }
        let (now, count) = (tx.now(), append.messages.len() as i64);
        let (mut roles, mut contents, mut metadata) = (Vec::new(), Vec::new(), Vec::new());
        for message in &append.messages {
            roles.push(message.role.as_str());
            contents.push(json_of(OPERATION, &message.content)?);
            metadata.push(json_of(OPERATION, &message.metadata)?);
        }
        let grown: Option<(String, i64, i64)> = query_as(APPEND)
            .bind(scope.tenant().as_str())
            .bind(id.to_string())
            .bind(count)
            .bind(now.as_micros())
            .bind(append.expected_version)
            .bind(scope.principal().id.as_str())
            .bind(roles)
            .bind(contents)
            .bind(metadata)
            .persistent(tx.prepares())
            .fetch_optional(tx.conn())
            .await
            .or_fault(OPERATION)?;
        let Some((user, version, last_seq)) = grown else {
            return Err(refusal(OPERATION, version(&mut tx, id).await?));
        };
        let appended = Appended { version, first_seq: last_seq - count + 1, last_seq };
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
        let mut tx = self.begin(scope, id).await?;
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
        let mut tx = self.begin(scope, id).await?;
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

async fn find(read: &mut TenantRead, id: &ContextId) -> Result<Option<ContextHead>> {
    let row: Option<HeadRow> = query_as(row::HEAD)
        .bind(read.tenant().to_string())
        .bind(id.to_string())
        .persistent(read.prepares())
        .fetch_optional(read.conn())
        .await
        .or_fault("context.read")?;
    row.map(|row| row::head(read.tenant(), row)).transpose()
}

async fn whole(read: &mut TenantRead, id: &ContextId) -> Result<Option<(ContextHead, Map<String, Value>)>> {
    let row: Option<WholeRow> = query_as(row::WHOLE)
        .bind(read.tenant().to_string())
        .bind(id.to_string())
        .persistent(read.prepares())
        .fetch_optional(read.conn())
        .await
        .or_fault("context.read")?;
    row.map(|row| row::whole(read.tenant(), row)).transpose()
}

async fn data_of(conn: &mut PgConnection, tenant: &TenantId, id: &ContextId) -> Result<String> {
    let data = query_scalar(row::DATA).bind(tenant.as_str()).bind(id.to_string());
    let data: Option<String> = data.fetch_optional(conn).await.or_fault("context.read")?;
    data.ok_or_else(|| not_found("context.read"))
}

async fn window(
    read: &mut TenantRead,
    sql: &'static str,
    id: &ContextId,
    from: i64,
    limit: u32,
) -> Result<Vec<Message>> {
    let rows: Vec<MessageRow> = query_as(sql)
        .bind(read.tenant().to_string())
        .bind(id.to_string())
        .bind(from)
        .bind(i64::from(limit))
        .persistent(read.prepares())
        .fetch_all(read.conn())
        .await
        .or_fault("context.messages")?;
    rows.into_iter().map(row::message).collect()
}

async fn version(tx: &mut TenantTx, id: &ContextId) -> Result<Option<i64>> {
    let tenant = tx.tenant().to_string();
    let version = query_scalar(row::VERSION).bind(tenant).bind(id.to_string());
    version.fetch_optional(tx.conn()).await.or_fault("context.read")
}

/// The turn of changes of one thing of the tenant's.
fn turn(scope: &Scope, what: &str) -> String {
    format!("mcp-context:{}/{what}", scope.tenant())
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
