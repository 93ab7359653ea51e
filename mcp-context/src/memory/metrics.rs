//! What is counted of memories: no tenant, no namespace and no text.

use std::time::Instant;

use mcp_core::{Error, ErrorKind};

/// Counts one operation by how it ended, and how long it took, even if it is dropped before it ends.
#[derive(Debug)]
pub(super) struct Watch {
    operation: &'static str,
    began: Instant,
    outcome: &'static str,
}

impl Watch {
    /// Begins `remember`, `recall` or `forget`.
    pub(super) fn begin(operation: &'static str) -> Self {
        Self { operation, began: Instant::now(), outcome: "dropped" }
    }

    /// It ended well.
    pub(super) fn done(&mut self, outcome: &'static str) {
        self.outcome = outcome;
    }

    /// It ended with an error: the caller's fault, or not.
    pub(super) fn failed(&mut self, error: &Error) {
        self.outcome = match error.kind() {
            ErrorKind::InvalidInput | ErrorKind::TooLarge | ErrorKind::NotFound => "refused",
            _ => "failed",
        };
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (operation, outcome) = (self.operation, self.outcome);
        metrics::counter!("mcp_memory_operations_total", "operation" => operation, "outcome" => outcome)
            .increment(1);
        metrics::histogram!("mcp_memory_operation_seconds", "operation" => operation)
            .record(self.began.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    #[test]
    fn each_operation_counts_once_by_its_end_also_if_it_is_dropped() {
        let recorder = PrometheusBuilder::new().build_recorder();
        metrics::with_local_recorder(&recorder, || {
            Watch::begin("recall").done("by_meaning");
            Watch::begin("recall").failed(&Error::invalid_input("memory.recall", "no"));
            Watch::begin("recall").failed(&Error::unavailable("memory.recall", "away"));
            drop(Watch::begin("recall"));
        });
        let text = recorder.handle().render();
        for outcome in ["by_meaning", "refused", "failed", "dropped"] {
            let line =
                format!("mcp_memory_operations_total{{operation=\"recall\",outcome=\"{outcome}\"}} 1\n");
            assert!(text.contains(&line), "{line} is not in {text}");
        }
        assert!(text.contains("mcp_memory_operation_seconds_count{operation=\"recall\"} 4\n"), "{text}");
    }
}
