//! The fleet's own settings.

use std::{collections::BTreeMap, time::Duration};

use super::launcher::Launcher;

/// Limits and times of a fleet. [`Default`] gives what each field says.
#[derive(Debug, Clone)]
pub struct FleetConfig {
    /// Which program launches stdio servers. Default: this one.
    pub launcher: Launcher,
    /// The environment every stdio server starts with, under what its own `env` says. Default: `PATH` with the
    /// system's directories and `HOME=/nonexistent`; a server that needs a home (npx keeps its cache there)
    /// gets it here or in its `env`. Nothing of the platform's own environment is passed on.
    pub base_env: BTreeMap<String, String>,
    /// How long a server may take to be launched, and then to the end of its handshake. Default 60 s: npx may
    /// download.
    pub start: Duration,
    /// How long a server may be silent to `server/discover` before `initialize` is tried. Default 2 s.
    pub probe: Duration,
    /// Longest wait for a reply, where neither scope nor server sets an earlier one. Default 300 s.
    pub call: Duration,
    /// Longest message of a server's, in bytes. Default 16 MiB.
    pub message: usize,
    /// An instance that was not used for this long is stopped. Default 600 s.
    pub idle: Duration,
    /// The first wait before a restart; it doubles up to [`backoff_max`](Self::backoff_max). Default 250 ms.
    pub backoff_min: Duration,
    /// The longest wait before a restart. Default 30 s.
    pub backoff_max: Duration,
    /// Restarts in a row, none of which lived for [`stable`](Self::stable), after which an instance is given
    /// up. Default 8.
    pub crash_loop: u32,
    /// How long a given-up instance rests until its next use may start it again. Default 300 s.
    pub rest: Duration,
    /// A server that lived for this long has started well. Default 30 s.
    pub stable: Duration,
    /// Processes one tenant may have. Default 16.
    pub processes_per_tenant: usize,
    /// Processes of all tenants together. Default 256.
    pub processes: usize,
    /// HTTP connections (sessions) of all tenants together. Default 4096.
    pub connections: usize,
    /// How long a release that is tried out may take until it has listed its tools. Default 90 s.
    pub check: Duration,
    /// How long calls in flight may go on with a release that another has taken the place of. Default 60 s.
    pub drain: Duration,
    /// Bytes of each process's stderr that are kept. Default 64 KiB.
    pub stderr: usize,
}

impl Default for FleetConfig {
    fn default() -> Self {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let base_env = [("PATH", path), ("HOME", "/nonexistent")];
        Self {
            launcher: Launcher::default(),
            base_env: base_env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            start: Duration::from_secs(60),
            probe: Duration::from_secs(2),
            call: Duration::from_secs(300),
            message: 16 << 20,
            idle: Duration::from_secs(600),
            backoff_min: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            crash_loop: 8,
            rest: Duration::from_secs(300),
            stable: Duration::from_secs(30),
            processes_per_tenant: 16,
            processes: 256,
            connections: 4096,
            check: Duration::from_secs(90),
            drain: Duration::from_secs(60),
            stderr: 64 << 10,
        }
    }
}
