//! How much in a day or month: quotas, set by operators, counted by reservation and settlement.
//!
//! A quota is of one subject (the tenant, each of its principals, or one of them), one meter
//! (`chat.tokens`) and one period in UTC. Quotas lie in the control tables, what was used of them in the
//! tenant's own. Whoever spends asks the port [`Quota`](mcp_core::limit::Quota), which every [`QuotaStore`]
//! is.
//!
//! ```
//! use std::sync::Arc;
//! use mcp_core::{
//!     PlatformScope, Scope,
//!     limit::{Meter, Period, Quota as _},
//!     scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
//! };
//! use mcp_tenancy::quota::{MemoryQuotaStore, QuotaLimit, QuotaStore as _, QuotaSubject};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> mcp_core::Result<()> {
//! let store = MemoryQuotaStore::default();
//! let (acme, tokens) = (TenantId::parse("acme")?, Meter::parse("chat.tokens")?);
//! let operator = PlatformScope::new(PrincipalId::parse("operator")?, "a new contract");
//! let limit =
//!     QuotaLimit { subject: QuotaSubject::Tenant, meter: tokens.clone(), period: Period::Month, amount: 1_000 };
//! store.set(&operator, &acme, limit).await?;
//!
//! let principal =
//!     Principal { id: PrincipalId::parse("u1")?, kind: PrincipalKind::User, permissions: Permissions::default() };
//! let scope = Scope::new(acme, Arc::new(principal));
//! let worst = store.reserve(&scope, &tokens, 800).await?;
//! assert!(store.reserve(&scope, &tokens, 800).await.is_err());
//! store.settle(&scope, &worst, 150).await?;
//! store.reserve(&scope, &tokens, 800).await?;
//! # Ok(())
//! # }
//! ```

mod decide;
mod memory;
mod model;
mod operations;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;

pub use memory::MemoryQuotaStore;
pub use model::{MAX_LIMITS, QuotaConfig, QuotaLimit, QuotaSubject, QuotaUsage};
#[cfg(feature = "postgres")]
pub use postgres::PostgresQuotaStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteQuotaStore;
pub use store::QuotaStore;
