//! Figures for operators.

use metrics::{Gauge, counter, describe_counter, describe_gauge, gauge};

use super::breaker::BreakerState;

const ATTEMPTS: &str = "mcp_inference_attempts_total";
const BREAKER: &str = "mcp_inference_breaker_open";

/// Those of one deployment.
pub(super) struct Metrics {
    deployment: String,
    open: Gauge,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    pub(super) fn register(deployment: &str) -> Self {
        describe_counter!(ATTEMPTS, "requests to providers by deployment and outcome");
        describe_gauge!(
            BREAKER,
            "1 while a deployment is left alone after failures, 0.5 while one request tries it"
        );
        Self {
            deployment: deployment.to_owned(),
            open: gauge!(BREAKER, "deployment" => deployment.to_owned()),
        }
    }

    pub(super) fn ended(&self, outcome: &'static str) {
        counter!(ATTEMPTS, "deployment" => self.deployment.clone(), "outcome" => outcome).increment(1);
    }

    pub(super) fn breaker(&self, state: BreakerState) {
        self.open.set(match state {
            BreakerState::Closed => 0.0,
            BreakerState::HalfOpen => 0.5,
            BreakerState::Open => 1.0,
        });
    }
}
