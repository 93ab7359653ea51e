//! How the private halves of signing keys are sealed.

use std::sync::Arc;

use mcp_core::{
    Error, ErrorKind, PlatformScope, Result, Scope,
    key::{Column, DataKeys, MasterKey, Sealed, Secret},
    scope::{Permissions, Principal, PrincipalKind, TenantId},
};

/// The column of sealed private keys; a row is known by its kid.
const PRIVATE_KEY: Column = Column::new("signing_key", "private_key");

/// Seals private keys with the data key of their tenant. Those that the master key sealed by itself, before
/// there were data keys, still open.
#[derive(Debug)]
pub(super) struct Sealing {
    data_keys: Arc<DataKeys>,
    master: MasterKey,
}

impl Sealing {
    pub(super) const fn new(data_keys: Arc<DataKeys>, master: MasterKey) -> Self {
        Self { data_keys, master }
    }

    pub(super) async fn seal(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        kid: &str,
        private: &[u8],
    ) -> Result<Vec<u8>> {
        let scope = within(scope, tenant);
        let sealed = self.data_keys.seal(&scope, PRIVATE_KEY.row(kid), private).await;
        Ok(sealed.map_err(to_callers)?.into_bytes())
    }

    pub(super) async fn open(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        kid: &str,
        sealed: Vec<u8>,
    ) -> Result<Secret<Vec<u8>>> {
        let scope = within(scope, tenant);
        if Sealed::is_sealed(&sealed) {
            let sealed = Sealed::from_stored(sealed)?;
            let opened = self.data_keys.open(&scope, PRIVATE_KEY.row(kid), &sealed).await;
            return opened.map_err(to_callers);
        }
        let private = self.master.open(&sealed, &[tenant.as_str(), kid])?;
        self.data_keys.record_unsealing(&scope, &format!("signing_key/{kid}")).await?;
        Ok(private)
    }
}

/// A vault that refuses the platform has refused nobody who asks for a token: to them it is away. Operators see why.
fn to_callers(error: Error) -> Error {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            Error::unavailable("token.key", "the tenant's signing key cannot be used now; try again")
                .with_source(error)
        }
        _ => error,
    }
}

/// The platform's own way to what is a tenant's: a service without any permission.
fn within(scope: &PlatformScope, tenant: &TenantId) -> Scope {
    let id = scope.actor().clone();
    let principal = Principal { id, kind: PrincipalKind::Service, permissions: Permissions::default() };
    Scope::new(tenant.clone(), Arc::new(principal)).with_request_id(scope.request_id().clone())
}
