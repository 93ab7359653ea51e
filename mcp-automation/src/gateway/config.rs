//! What an operator can set.

use std::time::Duration;

use mcp_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// Settings of a [`Gateway`](super::Gateway). The defaults suit one node in front of a few dozen servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// How tools and prompts of the aggregate endpoint are named. Default: `always`.
    pub prefix: PrefixMode,
    /// Largest body of a request in bytes. Default: 4 MiB.
    pub body_limit: usize,
    /// Longest time for one call, where the scope's deadline is not earlier. Default: 60 s.
    #[serde(with = "seconds", rename = "call_timeout_seconds")]
    pub call_timeout: Duration,
    /// Longest time one server may take for its part of a list. Default: 15 s.
    #[serde(with = "seconds", rename = "list_timeout_seconds")]
    pub list_timeout: Duration,
    /// How long a server's lists are kept, unless it says earlier that they changed. Default: 60 s.
    #[serde(with = "seconds", rename = "list_ttl_seconds")]
    pub list_ttl: Duration,
    /// Most memory for cached lists, in bytes. Default: 64 MiB.
    pub list_cache_bytes: u64,
    /// Most items one server may list of a kind; a server with more is left out. Default: 10,000.
    pub list_items: usize,
    /// Items on one page of an aggregate list. Default: 1,000.
    pub page_size: usize,
    /// Origins a browser may call from, besides the endpoint's own: `https://app.example.com`, or `*` for all.
    /// Default: none.
    pub allowed_origins: Vec<String>,
    /// Values of `Host` that are served, with or without a port; empty serves every one. An endpoint without
    /// authentication on a developer's machine must list its own, against DNS rebinding. Default: empty.
    pub allowed_hosts: Vec<String>,
    /// Limits on sessions and streams.
    pub sessions: SessionConfig,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            prefix: PrefixMode::Always,
            body_limit: 4 * 1024 * 1024,
            call_timeout: Duration::from_secs(60),
            list_timeout: Duration::from_secs(15),
            list_ttl: Duration::from_secs(60),
            list_cache_bytes: 64 * 1024 * 1024,
            list_items: 10_000,
            page_size: 1_000,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            sessions: SessionConfig::default(),
        }
    }
}

impl GatewayConfig {
    pub(super) fn check(&self) -> Result<()> {
        let counts = [
            ("body_limit", self.body_limit),
            ("list_items", self.list_items),
            ("page_size", self.page_size),
            ("sessions.per_tenant", self.sessions.per_tenant),
            ("sessions.total", self.sessions.total),
            ("sessions.calls_per_session", self.sessions.calls_per_session),
            ("sessions.streams_per_session", self.sessions.streams_per_session),
            ("sessions.streams_per_tenant", self.sessions.streams_per_tenant),
            ("sessions.subscriptions_per_session", self.sessions.subscriptions_per_session),
        ];
        let spans = [
            ("call_timeout_seconds", self.call_timeout),
            ("list_timeout_seconds", self.list_timeout),
            ("sessions.idle_seconds", self.sessions.idle),
        ];
        let zero = counts
            .iter()
            .find(|(_, count)| *count == 0)
            .map(|(name, _)| *name)
            .or_else(|| spans.iter().find(|(_, span)| span.is_zero()).map(|(name, _)| *name));
        match zero {
            Some(name) => Err(Error::invalid_input(
                "gateway.config",
                format!("`gateway.{name}` must be greater than 0"),
            )),
            None => Ok(()),
        }
    }
}

/// Limits on the sessions of clients before 2026-07-28, and on open streams of every client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// A session without a request for this long ends; an open stream does not keep it. Default: 30 min.
    #[serde(with = "seconds", rename = "idle_seconds")]
    pub idle: Duration,
    /// Most sessions of one tenant; a further one ends the tenant's longest unused. Default: 1,000.
    pub per_tenant: usize,
    /// Most sessions overall; a further one ends the longest unused of the tenant that has most.
    /// Default: 20,000.
    pub total: usize,
    /// Most calls in flight in one session. Default: 64.
    pub calls_per_session: usize,
    /// Most open streams of one session. Default: 16.
    pub streams_per_session: usize,
    /// Most open streams of one tenant. Default: 512.
    pub streams_per_tenant: usize,
    /// Most resources that one session, or one stream of a client without, subscribes to. Default: 100.
    pub subscriptions_per_session: usize,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(30 * 60),
            per_tenant: 1_000,
            total: 20_000,
            calls_per_session: 64,
            streams_per_session: 16,
            streams_per_tenant: 512,
            subscriptions_per_session: 100,
        }
    }
}

/// How tools and prompts of several servers are named in the aggregate endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrefixMode {
    /// Always by server and name: `everything__echo`.
    Always,
    /// By name alone where no other server has it, else by server and name. The prefixed form always works.
    Conflict,
    /// By name alone. What several servers have is left out of lists, and named in their `_meta`.
    Never,
}

/// Durations as seconds, whole or with a fraction.
mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        if span.subsec_nanos() == 0 {
            serializer.serialize_u64(span.as_secs())
        } else {
            serializer.serialize_f64(span.as_secs_f64())
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        Duration::try_from_secs_f64(f64::deserialize(deserializer)?)
            .map_err(|_| serde::de::Error::custom("expected a number of seconds, zero or more"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_a_round_trip() {
        let config = GatewayConfig::default();
        config.check().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert!(text.contains(r#""call_timeout_seconds":60"#), "{text}");
        assert_eq!(serde_json::from_str::<GatewayConfig>(&text).unwrap(), config);
    }

    #[test]
    fn zero_and_unknown_settings_are_named() {
        let config = GatewayConfig { page_size: 0, ..GatewayConfig::default() };
        assert!(config.check().unwrap_err().message().contains("gateway.page_size"));
        let error = mcp_core::strict::from_json::<GatewayConfig>("c.json", r#"{"page_sice":3}"#).unwrap_err();
        assert!(error.message().contains("did you mean `page_size`"), "{error}");
    }
}
