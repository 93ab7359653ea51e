//! API keys as they are stored and shown.

use mcp_core::{
    Error, Result,
    clock::Timestamp,
    key::Secret,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use serde::Serialize;

use super::{KeyDigest, KeyId};

/// Most permissions of a key.
const MAX_PERMISSIONS: usize = 256;

/// A key to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiKey {
    /// Whose it is.
    pub tenant: TenantId,
    /// Name for people: 1–100 characters, no control characters.
    pub name: String,
    /// As whom its holder acts.
    pub principal: Principal,
    /// When it ends; `None` is never.
    pub expires_at: Option<Timestamp>,
}

impl NewApiKey {
    /// A key that acts as the service `principal` and does not expire.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for a malformed principal id.
    pub fn service(
        tenant: TenantId,
        name: impl Into<String>,
        principal: &str,
        permissions: Permissions,
    ) -> Result<Self> {
        let id = PrincipalId::parse(principal)?;
        let principal = Principal { id, kind: PrincipalKind::Service, permissions };
        Ok(Self { tenant, name: name.into(), principal, expires_at: None })
    }

    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self, now: Timestamp) -> Result<()> {
        validate(&self.name, self.expires_at, now)?;
        if self.principal.permissions.iter().count() > MAX_PERMISSIONS {
            return Err(Error::invalid_input(
                "key.create",
                format!("`permissions` may have at most {MAX_PERMISSIONS} entries"),
            ));
        }
        Ok(())
    }
}

/// Checks what keys of every kind have in common.
pub(crate) fn validate(name: &str, expires_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    let length = name.chars().count();
    if !(1..=100).contains(&length) || name.chars().any(char::is_control) {
        return Err(Error::invalid_input(
            "key.create",
            "`name` must have 1 to 100 characters and no control characters",
        ));
    }
    if expires_at.is_some_and(|at| at <= now) {
        return Err(Error::invalid_input("key.create", "`expires_at` must lie in the future"));
    }
    Ok(())
}

/// Why a key of any kind may not be used at `now`, if it may not.
pub(crate) fn refusal(
    revoked_at: Option<Timestamp>,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<&'static str> {
    if revoked_at.is_some() {
        Some("the key is revoked")
    } else if expires_at.is_some_and(|at| at <= now) {
        Some("the key has expired")
    } else {
        None
    }
}

/// A key as lists show it: everything but the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct ApiKey {
    /// Names the key.
    pub id: KeyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// Name for people.
    pub name: String,
    /// As whom its holder acts.
    pub principal_id: PrincipalId,
    /// Person or program.
    pub principal_kind: PrincipalKind,
    /// What its holder may do.
    pub permissions: Permissions,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends; `None` is never.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
    /// When it was last given a new secret, if it was.
    pub rotated_at: Option<Timestamp>,
    /// When the secret before that ends; `None` if it ended with the rotation.
    pub previous_until: Option<Timestamp>,
    /// When it was last used, up to a minute late; `None` if never.
    pub last_used_at: Option<Timestamp>,
}

impl ApiKey {
    /// The key `new` becomes under `id` at `now`.
    pub(crate) fn create(new: NewApiKey, id: KeyId, now: Timestamp) -> Self {
        Self {
            id,
            tenant: new.tenant,
            name: new.name,
            principal_id: new.principal.id,
            principal_kind: new.principal.kind,
            permissions: new.principal.permissions,
            created_at: now,
            expires_at: new.expires_at,
            revoked_at: None,
            rotated_at: None,
            previous_until: None,
            last_used_at: None,
        }
    }

    /// Whether it counts among the keys that a tenant may have.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.refusal(now).is_none()
    }

    /// Why it may not be used at `now`, if it may not.
    pub(crate) fn refusal(&self, now: Timestamp) -> Option<&'static str> {
        refusal(self.revoked_at, self.expires_at, now)
    }

    /// As whom its holder acts.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal {
            id: self.principal_id.clone(),
            kind: self.principal_kind,
            permissions: self.permissions.clone(),
        }
    }
}

/// A key as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// What lists show.
    pub key: ApiKey,
    /// The digest of its secret.
    pub digest: KeyDigest,
    /// The digest of the secret before it, good until `key.previous_until`.
    pub former: Option<KeyDigest>,
}

/// A key that was just created, with the text that is never shown again.
#[derive(Debug, Clone)]
pub struct IssuedKey {
    /// What lists show.
    pub key: ApiKey,
    /// `mcpk_{id}_{secret}`.
    pub text: Secret<String>,
}
