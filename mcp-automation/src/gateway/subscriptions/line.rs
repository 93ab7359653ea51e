//! Requests to a server on behalf of its subscribers.

use std::time::Duration;

use mcp_core::{Result, Scope};
use serde_json::value::RawValue;
use tokio::time::{Instant, Interval, interval_at};

use super::super::failure;
use crate::upstream::{Deaf, Reply, Upstream};

/// How often a server with subscribers is asked whether it is there.
const PULSE: Duration = Duration::from_secs(60);

/// When to ask. It counts as a use: a server that nobody calls would be stopped, and its subscribers would hear
/// nothing.
pub(super) fn pulse() -> Interval {
    interval_at(Instant::now() + PULSE, PULSE)
}

/// One connection and on whose behalf it is used.
pub(super) struct Line<'a> {
    pub(super) scope: &'a Scope,
    pub(super) upstream: &'a dyn Upstream,
    pub(super) timeout: Duration,
}

impl Line<'_> {
    pub(super) async fn call(&self, method: &'static str, params: Option<&RawValue>) -> Result<Reply> {
        let called = self.upstream.call(self.scope, method, params, &Deaf);
        tokio::time::timeout(self.timeout, called)
            .await
            .unwrap_or_else(|_| Err(failure::too_slow(self.upstream.name(), method)))
    }
}
