//! Semantic memory: short texts that are found again by their words and by their meaning.
//!
//! [`Memories`] remembers, recalls and forgets, in namespaces of a user, an agent or a session. Texts are found
//! by their words and, where there is an [`Embedder`](mcp_core::embed::Embedder), by their meaning too, through a
//! [`VectorIndex`](crate::vector::VectorIndex); the two rankings are fused. A [`MemoryStore`] keeps the rows, in memory, in SQLite (feature `sqlite`, with FTS5) or in
//! PostgreSQL (feature `postgres`, with `tsvector`).

mod change;
mod check;
mod follow;
mod fuse;
mod memories;
mod metrics;
mod model;
mod rank;
mod reference;
mod store;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod bytes;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memories::Memories;
pub use model::{Hit, Memory, MemoryId, Namespace, NamespaceKind, NewMemory, Recall, Recalled};
#[cfg(feature = "postgres")]
pub use postgres::PostgresMemoryStore;
pub use reference::ReferenceMemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteMemoryStore;
pub use store::{KEPT_VERSIONS, MAX_VECTORS_READ, MemoryStore, Stored, VectorChanges};
