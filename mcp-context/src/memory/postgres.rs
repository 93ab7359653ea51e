//! Memories in PostgreSQL, their words in a `tsvector`.

use async_trait::async_trait;
use mcp_core::{
    Result, Scope,
    audit::AuditRecord,
    sql::{
        OrFault as _,
        postgres::{PgKernel, query, query_as, query_scalar},
    },
};

use super::{
    Memory, MemoryId, MemoryStore, Namespace, NewMemory, Stored, Vector, check,
    row::{self, MemoryRow},
    store::{MAX_VECTORS, not_found},
    vector,
};

/// A [`MemoryStore`] in PostgreSQL, on a kernel that was opened with
/// [`POSTGRES_MIGRATIONS`](crate::POSTGRES_MIGRATIONS).
#[derive(Debug, Clone)]
pub struct PostgresMemoryStore(PgKernel);

impl PostgresMemoryStore {
    /// A store on `kernel`.
    #[must_use]
    pub const fn new(kernel: PgKernel) -> Self {
        Self(kernel)
    }
}

#[async_trait]
impl MemoryStore for PostgresMemoryStore {
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
        let mut tx = self.0.begin(scope).await?;
        let memory = row::created(scope, new, tx.now());
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
            .bind(vector.map(|(_, numbers)| vector::to_bytes(numbers)))
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
        tx.emit(row::event(scope, "remembered", &memory.id, memory.namespace.as_str())).await?;
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
        let wanted = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" | ");
        let mut read = self.0.read(scope).await?;
        let ids: Vec<String> = query_scalar(
            "SELECT id FROM memory
             WHERE tenant_id = $1 AND namespace = $2 AND words @@ to_tsquery('simple', $3)
             ORDER BY ts_rank_cd(words, to_tsquery('simple', $3), 1) DESC, id DESC LIMIT $4",
        )
        .bind(scope.tenant().as_str())
        .bind(namespace.as_str())
        .bind(wanted)
        .bind(i64::from(limit))
        .fetch_all(read.conn())
        .await
        .or_fault("memory.recall")?;
        ids.iter().map(|id| row::id(id)).collect()
    }

    async fn vectors(&self, scope: &Scope, namespace: &Namespace, model: &str) -> Result<Vec<Vector>> {
        let mut read = self.0.read(scope).await?;
        let rows: Vec<(String, Vec<u8>)> = query_as(
            "SELECT id, vector FROM memory WHERE tenant_id = $1 AND namespace = $2 AND model = $3
             ORDER BY id DESC LIMIT $4",
        )
        .bind(scope.tenant().as_str())
        .bind(namespace.as_str())
        .bind(model)
        .bind(i64::from(MAX_VECTORS))
        .fetch_all(read.conn())
        .await
        .or_fault("memory.recall")?;
        let read = |(id, bytes): (String, Vec<u8>)| {
            Ok(Vector { id: row::id(&id)?, numbers: vector::from_bytes(&bytes)? })
        };
        rows.into_iter().map(read).collect()
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
        let gone: Option<String> = query_scalar(row::DELETE)
            .bind(scope.tenant().as_str())
            .bind(id.to_string())
            .fetch_optional(tx.conn())
            .await
            .or_fault(OPERATION)?;
        let namespace = gone.ok_or_else(not_found)?;
        tx.emit(row::event(scope, "forgotten", id, &namespace)).await?;
        tx.audit(AuditRecord::done(scope, OPERATION, format!("memory/{id}"))).await?;
        tx.commit().await
    }
}
