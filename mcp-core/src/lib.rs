//! The vocabulary of the MCP platform SDK.
//!
//! Everything another crate of the SDK builds on lives here: who acts for which tenant ([`scope`]), what
//! went wrong ([`error`]), whether something may be done ([`access`]), secrets ([`key`]), time ([`clock`]),
//! texts as vectors ([`embed`]), the transaction that holds state, event and audit record together (`sql`),
//! the audit chain ([`audit`]), tower layers ([`layer`]), and, for programs that have none of their own, where
//! logs and metrics go (`telemetry`).
//!
//! ```
//! use std::sync::Arc;
//! use mcp_core::scope::{Permissions, Principal, PrincipalId, PrincipalKind, Scope, TenantId};
//!
//! let principal = Principal {
//!     id: PrincipalId::parse("user-789")?,
//!     kind: PrincipalKind::User,
//!     permissions: Permissions::parse(["tools:call"])?,
//! };
//! let scope = Scope::new(TenantId::parse("tenant-123")?, Arc::new(principal));
//! scope.require("tools:call")?;
//! assert!(scope.require("audit:read").is_err());
//! # Ok::<(), mcp_core::Error>(())
//! ```

pub mod access;
pub mod audit;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod embed;
pub mod erase;
pub mod error;
pub mod event;
#[cfg(feature = "http-api")]
pub mod http_api;
pub mod key;
pub mod layer;
pub mod lease;
pub mod limit;
#[cfg(feature = "net")]
pub mod net;
pub mod redact;
pub mod scope;
#[cfg(feature = "sql")]
pub mod sql;
pub mod sse;
pub mod strict;
#[cfg(feature = "telemetry")]
pub mod telemetry;

pub use error::{Error, ErrorKind, Result};
pub use scope::{PlatformScope, Scope};
