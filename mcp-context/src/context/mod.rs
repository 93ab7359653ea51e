//! Contexts: conversations with the data around them, which many writers change and none loses.
//!
//! A [`Context`] is a JSON object of data and a history of messages, with one version for both. A
//! [`ContextStore`] keeps them, in memory, in SQLite (feature `sqlite`) or in PostgreSQL (feature
//! `postgres`); all keep the same promises, which the suite in `conformance` shows. A
//! [`RedactingContextStore`] before one of them keeps personal data out of it. On the wire a context is
//!
//! ```json
//! {
//!   "context_id": "0199…", "tenant_id": "tenant-123", "user_id": "user-789", "session_id": "s-1",
//!   "metadata": { "created_at": "…", "updated_at": "…", "version": 1, "messages": 0 },
//!   "data": { "conversation_history": [], "user_preferences": {}, "context_variables": {} }
//! }
//! ```

mod change;
mod check;
mod memory;
mod merge;
mod model;
#[cfg(feature = "postgres")]
mod postgres;
mod redacting;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod wire;

pub use check::ContextLimits;
pub use memory::MemoryContextStore;
pub use model::{
    Append, Appended, Content, Context, ContextHead, ContextId, HISTORY, Message, NewContext, NewMessage,
    Part, Role,
};
#[cfg(feature = "postgres")]
pub use postgres::PostgresContextStore;
pub use redacting::RedactingContextStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteContextStore;
pub use store::{ContextQuery, ContextStore, MAX_NEWEST, MessageQuery};
