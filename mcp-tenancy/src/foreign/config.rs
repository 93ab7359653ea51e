//! How foreign issuers are asked, and for how long their answers hold.

use std::time::Duration;

use mcp_core::net::Roots;

/// The bounds of what is asked of issuers.
#[derive(Debug, Clone)]
pub struct ForeignConfig {
    /// Whom to trust as a TLS server. Default: the certificate authorities of the public web.
    pub roots: Roots,
    /// The time for one exchange with an issuer; one that fails in less than half of it is tried once more. Default 5 s.
    pub timeout: Duration,
    /// How long keys hold, if their issuer does not say so (`Cache-Control: max-age`), and at most. Default 5 minutes.
    pub keys_fresh_for: Duration,
    /// How long keys hold at least, whatever their issuer says. Default 30 s.
    pub keys_fresh_at_least: Duration,
    /// How old keys may become while their issuer is away; after that its tokens are refused. Default 15 minutes.
    pub keys_stale_for: Duration,
    /// An unknown `kid` asks an issuer for its keys again at most this often. Default 10 s.
    pub unknown_kid_every: Duration,
    /// An issuer that could not be asked is asked again at most this often. Default 5 s.
    pub retry_after: Duration,
    /// How long a verified JWT is not verified again; its times, its issuer, its key and revocations are looked at on
    /// each use all the same. Default 60 s.
    pub verified_for: Duration,
    /// How long an issuer's word that a token is active holds: how long a revocation at the issuer takes at most.
    /// Default 30 s.
    pub active_for: Duration,
    /// How long an issuer's word that a token is not active holds. Default 5 s.
    pub inactive_for: Duration,
}

impl Default for ForeignConfig {
    fn default() -> Self {
        Self {
            roots: Roots::Public,
            timeout: Duration::from_secs(5),
            keys_fresh_for: Duration::from_secs(300),
            keys_fresh_at_least: Duration::from_secs(30),
            keys_stale_for: Duration::from_secs(900),
            unknown_kid_every: Duration::from_secs(10),
            retry_after: Duration::from_secs(5),
            verified_for: Duration::from_secs(60),
            active_for: Duration::from_secs(30),
            inactive_for: Duration::from_secs(5),
        }
    }
}
