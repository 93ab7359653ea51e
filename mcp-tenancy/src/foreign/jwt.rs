//! Requests with a JWT of a foreign issuer.

use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use mcp_core::Result;

use super::{
    IssuerDirectory,
    jwks::PinnedKey,
    known::{CheckedBy, KnownIssuer},
    meaning,
    parse::Unverified,
};
use crate::{
    auth::{Authenticator, Identity, TokenKey, VerifiedTokens, bearer, is_jwt, refused},
    issuer::{SigningAlgorithm, TokenCheck, TokenType},
    revocation::RevocationDirectory,
    token::MAX_TOKEN_LEN,
};

/// How far in the future `nbf` and `iat` may lie, in seconds, for clocks that differ. `exp` gets no such allowance.
pub(super) const LEEWAY_SECS: i64 = 30;

/// Authenticates JWTs of the declared issuers; leaves those of unknown issuers, and what is no JWT, to the next
/// authenticator.
///
/// The issuer is the one whose URL is the token's `iss`, letter by letter. Where several tenants declared that URL,
/// audience and tenant claim must tell which of them the token is for; where they do not, it is refused. The key is
/// the one of that `kid` among that issuer's keys, and what it may verify is pinned by the key and the declaration,
/// not by the token. The token must be of the declared type, for one of the declared audiences, and within its times.
#[derive(Debug)]
pub struct ForeignJwtAuthenticator {
    directory: Arc<IssuerDirectory>,
    verified: VerifiedTokens<Trusted>,
}

/// A token that was found good, and whose word that was.
#[derive(Debug)]
struct Trusted {
    identity: Identity,
    known: Arc<KnownIssuer>,
    key: Arc<PinnedKey>,
}

impl Trusted {
    /// Whether issuer and key are still what they were.
    fn holds(&self) -> bool {
        let CheckedBy::Keys(keys) = &self.known.checked_by else { return false };
        !self.known.is_replaced() && keys.hold() && !self.key.is_retired()
    }
}

impl ForeignJwtAuthenticator {
    /// Tokens of the issuers of `directory` that `revocations` do not refuse.
    #[must_use]
    pub fn new(directory: Arc<IssuerDirectory>, revocations: Arc<RevocationDirectory>) -> Self {
        let with = directory.with();
        let verified =
            VerifiedTokens::new(with.config.verified_for, LEEWAY_SECS, with.clock.clone(), revocations);
        Self { directory, verified }
    }

    /// Whom a token speaks for; `None` if it is no JWT, or of an issuer that is not known here.
    ///
    /// # Errors
    /// [`Unauthenticated`](mcp_core::ErrorKind::Unauthenticated) with the reason in its context only,
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable) if nobody can say.
    pub async fn verify(&self, token: &str) -> Result<Option<Identity>> {
        if !is_jwt(token) {
            return Ok(None);
        }
        if token.len() > MAX_TOKEN_LEN {
            return Err(refused("the token is too long"));
        }
        let key = TokenKey::new(&["jwt"], token);
        if let Some(trusted) = self.verified.get(&key).await?.filter(|trusted| trusted.holds()) {
            return Ok(Some(trusted.identity.clone()));
        }
        self.verified.forget(&key).await;
        let unverified = Unverified::parse(token)?;
        let issuer = unverified.claims.text("iss")?.ok_or_else(|| refused("no issuer"))?;
        let Some(known) = responsible(self.directory.with_url(issuer)?, &unverified)? else {
            return Ok(None);
        };
        let signed_by = signer(&known, &unverified).await?;
        let (facts, identity) = meaning::of(&known.issuer, &unverified.claims, &key.short())?;
        if facts.expires_at.is_none() {
            return Err(refused("a token that never expires"));
        }
        let trusted = Trusted { identity, known, key: signed_by };
        self.verified.keep(key, facts, trusted).await.map(|trusted| Some(trusted.identity.clone()))
    }
}

#[async_trait]
impl Authenticator for ForeignJwtAuthenticator {
    async fn authenticate(&self, request: &Parts) -> Result<Option<Identity>> {
        match bearer(request)? {
            Some(token) => self.verify(token).await,
            None => Ok(None),
        }
    }
}

/// The one issuer whose keys must vouch for the token. What the token says is used to choose between those who
/// declared the same URL, and is checked again once it is verified.
fn responsible(known: Vec<Arc<KnownIssuer>>, token: &Unverified<'_>) -> Result<Option<Arc<KnownIssuer>>> {
    let mut with_keys: Vec<_> =
        known.into_iter().filter(|known| matches!(known.checked_by, CheckedBy::Keys(_))).collect();
    if with_keys.len() <= 1 {
        return Ok(with_keys.pop());
    }
    let fits = |known: &Arc<KnownIssuer>| {
        let issuer = &known.issuer;
        matches!(meaning::is_for(issuer, &token.claims), Ok(true))
            && meaning::tenant(issuer, &token.claims).is_ok()
    };
    let mut fitting = with_keys.into_iter().filter(fits);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(Some(one)),
        (None, _) => Err(refused("a token for another audience or tenant")),
        (Some(_), Some(_)) => Err(refused("a token that several tenants' issuers claim")),
    }
}

/// The key that vouches for the token.
async fn signer(known: &KnownIssuer, token: &Unverified<'_>) -> Result<Arc<PinnedKey>> {
    let (CheckedBy::Keys(keys), TokenCheck::Jwt { algorithms, types, .. }) =
        (&known.checked_by, &known.issuer.spec.check)
    else {
        return Err(refused("an issuer without keys"));
    };
    token.require_plain()?;
    // RFC 9864 calls EdDSA with that curve by the curve's name.
    let named = token.header.text("alg")?.map(|name| if name == "Ed25519" { "EdDSA" } else { name });
    let algorithm = SigningAlgorithm::ALL.into_iter().find(|algorithm| Some(algorithm.as_str()) == named);
    let algorithm = algorithm.filter(|algorithm| algorithms.contains(algorithm));
    let algorithm = algorithm.ok_or_else(|| refused("an algorithm the issuer is not declared with"))?;
    let kind = token.header.text("typ")?.and_then(token_type);
    if !kind.is_some_and(|kind| types.contains(&kind)) {
        return Err(refused("not an access token"));
    }
    let key = keys.find(token.kid()?, algorithm).await?;
    let key = key.ok_or_else(|| refused("a key the issuer does not have"))?;
    match key.verifies(algorithm, token.message, token.signature) {
        true => Ok(key),
        false => Err(refused("a wrong signature")),
    }
}

/// `typ` is a media type (RFC 7515 §4.1.9): without regard to case, `application/` left out or not.
fn token_type(typ: &str) -> Option<TokenType> {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/").unwrap_or(&typ) {
        "at+jwt" => Some(TokenType::AccessToken),
        "jwt" => Some(TokenType::Jwt),
        _ => None,
    }
}
