//! As whom requests come: the platform's own credentials, tokens of foreign issuers, and where clients find out.

use std::{sync::Arc, time::Duration};

use mcp_core::{Error, Result, audit::DenialLog, layer::Challenge, limit::RateLimiter, net::Roots};
use mcp_tenancy::{
    Tenancy,
    auth::{Authenticators, ProtectedResource},
    foreign::{ForeignConfig, ForeignIssuers, IssuerDirectory},
    http_api::Deps,
    limit::LimitPolicy,
    refresh::RefreshConfig,
    token::TokenConfig,
};

use crate::config::{self, Config};

/// Longest file with certificate authorities that is read, in bytes.
const MAX_AUTHORITIES: u64 = 1024 * 1024;

/// Everything that tells who a caller is.
#[derive(Debug)]
pub(crate) struct Identity {
    tenancy: Arc<Tenancy>,
    tokens: TokenConfig,
    resource: ProtectedResource,
    foreign: ForeignIssuers,
}

impl Identity {
    /// Reads the foreign issuers, and follows them until the tenancy is shut down.
    pub(super) async fn start(tenancy: Arc<Tenancy>, config: &Config) -> Result<Self> {
        let tokens = tokens(config);
        let resource = resource(&config.auth, &tokens.audience)?;
        let foreign = tenancy.follow_issuers(foreign(&config.auth).await?).await?;
        Ok(Self { tenancy, tokens, resource, foreign })
    }

    /// What the authentication layer asks: keys, the platform's tokens and certificates, then foreign issuers.
    pub(crate) fn authenticators(&self) -> Authenticators {
        self.tenancy.authenticators().and(self.foreign.authenticators())
    }

    /// What refused clients are told to do.
    ///
    /// # Errors
    /// None in practice: the URL was checked.
    pub(crate) fn challenge(&self) -> Result<Challenge> {
        self.resource.challenge()
    }

    /// What the routes for callers without a token work on.
    pub(super) fn routes(
        &self,
        limiter: Arc<dyn RateLimiter>,
        limits: Arc<LimitPolicy>,
        denials: Arc<dyn DenialLog>,
    ) -> Deps {
        let (tenancy, resource) = (Arc::clone(&self.tenancy), self.resource.clone());
        Deps { tenancy, resource, limiter, limits, denials }
    }

    /// Who issues the platform's tokens, what they are for and how long they live.
    pub(crate) const fn tokens(&self) -> &TokenConfig {
        &self.tokens
    }

    /// Which foreign issuers there are, and how they are doing.
    pub(super) const fn issuers(&self) -> &Arc<IssuerDirectory> {
        self.foreign.directory()
    }
}

/// Issuer and audience: the URL clients use, so that commands and servers of one configuration agree.
pub(crate) fn tokens(config: &Config) -> TokenConfig {
    let (server, auth) = (&config.server, &config.auth);
    let scheme = if server.tls_cert.as_os_str().is_empty() { "http" } else { "https" };
    let url = match server.public_url.trim_end_matches('/') {
        "" => format!("{scheme}://{}", server.listen),
        url => url.to_owned(),
    };
    TokenConfig {
        algorithm: auth.token_algorithm,
        refresh: RefreshConfig {
            access_lifetime: Duration::from_secs(auth.token_seconds),
            lifetime: Duration::from_secs(auth.refresh_seconds),
            grace: Duration::from_secs(auth.refresh_grace_seconds),
        },
        ..TokenConfig::new(url.clone(), format!("{url}/mcp"))
    }
}

/// What the metadata document says, and challenges with it.
fn resource(auth: &config::Auth, audience: &str) -> Result<ProtectedResource> {
    ProtectedResource::new(audience)
        .map_err(|error| refused("server.public_url", &error))?
        .with_scopes(auth.scopes.iter().cloned())
        .with_authorization_servers(auth.authorization_servers.clone())
        .map_err(|error| refused("auth.authorization_servers", &error))
}

fn refused(setting: &str, error: &Error) -> Error {
    Error::invalid_input("config.load", format!("{setting}: {}", error.message()))
}

async fn foreign(auth: &config::Auth) -> Result<ForeignConfig> {
    let defaults = ForeignConfig::default();
    let keys_stale_for = Duration::from_secs(auth.issuer_keys_stale_seconds);
    // Asked for before they are too old, whatever their issuer says: else callers would wait each time they are.
    let in_time = keys_stale_for / 2;
    Ok(ForeignConfig {
        roots: roots(auth).await?,
        timeout: Duration::from_secs(auth.issuer_timeout_seconds),
        keys_fresh_for: defaults.keys_fresh_for.min(in_time),
        keys_fresh_at_least: defaults.keys_fresh_at_least.min(in_time),
        keys_stale_for,
        active_for: Duration::from_secs(auth.introspection_seconds),
        ..defaults
    })
}

async fn roots(auth: &config::Auth) -> Result<Roots> {
    let file = &auth.issuer_ca;
    if file.as_os_str().is_empty() {
        return Ok(Roots::Public);
    }
    let refuse = |why: String| {
        Error::invalid_input("config.load", format!("auth.issuer_ca: cannot read {}: {why}", file.display()))
    };
    let size = tokio::fs::metadata(file).await.map_err(|error| refuse(error.to_string()))?.len();
    if size > MAX_AUTHORITIES {
        return Err(refuse(format!("it is longer than {MAX_AUTHORITIES} bytes")));
    }
    tokio::fs::read(file).await.map(Roots::Pem).map_err(|error| refuse(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_the_url_that_clients_use() {
        let mut config = Config::default();
        let of = |config: &Config| {
            let tokens = tokens(config);
            (tokens.issuer, tokens.audience)
        };
        let local = "http://127.0.0.1:8080";
        assert_eq!(of(&config), (local.to_owned(), format!("{local}/mcp")));
        config.server.public_url = "https://mcp.example.com/".to_owned();
        let public = "https://mcp.example.com";
        assert_eq!(of(&config), (public.to_owned(), format!("{public}/mcp")));
    }

    #[test]
    fn what_is_no_url_is_refused_with_its_setting() {
        let mut auth = config::Auth::default();
        let error = resource(&auth, "mcp.example.com/mcp").unwrap_err();
        assert!(error.message().starts_with("server.public_url: "), "{error}");
        auth.authorization_servers = vec!["login.example".to_owned()];
        let error = resource(&auth, "https://mcp.example.com/mcp").unwrap_err();
        assert!(error.message().starts_with("auth.authorization_servers: "), "{error}");
    }

    #[tokio::test]
    async fn a_missing_file_of_authorities_is_named() {
        let auth = config::Auth { issuer_ca: "/no/such/file.pem".into(), ..config::Auth::default() };
        let error = roots(&auth).await.unwrap_err();
        assert!(error.message().contains("/no/such/file.pem"), "{error}");
    }
}
