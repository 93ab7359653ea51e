//! Grants: an API key, or a refresh token, for a token response.

use std::{sync::Arc, time::Duration};

use mcp_core::{
    Error, PlatformScope, Result,
    clock::Timestamp,
    key::Secret,
    scope::{Permissions, Principal, TenantId},
};

use super::{
    FamilyId, StoredFamily, TokenResponse,
    family::Decision,
    text::{Issued, Presented, random},
};
use crate::{
    Tenancy,
    auth::{Identity, refused},
    key::{ApiKey, KeyId, generate_id},
};

/// How often a redemption that lost to another is looked at again.
const TRIES: usize = 4;

/// How long tokens of grants live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshConfig {
    /// Life of an access token where none is asked for. Default 1 hour.
    pub access_lifetime: Duration,
    /// Life of a lineage, however often it is used. Default 14 days.
    pub lifetime: Duration,
    /// How long a token that was just replaced answers with its successor again, for clients whose answer was
    /// lost. A thief who is as fast as that is found out at the next redemption. Default 10 seconds.
    pub grace: Duration,
}

impl Default for RefreshConfig {
    fn default() -> Self {
        Self {
            access_lifetime: Duration::from_secs(3600),
            lifetime: Duration::from_secs(14 * 24 * 3600),
            grace: Duration::from_secs(10),
        }
    }
}

/// What a grant asks for beyond its credential.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenRequest {
    /// What the access token shall allow, none of it more than the credential does. Default all of that.
    pub permissions: Option<Permissions>,
    /// Its life. Default [`RefreshConfig::access_lifetime`].
    pub lifetime: Option<Duration>,
}

impl Tenancy {
    /// Gives a token response for an API key, which `identity` was authenticated by.
    ///
    /// Neither token outlives the key. The refresh token may be redeemed for what the access token allows and
    /// no more, for as long as the key may be used.
    ///
    /// # Errors
    /// [`PermissionDenied`](mcp_core::ErrorKind::PermissionDenied) for another credential, a permission it
    /// does not hold, or a suspended tenant; as [`issue_token`](Self::issue_token).
    pub async fn grant_for_key(
        &self,
        scope: &PlatformScope,
        identity: &Identity,
        request: TokenRequest,
    ) -> Result<TokenResponse> {
        let key = identity.credential.strip_prefix("key/").and_then(|id| KeyId::parse(id).ok());
        let key = key.ok_or_else(|| {
            Error::permission_denied(
                "token.grant",
                "tokens are granted for API keys; this is another credential",
            )
        })?;
        let principal = narrowed(&identity.principal, request.permissions)?;
        let now = self.clock.now();
        let access =
            self.access_token(scope, &identity.tenant, &principal, request.lifetime, identity.expires_at);
        let (access_token, expires_in) = access.await?;
        let id = generate_id()?;
        let tag_key = random()?;
        let first = Issued::first(&id, &tag_key)?;
        let end = now.after(self.tokens.refresh.lifetime);
        let family = StoredFamily {
            id,
            tenant: identity.tenant.clone(),
            principal: principal.clone(),
            key,
            tag_key,
            digest: first.digest,
            previous: None,
            generation: 1,
            rotated_at: now,
            created_at: now,
            expires_at: identity.expires_at.map_or(end, |key_ends| key_ends.min(end)),
            revoked_at: None,
        };
        self.refresh.insert(scope, family).await?;
        Ok(response(access_token, expires_in, first.text, &identity.tenant, principal))
    }

    /// Redeems a refresh token for a token response with the next one.
    ///
    /// A token that was replaced within [`RefreshConfig::grace`] answers with the same successor again, so
    /// trying again is safe. One that was replaced before ends its lineage.
    ///
    /// # Errors
    /// [`Unauthenticated`](mcp_core::ErrorKind::Unauthenticated) for a token that may not be redeemed,
    /// `PermissionDenied` for a permission beyond the lineage's or a suspended tenant, `Unavailable`. What was
    /// redeemed may be redeemed again after an error, within the grace.
    pub async fn grant_for_refresh_token(
        &self,
        scope: &PlatformScope,
        token: &Secret<String>,
        request: TokenRequest,
    ) -> Result<TokenResponse> {
        let presented = parse(token)?;
        for _ in 0..TRIES {
            let (family, decision) = self.decide(scope, &presented).await?;
            let key = self.key_behind(scope, &family).await?;
            let principal = narrowed(&family.principal, request.permissions.clone())?;
            self.require_open("token.grant", scope, &family.tenant).await?;
            let next = match decision {
                Decision::Again(next) => next,
                Decision::Rotate(rotated, next) => {
                    if !self.refresh.rotate(scope, &family.id, rotated).await? {
                        // Another redemption came first: by what it left, this one is a retry or a theft.
                        continue;
                    }
                    next
                }
                Decision::Reused | Decision::Refused(_) => {
                    return Err(refused("a refresh token that is no good"));
                }
            };
            let access =
                self.access_token(scope, &family.tenant, &principal, request.lifetime, key.expires_at);
            let (access_token, expires_in) = access.await?;
            return Ok(response(access_token, expires_in, next.text, &family.tenant, principal));
        }
        Err(Error::unavailable(
            "token.refresh",
            "the refresh token is redeemed by too many at once; try again",
        ))
    }

    /// Whom a refresh token speaks for, if it may be redeemed now. Nothing changes by asking, unless it was
    /// replaced before: that ends its lineage.
    ///
    /// # Errors
    /// As [`grant_for_refresh_token`](Self::grant_for_refresh_token).
    pub async fn refresh_identity(&self, scope: &PlatformScope, token: &Secret<String>) -> Result<Identity> {
        let (family, _) = self.decide(scope, &parse(token)?).await?;
        self.key_behind(scope, &family).await?;
        Ok(Identity {
            tenant: family.tenant,
            principal: Arc::new(family.principal),
            credential: format!("refresh/{}", family.id).into(),
            expires_at: Some(family.expires_at),
        })
    }

    /// Ends the lineage of a refresh token, as when its holder logs out. A token that was never issued ends
    /// nothing, and says no more.
    ///
    /// # Errors
    /// [`Unavailable`](mcp_core::ErrorKind::Unavailable).
    pub async fn revoke_refresh_token(&self, scope: &PlatformScope, token: &Secret<String>) -> Result<()> {
        let Some(presented) = Presented::parse(token.expose()) else { return Ok(()) };
        match self.refresh.find(scope, &presented.family).await? {
            Some(family) if presented.is_of(&family) && family.revoked_at.is_none() => {
                self.refresh.revoke(scope, &family.id, self.clock.now(), "logged out").await
            }
            _ => Ok(()),
        }
    }

    /// The lineage of a token, and what to do with it; a theft is dealt with.
    async fn decide(&self, scope: &PlatformScope, presented: &Presented) -> Result<(StoredFamily, Decision)> {
        let family = self.refresh.find(scope, &presented.family).await?;
        let family = family.ok_or_else(|| refused("a refresh token of no known lineage"))?;
        let now = self.clock.now();
        match family.decide(presented, random()?, now, self.tokens.refresh.grace) {
            Decision::Refused(reason) => Err(refused(reason)),
            Decision::Reused => {
                self.end(scope, &family.id, now, "a replaced token was redeemed").await?;
                metrics::counter!("mcp_refresh_reuse_total").increment(1);
                Err(refused("a refresh token that was replaced before; its lineage has ended"))
            }
            decision => Ok((family, decision)),
        }
    }

    /// The API key that a lineage began with, which must still be good.
    async fn key_behind(&self, scope: &PlatformScope, family: &StoredFamily) -> Result<ApiKey> {
        let now = self.clock.now();
        let key = self.keys.find(scope, &family.key).await?.map(|stored| stored.key);
        match key.filter(|key| key.tenant == family.tenant && key.is_live(now)) {
            Some(key) => Ok(key),
            None => {
                self.end(scope, &family.id, now, "its API key may not be used").await?;
                Err(refused("the API key behind the refresh token may not be used"))
            }
        }
    }

    async fn end(
        &self,
        scope: &PlatformScope,
        id: &FamilyId,
        at: Timestamp,
        why: &'static str,
    ) -> Result<()> {
        self.refresh.revoke(scope, id, at, why).await
    }

    /// An access token that ends no later than `credential_ends`, and in how many seconds it does.
    async fn access_token(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        principal: &Principal,
        lifetime: Option<Duration>,
        credential_ends: Option<Timestamp>,
    ) -> Result<(Secret<String>, u64)> {
        let now = self.clock.now();
        let mut lifetime = lifetime.unwrap_or(self.tokens.refresh.access_lifetime);
        if let Some(end) = credential_ends {
            lifetime = lifetime.min(end.since(now));
        }
        if lifetime < Duration::from_secs(1) && credential_ends.is_some() {
            return Err(refused("the credential ends within a second"));
        }
        let issued = self.issue_token(scope, tenant, principal, lifetime).await?;
        Ok((issued.token, lifetime.as_secs()))
    }
}

fn parse(token: &Secret<String>) -> Result<Presented> {
    Presented::parse(token.expose()).ok_or_else(|| refused("a malformed refresh token"))
}

/// The principal with the permissions asked for, of which it must hold every one.
fn narrowed(principal: &Principal, wanted: Option<Permissions>) -> Result<Principal> {
    let Some(wanted) = wanted else { return Ok(principal.clone()) };
    if let Some(missing) = wanted.iter().find(|wanted| !principal.permissions.allows(wanted.as_str())) {
        let message = format!("a token cannot be given `{missing}`, which its credential does not allow");
        return Err(Error::permission_denied("token.grant", message));
    }
    Ok(Principal { permissions: wanted, ..principal.clone() })
}

fn response(
    access_token: Secret<String>,
    expires_in: u64,
    refresh_token: Secret<String>,
    tenant: &TenantId,
    principal: Principal,
) -> TokenResponse {
    TokenResponse {
        access_token,
        token_type: "Bearer",
        expires_in,
        refresh_token,
        tenant_id: tenant.clone(),
        user_id: principal.id,
        permissions: principal.permissions,
    }
}
