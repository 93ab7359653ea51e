//! A batch through MiniLM in process, beside ONNX Runtime on one thread.

use std::{path::Path, sync::Arc, time::Duration};

use mcp_core::Scope;
use mcp_inference::{
    cpu::CpuPool,
    model::{Model, ModelEntry, ModelRegistry, Tensor, TensorData},
};
use serde::Deserialize;
use tokio::process::Command;

use crate::{Failure, context::scope, measure, row::Row};

const NAME: &str = "inference";
/// The model that `cargo xtask model` makes.
const MODEL: &str = "minilm";
/// Texts of a batch, and tokens of each.
const SHAPES: [(usize, usize); 5] = [(1, 8), (1, 32), (1, 128), (8, 32), (32, 32)];
const ONNX_RUNTIME: &str = include_str!("onnxruntime.py");

/// Runs every shape; `models` is the folder of models, `python` one that has `onnxruntime`.
///
/// # Errors
/// When the model is not there, or the reference does not run.
pub(crate) async fn run(span: Duration, models: &Path, python: &Path) -> Result<Vec<Row>, Failure> {
    let pool = CpuPool::start(1, 1)?;
    let registry = ModelRegistry::load(models, &pool)?;
    let ModelEntry::Loaded { model, .. } = registry.entry(MODEL, None)? else {
        return Err(format!("{MODEL} was refused: `cargo xtask model {MODEL}` makes it anew").into());
    };
    let (model, scope) = (Arc::clone(model), scope()?);
    let reference = reference(span, &models.join(MODEL).join("model.onnx"), python).await?;
    let mut rows = Vec::with_capacity(SHAPES.len());
    for ((batch, length), theirs) in SHAPES.into_iter().zip(reference) {
        let ours = cpu_millis(span, &*model, &scope, batch, length).await?;
        rows.push(Row::less(
            NAME,
            format!("{batch} texts of {length} tokens, CPU"),
            "ms",
            ours,
            theirs.cpu_ms,
        ));
    }
    drop(registry);
    pool.close().await;
    Ok(rows)
}

/// CPU milliseconds of this process, which does nothing else, for one batch.
async fn cpu_millis(
    span: Duration,
    model: &dyn Model,
    scope: &Scope,
    batch: usize,
    length: usize,
) -> Result<f64, Failure> {
    let inputs = inputs(batch, length)?;
    model.infer(scope, inputs.clone()).await?;
    let before = measure::cpu_seconds("self")?;
    let measured = measure::closed_loop(vec![()], span, async |()| {
        model.infer(scope, inputs.clone()).await?;
        Ok(())
    });
    let done = measured.await?.done;
    Ok((measure::cpu_seconds("self")? - before) * 1_000.0 / done as f64)
}

fn inputs(batch: usize, length: usize) -> Result<Vec<Tensor>, Failure> {
    let id = |row: usize, at: usize| i64::try_from(1_000 + (row * 31 + at * 7) % 20_000);
    let ids = (0..batch * length).map(|index| id(index / length, index % length));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let tensors = [
        ("input_ids", ids),
        ("attention_mask", vec![1; batch * length]),
        ("token_type_ids", vec![0; batch * length]),
    ];
    tensors
        .into_iter()
        .map(|(name, values)| Ok(Tensor::new(name, vec![batch, length], TensorData::Int64(values))?))
        .collect()
}

#[derive(Debug, Deserialize)]
struct Measured {
    cpu_ms: f64,
}

async fn reference(span: Duration, model: &Path, python: &Path) -> Result<Vec<Measured>, Failure> {
    let mut command = Command::new(python);
    command.arg("-c").arg(ONNX_RUNTIME).arg(model).arg(span.as_secs_f64().to_string());
    command.args(SHAPES.map(|(batch, length)| format!("{batch}x{length}")));
    let done = command.kill_on_drop(true).output().await?;
    if !done.status.success() {
        return Err(format!("ONNX Runtime: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    let lines = std::str::from_utf8(&done.stdout)?.lines();
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}
