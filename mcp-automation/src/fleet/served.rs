//! One server of the fleet: what the operator wrote, and what was found out about it.

use std::sync::{Arc, Mutex, PoisonError};

use super::spec::ServerSpec;
use crate::{protocol::ProtocolVersion, upstream::Era};

/// A server as the fleet serves it; another release of it is another one of these.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) spec: ServerSpec,
    /// Whether it was added while the fleet ran, and so can be replaced and removed.
    pub(super) managed: bool,
    /// The era it turned out to be of, so that later instances need not find out.
    era: Mutex<Option<Era>>,
}

impl Served {
    pub(super) fn new(spec: ServerSpec, managed: bool) -> Arc<Self> {
        Arc::new(Self { spec, managed, era: Mutex::default() })
    }

    pub(super) fn era(&self) -> Option<Era> {
        *self.era.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember_era(&self, version: ProtocolVersion) {
        let era = if version.is_stateless() { Era::Modern } else { Era::Legacy };
        *self.era.lock().unwrap_or_else(PoisonError::into_inner) = Some(era);
    }

    pub(super) fn forget_era(&self) {
        *self.era.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
