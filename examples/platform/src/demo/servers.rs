//! Which real MCP servers the demo mounts, and the proof that none of their processes is left behind.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use mcp_core::Error;
use serde_json::json;

/// The npm package, pinned: the demo shows the same thing everywhere.
const EVERYTHING: &str = "@modelcontextprotocol/server-everything@2026.8.31";
/// Time `npx` has to fetch it.
const FETCH: Duration = Duration::from_secs(20);
/// In the environment of every server of this demo, so that its processes can be found.
const MARK: &str = "MCP_PLATFORM_DEMO";

/// The servers of the demo.
pub(super) struct Mounted {
    directory: PathBuf,
    file: PathBuf,
    everything: Result<PathBuf, &'static str>,
}

impl Mounted {
    /// The fixture, which is in this binary, and the reference server from npm where Node is there.
    pub(super) async fn find(directory: &Path) -> mcp_core::Result<Self> {
        let unusable = |error: std::io::Error| Error::unavailable("demo.servers", error.to_string());
        let fixture = std::env::current_exe().map_err(unusable)?;
        let everything = everything().await;
        let mut servers = json!({ "fixture": {
            "command": fixture,
            "args": ["fixture"],
            "env": { MARK: directory },
        } });
        if let Ok(npx) = &everything {
            servers["everything"] = json!({
                "command": npx,
                "args": ["-y", EVERYTHING],
                "env": { MARK: directory, "PATH": "${PATH}", "HOME": "${HOME}" },
            });
        }
        let file = directory.join(".mcp.json");
        let text = json!({ "mcpServers": servers }).to_string();
        tokio::fs::write(&file, text).await.map_err(unusable)?;
        Ok(Self { directory: directory.to_owned(), file, everything })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the server from npm is mounted.
    pub(super) const fn everything(&self) -> bool {
        self.everything.is_ok()
    }

    /// Whether packages of npm can be had here, or why not.
    pub(super) fn npm(&self) -> Result<(), &'static str> {
        self.everything.as_ref().map(|_| ()).map_err(|reason| *reason)
    }

    /// The environment by which processes of this demo are found.
    pub(super) fn mark(&self) -> serde_json::Value {
        json!({ MARK: self.directory })
    }
}

impl fmt::Display for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fixture (in this binary, stdio)")?;
        match &self.everything {
            Ok(npx) => write!(f, ", everything ({EVERYTHING} by {})", npx.display()),
            Err(reason) => write!(f, "; not {EVERYTHING}: {reason}"),
        }
    }
}

/// The `npx` that has fetched the reference server, or why there is none.
async fn everything() -> Result<PathBuf, &'static str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let npx = std::env::split_paths(&path)
        .map(|directory| directory.join("npx"))
        .find(|candidate| candidate.is_file())
        .ok_or("there is no `npx` in PATH")?;
    let mut fetch = tokio::process::Command::new(&npx);
    fetch.args(["-y", "-p", EVERYTHING, "node", "-e", "0"]).kill_on_drop(true);
    fetch.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match tokio::time::timeout(FETCH, fetch.status()).await {
        Ok(Ok(status)) if status.success() => Ok(npx),
        Ok(_) => Err("npx cannot fetch it"),
        Err(_) => Err("npx did not fetch it in time"),
    }
}

/// Looks through all processes of the machine for one that carries this demo's mark.
///
/// # Errors
/// `Internal` that names what was left.
pub(super) fn none_left(directory: &Path) -> mcp_core::Result<((), String)> {
    let mark = format!("{MARK}={}", directory.display());
    let processes = std::fs::read_dir("/proc")
        .map_err(|error| Error::unavailable("demo.stop", format!("cannot read /proc: {error}")))?;
    let mut looked_at = 0_usize;
    let mut left = Vec::new();
    for process in processes.flatten() {
        let Ok(environment) = std::fs::read(process.path().join("environ")) else { continue };
        looked_at += 1;
        if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
            left.push(process.file_name().to_string_lossy().into_owned());
        }
    }
    if left.is_empty() {
        return Ok(((), format!("drained; none of {looked_at} processes is ours")));
    }
    Err(Error::internal("demo.stop", format!("processes were left behind: {}", left.join(", "))))
}
