//! Foreign issuers, put together.

use std::sync::Arc;

use mcp_core::Result;

use super::{
    ForeignConfig, ForeignJwtAuthenticator, IntrospectionAuthenticator, IssuerDirectory,
    directory::IssuerDeps,
};
use crate::{Tenancy, auth::Authenticator};

/// What authenticates the tokens of foreign issuers.
#[derive(Debug, Clone)]
pub struct ForeignIssuers {
    directory: Arc<IssuerDirectory>,
    jwts: Arc<ForeignJwtAuthenticator>,
    introspection: Arc<IntrospectionAuthenticator>,
}

impl ForeignIssuers {
    /// Which issuers there are, and how they are doing: for readiness.
    #[must_use]
    pub const fn directory(&self) -> &Arc<IssuerDirectory> {
        &self.directory
    }

    /// What the authentication layer asks, behind the platform's own credentials: JWTs, then introspection.
    #[must_use]
    pub fn authenticators(&self) -> [Arc<dyn Authenticator>; 2] {
        [self.jwts.clone(), self.introspection.clone()]
    }
}

impl Tenancy {
    /// Reads all issuers and begins to follow them, until [`shutdown`](Self::shutdown). Called once: the first call's
    /// issuers are the ones that hear of changes made here at once.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if the store does not answer,
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if the certificate authorities cannot be read.
    pub async fn follow_issuers(&self, config: ForeignConfig) -> Result<ForeignIssuers> {
        let directory = IssuerDirectory::open(IssuerDeps {
            store: self.issuers.store.clone(),
            master: self.issuers.master.clone(),
            clock: self.clock.clone(),
            directory: self.issuers.directory,
            config,
            tasks: self.tasks.clone(),
            shutdown: self.shutdown.clone(),
        })
        .await?;
        let (follower, until) = (directory.clone(), self.shutdown.clone());
        self.tasks.spawn(async move { follower.run(until).await });
        let _ = self.issuers.followed.set(directory.clone());
        let revocations = self.revocations();
        Ok(ForeignIssuers {
            jwts: Arc::new(ForeignJwtAuthenticator::new(directory.clone(), revocations.clone())),
            introspection: Arc::new(IntrospectionAuthenticator::new(directory.clone(), revocations.clone())),
            directory,
        })
    }
}
