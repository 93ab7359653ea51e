//! What an HTTP client may do.

use std::time::Duration;

/// Which addresses may be dialled. Checked when dialling, after names are resolved, so that neither a redirect
/// nor a name that changes its address leads past it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses {
    /// Public ones alone: for URLs that a tenant, or somebody else's document, names.
    Public,
    /// All: for URLs that an operator wrote, who may mean a host of the operator's own network.
    Any,
}

/// Whom to trust as a TLS server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Roots {
    /// The certificate authorities of the public web.
    #[default]
    Public,
    /// Those in this PEM text, and no others.
    Pem(Vec<u8>),
}

/// The bounds of an [`HttpClient`](super::HttpClient).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// Which addresses may be dialled. Default [`Addresses::Public`].
    pub addresses: Addresses,
    /// The time for a whole exchange, from connecting to the last byte of the body. Default 10 s.
    pub timeout: Duration,
    /// The time for making a connection. Default 3 s.
    pub connect_timeout: Duration,
    /// The longest body of a response, in bytes. Default 1 MiB.
    pub body_limit: usize,
    /// Whom to trust as a TLS server. Default [`Roots::Public`].
    pub roots: Roots,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            addresses: Addresses::Public,
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            body_limit: 1 << 20,
            roots: Roots::Public,
        }
    }
}
