//! `mcp-platform serve`.

use std::{process::ExitCode, sync::Arc};

use mcp_core::{
    Result,
    telemetry::{self, Metrics},
};

use super::output;
use crate::{
    config::{self, Config},
    platform::{Platform, personal},
    serve::{Server, shutdown_signal},
};

pub(crate) async fn run(config: Config) -> Result<ExitCode> {
    let config::Log { format, filter } = &config.log;
    match personal::of_logs(&config.pii).await? {
        Some(redactor) => telemetry::install_redacted_logs(*format, filter, redactor)?,
        None => telemetry::install_logs(*format, filter)?,
    }
    // Before the platform: layers take their handles from the recorder when they are made.
    let metrics = Metrics::install()?;
    let shutdown = shutdown_signal()?;
    let platform = Arc::new(Platform::start(config, metrics).await?);
    let server = Server::bind(Arc::clone(&platform)).await?;
    let (scheme, address, operations) = (server.scheme(), server.address()?, server.operations_address()?);
    output::text(&format!(
        "mcp-platform serves {scheme}://{address}/mcp\nmetrics and readiness at http://{operations}\n"
    ));
    server.run(shutdown).await?;
    Ok(ExitCode::SUCCESS)
}
