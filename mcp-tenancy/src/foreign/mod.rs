//! Tokens of foreign issuers (feature `issuers`): JWTs by the issuers' public keys, opaque tokens by introspection.
//!
//! An [`IssuerDirectory`] follows the declared [issuers](crate::issuer) and keeps their keys; two authenticators ask
//! it. [`Tenancy::follow_issuers`](crate::Tenancy::follow_issuers) puts them together:
//!
//! ```
//! # use mcp_tenancy::{Tenancy, foreign::ForeignConfig};
//! # async fn example(tenancy: Tenancy) -> mcp_core::Result<()> {
//! let issuers = tenancy.follow_issuers(ForeignConfig::default()).await?;
//! let authenticators = tenancy.authenticators().and(issuers.authenticators());
//! # Ok(())
//! # }
//! ```
//!
//! How long a token outlives what made it good, at most, with the defaults of [`ForeignConfig`]:
//!
//! | what ends it | until it is refused |
//! |---|---|
//! | it expires (`exp`) | at once: no leeway |
//! | it, or all tokens of its tenant, are revoked here | at once; on other replicas 300 ms and an answer of the store |
//! | its issuer is changed or removed | the same |
//! | its issuer removes the key | 5 minutes and an exchange; 15 minutes while the issuer is away |
//! | its issuer revokes it (introspection) | 30 seconds |
//!
//! Whose issuer cannot be asked and has no keys that are young enough is refused with
//! [`Unavailable`](mcp_core::ErrorKind::Unavailable).

mod config;
mod directory;
mod fetch;
mod health;
mod introspection;
mod jwks;
mod jwt;
mod keys;
mod known;
mod meaning;
mod metadata;
mod operations;
mod parse;

pub use config::ForeignConfig;
pub use directory::IssuerDirectory;
pub use health::{IssuerHealth, IssuerState};
pub use introspection::IntrospectionAuthenticator;
pub use jwt::ForeignJwtAuthenticator;
pub use operations::ForeignIssuers;
