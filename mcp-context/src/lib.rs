//! What is remembered: contexts with their messages, and semantic memory, for many tenants and many writers at
//! once.
//!
//! [`context`] holds conversations and the data around them; a change and its event are one. [`memory`] holds
//! texts that are recalled by words and by meaning; [`vector`] finds what is near in meaning. Stores are traits
//! with a backend in memory, in SQLite (feature `sqlite`) and in PostgreSQL (feature `postgres`); they mean
//! the same, which the suites in `conformance` (feature `conformance`) show.
//!
//! ```
//! use std::sync::Arc;
//!
//! use mcp_context::context::{Append, ContextStore, MemoryContextStore, NewContext, NewMessage, Role};
//! use mcp_core::{
//!     ErrorKind, Scope,
//!     scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> mcp_core::Result<()> {
//! let user =
//!     Principal { id: PrincipalId::parse("user-789")?, kind: PrincipalKind::User, permissions: Permissions::default() };
//! let scope = Scope::new(TenantId::parse("acme")?, Arc::new(user));
//! let store: Arc<dyn ContextStore> = Arc::new(MemoryContextStore::default());
//!
//! let context = store.create(&scope, NewContext::default()).await?;
//! let messages = vec![
//!     NewMessage::text(Role::User, "Where is my order?"),
//!     NewMessage::text(Role::Assistant, "On its way."),
//! ];
//! let id = context.head.id;
//! let appended = store.append(&scope, &id, Append { messages, ..Append::default() }).await?;
//! assert_eq!((appended.first_seq, appended.last_seq, appended.version), (1, 2, 2));
//!
//! // A change to a version that is gone is refused, and told the current one.
//! let stale = store.patch(&scope, &id, serde_json::Map::new(), 1).await.unwrap_err();
//! assert_eq!(stale.kind(), ErrorKind::Conflict);
//!
//! let read = store.read(&scope, &id, 1).await?;
//! assert_eq!(read.history.unwrap()[0].content, "On its way.".into());
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod context;
#[cfg(feature = "http-api")]
pub mod http_api;
pub mod memory;
mod page;
mod redact;
#[cfg(feature = "http-api")]
mod schema;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
pub mod vector;

pub use page::{MAX_PAGE, Page};
#[cfg(feature = "postgres")]
pub use sql::POSTGRES_MIGRATIONS;
#[cfg(feature = "sqlite")]
pub use sql::SQLITE_MIGRATIONS;
