//! What a program can act on, beyond the kind.

use std::time::Duration;

/// Typed details of an [`Error`](super::Error).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// A version did not match; this is the current one.
    Conflict {
        /// The version now stored.
        current: i64,
    },
    /// Try again after this long.
    RetryAfter(Duration),
    /// A rate limit was hit; the figures go into the `RateLimit-*` headers.
    RateLimit {
        /// Requests the limit admits in its window.
        limit: u64,
        /// Requests left now.
        remaining: u64,
        /// Time until the limit is whole again.
        reset: Duration,
    },
    /// A quota is used up.
    Quota {
        /// What is counted, as in `chat.tokens`.
        meter: String,
        /// `day` or `month`.
        period: &'static str,
        /// The amount of the whole period.
        limit: u64,
        /// What is left of it.
        remaining: u64,
        /// When the next period begins.
        resets_at: crate::clock::Timestamp,
    },
    /// A field of the input is at fault.
    Field {
        /// Path of the field, `limits.requests_per_minute` or `/messages/0/role`.
        path: String,
        /// The nearest known name, where the field is unknown.
        nearest: Option<String>,
    },
    /// The principal lacks this permission.
    MissingScope {
        /// The permission, `area:verb`.
        scope: &'static str,
    },
    /// A credential was shown, and it is not good. It travels in `WWW-Authenticate`.
    InvalidCredential,
    /// The size limit that was passed.
    Limit {
        /// The limit in bytes.
        bytes: u64,
    },
    /// The MCP server at fault.
    Server {
        /// Its name in the fleet.
        name: String,
    },
}
