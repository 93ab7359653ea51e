//! Looking at the machine's processes.

use std::time::{Duration, Instant};

/// In the environment of servers, so that a test finds its own.
pub(crate) const MARK: &str = "MCP_PLATFORM_TEST_MARK";

/// Ids of living processes whose environment carries `mark`.
pub(crate) fn marked(mark: &str) -> Vec<u32> {
    let wanted = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

/// Waits until `holds`, by looking again and again: what is waited for happens in other processes.
pub(crate) fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::yield_now();
    }
}

/// `kill -9`.
pub(crate) fn kill(pid: u32) {
    signal(pid, "KILL");
}

/// The process stands still, with its connections open.
pub(crate) fn freeze(pid: u32) {
    signal(pid, "STOP");
}

/// It goes on.
pub(crate) fn thaw(pid: u32) {
    signal(pid, "CONT");
}

/// SIGTERM.
pub(crate) fn terminate(pid: u32) {
    signal(pid, "TERM");
}

fn signal(pid: u32, name: &str) {
    let status = std::process::Command::new("kill").args(["-s", name, &pid.to_string()]).status().unwrap();
    assert!(status.success() || !std::path::Path::new(&format!("/proc/{pid}")).exists());
}

/// The parent of a process.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}
