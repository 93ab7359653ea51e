//! Requests with a token whose issuer is asked about it (RFC 7662).

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::request::Parts;
use mcp_core::{Result, clock::Timestamp, key::Secret, scope::TenantId};
use moka::future::Cache;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::{
    IssuerDirectory,
    fetch::{Endpoint, broken},
    health::IssuerState,
    jwt::LEEWAY_SECS,
    keys::Fetching,
    known::{CheckedBy, KnownIssuer},
    meaning, metadata,
    parse::{Members, Unverified},
};
use crate::{
    auth::{Authenticator, Identity, TokenKey, VerifiedTokens, bearer, is_jwt, refused},
    key::{OPERATOR_PREFIX, PREFIX},
    revocation::RevocationDirectory,
    token::MAX_TOKEN_LEN,
};

/// Tokens remembered as not active, apart from the active ones, so that invented tokens push out no real one.
const CACHED_INACTIVE: u64 = 10_000;
/// Questions to one issuer at a time, and how long another waits for its turn.
const AT_ONCE: usize = 16;
const TURN: Duration = Duration::from_secs(2);

/// Authenticates tokens by asking their issuer: opaque tokens, and JWTs of issuers that are declared with
/// introspection.
///
/// An opaque token does not say whose it is. The one issuer that is asked about it is the one that the tenant which
/// the request names (`X-Tenant-ID`) has declared, else the shared one; a token is never shown to an issuer of another
/// tenant. The issuer must say that the token is active and for one of the declared audiences. Its word holds for
/// [`active_for`](super::ForeignConfig::active_for); where it cannot be had, the token is refused.
#[derive(Debug)]
pub struct IntrospectionAuthenticator {
    directory: Arc<IssuerDirectory>,
    active: VerifiedTokens<Vouched>,
    inactive: Cache<TokenKey, Timestamp>,
}

/// A token that its issuer said is active.
#[derive(Debug)]
struct Vouched {
    identity: Identity,
    known: Arc<KnownIssuer>,
}

impl IntrospectionAuthenticator {
    /// Tokens of the issuers of `directory` that `revocations` do not refuse.
    #[must_use]
    pub fn new(directory: Arc<IssuerDirectory>, revocations: Arc<RevocationDirectory>) -> Self {
        let with = directory.with();
        let active =
            VerifiedTokens::new(with.config.active_for, LEEWAY_SECS, with.clock.clone(), revocations);
        let inactive =
            Cache::builder().max_capacity(CACHED_INACTIVE).time_to_live(with.config.inactive_for).build();
        Self { directory, active, inactive }
    }

    async fn verify(&self, token: &str, known: Arc<KnownIssuer>) -> Result<Identity> {
        let CheckedBy::Asking(asked) = &known.checked_by else {
            return Err(refused("an issuer that is not asked"));
        };
        let issuer = &known.issuer;
        let key = TokenKey::new(&["introspection", issuer.id.as_str(), &issuer.version.to_string()], token);
        if let Some(identity) = self.remembered(&key).await? {
            return Ok(identity);
        }
        let turn = tokio::time::timeout(TURN, asked.turns.acquire()).await;
        let Ok(Ok(_turn)) = turn else { return Err(broken("too many wait for its answers")) };
        // Whoever had the turn before may have asked about the same token.
        if let Some(identity) = self.remembered(&key).await? {
            return Ok(identity);
        }
        let claims = asked.about(token).await?;
        match claims.0.get("active") {
            Some(Value::Bool(true)) => {}
            Some(Value::Bool(false)) => {
                self.inactive.insert(key, self.directory.with().clock.now()).await;
                return Err(refused("its issuer says that the token is not active"));
            }
            _ => return Err(broken("its answer does not say whether the token is active")),
        }
        if claims.text("iss")?.is_some_and(|iss| iss != issuer.spec.url) {
            return Err(refused("an answer about a token of another issuer"));
        }
        if claims.text("token_type")?.is_some_and(|kind| !is_bearer(kind)) {
            return Err(refused("a token that is no bearer token"));
        }
        let (facts, identity) = meaning::of(issuer, &claims, &key.short())?;
        let vouched = Vouched { identity, known: known.clone() };
        self.active.keep(key, facts, vouched).await.map(|vouched| vouched.identity.clone())
    }

    /// What the issuer said a moment ago.
    async fn remembered(&self, key: &TokenKey) -> Result<Option<Identity>> {
        if let Some(vouched) = self.active.get(key).await?
            && !vouched.known.is_replaced()
        {
            return Ok(Some(vouched.identity.clone()));
        }
        let with = self.directory.with();
        let said =
            self.inactive.get(key).await.filter(|at| with.clock.now().since(*at) < with.config.inactive_for);
        match said {
            Some(_) => Err(refused("its issuer says that the token is not active")),
            None => Ok(None),
        }
    }

    /// The one issuer that may be asked about the token.
    fn responsible(&self, request: &Parts, token: &str) -> Result<Option<Arc<KnownIssuer>>> {
        let named = named_tenant(request);
        if !is_jwt(token) {
            return self.directory.opaque(named.as_ref());
        }
        let unverified = Unverified::parse(token)?;
        let issuer = unverified.claims.text("iss")?.ok_or_else(|| refused("no issuer"))?;
        let known = self.directory.with_url(issuer)?.into_iter();
        let mut asked: Vec<_> =
            known.filter(|known| matches!(known.checked_by, CheckedBy::Asking(_))).collect();
        if asked.len() > 1 {
            asked.retain(|known| known.issuer.spec.tenant.is_some() && known.issuer.spec.tenant == named);
            if asked.is_empty() {
                return Err(refused("a token that several tenants' issuers claim"));
            }
        }
        Ok(asked.pop())
    }
}

#[async_trait]
impl Authenticator for IntrospectionAuthenticator {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>> {
        let Some(token) = bearer(request)? else { return Ok(None) };
        // The platform's own secrets are shown to nobody.
        if token.starts_with(PREFIX) || token.starts_with(OPERATOR_PREFIX) {
            return Ok(None);
        }
        if token.len() > MAX_TOKEN_LEN {
            return Err(refused("the token is too long"));
        }
        match self.responsible(request, token)? {
            Some(known) => self.verify(token, known).await.map(Some),
            None => Ok(None),
        }
    }
}

/// The tenant that the request names. That it is the token's is checked where the tenant is resolved.
fn named_tenant(request: &Parts) -> Option<TenantId> {
    let mut values = request.headers.get_all("x-tenant-id").iter();
    let one = values.next().filter(|_| values.next().is_none())?;
    TenantId::parse(one.to_str().ok()?).ok()
}

fn is_bearer(kind: &str) -> bool {
    // RFC 7662 means the type of RFC 6749; some servers put the kind of token there.
    kind.eq_ignore_ascii_case("bearer") || kind.eq_ignore_ascii_case("access_token")
}

/// An issuer that is asked, and as whom.
#[derive(Debug)]
pub(super) struct Asked {
    issuer: Endpoint,
    endpoint: Option<Endpoint>,
    authorization: Secret<String>,
    with: Fetching,
    turns: Semaphore,
    state: RwLock<AskedState>,
}

#[derive(Debug, Default)]
struct AskedState {
    /// Where its metadata said that it is asked, and when.
    discovered: Option<(Endpoint, Timestamp)>,
    answered: bool,
    failing: Option<(Timestamp, String)>,
}

impl Asked {
    pub(super) fn new(
        issuer: Endpoint,
        endpoint: Option<String>,
        client_id: &str,
        secret: &Secret<Vec<u8>>,
        with: Fetching,
    ) -> Self {
        // RFC 6749 §2.3.1: both are encoded as in a form before they are joined.
        let mut credentials = form_encoded(client_id.as_bytes());
        credentials.push(':');
        credentials.push_str(&form_encoded(secret.expose()));
        let authorization = Secret::new(format!("Basic {}", STANDARD.encode(&credentials)));
        zeroize::Zeroize::zeroize(&mut credentials);
        let endpoint = endpoint.map(|url| Endpoint { url, private: issuer.private });
        let turns = Semaphore::new(AT_ONCE);
        Self { issuer, endpoint, authorization, with, turns, state: RwLock::default() }
    }

    /// What the issuer says about a token.
    async fn about(&self, token: &str) -> Result<Members> {
        let answer = self.ask(token).await;
        let now = self.with.clock.now();
        let outcome = if answer.is_ok() { "ok" } else { "failed" };
        metrics::counter!("mcp_issuer_introspections_total", "outcome" => outcome).increment(1);
        self.write(|state| match &answer {
            Ok(_) => (state.answered, state.failing) = (true, None),
            Err(error) => {
                let since = state.failing.as_ref().map_or(now, |(since, _)| *since);
                state.failing = Some((since, crate::auth::reason(error).to_owned()));
            }
        });
        answer.inspect_err(|error| {
            tracing::warn!(
                issuer = self.issuer.url,
                error = error.report(),
                "cannot ask an issuer about a token"
            );
        })
    }

    pub(super) fn health(&self) -> (IssuerState, Option<String>) {
        self.read(|state| match &state.failing {
            Some((since, problem)) => (IssuerState::Unreachable { since: *since }, Some(problem.clone())),
            None if state.answered => (IssuerState::Fresh, None),
            None => (IssuerState::Unused, None),
        })
    }

    async fn ask(&self, token: &str) -> Result<Members> {
        let endpoint = self.endpoint().await?;
        let form = format!("token={}&token_type_hint=access_token", form_encoded(token.as_bytes()));
        let body = self.with.fetch.post(&endpoint, &self.authorization, form).await?;
        Members::parse(&body).map_err(|_| broken("its answer about a token cannot be read"))
    }

    async fn endpoint(&self) -> Result<Endpoint> {
        if let Some(declared) = &self.endpoint {
            return Ok(declared.clone());
        }
        let now = self.with.clock.now();
        let young = |at: Timestamp| now.since(at) < self.with.config.keys_fresh_for;
        let known = self.read(|state| state.discovered.clone()).filter(|(_, at)| young(*at));
        if let Some((endpoint, _)) = known {
            return Ok(endpoint);
        }
        let metadata = metadata::discover(&self.with.fetch, &self.issuer).await?;
        let url = metadata.introspection_endpoint;
        let url = url.ok_or_else(|| broken("its metadata has no `introspection_endpoint`"))?;
        let endpoint = Endpoint::discovered(&url, &self.issuer)?;
        self.write(|state| state.discovered = Some((endpoint.clone(), now)));
        Ok(endpoint)
    }

    fn read<T>(&self, look: impl FnOnce(&AskedState) -> T) -> T {
        look(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write<T>(&self, change: impl FnOnce(&mut AskedState) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `application/x-www-form-urlencoded`.
fn form_encoded(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                text.push(char::from(*byte))
            }
            b' ' => text.push('+'),
            _ => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_cannot_break_out_of_its_field() {
        assert_eq!(form_encoded(b"a&active=true"), "a%26active%3Dtrue");
        assert_eq!(form_encoded("a b+c\u{e9}".as_bytes()), "a+b%2Bc%C3%A9");
    }
}
