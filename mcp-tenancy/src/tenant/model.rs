//! A tenant, and what it is made from.

use std::{collections::BTreeSet, num::NonZeroU32};

use mcp_core::{Error, Result, clock::Timestamp, scope::TenantId};
use serde::{Deserialize, Serialize};

use super::{Name, SchemaName};

/// Longest display name, in characters.
const MAX_NAME: usize = 200;
/// Most features a tenant can have.
const MAX_FEATURES: usize = 256;

/// Whether a tenant may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TenantStatus {
    /// It may be used.
    Active,
    /// Every call is refused and open streams end; nothing is deleted.
    Suspended,
    /// It is deleted, and refused like a suspended one; until the grace has passed it can be restored.
    Deleting,
    /// All that it had is gone. Its id and its schema stay taken for ever.
    Erased,
}

impl TenantStatus {
    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
            Self::Erased => "erased",
        }
    }

    /// Parses [`as_str`](Self::as_str).
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "active" => Ok(Self::Active),
            "suspended" => Ok(Self::Suspended),
            "deleting" => Ok(Self::Deleting),
            "erased" => Ok(Self::Erased),
            _ => Err(Error::invalid_input(
                "tenant.status",
                "a status is `active`, `suspended`, `deleting` or `erased`",
            )),
        }
    }
}

/// How much a tenant may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct TenantLimits {
    /// Requests in any minute, all principals together. Default 600.
    #[cfg_attr(feature = "http-api", schema(value_type = u32, minimum = 1))]
    pub requests_per_minute: NonZeroU32,
    /// Contexts that may be open at once. Default 100.
    #[cfg_attr(feature = "http-api", schema(value_type = u32, minimum = 1))]
    pub concurrent_contexts: NonZeroU32,
}

impl Default for TenantLimits {
    fn default() -> Self {
        const RPM: NonZeroU32 = NonZeroU32::new(600).unwrap();
        const CONTEXTS: NonZeroU32 = NonZeroU32::new(100).unwrap();
        Self { requests_per_minute: RPM, concurrent_contexts: CONTEXTS }
    }
}

/// What an administrator says about a tenant: the part of it that can be set.
///
/// Its `name` is for people (1–200 characters, no control characters).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct TenantProfile {
    /// Name for people.
    #[cfg_attr(feature = "http-api", schema(min_length = 1, max_length = 200))]
    pub name: String,
    /// What the tenant has been given, as in `ml_inference`. Default none.
    pub features: BTreeSet<Name>,
    /// How much it may use.
    pub limits: TenantLimits,
    /// The tier, which sets its isolation mode. Default `standard`.
    pub tier: Name,
    /// Where its data lives. Default `local`.
    pub region: Name,
}

impl TenantProfile {
    /// A profile with every default.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            features: BTreeSet::new(),
            limits: TenantLimits::default(),
            tier: Name::constant("standard"),
            region: Name::constant("local"),
        }
    }

    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self) -> Result<()> {
        let length = self.name.chars().count();
        if length == 0 || length > MAX_NAME || self.name.chars().any(char::is_control) {
            return Err(Error::invalid_input(
                "tenant.validate",
                format!("`name` must have 1 to {MAX_NAME} characters and no control characters"),
            ));
        }
        if self.features.len() > MAX_FEATURES {
            return Err(Error::invalid_input(
                "tenant.validate",
                format!("`features` may have at most {MAX_FEATURES} entries"),
            ));
        }
        Ok(())
    }
}

/// A tenant to be created.
///
/// ```
/// use std::num::NonZeroU32;
/// use mcp_core::scope::TenantId;
/// use mcp_tenancy::tenant::NewTenant;
///
/// let mut acme = NewTenant::new(TenantId::parse("acme")?, "Acme Corp");
/// acme.profile.limits.requests_per_minute = NonZeroU32::new(1000).unwrap();
/// # Ok::<(), mcp_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NewTenant {
    /// Its id, for ever.
    pub id: TenantId,
    /// What it is.
    pub profile: TenantProfile,
    /// Its database schema, for ever. Default [`SchemaName::of_tenant`] its id.
    pub schema: SchemaName,
    /// The organisation whose project it is, for ever. An organisation is a tenant that has none. Default none.
    pub parent: Option<TenantId>,
    /// Makes trying again safe: the same key with the same tenant answers with what the first call made.
    /// 1–128 printable ASCII characters. Default none.
    pub idempotency_key: Option<String>,
}

impl NewTenant {
    /// A tenant with every default.
    #[must_use]
    pub fn new(id: TenantId, name: impl Into<String>) -> Self {
        let schema = SchemaName::of_tenant(&id);
        Self { id, profile: TenantProfile::named(name), schema, parent: None, idempotency_key: None }
    }

    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self) -> Result<()> {
        let ok = |key: &String| (1..=128).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
        if !self.idempotency_key.as_ref().is_none_or(ok) {
            return Err(Error::invalid_input(
                "tenant.create",
                "an idempotency key must have 1 to 128 printable ASCII characters without blanks",
            ));
        }
        if self.parent.as_ref() == Some(&self.id) {
            return Err(Error::invalid_input("tenant.create", "a tenant cannot be its own `parent`"));
        }
        self.profile.validate()
    }

    /// Whether `tenant`, made under the same idempotency key, was made from this.
    pub(crate) fn made(&self, tenant: &Tenant) -> bool {
        self.id == tenant.id && self.schema == tenant.schema && self.parent == tenant.parent
    }
}

/// That a tenant is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Deletion {
    /// When it was deleted.
    pub deleted_at: Timestamp,
    /// Until then it can be restored; what it has is erased afterwards.
    pub erase_after: Timestamp,
    /// What it is again once it is restored.
    pub restores_to: TenantStatus,
    /// When erasing began: it cannot be restored any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erasing_since: Option<Timestamp>,
    /// When all was erased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<Timestamp>,
}

/// Which tenants a list has. The default has all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantFilter {
    /// Only those whose own status this is; an organisation that is closed changes nothing here.
    pub status: Option<TenantStatus>,
    /// Only the projects of this organisation.
    pub parent: Option<TenantId>,
}

impl TenantFilter {
    /// Whether the list has `tenant`.
    #[must_use]
    pub fn admits(&self, tenant: &Tenant) -> bool {
        self.status.is_none_or(|status| tenant.status == status)
            && self.parent.as_ref().is_none_or(|parent| tenant.parent.as_ref() == Some(parent))
    }
}

/// A tenant as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// What it is.
    #[serde(flatten)]
    pub profile: TenantProfile,
    /// Whether it may be used.
    pub status: TenantStatus,
    /// Its database schema where its tier has isolation mode `schema`.
    pub schema: SchemaName,
    /// The organisation whose project it is. While that is closed, so is the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<TenantId>,
    /// That it is deleted, and what becomes of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// How often it was changed, from 1: what an update must name.
    pub version: i64,
    /// Its place in the order of all changes to all tenants of the store.
    pub revision: i64,
}

impl Tenant {
    /// Whether calls for it may go on.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == TenantStatus::Active
    }

    /// Whether it was given `feature`.
    #[must_use]
    pub fn has_feature(&self, feature: &str) -> bool {
        self.profile.features.iter().any(|held| held.as_str() == feature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_the_documented_ones() {
        let new = NewTenant::new(TenantId::parse("acme-1").unwrap(), "Acme");
        assert_eq!(new.profile.limits.requests_per_minute.get(), 600);
        assert_eq!(new.profile.limits.concurrent_contexts.get(), 100);
        assert_eq!((new.profile.tier.as_str(), new.profile.region.as_str()), ("standard", "local"));
        assert_eq!(new.schema.as_str(), "acme_1");
        new.validate().unwrap();
    }

    #[test]
    fn bad_names_and_keys_are_refused() {
        let id = TenantId::parse("acme").unwrap();
        for name in ["", "a\u{0}b", "line\nbreak", &"x".repeat(201)] {
            assert!(NewTenant::new(id.clone(), name).validate().is_err(), "{name:?}");
        }
        let mut new = NewTenant::new(id, "Acme");
        new.idempotency_key = Some("a b".to_owned());
        assert!(new.validate().is_err());
    }
}
