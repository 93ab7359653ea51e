//! Client certificates: which principal of which tenant a certificate speaks for.
//!
//! The listener verifies the certificate against its certificate authorities, and puts a [`PeerCertificate`]
//! into the extensions of every request of the connection. Nothing is ever taken from a header: a proxy that
//! ends TLS cannot vouch for a certificate here. A certificate that nobody registered is nobody's.

mod authenticator;
mod memory;
mod model;
mod operations;
mod peer;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod row;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod subject;

pub use authenticator::CertificateAuthenticator;
pub use memory::MemoryCertificateStore;
pub use model::{CertificateIdentity, NewCertificateIdentity};
pub use peer::{MAX_SUBJECTS, PeerCertificate};
#[cfg(feature = "postgres")]
pub use postgres::PostgresCertificateStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteCertificateStore;
pub use store::CertificateStore;
pub use subject::CertificateSubject;
