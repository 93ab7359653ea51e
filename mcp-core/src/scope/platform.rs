//! The scope of work above tenants.

use super::{PrincipalId, RequestId};

/// Who works above tenants, and why: tenant administration, key look-up, relays, sweeps, migrations.
///
/// It reaches the control tables only. `reason` goes into the audit record of whatever is changed.
#[derive(Debug, Clone)]
pub struct PlatformScope {
    actor: PrincipalId,
    reason: String,
    request_id: RequestId,
}

impl PlatformScope {
    /// A scope for `actor` (an operator, or a part of the platform such as `sealer`).
    #[must_use]
    pub fn new(actor: PrincipalId, reason: impl Into<String>) -> Self {
        Self { actor, reason: reason.into(), request_id: RequestId::generate() }
    }

    /// The same scope as part of the request `id`.
    #[must_use]
    pub fn with_request_id(mut self, id: RequestId) -> Self {
        self.request_id = id;
        self
    }

    /// Who acts.
    #[must_use]
    pub const fn actor(&self) -> &PrincipalId {
        &self.actor
    }

    /// Why, in words an auditor understands.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The request or run this is part of.
    #[must_use]
    pub const fn request_id(&self) -> &RequestId {
        &self.request_id
    }
}
