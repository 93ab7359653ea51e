//! Running package managers: without a shell, with an environment of their own, for a bounded time.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mcp_core::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::fleet::launcher::{Launcher, Order, Process, launch};

/// What is kept of a tool's output, in bytes: its end, where errors stand.
const OUTPUT: usize = 16 << 10;

/// One run of a tool.
pub(super) struct Run<'a> {
    pub(super) program: &'a Path,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: &'a Path,
    pub(super) within: Duration,
}

/// Runs a tool to its end and gives what it wrote last.
///
/// # Errors
/// [`Upstream`](ErrorKind::Upstream) with its last words where it fails or takes too long,
/// [`Unavailable`](ErrorKind::Unavailable) where it cannot be started.
///
/// # Cancellation
/// Safe: it and all it started are ended.
pub(super) async fn run(launcher: &Launcher, run: Run<'_>) -> Result<String> {
    let name = run.program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let order = Order {
        command: run.program.display().to_string(),
        args: run.args,
        env: run.env,
        cwd: Some(run.cwd.to_owned()),
    };
    let Process { stdin, stdout, stderr, mut guard } = launch(launcher, order).await?;
    drop(stdin);
    let (out, err) = (Tail::default(), Tail::default());
    let ended = tokio::time::timeout(run.within, async {
        tokio::join!(out.read(stdout), err.read(stderr));
        guard.exited().await
    })
    .await;
    guard.stop().await;
    let said = format!("{}{}", err.text(), out.text());
    match ended {
        Ok(Some(exit)) if exit.code == Some(0) => Ok(out.text()),
        Ok(exit) => {
            let how = exit.map_or_else(|| "was ended".to_owned(), |exit| exit.to_string());
            Err(failed(&name, &how, &said))
        }
        Err(_) => Err(failed(&name, &format!("did not end within {} s", run.within.as_secs()), &said)),
    }
}

fn failed(tool: &str, how: &str, said: &str) -> Error {
    let end: Vec<_> = said.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = end[end.len().saturating_sub(6)..].join(" / ");
    let last: String = last.chars().take(800).collect();
    Error::new(ErrorKind::Upstream, "release.install", format!("{tool} {how}: {last}"))
}

/// The end of a stream.
#[derive(Default)]
struct Tail(Arc<std::sync::Mutex<Vec<u8>>>);

impl Tail {
    async fn read(&self, mut stream: impl AsyncRead + Unpin) {
        let mut buffer = [0; 4 << 10];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            let mut kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            kept.extend_from_slice(&buffer[..read]);
            let extra = kept.len().saturating_sub(OUTPUT);
            kept.drain(..extra);
        }
    }

    fn text(&self) -> String {
        let kept = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        String::from_utf8_lossy(&kept).into_owned()
    }
}

/// The program at `name`: a path, or a name that is looked for in the `PATH` of `env`.
///
/// # Errors
/// [`Unavailable`](ErrorKind::Unavailable) that names it and where it was looked for.
pub(super) fn find(name: &Path, env: &BTreeMap<String, String>) -> Result<PathBuf> {
    if name.is_absolute() {
        return Ok(name.to_owned());
    }
    let path = env.get("PATH").map(String::as_str).unwrap_or_default();
    let found =
        std::env::split_paths(path).filter(|folder| folder.is_absolute()).map(|folder| folder.join(name));
    found.into_iter().find(|program| program.is_file()).ok_or_else(|| {
        let why =
            format!("there is no program `{}` in {path}; install it or configure its path", name.display());
        Error::unavailable("release.tool", why)
    })
}
