//! What an administrator does with operator keys.

use std::sync::Arc;

use mcp_core::{PlatformScope, Result};

use super::{IssuedOperatorKey, NewOperatorKey, OperatorAuthenticator, OperatorKey, StoredOperatorKey};
use crate::{
    Tenancy,
    key::{self, KeyId, OPERATOR_PREFIX},
    tenant::Page,
};

impl Tenancy {
    /// What [`AuthenticateOperatorLayer`](crate::layer::AuthenticateOperatorLayer) asks.
    #[must_use]
    pub const fn operators(&self) -> &Arc<OperatorAuthenticator> {
        &self.operators
    }

    /// Creates an operator key; its text is in the answer and nowhere else.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput), [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    pub async fn create_operator_key(
        &self,
        scope: &PlatformScope,
        new: NewOperatorKey,
    ) -> Result<IssuedOperatorKey> {
        let now = self.clock.now();
        new.validate(now)?;
        let (id, digest, text) = key::generate(OPERATOR_PREFIX)?;
        let key = OperatorKey::create(new, id, now);
        self.operator_keys.insert(scope, StoredOperatorKey { key: key.clone(), digest }).await?;
        Ok(IssuedOperatorKey { key, text })
    }

    /// One page of all operator keys.
    ///
    /// # Errors
    /// As [`OperatorKeyStore::list`](super::OperatorKeyStore::list).
    pub async fn operator_keys(
        &self,
        scope: &PlatformScope,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<OperatorKey>> {
        self.operator_keys.list(scope, cursor, limit).await
    }

    /// Revokes an operator key: here at once, elsewhere within a second.
    ///
    /// # Errors
    /// As [`OperatorKeyStore::revoke`](super::OperatorKeyStore::revoke).
    pub async fn revoke_operator_key(&self, scope: &PlatformScope, id: &KeyId) -> Result<OperatorKey> {
        let revoked = self.operator_keys.revoke(scope, id).await?;
        self.operators.forget(id).await;
        Ok(revoked)
    }
}
