//! An issuer as the directory knows it: its declaration, and what it takes to ask it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use mcp_core::{Result, key::MasterKey};

use super::{
    fetch::Endpoint,
    health::IssuerHealth,
    introspection::Asked,
    keys::{Fetching, Keys},
};
use crate::issuer::{Issuer, StoredIssuer, TokenCheck};

/// One version of an issuer.
#[derive(Debug)]
pub(super) struct KnownIssuer {
    pub(super) issuer: Issuer,
    pub(super) checked_by: CheckedBy,
    /// Whether another version took its place, or none did.
    replaced: AtomicBool,
}

/// How its tokens are checked.
#[derive(Debug)]
pub(super) enum CheckedBy {
    Keys(Arc<Keys>),
    Asking(Box<Asked>),
}

impl KnownIssuer {
    pub(super) fn new(stored: StoredIssuer, master: &MasterKey, with: &Fetching) -> Result<Arc<Self>> {
        let StoredIssuer { issuer, sealed_secret } = stored;
        let spec = &issuer.spec;
        let endpoint = Endpoint { url: spec.url.clone(), private: spec.private_addresses };
        let checked_by = match &spec.check {
            TokenCheck::Jwt { keys, .. } => CheckedBy::Keys(Keys::new(endpoint, keys.clone(), with.clone())),
            TokenCheck::Introspection { endpoint: asked, client_id } => {
                let sealed = sealed_secret.unwrap_or_default();
                let secret = master.open(&sealed, &["issuer", issuer.id.as_str()])?;
                let asked = Asked::new(endpoint, asked.clone(), client_id, &secret, with.clone());
                CheckedBy::Asking(Box::new(asked))
            }
        };
        Ok(Arc::new(Self { issuer, checked_by, replaced: AtomicBool::new(false) }))
    }

    /// Says that this version no longer counts, nor any token that was verified under it.
    pub(super) fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    pub(super) fn health(&self) -> IssuerHealth {
        let (state, keys, age, problem) = match &self.checked_by {
            CheckedBy::Keys(keys) => keys.health(),
            CheckedBy::Asking(asked) => {
                let (state, problem) = asked.health();
                (state, 0, None, problem)
            }
        };
        IssuerHealth {
            id: self.issuer.id.clone(),
            tenant: self.issuer.spec.tenant.clone(),
            url: self.issuer.spec.url.clone(),
            state,
            keys,
            age_seconds: IssuerHealth::seconds(age),
            problem,
        }
    }
}
