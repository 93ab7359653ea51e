//! Requests on connections with a client certificate.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::request::Parts;
use mcp_core::{
    PlatformScope, Result,
    clock::{Clock, Timestamp},
    scope::PrincipalId,
};
use moka::future::Cache;
use tokio::time::Instant;

use super::{CertificateIdentity, CertificateStore, CertificateSubject, PeerCertificate};
use crate::auth::{Authenticator, Identity, bearer, refused};

/// Certificates kept in memory, those of nobody included.
const CACHED: u64 = 10_000;
/// How long one is used without asking the store: how long a removal made elsewhere takes at most.
const FRESH: Duration = Duration::from_secs(1);

/// Authenticates the [`PeerCertificate`] of a connection, by the registrations of a store.
///
/// A certificate whose subjects are registered for more than one principal is refused. One that nobody
/// registered is no credential; alone, it is refused. A removal takes effect within one second.
#[derive(Debug)]
pub struct CertificateAuthenticator {
    store: Arc<dyn CertificateStore>,
    clock: Arc<dyn Clock>,
    scope: PlatformScope,
    recent: Cache<PeerKey, Seen>,
}

type PeerKey = Arc<[CertificateSubject]>;

#[derive(Debug, Clone)]
struct Seen {
    found: Found,
    /// When the store was asked, not when it answered.
    asked_at: Instant,
}

#[derive(Debug, Clone)]
enum Found {
    Nobody,
    One(Arc<Holder>),
    Several,
}

#[derive(Debug)]
struct Holder {
    identity: Identity,
    expires_at: Option<Timestamp>,
}

impl CertificateAuthenticator {
    /// Certificates of `store`, their expiry by `clock`.
    ///
    /// # Errors
    /// None in practice; the result spares an unwrap.
    pub fn new(store: Arc<dyn CertificateStore>, clock: Arc<dyn Clock>) -> Result<Self> {
        let scope = PlatformScope::new(PrincipalId::parse("authenticator")?, "find a certificate");
        let recent = Cache::builder().max_capacity(CACHED).time_to_live(FRESH).build();
        Ok(Self { store, clock, scope, recent })
    }

    /// Forgets all that is cached: called where a registration was just changed.
    pub fn forget(&self) {
        self.recent.invalidate_all();
    }

    async fn find(&self, peer: &PeerCertificate) -> Result<Found> {
        let key: PeerKey = peer.subjects().into();
        if let Some(seen) = self.recent.get(&key).await.filter(|seen| seen.asked_at.elapsed() < FRESH) {
            return Ok(seen.found);
        }
        let asked_at = Instant::now();
        let found = found(self.store.find(&self.scope, &key).await?);
        self.recent.insert(key, Seen { found: found.clone(), asked_at }).await;
        Ok(found)
    }
}

/// Whom registrations speak for together.
fn found(registered: Vec<CertificateIdentity>) -> Found {
    let mut registered = registered.into_iter();
    let Some(first) = registered.next() else { return Found::Nobody };
    let same =
        |other: CertificateIdentity| other.tenant == first.tenant && other.principal() == first.principal();
    if !registered.all(same) {
        return Found::Several;
    }
    let identity = Identity {
        tenant: first.tenant.clone(),
        principal: Arc::new(first.principal()),
        credential: format!("certificate/{}", first.id).into(),
        expires_at: first.expires_at,
    };
    Found::One(Arc::new(Holder { identity, expires_at: first.expires_at }))
}

#[async_trait]
impl Authenticator for CertificateAuthenticator {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>> {
        let Some(peer) = request.extensions.get::<PeerCertificate>() else { return Ok(None) };
        match self.find(peer).await? {
            Found::Nobody if bearer(request)?.is_some() => Ok(None),
            Found::Nobody => Err(refused("a certificate that nobody registered")),
            Found::Several => Err(refused("a certificate of several principals")),
            Found::One(holder) if holder.expires_at.is_some_and(|at| at <= self.clock.now()) => {
                Err(refused("the certificate's registration has expired"))
            }
            Found::One(holder) => Ok(Some(holder.identity.clone())),
        }
    }
}
