//! How far a long piece of work has come.

use serde::Serialize;
use tokio::sync::watch;

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Phase {
    /// Has not begun.
    Waiting,
    /// The registry is asked for the version and its hash.
    Resolving,
    /// The artifact is downloaded and hashed.
    Downloading,
    /// The artifact's contents are looked through.
    Inspecting,
    /// It is installed with its dependencies.
    Installing,
    /// The installed tree is compared with what was installed.
    Verifying,
    /// The server is started and asked for its tools.
    Checking,
    /// Calls are led to it.
    Activating,
    /// All is done.
    Done,
}

/// A phase, and how much of it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes of it that are done; 0 where it is not measured.
    pub done_bytes: u64,
    /// Bytes there are in all, where that is known.
    #[cfg_attr(feature = "http-api", schema(required))]
    pub total_bytes: Option<u64>,
}

/// Where progress is reported. The newest is kept; whoever [watches](Self::watch) may come late or never.
#[derive(Debug, Clone)]
pub struct Reporter(watch::Sender<Progress>);

impl Default for Reporter {
    fn default() -> Self {
        Self(watch::Sender::new(Progress { phase: Phase::Waiting, done_bytes: 0, total_bytes: None }))
    }
}

impl Reporter {
    /// A phase begins.
    pub fn phase(&self, phase: Phase) {
        self.bytes(phase, 0, None);
    }

    /// `done` of `total` bytes of a phase are done.
    pub fn bytes(&self, phase: Phase, done: u64, total: Option<u64>) {
        self.0.send_replace(Progress { phase, done_bytes: done, total_bytes: total });
    }

    /// What was reported last.
    #[must_use]
    pub fn latest(&self) -> Progress {
        *self.0.borrow()
    }

    /// What is reported from now on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.0.subscribe()
    }
}
