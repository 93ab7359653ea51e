//! `mcp-platform demo`: two tenants call real MCP servers, chat, store and recall, and neither sees
//! the other.
//!
//! Everything in the path is what `serve` runs: the same configuration, platform, listeners and servers. It
//! lives in a temporary directory and leaves nothing behind.

mod chat;
mod embedding;
mod remembering;
mod scripted;
mod servers;
mod show;
mod steps;
mod switching;

use std::{process::ExitCode, sync::Arc};

use clap::Args;
use mcp_core::{
    Error, Result,
    telemetry::{self, LogFormat, Metrics},
};
use tokio_util::sync::CancellationToken;

use self::{chat::Models, servers::Mounted, show::Show, steps::Tour};
use crate::{
    config::Config,
    platform::Platform,
    serve::{Server, shutdown_signal},
};

/// What can be asked of the demo.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Keep running, and print a token, the URL and what to try next.
    #[arg(long)]
    stay: bool,
}

/// Runs the demo; success means that everything was as it should be.
pub(crate) async fn run(args: DemoArgs, json: bool) -> Result<ExitCode> {
    telemetry::install_logs(LogFormat::Text, "error")?;
    let metrics = Metrics::install()?;
    let interrupted = shutdown_signal()?;
    let directory = tempfile::tempdir()
        .map_err(|error| Error::unavailable("demo.start", format!("no temporary directory: {error}")))?;
    let mut show = Show::new(json);

    let mounted = show
        .step("find MCP servers", async {
            let mounted = Mounted::find(directory.path()).await?;
            let found = mounted.to_string();
            Ok((mounted, found))
        })
        .await?;
    let models = Models::start().await?;
    let config = config(directory.path(), &mounted, &models);
    let (platform, server) = show
        .step("start the platform", async {
            let platform = Arc::new(Platform::start(config, metrics).await?);
            let server = Server::bind(Arc::clone(&platform)).await?;
            let address = server.address()?;
            Ok(((platform, server), format!("SQLite, one binary, listening on http://{address}/mcp")))
        })
        .await?;
    let url = format!("http://{}/mcp", server.address()?);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(stop.clone()));

    let tour = Tour { platform: &platform, mounted: &mounted, url: &url };
    let toured = tokio::select! {
        toured = tour.walk(&mut show) => toured,
        () = interrupted.cancelled() => Err(Error::new(mcp_core::ErrorKind::Cancelled, "demo.run", "interrupted")),
    };
    if args.stay && toured.is_ok() {
        show.invite(&tour).await?;
        interrupted.cancelled().await;
    }
    let ended = show
        .step("stop, and look for processes left behind", async {
            stop.cancel();
            serving.await.map_err(|error| Error::internal("demo.stop", error.to_string()))??;
            servers::none_left(directory.path())
        })
        .await;
    show.end();
    toured.and(ended).map(|()| ExitCode::SUCCESS)
}

/// The embedded defaults, on free ports, under `directory`.
fn config(directory: &std::path::Path, mounted: &Mounted, models: &Models) -> Config {
    let mut config = Config::default();
    config.server.listen.set_port(0);
    config.server.operations_listen.set_port(0);
    config.data.dir = directory.join("data");
    config.fleet.file = mounted.file().to_owned();
    models.configure(&mut config);
    config
}

fn expect(holds: bool, found: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::internal("demo.expect", found())) }
}
