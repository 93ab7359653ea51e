//! The kinds of error, and whether the same call may be tried again.

use http::StatusCode;

/// What went wrong, coarsely: what a caller branches on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The input breaks a rule; the message names the field and the rule.
    InvalidInput,
    /// No or bad credentials.
    Unauthenticated,
    /// The principal may not do this, or the tenant may not be used.
    PermissionDenied,
    /// No such thing within the scope's tenant.
    NotFound,
    /// A thing of that id exists already.
    AlreadyExists,
    /// A version or a precondition did not hold.
    Conflict,
    /// A body, line or field is larger than the limit.
    TooLarge,
    /// A rate, quota or concurrency limit was hit.
    RateLimited,
    /// The operation exists but not for this backend, version or mode.
    Unsupported,
    /// The deadline passed before there was an answer.
    DeadlineExceeded,
    /// The caller went away or the platform is shutting down.
    Cancelled,
    /// A part of the platform is overloaded or away.
    Unavailable,
    /// An upstream server or provider failed or broke its protocol.
    Upstream,
    /// Stored data is not what was stored.
    Corrupted,
    /// A defect of ours.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tests and documentation.
    pub const ALL: [Self; 15] = [
        Self::InvalidInput,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::TooLarge,
        Self::RateLimited,
        Self::Unsupported,
        Self::DeadlineExceeded,
        Self::Cancelled,
        Self::Unavailable,
        Self::Upstream,
        Self::Corrupted,
        Self::Internal,
    ];

    /// The kind's one name, on every wire, in logs, metrics, Python and Node.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid_input",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission_denied",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Conflict => "conflict",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::Unsupported => "unsupported",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::Cancelled => "cancelled",
            Self::Unavailable => "unavailable",
            Self::Upstream => "upstream",
            Self::Corrupted => "corrupted",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status an answer of this kind carries.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::InvalidInput => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists | Self::Conflict => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unsupported => StatusCode::NOT_IMPLEMENTED,
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Self::Cancelled | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream => StatusCode::BAD_GATEWAY,
            Self::Corrupted | Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether trying again may help, unless the error says otherwise.
    #[must_use]
    pub const fn default_retry(self) -> Retry {
        match self {
            Self::RateLimited | Self::DeadlineExceeded | Self::Unavailable | Self::Upstream => Retry::Maybe,
            _ => Retry::Never,
        }
    }
}

/// Whether the same call may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// It will fail again.
    Never,
    /// It may succeed later.
    Maybe,
    /// It was tried as often as its budget allows.
    Exhausted,
}
