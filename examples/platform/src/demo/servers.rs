//! Which real MCP servers the demo mounts, and the proof that none of their processes is left behind.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Stdio,
};

use mcp_core::{Error, Result};
use serde_json::json;

/// The npm package, pinned: the demo shows the same thing everywhere.
const EVERYTHING: &str = "@modelcontextprotocol/server-everything@2026.8.31";
/// In the environment of every server of this demo, so that its processes can be found.
const MARK: &str = "MCP_PLATFORM_DEMO";

/// The servers of the demo.
pub(super) struct Mounted {
    file: PathBuf,
    npx: Option<PathBuf>,
}

impl Mounted {
    /// The fixture, which is in this binary, and the reference server from npm where Node is there.
    pub(super) async fn find(directory: &Path) -> Result<Self> {
        let unusable = |error: std::io::Error| Error::unavailable("demo.servers", error.to_string());
        let fixture = std::env::current_exe().map_err(unusable)?;
        let npx = find_npx().await;
        let mut servers = json!({ "fixture": {
            "command": fixture,
            "args": ["fixture"],
            "env": { MARK: directory },
        } });
        if let Some(npx) = &npx {
            servers["everything"] = json!({
                "command": npx,
                "args": ["-y", EVERYTHING],
                "env": { MARK: directory, "PATH": "${PATH}", "HOME": "${HOME}" },
            });
        }
        let file = directory.join(".mcp.json");
        let text = json!({ "mcpServers": servers }).to_string();
        tokio::fs::write(&file, text).await.map_err(unusable)?;
        Ok(Self { file, npx })
    }

    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// Whether the server from npm is mounted.
    pub(super) const fn everything(&self) -> bool {
        self.npx.is_some()
    }
}

impl fmt::Display for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MCP servers: fixture (in this binary, stdio)")?;
        match &self.npx {
            Some(npx) => write!(f, ", everything ({EVERYTHING} by {})", npx.display()),
            None => f.write_str("; no `npx` in PATH, so not @modelcontextprotocol/server-everything"),
        }
    }
}

/// `npx`, if it is in `PATH` and runs.
async fn find_npx() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let npx =
        std::env::split_paths(&path).map(|dir| dir.join("npx")).find(|candidate| candidate.is_file())?;
    let mut version = tokio::process::Command::new(&npx);
    version.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    version.status().await.is_ok_and(|status| status.success()).then_some(npx)
}

/// Looks through all processes of the machine for one that carries this demo's mark.
///
/// # Errors
/// `Internal` that names what was left.
pub(super) fn none_left(directory: &Path) -> Result<((), String)> {
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
