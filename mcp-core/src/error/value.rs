//! The error value.

use std::{borrow::Cow, error::Error as StdError, fmt, time::Duration};

use super::{Detail, ErrorKind, Retry};

/// The result of every fallible function of the SDK.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type Source = Box<dyn StdError + Send + Sync + 'static>;

/// What went wrong. One pointer wide, so that `Result<T>` stays small on hot paths.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    retry: Retry,
    operation: &'static str,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    details: Vec<Detail>,
    source: Option<Source>,
}

impl Error {
    /// An error of `kind` in `operation` (`crate.verb`, as in `tenant.create`).
    ///
    /// `message` is for the caller: it names the thing at fault and the way out.
    #[must_use]
    pub fn new(kind: ErrorKind, operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            retry: kind.default_retry(),
            operation,
            message: message.into(),
            context: Vec::new(),
            details: Vec::new(),
            source: None,
        }))
    }

    /// The input breaks a rule.
    #[must_use]
    pub fn invalid_input(operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidInput, operation, message)
    }

    /// No or bad credentials.
    #[must_use]
    pub fn unauthenticated(operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unauthenticated, operation, message)
    }

    /// The principal may not do this.
    #[must_use]
    pub fn permission_denied(operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::PermissionDenied, operation, message)
    }

    /// No such thing.
    #[must_use]
    pub fn not_found(operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::NotFound, operation, message)
    }

    /// A part of the platform is away.
    #[must_use]
    pub fn unavailable(operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Unavailable, operation, message)
    }

    /// An upstream server or provider failed.
    #[must_use]
    pub fn upstream(operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Upstream, operation, message)
    }

    /// A defect of ours.
    #[must_use]
    pub fn internal(operation: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::Internal, operation, message)
    }

    /// The same error with another word on retrying.
    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.0.retry = retry;
        self
    }

    /// The same error with a pair for the log (`server=everything`); never shown to the caller.
    #[must_use]
    pub fn with_context(mut self, key: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((key, value.to_string()));
        self
    }

    /// The same error with a typed detail.
    #[must_use]
    pub fn with_detail(mut self, detail: Detail) -> Self {
        self.0.details.push(detail);
        self
    }

    /// The same error caused by `source`, which reaches the log only.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What went wrong, coarsely.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying again may help.
    #[must_use]
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// Where it went wrong, `crate.verb`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.0.operation
    }

    /// The text for the caller.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Pairs for the log.
    pub fn context(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(key, value)| (*key, value.as_str()))
    }

    /// Typed details, in the order they were added.
    #[must_use]
    pub fn details(&self) -> &[Detail] {
        &self.0.details
    }

    /// How long to wait before trying again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.details.iter().find_map(|detail| match detail {
            Detail::RetryAfter(wait) => Some(*wait),
            _ => None,
        })
    }

    /// The error with its whole chain of causes and its context pairs: for logs and operators only.
    #[must_use]
    pub fn report(&self) -> String {
        use fmt::Write as _;
        let mut text = format!("{self}");
        for (key, value) in self.context() {
            let _ = write!(text, " {key}={value:?}");
        }
        let mut cause = StdError::source(self);
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    /// `operation: message`, fit for the caller.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.operation, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}, {})", self.0.kind.as_str(), self.report())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// A router's error type where it has none: lets `app()` put layers that fail around services that cannot.
impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caller_sees_the_message_and_never_the_source() {
        let error = Error::unavailable("sql.begin", "the database is away; try again")
            .with_context("host", "db-7")
            .with_source("password authentication failed for user app");
        assert_eq!(error.to_string(), "sql.begin: the database is away; try again");
        assert!(error.report().contains("db-7") && error.report().contains("password"));
        assert_eq!(error.retry(), Retry::Maybe);
    }

    #[test]
    fn an_error_is_one_pointer() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), ErrorKind::ALL.len());
    }
}
