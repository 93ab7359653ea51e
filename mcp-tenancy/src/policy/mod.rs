//! What may be done: policies, asked after the tenant boundary.
//!
//! A [`PolicyRequest`] says who asks (principal, roles, permissions), what for (action, resource with its
//! attributes) and in which circumstances. [`decide`] first runs the tenant boundary, which is code
//! ([`Bounded::check`]), and then asks a [`Policy`]; the [`Decision`] says why. Engines:
//!
//! - [`ByPermission`]: a permission is all it takes; what holds for a tenant without a policy;
//! - `CedarPolicy` (feature `cedar`): Cedar, held to a schema, which with some policies is shipped in
//!   `policies/`;
//! - `RegoPolicy` (feature `rego`): Rego in process, version 0 and 1;
//! - `OpaPolicy` (feature `opa`): an Open Policy Agent over HTTP;
//! - [`AllOf`]: what several allow, an operator's above a tenant's;
//! - [`TenantPolicies`]: each tenant under the version it has activated.
//!
//! Policies are data of a tenant: [`PolicyAdmin`] writes, validates, tries ([`DryRun`]) and activates them,
//! a [`PolicyStore`] keeps them. [`Authorization`] puts it all together, behind
//! [`Authorizer`](mcp_core::access::Authorizer), [`AuthorizeLayer`](crate::layer::AuthorizeLayer) on the wire.

mod admin;
mod authorization;
mod authorizer;
#[cfg(feature = "cedar")]
mod cedar;
mod engine;
mod erasing;
#[cfg(any(feature = "rego", feature = "opa"))]
mod input;
mod language;
mod memory;
#[cfg(feature = "opa")]
mod opa;
#[cfg(feature = "postgres")]
mod postgres;
mod recorder;
#[cfg(feature = "rego")]
mod rego;
mod request;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(any(feature = "cedar", feature = "rego"))]
mod shape;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod tenants;
mod version;

pub use admin::{Changed, DryRun, PolicyAdmin, READ_POLICIES, WRITE_POLICIES};
pub use authorization::{Authorization, AuthorizationDeps};
pub use authorizer::PolicyAuthorizer;
#[cfg(feature = "cedar")]
pub use cedar::{CedarPolicy, CedarSchema};
pub use engine::{AllOf, ByPermission, Policy, decide};
pub use language::{Compiler, Language, MAX_DATA, MAX_TEXT, PolicyText};
pub use memory::MemoryPolicyStore;
#[cfg(feature = "opa")]
pub use opa::{DataPath, OpaConfig, OpaPolicy};
#[cfg(feature = "postgres")]
pub use postgres::PostgresPolicyStore;
pub use recorder::{RECORDED, RequestRecorder};
#[cfg(feature = "rego")]
pub use rego::RegoPolicy;
pub use request::{
    Bounded, Decision, MAX_REQUEST, PolicyRequest, REQUEST_TOO_LARGE, Subject, TENANT_BOUNDARY,
};
#[cfg(feature = "sqlite")]
pub use sqlite::SqlitePolicyStore;
pub use store::PolicyStore;
pub use tenants::TenantPolicies;
pub use version::{KEPT_VERSIONS, NewPolicy, PolicyHead, PolicyState, PolicyVersion};

/// How long a process remembers what is a tenant's and nobody asks for: what it keeps of a tenant that another replica
/// erased is gone by then.
const KEPT_IDLE: std::time::Duration = std::time::Duration::from_secs(24 * 3600);
