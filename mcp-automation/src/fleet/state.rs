//! What a server of the fleet is doing, for callers and operators.

use std::{sync::Arc, time::Duration};

use mcp_core::scope::TenantId;
use tokio::time::Instant;

use crate::{
    protocol::{ProtocolVersion, ServerName},
    upstream::Upstream,
};

/// The state of one instance, as its owner task keeps it.
#[derive(Debug, Clone)]
pub(super) enum State {
    Starting,
    Ready { upstream: Arc<dyn Upstream>, pid: Option<i32> },
    BackingOff { until: Instant, reason: Arc<str> },
    GivenUp { until: Instant, reason: Arc<str> },
    Stopping,
    Stopped,
}

/// The state of one instance, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerState {
    /// Launching or shaking hands.
    Starting,
    /// Serving.
    Ready {
        /// The protocol's version on this connection.
        version: ProtocolVersion,
        /// The process, for stdio servers.
        pid: Option<i32>,
    },
    /// It failed and is started again by itself.
    BackingOff {
        /// Time left until then.
        retry_in: Duration,
        /// Why it failed; empty in a tenant's listing.
        reason: String,
    },
    /// It failed too often in a row. Its next use after the rest starts it again, or an operator does.
    GivenUp {
        /// Time left to rest.
        retry_in: Duration,
        /// Why it failed last; empty in a tenant's listing.
        reason: String,
    },
    /// Being ended.
    Stopping,
    /// Not running; its next use starts it.
    Stopped,
}

impl ServerState {
    /// The state's one name, in logs, metrics and on the wire.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready { .. } => "ready",
            Self::BackingOff { .. } => "backing_off",
            Self::GivenUp { .. } => "given_up",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

impl From<&State> for ServerState {
    fn from(state: &State) -> Self {
        let left = |until: &Instant| until.saturating_duration_since(Instant::now());
        match state {
            State::Starting => Self::Starting,
            State::Ready { upstream, pid } => Self::Ready { version: upstream.info().version, pid: *pid },
            State::BackingOff { until, reason } => {
                Self::BackingOff { retry_in: left(until), reason: reason.to_string() }
            }
            State::GivenUp { until, reason } => {
                Self::GivenUp { retry_in: left(until), reason: reason.to_string() }
            }
            State::Stopping => Self::Stopping,
            State::Stopped => Self::Stopped,
        }
    }
}

/// One line of the fleet's listing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ServerStatus {
    /// The server.
    pub server: ServerName,
    /// Whose instance it is; `None` for one that all tenants share, and for a server without an instance.
    pub tenant: Option<TenantId>,
    /// What it is doing.
    pub state: ServerState,
    /// How often it was started.
    pub starts: u64,
    /// Calls in flight.
    pub in_flight: usize,
}
