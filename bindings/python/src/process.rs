//! What belongs to the process: forks, its end, and being a launcher.

use std::sync::{
    Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU32, Ordering},
};

use mcp_automation::fleet::launcher;
use mcp_core::{Error, ErrorKind, Result};
use mcp_platform::embedded::Embedded;
use pyo3::prelude::*;

use crate::bridge;

/// The process that uses the platform, once one does.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Every platform that was opened and not closed. Each is closed at exit.
static OPEN: Mutex<Vec<Embedded>> = Mutex::new(Vec::new());

/// Makes this process the one that uses the platform.
///
/// # Errors
/// `Unsupported` in a process forked from that one: threads do not survive a fork, and SQLite's files must not
/// be used on both sides of one.
pub(crate) fn claim() -> Result<()> {
    match OWNER.compare_exchange(0, std::process::id(), Ordering::AcqRel, Ordering::Acquire) {
        Err(owner) if owner != std::process::id() => Err(Error::new(
            ErrorKind::Unsupported,
            "binding.fork",
            "this process was forked from one that uses mcp_platform, which does not survive a fork; start it \
             with the `spawn` or `forkserver` method of multiprocessing, or use mcp_platform after the fork only",
        )),
        _ => Ok(()),
    }
}

/// Keeps a platform open until it is closed, at the latest at the interpreter's exit.
pub(crate) fn keep(platform: &Embedded) {
    open_platforms().push(platform.clone());
}

/// Lets go of what is closed.
pub(crate) fn let_go() {
    open_platforms().retain(|platform| !platform.is_closed());
}

/// Closes every platform that is open and waits for it; nothing in a forked process.
#[pyfunction]
#[pyo3(name = "_close_all")]
pub(crate) fn close_all(py: Python<'_>) -> PyResult<()> {
    if OWNER.load(Ordering::Acquire) != std::process::id() {
        return Ok(());
    }
    let platforms = std::mem::take(&mut *open_platforms());
    if platforms.is_empty() {
        return Ok(());
    }
    bridge::wait(py, async move {
        futures_util::future::join_all(platforms.iter().map(Embedded::close)).await;
    })
}

/// Acts as the launcher of a stdio server, then ends the process: all that a process is started for with the
/// command that `mcp_platform` gives the platform as its launcher.
#[pyfunction]
#[pyo3(name = "_run_launcher")]
pub(crate) fn run_launcher() {
    std::process::exit(launcher::run());
}

fn open_platforms() -> MutexGuard<'static, Vec<Embedded>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}
