//! What is remembered of tokens that were found good, and what is asked of them on every use.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::digest::{Context, SHA256};
use mcp_core::{
    Result,
    clock::{Clock, Timestamp},
    scope::TenantId,
};
use moka::future::Cache;

use super::refused;
use crate::revocation::RevocationDirectory;

/// Tokens that each verifier keeps in memory.
const CACHED: u64 = 100_000;

/// What every kind of token says about itself, once it is verified. Times are seconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TokenFacts {
    pub(crate) tenant: TenantId,
    /// Who issued it, as denials name it.
    pub(crate) issuer: Arc<str>,
    pub(crate) id: Option<Arc<str>>,
    pub(crate) issued_at: Option<i64>,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires_at: Option<i64>,
}

/// The digest of a token and of what it was verified under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenKey([u8; 32]);

impl TokenKey {
    /// `verifier` names everything the verdict depends on but the token itself: which verifier, which audience.
    pub(crate) fn new(verifier: &[&str], token: &str) -> Self {
        let mut digest = Context::new(&SHA256);
        for part in verifier {
            digest.update(&(part.len() as u64).to_be_bytes());
            digest.update(part.as_bytes());
        }
        digest.update(token.as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(digest.finish().as_ref());
        Self(key)
    }

    /// The beginning of the digest in hex: names the token in audit records, and lets nobody make it.
    #[cfg(feature = "issuers")]
    pub(crate) fn short(&self) -> String {
        use std::fmt::Write as _;
        self.0[..8].iter().fold(String::with_capacity(16), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Whether a credential has the form of a JWT: three parts, the first of which begins like a JSON object. What only
/// looks like one is some issuer's opaque token.
pub(crate) fn is_jwt(token: &str) -> bool {
    let begins_like_json = || {
        let head = token.as_bytes();
        // `{` is six bits of `e`, and two more.
        matches!(head, [b'e', b'w'..=b'z' | b'0'..=b'9' | b'-' | b'_', ..])
    };
    token.bytes().filter(|byte| *byte == b'.').count() == 2 && begins_like_json()
}

/// Tokens that were found good a moment ago, with what they became.
///
/// The token alone decides its tenant, as far as one verifier goes, so the tenant is kept with the entry rather
/// than in its key, and the tenant's epoch is asked with it on each use, as are `exp`, `nbf` and the denied ids.
/// Hence a token that is revoked here is refused at once; elsewhere within the poll interval of the
/// [`RevocationDirectory`]; and one whose key or issuer is gone, at the latest after the time to live.
#[derive(Debug)]
pub(crate) struct VerifiedTokens<T: Send + Sync + 'static> {
    kept: Cache<TokenKey, Arc<Verified<T>>>,
    time_to_live: Duration,
    /// How far in the future `nbf` and `iat` may lie, in seconds. `exp` gets no such allowance.
    leeway: i64,
    clock: Arc<dyn Clock>,
    revocations: Arc<RevocationDirectory>,
}

#[derive(Debug)]
struct Verified<T> {
    facts: TokenFacts,
    value: Arc<T>,
    verified_at: Timestamp,
}

impl<T: Send + Sync + 'static> VerifiedTokens<T> {
    pub(crate) fn new(
        time_to_live: Duration,
        leeway: i64,
        clock: Arc<dyn Clock>,
        revocations: Arc<RevocationDirectory>,
    ) -> Self {
        let kept = Cache::builder().max_capacity(CACHED).time_to_live(time_to_live).build();
        Self { kept, time_to_live, leeway, clock, revocations }
    }

    /// What the token became, if it was verified a moment ago; an error if it has ended since.
    pub(crate) async fn get(&self, key: &TokenKey) -> Result<Option<Arc<T>>> {
        let Some(verified) = self.kept.get(key).await else { return Ok(None) };
        // The cache counts real time, which does not move where time is injected.
        if self.clock.now().since(verified.verified_at) >= self.time_to_live {
            return Ok(None);
        }
        self.check(&verified.facts)?;
        Ok(Some(verified.value.clone()))
    }

    /// Keeps a token that was verified just now, unless its times or a revocation say that it is not good.
    pub(crate) async fn keep(&self, key: TokenKey, facts: TokenFacts, value: T) -> Result<Arc<T>> {
        self.check(&facts)?;
        let value = Arc::new(value);
        let verified_at = self.clock.now();
        self.kept.insert(key, Arc::new(Verified { facts, value: value.clone(), verified_at })).await;
        Ok(value)
    }

    /// Forgets a token.
    #[cfg(feature = "issuers")]
    pub(crate) async fn forget(&self, key: &TokenKey) {
        self.kept.invalidate(key).await;
    }

    /// Forgets all.
    pub(crate) fn forget_all(&self) {
        self.kept.invalidate_all();
    }

    fn check(&self, token: &TokenFacts) -> Result<()> {
        let now = self.clock.now().as_secs();
        let latest = now.saturating_add(self.leeway);
        if token.expires_at.is_some_and(|exp| exp <= now) {
            return Err(refused("the token has expired"));
        }
        if token.not_before.is_some_and(|nbf| nbf > latest) {
            return Err(refused("the token is not good yet"));
        }
        if token.issued_at.is_some_and(|iat| iat > latest) {
            return Err(refused("the token was issued in the future"));
        }
        self.revocations.check(token)
    }
}

#[cfg(test)]
mod tests {
    use mcp_core::clock::ManualClock;

    use super::*;
    use crate::{revocation::MemoryRevocationStore, tenant::DirectoryConfig};

    const NOW: i64 = 1_800_000_000;

    async fn tokens(clock: &ManualClock) -> VerifiedTokens<u8> {
        let clock: Arc<dyn Clock> = Arc::new(clock.clone());
        let store = Arc::new(MemoryRevocationStore::default());
        let open = RevocationDirectory::open(store, clock.clone(), DirectoryConfig::default());
        VerifiedTokens::new(Duration::from_secs(60), 5, clock, open.await.unwrap())
    }

    fn facts() -> TokenFacts {
        TokenFacts {
            tenant: TenantId::parse("acme").unwrap(),
            issuer: "i".into(),
            id: None,
            issued_at: Some(NOW),
            not_before: Some(NOW),
            expires_at: Some(NOW + 30),
        }
    }

    #[tokio::test]
    async fn times_are_asked_on_every_use_and_the_time_to_live_is_the_clock_s() {
        let clock = ManualClock::new(Timestamp::from_micros(NOW * 1_000_000));
        let tokens = tokens(&clock).await;
        let key = TokenKey::new(&["v"], "token");
        tokens.keep(key, facts(), 7).await.unwrap();
        assert_eq!(tokens.get(&key).await.unwrap().as_deref(), Some(&7));
        clock.advance(Duration::from_secs(30));
        assert!(tokens.get(&key).await.is_err(), "expired");
        clock.set(Timestamp::from_micros((NOW - 6) * 1_000_000));
        assert!(tokens.get(&key).await.is_err(), "not good yet");
        assert!(tokens.keep(key, facts(), 7).await.is_err(), "not good yet");
        clock.set(Timestamp::from_micros(NOW * 1_000_000));
        let lasting = TokenFacts { expires_at: None, ..facts() };
        tokens.keep(key, lasting, 8).await.unwrap();
        clock.advance(Duration::from_secs(59));
        assert!(tokens.get(&key).await.unwrap().is_some());
        clock.advance(Duration::from_secs(1));
        assert!(tokens.get(&key).await.unwrap().is_none(), "it outlived its time");
    }

    #[test]
    fn what_a_token_was_verified_under_is_part_of_its_key() {
        let keys = [
            TokenKey::new(&["jwt", "a"], "token"),
            TokenKey::new(&["jwt", "b"], "token"),
            TokenKey::new(&["jwta"], "token"),
            TokenKey::new(&["jwt"], "atoken"),
            TokenKey::new(&["jwt", "a"], "token2"),
        ];
        let distinct: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(distinct.len(), keys.len());
    }
}
