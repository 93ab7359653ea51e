//! Logs to standard error and metrics as Prometheus text.
//!
//! The crates of the SDK only call `tracing` and `metrics`; a program decides here where that goes. A host
//! that has its own subscriber or recorder installs those instead and leaves this module alone.

mod redacting;

use std::{fmt, io::IsTerminal as _, sync::Arc, time::Duration};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;
use tracing_subscriber::{EnvFilter, fmt::time::SystemTime};

pub use redacting::{RedactingLogs, RedactingWriter};

use crate::{
    error::{Error, Result},
    redact::LogRedactor,
};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How often rendered histograms are folded, so that their memory has a bound between scrapes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of latency buckets in seconds: 0.5 ms to 30 s.
const SECONDS: [f64; 12] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0];

/// The process's log subscriber, once installed.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a malformed `filter` (`info,mcp_core=debug`);
/// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the process has a subscriber.
pub fn install_logs(format: LogFormat, filter: &str) -> Result<()> {
    install(format, filter, std::io::stderr, std::io::stderr().is_terminal())
}

/// The same, with personal data and secrets taken out of every line before it is written: fields, messages and
/// spans alike.
///
/// # Errors
/// As [`install_logs`].
pub fn install_redacted_logs(format: LogFormat, filter: &str, redactor: Arc<dyn LogRedactor>) -> Result<()> {
    // Without colours: their codes would stand in the middle of what is looked for.
    install(format, filter, RedactingLogs::new(std::io::stderr, redactor), false)
}

fn install<W>(format: LogFormat, filter: &str, writer: W, colours: bool) -> Result<()>
where
    W: for<'a> tracing_subscriber::fmt::MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Error::invalid_input("telemetry.install_logs", format!("log filter {filter:?} is malformed: {error}"))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_timer(SystemTime)
        .with_ansi(colours)
        .with_writer(writer);
    let installed = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    installed.map_err(|error| already("telemetry.install_logs", "log subscriber", error))
}

/// The process's metrics: everything counted through the `metrics` crate.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

impl Metrics {
    /// Installs the process's metrics recorder.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if the process has a recorder.
    pub fn install() -> Result<Self> {
        let recorder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
            .map_err(|error| Error::internal("telemetry.metrics", "bucket bounds").with_source(error))?
            .build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder)
            .map_err(|error| already("telemetry.metrics", "metrics recorder", error.to_string()))?;
        Ok(Self { handle })
    }

    /// Prometheus text exposition format 0.0.4: the body of `/metrics`.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds recorded samples now and then; runs until it is dropped. Its caller owns the task.
    pub async fn upkeep(&self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

fn already(
    operation: &'static str,
    what: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    let message = format!("this process has a {what} already; use that one");
    Error::new(crate::ErrorKind::AlreadyExists, operation, message).with_source(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered_and_a_second_recorder_is_refused() {
        let metrics = Metrics::install().unwrap();
        metrics::counter!("mcp_test_total").increment(2);
        metrics::histogram!("mcp_test_seconds").record(0.02);
        let text = metrics.render();
        assert!(text.contains("mcp_test_total 2"), "{text}");
        assert!(text.contains("mcp_test_seconds_bucket{le=\"0.025\"} 1"), "{text}");
        assert_eq!(Metrics::install().unwrap_err().kind(), crate::ErrorKind::AlreadyExists);
    }

    #[test]
    fn a_malformed_filter_is_named() {
        let error = install_logs(LogFormat::Text, "info,=,=").unwrap_err();
        assert!(error.message().contains("info,=,="), "{error}");
    }
}
