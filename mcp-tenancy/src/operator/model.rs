//! Operator keys as they are stored and shown.

use mcp_core::{Result, clock::Timestamp, key::Secret, scope::PrincipalId};
use serde::Serialize;

use crate::key::{self, KeyDigest, KeyId};

/// An operator key to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOperatorKey {
    /// Name for people: 1–100 characters, no control characters.
    pub name: String,
    /// As whom its holder acts; the actor in audit records.
    pub principal: PrincipalId,
    /// When it ends; `None` is never.
    pub expires_at: Option<Timestamp>,
}

impl NewOperatorKey {
    /// A key that acts as `principal` and does not expire.
    #[must_use]
    pub fn new(name: impl Into<String>, principal: PrincipalId) -> Self {
        Self { name: name.into(), principal, expires_at: None }
    }

    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self, now: Timestamp) -> Result<()> {
        key::validate(&self.name, self.expires_at, now)
    }
}

/// An operator key as lists show it: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OperatorKey {
    /// Names the key.
    pub id: KeyId,
    /// Name for people.
    pub name: String,
    /// As whom its holder acts.
    pub principal_id: PrincipalId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends; `None` is never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl OperatorKey {
    /// The key `new` becomes under `id` at `now`.
    pub(crate) fn create(new: NewOperatorKey, id: KeyId, now: Timestamp) -> Self {
        Self {
            id,
            name: new.name,
            principal_id: new.principal,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
        }
    }

    /// Why it may not be used at `now`, if it may not.
    pub(crate) fn refusal(&self, now: Timestamp) -> Option<&'static str> {
        key::refusal(self.revoked_at, self.expires_at, now)
    }
}

/// An operator key as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredOperatorKey {
    /// What lists show.
    pub key: OperatorKey,
    /// The digest of its secret.
    pub digest: KeyDigest,
}

/// An operator key that was just created, with the text that is never shown again.
#[derive(Debug, Clone)]
pub struct IssuedOperatorKey {
    /// What lists show.
    pub key: OperatorKey,
    /// `mcpo_{id}_{secret}`.
    pub text: Secret<String>,
}
