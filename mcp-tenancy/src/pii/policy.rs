//! What becomes of what is found, for each tenant.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use mcp_core::{Error, Result, redact::PiiKind, scope::TenantId};
use serde::{Deserialize, Serialize};

/// The most tenants that may have a policy of their own.
pub const MAX_POLICIES: usize = 100_000;

/// What becomes of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PiiAction {
    /// It is replaced by the name of its kind: `[email]`.
    #[default]
    Mask,
    /// It is replaced by a digest under a key of the tenant, `[email_…]`: equal values of one tenant stay
    /// equal, those of two tenants do not, and nobody without the key can try values out.
    Hash,
    /// A text that holds it is refused.
    Refuse,
    /// It is let through, and not looked for.
    Allow,
}

/// A tenant's policy. By default everything is masked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PiiPolicy {
    /// E-mail addresses.
    pub email: PiiAction,
    /// Telephone numbers.
    pub phone: PiiAction,
    /// Numbers of payment cards.
    pub card: PiiAction,
    /// International bank account numbers.
    pub iban: PiiAction,
    /// National ids.
    pub national_id: PiiAction,
    /// IP addresses.
    pub ip_address: PiiAction,
    /// Keys, tokens and passwords.
    pub secret: PiiAction,
}

impl PiiPolicy {
    /// The policy that does the same with everything.
    #[must_use]
    pub const fn all(action: PiiAction) -> Self {
        Self {
            email: action,
            phone: action,
            card: action,
            iban: action,
            national_id: action,
            ip_address: action,
            secret: action,
        }
    }

    /// What becomes of one kind; a kind this policy does not know is masked.
    #[must_use]
    pub const fn action(&self, kind: PiiKind) -> PiiAction {
        match kind {
            PiiKind::Email => self.email,
            PiiKind::Phone => self.phone,
            PiiKind::Card => self.card,
            PiiKind::Iban => self.iban,
            PiiKind::NationalId => self.national_id,
            PiiKind::IpAddress => self.ip_address,
            PiiKind::Secret => self.secret,
            _ => PiiAction::Mask,
        }
    }
}

/// The policies in force, which may be exchanged while the platform works.
#[derive(Debug, Default)]
pub struct PiiPolicies {
    default: Arc<PiiPolicy>,
    of_tenants: RwLock<HashMap<TenantId, Arc<PiiPolicy>>>,
}

impl PiiPolicies {
    /// `default` for every tenant that has no policy of its own.
    #[must_use]
    pub fn new(default: PiiPolicy) -> Self {
        Self { default: Arc::new(default), of_tenants: RwLock::default() }
    }

    /// Gives a tenant a policy of its own, which holds from the next text on.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) once [`MAX_POLICIES`] tenants have one.
    pub fn set(&self, tenant: TenantId, policy: PiiPolicy) -> Result<()> {
        let mut policies = self.of_tenants.write().unwrap_or_else(PoisonError::into_inner);
        if policies.len() >= MAX_POLICIES && !policies.contains_key(&tenant) {
            let message = format!("at most {MAX_POLICIES} tenants can have a policy of their own");
            return Err(Error::unavailable("pii.policy", message));
        }
        policies.insert(tenant, Arc::new(policy));
        Ok(())
    }

    /// Lets the default hold for a tenant again.
    pub fn remove(&self, tenant: &TenantId) {
        self.of_tenants.write().unwrap_or_else(PoisonError::into_inner).remove(tenant);
    }

    /// The policy that holds for a tenant.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> Arc<PiiPolicy> {
        let policies = self.of_tenants.read().unwrap_or_else(PoisonError::into_inner);
        policies.get(tenant).unwrap_or(&self.default).clone()
    }
}
