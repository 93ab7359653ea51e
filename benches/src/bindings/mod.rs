//! A call from Python and from Node, beside the same call from Rust.

use std::{path::Path, time::Instant};

use hdrhistogram::Histogram;
use mcp_platform::embedded::{Embedded, Options};
use serde_json::json;
use tokio::process::Command;

use crate::{Failure, row::Row};

const NAME: &str = "bindings";
/// Calls that are measured. With those that warm up, fewer than a new tenant may make at once.
const CALLS: usize = 300;
const PYTHON: &str = include_str!("call.py");
const NODE: &str = include_str!("call.mjs");

/// Reads one context from each language; `python` has the package installed, and so has the folder `node`.
///
/// # Errors
/// When a program fails.
pub(crate) async fn run(python: &Path, node: &Path) -> Result<Vec<Row>, Failure> {
    let rust = rust().await?;
    let calls = CALLS.to_string();
    let mut program = Command::new(python);
    program.args(["-c", PYTHON, &calls]);
    let python = foreign(program).await?;
    let mut program = Command::new("node");
    program.current_dir(node).args(["--input-type=module", "-e", NODE, "--", &calls]);
    let node = foreign(program).await?;
    let rows = [("python", python), ("node", node)].map(|(language, theirs)| {
        [("p50", 0.5), ("p99", 0.99)].map(|(name, quantile)| {
            let micros = |took: &Histogram<u64>| took.value_at_quantile(quantile) as f64 / 1_000.0;
            Row::less(
                NAME,
                format!("{language} reads a context, {name}"),
                "us",
                micros(&theirs),
                micros(&rust),
            )
        })
    });
    Ok(rows.concat())
}

/// What the bindings call, called directly.
async fn rust() -> Result<Histogram<u64>, Failure> {
    let directory = tempfile::tempdir()?;
    let options = json!({ "data_dir": directory.path() });
    let platform = Embedded::open(Options::parse(&options.to_string())?).await?;
    platform.create_tenant("bench", "Bench").await?;
    let key = platform.create_key("bench", "bench", "service", &["*"]).await?;
    let bench = platform.tenant(key.expose()).await?;
    let created = bench.create_context(&json!({})).await?;
    let context = created["context_id"].as_str().ok_or("no context")?;
    let messages = json!([{ "role": "user", "content": "Where is my order?" }]);
    bench.append(context, &messages, None, None).await?;
    let mut took = Histogram::new(3)?;
    for call in 0..CALLS + CALLS / 2 {
        let began = Instant::now();
        bench.read_context(context, None).await?;
        if call >= CALLS / 2 {
            took.record(u64::try_from(began.elapsed().as_nanos())?)?;
        }
    }
    platform.close().await;
    Ok(took)
}

/// Runs a program that prints the nanoseconds of its calls.
async fn foreign(mut program: Command) -> Result<Histogram<u64>, Failure> {
    let done = program.kill_on_drop(true).output().await?;
    if !done.status.success() {
        return Err(format!("{program:?}: {}", String::from_utf8_lossy(&done.stderr)).into());
    }
    let mut took = Histogram::new(3)?;
    for nanos in serde_json::from_slice::<Vec<u64>>(&done.stdout)? {
        took.record(nanos)?;
    }
    Ok(took)
}
