//! Long work, as those see it who wait for it.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mcp_core::{Error, ErrorKind, Result, clock::Timestamp, error::Detail};
use serde::{Serialize, Serializer};

use crate::{
    protocol::ServerName,
    source::{PackageRef, Progress, Reporter, Version},
};

/// Operations that are remembered after their end; the oldest make room.
const REMEMBERED: usize = 256;
/// Operations that run at once.
const RUNNING: usize = 8;

/// Names an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId(uuid::Uuid);

impl OperationId {
    /// Reads an id back; `None` for what is no such id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        uuid::Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.simple())
    }
}

impl Serialize for OperationId {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// A server is added.
    Add,
    /// Another release of it is put to use.
    Use,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum OperationState {
    /// It goes on.
    Running,
    /// It is done; this version serves.
    Done {
        /// The version that was asked for, exactly.
        version: Version,
    },
    /// It was given up; what served before serves on.
    Failed {
        /// Why.
        error: Failure,
    },
}

/// An error that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema), schema(as = OperationFailure))]
pub struct Failure {
    /// The error's kind, [`ErrorKind::as_str`].
    pub kind: &'static str,
    /// What went wrong.
    pub message: String,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind().as_str(), message: error.message().to_owned() }
    }
}

/// One operation as it is now. It lives in the process that began it and is forgotten with it; what it has done
/// stands in the store.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// What is done.
    pub kind: OperationKind,
    /// To which server.
    pub server: ServerName,
    /// The package and version that were asked for.
    #[serde(serialize_with = "as_text")]
    #[cfg_attr(feature = "http-api", schema(value_type = String))]
    pub package: PackageRef,
    /// How far it is.
    #[serde(flatten)]
    pub state: OperationState,
    /// What it does now, and how much of that is done.
    pub progress: Progress,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[cfg_attr(feature = "http-api", schema(required))]
    pub ended_at: Option<Timestamp>,
}

fn as_text<S: Serializer>(package: &PackageRef, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_str(package)
}

/// The operations of this process.
#[derive(Debug, Default)]
pub(super) struct Operations(Mutex<VecDeque<Kept>>);

#[derive(Debug)]
struct Kept {
    operation: Operation,
    report: Reporter,
}

impl Operations {
    /// Begins one, unless another works on the server or too many run.
    pub(super) fn begin(
        &self,
        kind: OperationKind,
        server: &ServerName,
        package: PackageRef,
        now: Timestamp,
    ) -> Result<(OperationId, Reporter)> {
        let mut kept = self.lock();
        let running = |kept: &&Kept| kept.operation.state == OperationState::Running;
        if let Some(other) = kept.iter().filter(running).find(|kept| kept.operation.server == *server) {
            let why = format!("operation {} works on the server `{server}`; wait for it", other.operation.id);
            return Err(Error::new(ErrorKind::Conflict, "server.operation", why)
                .with_detail(Detail::Server { name: server.to_string() }));
        }
        if kept.iter().filter(running).count() >= RUNNING {
            let why = format!("{RUNNING} operations on servers run already; wait for one to end");
            return Err(Error::new(ErrorKind::RateLimited, "server.operation", why));
        }
        if kept.len() >= REMEMBERED
            && let Some(oldest) = kept.iter().position(|kept| !running(&kept))
        {
            kept.remove(oldest);
        }
        let (id, report) = (OperationId(uuid::Uuid::now_v7()), Reporter::default());
        let operation = Operation {
            id,
            kind,
            server: server.clone(),
            package,
            state: OperationState::Running,
            progress: report.latest(),
            started_at: now,
            ended_at: None,
        };
        kept.push_back(Kept { operation, report: report.clone() });
        Ok((id, report))
    }

    pub(super) fn end(&self, id: OperationId, ended: Result<Version>, now: Timestamp) {
        let mut kept = self.lock();
        let Some(kept) = kept.iter_mut().find(|kept| kept.operation.id == id) else { return };
        kept.operation.state = match ended {
            Ok(version) => OperationState::Done { version },
            Err(error) => OperationState::Failed { error: Failure::from(&error) },
        };
        kept.operation.ended_at = Some(now);
    }

    pub(super) fn get(&self, id: OperationId) -> Option<Operation> {
        let kept = self.lock();
        let kept = kept.iter().find(|kept| kept.operation.id == id)?;
        Some(Operation { progress: kept.report.latest(), ..kept.operation.clone() })
    }

    /// Whether an operation works on the server.
    pub(super) fn is_busy(&self, server: &ServerName) -> bool {
        let busy =
            |kept: &Kept| kept.operation.server == *server && kept.operation.state == OperationState::Running;
        self.lock().iter().any(busy)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends an operation that is dropped in its middle, by a panic or with its runtime.
pub(super) struct Ending {
    pub(super) operations: Arc<Operations>,
    pub(super) id: OperationId,
    pub(super) clock: Arc<dyn mcp_core::clock::Clock>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let open = self.operations.get(self.id).is_some_and(|one| one.state == OperationState::Running);
        if open {
            let error =
                Error::new(ErrorKind::Cancelled, "server.operation", "it was ended before it was done");
            self.operations.end(self.id, Err(error), self.clock.now());
        }
    }
}
