//! Foreign issuers: who besides the platform may say as whom a request comes, and what their tokens mean here.
//!
//! An issuer belongs to one tenant, and then speaks for that tenant alone, or is shared, and then a claim names the
//! tenant. What its tokens are worth is in its [`IssuerSpec`]; who checks them is in `foreign` (feature `issuers`).

mod claims;
#[cfg(feature = "issuers")]
mod granted;
mod id;
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

pub use claims::ClaimMapping;
pub use id::IssuerId;
pub use memory::MemoryIssuerStore;
#[cfg(feature = "issuers")]
pub(crate) use model::authority;
pub use model::{
    Issuer, IssuerSpec, KeySource, MAX_ISSUERS, MAX_URL_LEN, SigningAlgorithm, StoredIssuer, TokenCheck,
    TokenType,
};
pub(crate) use operations::Issuers;
pub use operations::NewIssuer;
#[cfg(feature = "postgres")]
pub use postgres::PostgresIssuerStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteIssuerStore;
pub use store::{IssuerStore, IssuerWrite};
