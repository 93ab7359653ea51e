//! Who acts, for which tenant, until when: the first argument of every operation on a tenant's data.
//!
//! A [`Scope`] is made once, at the edge, after authentication, and passed down by reference. It is never
//! kept in a thread-local or a task-local, so a function that touches a tenant's data says so in its
//! signature. Work above tenants takes a [`PlatformScope`] instead; the two do not convert into each other.

mod id;
mod platform;
mod principal;
pub(crate) mod schema;
mod tenant_scope;
mod trace;

pub use id::{PrincipalId, RequestId, TenantId};
pub use platform::PlatformScope;
pub use principal::{Permission, Permissions, Principal, PrincipalKind};
pub use schema::SchemaName;
pub use tenant_scope::Scope;
pub use trace::TraceContext;
