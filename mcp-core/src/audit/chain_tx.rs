//! The transaction that reaches a chain: on the control tables, or on a tenant's data.

use std::sync::Arc;

use sqlx::Database;

use super::Entry;
use crate::{
    error::Result,
    scope::{Permissions, PlatformScope, Principal, PrincipalKind, Scope, TenantId},
    sql::{Backend, ControlRead, ControlTx, TenantRead, TenantTx},
};

/// A transaction on the place of one chain.
pub(crate) enum ChainTx<DB: Backend> {
    Platform(ControlTx<DB>),
    Tenant(TenantTx<DB>),
}

impl<DB: Backend> ChainTx<DB> {
    // PostgreSQL seals as the relay role, past this.
    #[cfg(feature = "sqlite")]
    pub(crate) fn conn(&mut self) -> &mut <DB as Database>::Connection {
        match self {
            Self::Platform(tx) => tx.conn(),
            Self::Tenant(tx) => tx.conn(),
        }
    }

    pub(crate) async fn append(&mut self, entry: &Entry) -> Result<()> {
        match self {
            Self::Platform(tx) => tx.append(entry).await,
            Self::Tenant(tx) => tx.append(entry).await,
        }
    }

    pub(crate) async fn commit(self) -> Result<()> {
        match self {
            Self::Platform(tx) => tx.commit().await,
            Self::Tenant(tx) => tx.commit().await,
        }
    }
}

/// A read of the place of one chain.
pub(crate) enum ChainRead<DB: Backend> {
    Platform(ControlRead<DB>),
    Tenant(TenantRead<DB>),
}

impl<DB: Backend> ChainRead<DB> {
    pub(crate) fn conn(&mut self) -> &mut <DB as Database>::Connection {
        match self {
            Self::Platform(read) => read.conn(),
            Self::Tenant(read) => read.conn(),
        }
    }
}

/// The platform's own way to a tenant's log: a service of the platform without any permission.
pub(crate) fn service_scope(scope: &PlatformScope, tenant: &TenantId) -> Scope {
    let principal = Principal {
        id: scope.actor().clone(),
        kind: PrincipalKind::Service,
        permissions: Permissions::default(),
    };
    Scope::new(tenant.clone(), Arc::new(principal)).with_request_id(scope.request_id().clone())
}
