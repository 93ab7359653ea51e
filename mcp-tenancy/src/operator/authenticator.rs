//! Requests with an operator key.

use std::sync::Arc;

use http::request::Parts;
use mcp_core::{PlatformScope, Result, clock::Clock, scope::PrincipalId};

use super::{OperatorKey, OperatorKeyStore};
use crate::{
    auth::{bearer, refused, unidentified},
    key::{KeyId, OPERATOR_PREFIX, Presented, Recent, Seen},
};

/// Whom an operator key speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Who acts.
    pub principal: PrincipalId,
    /// Which key it was, for audit records: `operator_key/…`. Not a secret.
    pub credential: Arc<str>,
}

/// Authenticates `mcpo_…` keys: found by id, compared by digest in constant time.
///
/// A revocation takes effect within one second on every replica. An unknown id takes the same way as a
/// wrong secret, and neither costs more look-ups in the store than with tenants' keys.
#[derive(Debug)]
pub struct OperatorAuthenticator {
    store: Arc<dyn OperatorKeyStore>,
    clock: Arc<dyn Clock>,
    scope: PlatformScope,
    recent: Recent<Arc<Holder>>,
}

#[derive(Debug)]
struct Holder {
    key: OperatorKey,
    operator: Operator,
}

impl OperatorAuthenticator {
    /// Keys of `store`, their expiry by `clock`.
    ///
    /// # Errors
    /// None in practice; the result spares an unwrap.
    pub fn new(store: Arc<dyn OperatorKeyStore>, clock: Arc<dyn Clock>) -> Result<Self> {
        let scope = PlatformScope::new(PrincipalId::parse("authenticator")?, "find an operator key");
        Ok(Self { store, clock, scope, recent: Recent::new() })
    }

    /// The operator that sends a request.
    ///
    /// # Errors
    /// [`Unauthenticated`](mcp_core::ErrorKind::Unauthenticated) without a good operator key, also for every
    /// key and token of a tenant; [`Unavailable`](mcp_core::ErrorKind::Unavailable) if nobody can say.
    pub async fn authenticate(&self, request: &Parts) -> Result<Operator> {
        let text = bearer(request)?.ok_or_else(|| unidentified("no credential"))?;
        if !text.starts_with(OPERATOR_PREFIX) {
            return Err(refused("not an operator key"));
        }
        let presented =
            Presented::parse(OPERATOR_PREFIX, text).ok_or_else(|| refused("a malformed operator key"))?;
        let holder = self.recent.holder(&presented, self.clock.now(), self.ask(&presented.id)).await?;
        match holder.key.refusal(self.clock.now()) {
            Some(reason) => Err(refused(reason)),
            None => Ok(holder.operator.clone()),
        }
    }

    /// Forgets what is cached about `id`: called where a key was just revoked, so that it ends here at once.
    pub async fn forget(&self, id: &KeyId) {
        self.recent.forget(id).await;
    }

    async fn ask(&self, id: &KeyId) -> Result<Option<Seen<Arc<Holder>>>> {
        let stored = self.store.find(&self.scope, id).await?;
        Ok(stored.map(|stored| {
            let principal = stored.key.principal_id.clone();
            let operator = Operator { principal, credential: format!("operator_key/{id}").into() };
            let holder = Arc::new(Holder { key: stored.key, operator });
            Seen { digest: stored.digest, former: None, holder }
        }))
    }
}
