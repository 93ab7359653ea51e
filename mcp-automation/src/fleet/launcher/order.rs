//! What platform and launcher say to each other.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Longest order, in bytes; an environment cannot be much longer on Linux anyway.
pub(crate) const MAX_ORDER: u32 = 4 << 20;

/// What to run. Sent over the socket, so that no secret stands on a command line.
#[derive(Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) command: String,
    pub(crate) args: Vec<String>,
    /// The whole environment of the child.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<PathBuf>,
}

/// What the launcher reports, one JSON object a line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The server runs; its process group has the same number.
    Started { pid: i32 },
    /// It could not be started.
    Failed { error: String },
    /// It has ended; what it started is being ended.
    Exited(Exit),
    /// Nothing is left.
    Gone,
}

/// How a server's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with status {code}"),
            (None, Some(signal)) => write!(f, "was killed by signal {signal}"),
            (None, None) => f.write_str("ended"),
        }
    }
}
