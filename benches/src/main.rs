//! Load benches: ours beside a bare reference, measured in the same run on the same machine.
//!
//! `cargo xtask bench [NAME] [--json]` builds for shipping and runs this. See `README.md` for how to read it.

mod bindings;
mod child;
mod context;
mod gateway;
mod inference;
mod load;
mod measure;
mod platform;
mod postgres;
mod proxy;
mod row;
mod tenancy;
mod upstream;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::row::Row;

/// What a bench fails with; it is shown and ends the run.
type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about = "Load benches of the MCP platform, each beside a bare reference")]
struct Cli {
    /// The bench to run; all of them without a name.
    bench: Option<Bench>,
    /// Print one JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Seconds of load for each case.
    #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
    seconds: f64,
    #[command(flatten)]
    needs: Needs,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What benches measure or compare with; `cargo xtask bench` gets it and says where it is.
#[derive(Debug, Args)]
struct Needs {
    /// The `mcp-platform` that `gateway` and `tenancy` measure.
    #[arg(long, value_name = "FILE")]
    platform: Option<PathBuf>,
    /// The PostgreSQL server of `context` and `tenancy`: a superuser's URL.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database: Option<String>,
    /// The Redis server of `tenancy`.
    #[arg(long, value_name = "URL", env = "REDIS_URL", hide_env_values = true)]
    redis: Option<String>,
    /// Most API keys of `tenancy`, of a hundredth as many tenants; a ten-thousandth is the fewest.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000)]
    keys: u32,
    /// The folder of models of `inference`.
    #[arg(long, value_name = "DIR", env = "MCP_TEST_MODELS")]
    models: Option<PathBuf>,
    /// The Python of `inference`, which has ONNX Runtime.
    #[arg(long, value_name = "FILE")]
    onnxruntime: Option<PathBuf>,
    /// The Python of `bindings`, which has the package.
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
    /// The folder of `bindings` in which the Node module is installed.
    #[arg(long, value_name = "DIR")]
    node: Option<PathBuf>,
}

impl Needs {
    async fn run(&self, bench: Bench, span: Duration) -> Result<Vec<Row>, Failure> {
        match bench {
            Bench::Gateway => gateway::run(span, named(self.platform.as_deref(), "--platform")?).await,
            Bench::Context => context::run(span, named(self.database.as_deref(), "--database")?).await,
            Bench::Inference => {
                let models = named(self.models.as_deref(), "--models")?;
                inference::run(span, models, named(self.onnxruntime.as_deref(), "--onnxruntime")?).await
            }
            Bench::Tenancy => {
                let needs = tenancy::Needs {
                    platform: named(self.platform.as_deref(), "--platform")?,
                    database: named(self.database.as_deref(), "--database")?,
                    redis: named(self.redis.as_deref(), "--redis")?,
                    keys: self.keys,
                };
                tenancy::run(span, &needs).await
            }
            Bench::Bindings => {
                let python = named(self.python.as_deref(), "--python")?;
                bindings::run(python, named(self.node.as_deref(), "--node")?).await
            }
        }
    }
}

fn named<T>(value: Option<T>, option: &str) -> Result<T, Failure> {
    value.ok_or_else(|| format!("{option} is missing: `cargo xtask bench` passes it").into())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bench {
    /// The gateway in front of an HTTP upstream, beside a reverse proxy that forwards bytes.
    Gateway,
    /// Appending to a context, beside the same rows written with sqlx alone.
    Context,
    /// Batches of texts through MiniLM, beside ONNX Runtime.
    Inference,
    /// A call from Python and from Node, beside the same call from Rust.
    Bindings,
    /// Tokens, layers, limits and keys beside the libraries called bare; a noisy neighbour.
    Tenancy,
}

/// The processes that a bench starts of this program.
#[derive(Debug, Subcommand)]
enum Part {
    /// An MCP server that answers at once.
    #[command(hide = true, name = "__upstream")]
    Upstream { era: upstream::Era },
    /// A reverse proxy that forwards bytes.
    #[command(hide = true, name = "__proxy")]
    Proxy { to: SocketAddr },
    /// A tenant that sends more than it may.
    #[command(hide = true, name = "__flood")]
    Flood { to: SocketAddr, key: String, per_second: u32, seconds: f64 },
}

#[expect(clippy::print_stderr, reason = "a program says on standard error why it failed")]
fn main() -> ExitCode {
    match run(Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp-benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    // One thread a process: the figures are for one core, and processes do not compete for a pool's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match cli.part {
            Some(Part::Upstream { era }) => upstream::serve(era).await,
            Some(Part::Proxy { to }) => proxy::serve(to).await,
            Some(Part::Flood { to, key, per_second, seconds }) => {
                let span = Duration::try_from_secs_f64(seconds)?;
                tenancy::flood(to, &key, per_second, span).await
            }
            None => {
                let seconds = Duration::try_from_secs_f64(cli.seconds)?;
                let benches = cli.bench.map_or_else(|| Bench::value_variants().to_vec(), |bench| vec![bench]);
                for bench in benches {
                    // As each ends: one that fails loses nothing of those before.
                    row::print(&cli.needs.run(bench, seconds).await?, cli.json)?;
                }
                Ok(())
            }
        }
    })
}
