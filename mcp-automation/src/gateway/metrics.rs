//! Figures for operators. Handles are made once, so that a request formats no label.

use std::time::Duration;

use metrics::{
    Counter, Gauge, Histogram, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

use super::method::Method;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With a result.
    Ok,
    /// With an error of a server's or of the gateway's.
    Error,
    /// For want of a permission.
    Denied,
    /// The client cancelled it or went away.
    Cancelled,
}

const OUTCOMES: [&str; 4] = ["ok", "error", "denied", "cancelled"];
const REQUESTS: &str = "mcp_gateway_requests_total";
const SECONDS: &str = "mcp_gateway_request_seconds";
const SESSIONS: &str = "mcp_gateway_sessions";

/// Handles by method; the last is for methods nobody knows.
#[derive(Debug)]
pub(super) struct Metrics {
    methods: Vec<PerMethod>,
}

struct PerMethod {
    outcomes: [Counter; OUTCOMES.len()],
    seconds: Histogram,
}

impl std::fmt::Debug for PerMethod {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PerMethod")
    }
}

impl Metrics {
    /// Registers with the recorder that is installed now.
    pub(super) fn register() -> Self {
        describe_counter!(REQUESTS, "MCP requests by method and outcome");
        describe_histogram!(SECONDS, metrics::Unit::Seconds, "time until a request's last byte was ready");
        let names = Method::ALL.iter().map(|method| method.as_str()).chain(["other"]);
        let methods = names.map(|method| PerMethod {
            outcomes: OUTCOMES.map(|outcome| counter!(REQUESTS, "method" => method, "outcome" => outcome)),
            seconds: histogram!(SECONDS, "method" => method),
        });
        Self { methods: methods.collect() }
    }

    /// The gauge of open sessions.
    pub(super) fn sessions() -> Gauge {
        describe_gauge!(SESSIONS, "sessions of clients before 2026-07-28");
        gauge!(SESSIONS)
    }

    /// Counts a request that ended.
    pub(super) fn record(&self, method: Option<Method>, outcome: Outcome, took: Duration) {
        let index = method.map_or(self.methods.len() - 1, Method::index);
        if let Some(handles) = self.methods.get(index) {
            handles.outcomes[outcome as usize].increment(1);
            handles.seconds.record(took.as_secs_f64());
        }
    }
}
