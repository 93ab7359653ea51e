//! Creating and updating the tenants that a file declares.

use mcp_core::{Error, ErrorKind, PlatformScope, Result};

use super::{NewTenant, Tenant};
use crate::Tenancy;

/// How often a declared tenant that others change at the same time is tried again.
const LOAD_TRIES: usize = 5;

/// What loading declared tenants did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Tenants that were not there.
    pub created: usize,
    /// Tenants that were different.
    pub updated: usize,
    /// Tenants that were as declared.
    pub unchanged: usize,
    /// Tenants that are deleted or erased, and stay so.
    pub deleted: usize,
}

impl Tenancy {
    /// Creates the tenants that the YAML `text` declares, and updates those that are different; `file` names
    /// it in errors. Doing it twice changes nothing. A tenant that is not declared stays as it is, and so does one that
    /// was deleted.
    ///
    /// # Errors
    /// As [`declared_tenants`](super::declared_tenants), before anything is changed;
    /// [`Conflict`](ErrorKind::Conflict) if a tenant is declared with another schema or parent than it has; as the
    /// store's otherwise, with the tenants before it loaded.
    pub async fn load_tenants(&self, scope: &PlatformScope, file: &str, text: &str) -> Result<Loaded> {
        let mut loaded = Loaded::default();
        for declared in super::declared_tenants(file, text)? {
            *self.load_one(scope, declared).await?.of(&mut loaded) += 1;
        }
        Ok(loaded)
    }

    async fn load_one(&self, scope: &PlatformScope, declared: NewTenant) -> Result<LoadedAs> {
        let mut last = None;
        for _ in 0..LOAD_TRIES {
            let (result, done) = match self.tenants.get(scope, &declared.id).await? {
                None => (self.create_tenant(scope, declared.clone()).await, LoadedAs::Created),
                Some(stored) if stored.schema != declared.schema || stored.parent != declared.parent => {
                    return Err(other(&stored));
                }
                Some(stored) if stored.deletion.is_some() => {
                    tracing::warn!(tenant = %stored.id, "a tenant that is declared in a file is deleted; it stays so");
                    return Ok(LoadedAs::Deleted);
                }
                Some(stored) if stored.profile == declared.profile => return Ok(LoadedAs::Unchanged),
                Some(stored) => {
                    let profile = declared.profile.clone();
                    let updated = self.update_tenant(scope, &stored.id, profile, stored.version).await;
                    (updated, LoadedAs::Updated)
                }
            };
            match result {
                Ok(_) => return Ok(done),
                // Another replica loads the same file: look again.
                Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::Conflict) => {
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| Error::internal("tenant.load", "no attempt was made")))
    }
}

enum LoadedAs {
    Created,
    Updated,
    Unchanged,
    Deleted,
}

impl LoadedAs {
    const fn of(self, loaded: &mut Loaded) -> &mut usize {
        match self {
            Self::Created => &mut loaded.created,
            Self::Updated => &mut loaded.updated,
            Self::Unchanged => &mut loaded.unchanged,
            Self::Deleted => &mut loaded.deleted,
        }
    }
}

fn other(stored: &Tenant) -> Error {
    let parent =
        stored.parent.as_ref().map_or_else(|| "no parent".to_owned(), |id| format!("the parent `{id}`"));
    Error::new(
        ErrorKind::Conflict,
        "tenant.load",
        format!(
            "the tenant `{}` has the schema `{}` and {parent}, which cannot be changed",
            stored.id, stored.schema
        ),
    )
}
