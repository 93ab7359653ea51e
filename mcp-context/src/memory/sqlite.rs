//! Memories in SQLite, their words in FTS5.

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    sql::{
        OrFault as _,
        sqlite::{SqliteKernel, TenantTx},
    },
};
use sqlx::{query, query_as, query_scalar};

use super::{
    Memory, MemoryId, MemoryStore, Namespace, NewMemory, Stored, VectorChanges, bytes, change,
    check::{self, MOST_WORDS},
    rank::best,
    row::{self, MemoryRow},
    store::{KEPT_VERSIONS, MAX_VECTORS_READ, not_found},
};
use crate::vector::Vector;

/// Who holds which of the words, and of those alike the best few. The joins are crossed to keep their order: word by
/// word through the index, and only what is the tenant's goes on.
const HOLDERS: &str = "SELECT id, held, alike, bytes FROM (
         SELECT id, held, bytes, count(*) OVER (PARTITION BY held) AS alike,
                row_number() OVER (PARTITION BY held ORDER BY bytes, id DESC) AS place
         FROM (SELECT m.id AS id, octet_length(m.text) AS bytes, sum(1 << asked.key) AS held
               FROM json_each($3) AS asked CROSS JOIN memory_words AS w CROSS JOIN memory AS m
               WHERE w.memory_words MATCH asked.value AND m.row_id = w.rowid
                 AND m.tenant_id = $1 AND m.namespace = $2
               GROUP BY m.row_id))
     WHERE place <= $4";

/// A [`MemoryStore`] in SQLite, on a kernel that was opened with
/// [`SQLITE_MIGRATIONS`](crate::SQLITE_MIGRATIONS).
///
/// In isolation mode `row` the words of all tenants are in one index. What is found, and in which order, is each
/// tenant's own all the same, as the index's statistics are not asked; how long it takes depends on how many
/// memories of the file have the words.
#[derive(Debug, Clone)]
pub struct SqliteMemoryStore(SqliteKernel);

impl SqliteMemoryStore {
    /// A store on `kernel`.
    #[must_use]
    pub const fn new(kernel: SqliteKernel) -> Self {
        Self(kernel)
    }
}

#[async_trait]
impl MemoryStore for SqliteMemoryStore {
    async fn same(&self, scope: &Scope, namespace: &Namespace, text: &str) -> Result<Option<Memory>> {
        let mut read = self.0.read(scope).await?;
        let found: Option<MemoryRow> = query_as(row::SAME)
            .bind(scope.tenant().as_str())
            .bind(namespace.as_str())
            .bind(row::fingerprint(text))
            .fetch_optional(read.conn())
            .await
            .or_fault("memory.read")?;
        found.map(row::memory).transpose()
    }

    async fn put(&self, scope: &Scope, new: NewMemory, vector: Option<(&str, &[f32])>) -> Result<Stored> {
        let metadata = check::memory(&new)?;
        check::vector(vector)?;
        let mut tx = self.0.begin(scope).await?;
        let memory = change::created(scope, new, tx.now());
        let version = next_version(&mut tx, "memory.remember", memory.namespace.as_str()).await?;
        let digest = row::fingerprint(&memory.text);
        let inserted = query(row::INSERT)
            .bind(scope.tenant().as_str())
            .bind(memory.id.to_string())
            .bind(memory.namespace.as_str())
            .bind(digest.clone())
            .bind(&memory.text)
            .bind(metadata)
            .bind(&memory.author)
            .bind(memory.created_at.as_micros())
            .bind(vector.map(|(model, _)| model))
            .bind(vector.map(|(_, numbers)| bytes::to_bytes(numbers)))
            .bind(version)
            .execute(tx.conn())
            .await
            .or_fault("memory.remember")?;
        if inserted.rows_affected() == 0 {
            let there: MemoryRow = query_as(row::SAME)
                .bind(scope.tenant().as_str())
                .bind(memory.namespace.as_str())
                .bind(digest)
                .fetch_one(tx.conn())
                .await
                .or_fault("memory.remember")?;
            tx.rollback().await?;
            return Ok(Stored { memory: row::memory(there)?, new: false });
        }
        tx.emit(change::event(scope, "remembered", &memory.id, memory.namespace.as_str())).await?;
        tx.commit().await?;
        Ok(Stored { memory, new: true })
    }

    async fn by_words(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        words: &[String],
        limit: u32,
    ) -> Result<Vec<MemoryId>> {
        // Each word in quotes is a word and no operator; they hold letters and digits alone.
        let wanted: Vec<_> = words.iter().take(MOST_WORDS).map(|word| format!("\"{word}\"")).collect();
        let mut read = self.0.read(scope).await?;
        let holders = query_as(HOLDERS)
            .bind(scope.tenant().as_str())
            .bind(namespace.as_str())
            .bind(serde_json::Value::from(wanted).to_string())
            .bind(i64::from(limit))
            .fetch_all(read.conn())
            .await
            .or_fault("memory.recall")?;
        Ok(best(row::holders(holders)?, limit as usize))
    }

    async fn version(&self, scope: &Scope, namespace: &Namespace) -> Result<i64> {
        let mut read = self.0.read(scope).await?;
        let version: Option<i64> = query_scalar(row::VERSION)
            .bind(scope.tenant().as_str())
            .bind(namespace.as_str())
            .fetch_optional(read.conn())
            .await
            .or_fault("memory.recall")?;
        Ok(version.unwrap_or(0))
    }

    async fn vectors(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        before: Option<MemoryId>,
        limit: u32,
    ) -> Result<Vec<Vector>> {
        let mut read = self.0.read(scope).await?;
        let rows = query_as(row::VECTORS)
            .bind(scope.tenant().as_str())
            .bind(namespace.as_str())
            .bind(model)
            .bind(before.map_or_else(|| row::LAST_ID.to_owned(), |id| id.to_string()))
            .bind(i64::from(limit.min(MAX_VECTORS_READ)))
            .fetch_all(read.conn())
            .await
            .or_fault("memory.recall")?;
        row::vectors(rows)
    }

    async fn changes(
        &self,
        scope: &Scope,
        namespace: &Namespace,
        model: &str,
        since: i64,
        until: i64,
    ) -> Result<Option<VectorChanges>> {
        let mut read = self.0.read(scope).await?;
        let added = query_as(row::ADDED)
            .bind(scope.tenant().as_str())
            .bind(namespace.as_str())
            .bind(model)
            .bind(since)
            .bind(until)
            .bind(i64::from(MAX_VECTORS_READ))
            .fetch_all(read.conn())
            .await
            .or_fault("memory.recall")?;
        let removed: Vec<String> = query_scalar(row::REMOVED)
            .bind(scope.tenant().as_str())
            .bind(namespace.as_str())
            .bind(since)
            .bind(until)
            .bind(i64::from(MAX_VECTORS_READ))
            .fetch_all(read.conn())
            .await
            .or_fault("memory.recall")?;
        // Asked last: what is known to have been kept now was there to be read before.
        let now: Option<i64> = query_scalar(row::VERSION)
            .bind(scope.tenant().as_str())
            .bind(namespace.as_str())
            .fetch_optional(read.conn())
            .await
            .or_fault("memory.recall")?;
        row::changes((since, now.unwrap_or(0)), added, &removed)
    }

    async fn get(&self, scope: &Scope, ids: &[MemoryId]) -> Result<Vec<Memory>> {
        let mut read = self.0.read(scope).await?;
        let mut found = Vec::new();
        for id in ids {
            let memory: Option<MemoryRow> = query_as(row::BY_ID)
                .bind(scope.tenant().as_str())
                .bind(id.to_string())
                .fetch_optional(read.conn())
                .await
                .or_fault("memory.recall")?;
            found.extend(memory.map(row::memory).transpose()?);
        }
        Ok(found)
    }

    async fn forget(&self, scope: &Scope, id: &MemoryId) -> Result<()> {
        const OPERATION: &str = "memory.forget";
        let mut tx = self.0.begin(scope).await?;
        let namespace: Option<String> = query_scalar(row::NAMESPACE)
            .bind(scope.tenant().as_str())
            .bind(id.to_string())
            .fetch_optional(tx.conn())
            .await
            .or_fault(OPERATION)?;
        let namespace = namespace.ok_or_else(not_found)?;
        let version = next_version(&mut tx, OPERATION, &namespace).await?;
        let gone = query(row::DELETE)
            .bind(scope.tenant().as_str())
            .bind(id.to_string())
            .execute(tx.conn())
            .await
            .or_fault(OPERATION)?;
        if gone.rows_affected() == 0 {
            tx.rollback().await?;
            return Err(not_found());
        }
        query(row::FORGOTTEN)
            .bind(scope.tenant().as_str())
            .bind(&namespace)
            .bind(version)
            .bind(id.to_string())
            .execute(tx.conn())
            .await
            .or_fault(OPERATION)?;
        query(row::FORGET_FORGOTTEN)
            .bind(scope.tenant().as_str())
            .bind(&namespace)
            .bind(version - KEPT_VERSIONS)
            .execute(tx.conn())
            .await
            .or_fault(OPERATION)?;
        tx.emit(change::event(scope, "forgotten", id, &namespace)).await?;
        tx.audit(change::audited(scope, id)).await?;
        tx.commit().await
    }
}

/// The version that this transaction makes of a namespace.
async fn next_version(tx: &mut TenantTx, operation: &'static str, namespace: &str) -> Result<i64> {
    let tenant = tx.tenant().to_string();
    let version = query_scalar(row::NEXT_VERSION).bind(tenant).bind(namespace.to_owned());
    version.fetch_one(tx.conn()).await.or_fault(operation)
}
