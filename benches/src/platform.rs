//! `mcp-platform` in a directory of its own, as benches measure it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::{Failure, child::Measured};

/// A configured platform that may be started.
#[derive(Debug)]
pub(crate) struct Platform {
    program: PathBuf,
    config: PathBuf,
    listen: SocketAddr,
}

impl Platform {
    /// Configures one in an empty directory, with the HTTP server at `upstream` as `up` and `more` settings.
    ///
    /// # Errors
    /// When the directory cannot be written.
    pub(crate) fn prepare(
        program: &Path,
        directory: &Path,
        upstream: Option<SocketAddr>,
        more: &str,
    ) -> Result<Self, Failure> {
        let servers = match upstream {
            Some(address) => json!({"up": {"type": "http", "url": format!("http://{address}/mcp")}}),
            None => json!({}),
        };
        let servers_file = directory.join("mcp.json");
        std::fs::write(&servers_file, json!({ "mcpServers": servers }).to_string())?;
        let [listen, operations] = [free_port()?, free_port()?];
        let config = directory.join("platform.toml");
        std::fs::write(
            &config,
            format!(
                "[server]\nlisten = \"{listen}\"\noperations_listen = \"{operations}\"\n\
                 [data]\ndir = {:?}\n[fleet]\nfile = {servers_file:?}\n[log]\nfilter = \"error\"\n{more}",
                Self::data(directory),
            ),
        )?;
        Ok(Self { program: program.to_owned(), config, listen })
    }

    /// Where a platform in `directory` keeps its data.
    pub(crate) fn data(directory: &Path) -> PathBuf {
        directory.join("data")
    }

    /// Creates a tenant; returns a key of it that may do everything.
    ///
    /// # Errors
    /// When the platform refuses.
    pub(crate) async fn tenant(&self, id: &str, requests_per_minute: u32) -> Result<String, Failure> {
        let limit = requests_per_minute.to_string();
        output(self.command(&["--json", "tenant", "create", id, "--requests-per-minute", &limit])).await?;
        let created: Value =
            serde_json::from_slice(&output(self.command(&["--json", "key", "create", id])).await?)?;
        Ok(created["key"].as_str().ok_or("`key create` printed no key")?.to_owned())
    }

    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// When it does not within half a minute.
    pub(crate) async fn serve(&self) -> Result<Measured, Failure> {
        let child = self.command(&["serve"]).stdout(Stdio::null()).spawn()?;
        let started = Measured::of(child, self.listen);
        let listening = async {
            while tokio::net::TcpStream::connect(self.listen).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), listening)
            .await
            .map_err(|_| "the platform does not listen")?;
        Ok(started)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&self.config).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

async fn output(mut command: Command) -> Result<Vec<u8>, Failure> {
    let done = command.output().await?;
    if done.status.success() {
        return Ok(done.stdout);
    }
    Err(format!("mcp-platform: {}", String::from_utf8_lossy(&done.stderr)).into())
}

fn free_port() -> Result<SocketAddr, Failure> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
