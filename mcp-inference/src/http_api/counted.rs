//! What models in process are asked, as figures: by model and by how it ended, without the tenant.

use std::{future::Future, time::Instant};

use mcp_core::Result;
use metrics::{counter, histogram};

/// Does `work` with `model`, and counts it. The model is one that there is: names that callers make up would grow the
/// figures without bound.
pub(super) async fn counted<T>(
    operation: &'static str,
    model: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let began = Instant::now();
    let done = work.await;
    let outcome = done.as_ref().err().map_or("done", |error| error.kind().as_str());
    let model = model.to_owned();
    histogram!("mcp_inference_request_seconds", "operation" => operation, "model" => model.clone())
        .record(began.elapsed());
    counter!("mcp_inference_requests_total", "operation" => operation, "model" => model, "outcome" => outcome)
        .increment(1);
    done
}
