//! The promises of [`RevocationStore`].

use std::{sync::Arc, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use mcp_core::{
    ErrorKind,
    clock::{Clock as _, ManualClock, Timestamp},
};

use super::{Check, Failure, Outcome, ensure, ensure_eq, ensure_error, scope, tenant_id};
use crate::revocation::{DeniedToken, Revocation, RevocationChange, RevocationStore};

/// For how many denied tokens of a tenant the store is made that the suite runs on.
pub const MOST_DENIED: u32 = 40;

/// A store and the clock it goes by.
#[derive(Debug)]
pub struct ClockedRevocations {
    /// The store, made for [`MOST_DENIED`] denied tokens of a tenant.
    pub store: Arc<dyn RevocationStore>,
    /// Its clock, which stands still until the suite moves it.
    pub clock: ManualClock,
}

type Clocked = Arc<ClockedRevocations>;

/// The suite of [`RevocationStore`].
pub const REVOCATION_STORE: &[Check<ClockedRevocations>] = &[
    ("a_token_is_denied_once", |clocked| Box::pin(a_token_is_denied_once(clocked))),
    ("an_epoch_never_goes_back", |clocked| Box::pin(an_epoch_never_goes_back(clocked))),
    ("no_skipped_change", |clocked| Box::pin(no_skipped_change(clocked))),
    ("only_what_has_expired_is_pruned", |clocked| Box::pin(only_what_has_expired_is_pruned(clocked))),
    ("bounded", |clocked| Box::pin(bounded(clocked))),
    ("tenants_and_issuers_are_kept_apart", |clocked| Box::pin(tenants_and_issuers_are_kept_apart(clocked))),
];

impl ClockedRevocations {
    fn token(&self, tenant: &str, issuer: &str, id: &str, life: Duration) -> Result<DeniedToken, Failure> {
        Ok(DeniedToken {
            tenant: tenant_id(tenant)?,
            issuer: issuer.to_owned(),
            id: id.to_owned(),
            expires_at: self.clock.now().after(life),
        })
    }

    async fn all(&self) -> Result<Vec<RevocationChange>, Failure> {
        Ok(self.store.changes_since(&scope()?, 0, 500).await?)
    }
}

const HOUR: Duration = Duration::from_secs(3600);

async fn a_token_is_denied_once(clocked: Clocked) -> Outcome {
    let store = &clocked.store;
    let scope = scope()?;
    let token = clocked.token("acme", "https://a.example", "1", HOUR)?;
    let first = store.deny(&scope, token.clone()).await?;
    ensure_eq(&first.revocation, &Revocation::Token(token.clone()), "what was denied")?;
    ensure_eq(&store.deny(&scope, token.clone()).await?, &first, "denying it again")?;
    let sooner = DeniedToken { expires_at: clocked.clock.now().after(HOUR / 2), ..token.clone() };
    ensure_eq(&store.deny(&scope, sooner).await?, &first, "denying it for a shorter time")?;
    ensure_eq(clocked.all().await?, vec![first.clone()], "what is denied")?;
    let later = DeniedToken { expires_at: token.expires_at.after(HOUR), ..token.clone() };
    let moved = store.deny(&scope, later.clone()).await?;
    ensure_eq(&moved.revocation, &Revocation::Token(later), "denying it for a longer time")?;
    ensure(moved.revision > first.revision, "a longer denial is no change")?;
    ensure_eq(clocked.all().await?, vec![moved], "what is denied then")?;
    let ended = DeniedToken { expires_at: Timestamp::from_micros(0), ..token };
    ensure_error(store.deny(&scope, ended).await, ErrorKind::InvalidInput, "a token that has expired")
        .map(drop)
}

async fn an_epoch_never_goes_back(clocked: Clocked) -> Outcome {
    let store = &clocked.store;
    let (scope, acme) = (scope()?, tenant_id("acme")?);
    let mut last = clocked.clock.now();
    for _ in 0..3 {
        let change = store.end_all(&scope, &acme).await?;
        let Revocation::All { tenant, issued_until } = &change.revocation else {
            return Err("an epoch is a denied token".to_owned().into());
        };
        ensure_eq(tenant, &acme, "whose tokens end")?;
        ensure(*issued_until >= last, format!("the epoch went back: {issued_until} after {last}"))?;
        last = *issued_until;
        clocked.clock.advance(Duration::from_secs(1));
        ensure_eq(clocked.all().await?, vec![change], "the one epoch of the tenant")?;
    }
    clocked.clock.set(Timestamp::from_micros(0));
    let Revocation::All { issued_until, .. } = store.end_all(&scope, &acme).await?.revocation else {
        return Err("an epoch is a denied token".to_owned().into());
    };
    ensure_eq(issued_until, last, "the epoch by a clock that was set back")
}

async fn no_skipped_change(clocked: Clocked) -> Outcome {
    let store = &clocked.store;
    let scope = scope()?;
    let tokens =
        (0..8).map(|n| clocked.token("acme", "i", &n.to_string(), HOUR)).collect::<Result<Vec<_>, _>>()?;
    let done = join_all(tokens.into_iter().map(|token| store.deny(&scope, token))).await;
    let mut revisions = Vec::new();
    for change in done {
        revisions.push(change?.revision);
    }
    revisions.push(store.end_all(&scope, &tenant_id("acme")?).await?.revision);
    let mut expected = revisions.clone();
    expected.sort_unstable();
    ensure(expected.windows(2).all(|two| two[0] < two[1]), format!("revisions repeat: {revisions:?}"))?;
    let (mut seen, mut last) = (Vec::new(), 0);
    for _ in 0..10 {
        let changes = store.changes_since(&scope, last, 4).await?;
        seen.extend(changes.iter().map(|change| change.revision));
        let Some(newest) = seen.last() else { break };
        last = *newest;
    }
    ensure_eq(seen, expected, "the changes, read four at a time")
}

async fn only_what_has_expired_is_pruned(clocked: Clocked) -> Outcome {
    let store = &clocked.store;
    let scope = scope()?;
    let short = Duration::from_secs(5);
    for n in 0..3 {
        store.deny(&scope, clocked.token("acme", "i", &format!("short-{n}"), short)?).await?;
    }
    let kept = store.deny(&scope, clocked.token("acme", "i", "long", HOUR)?).await?;
    let epoch = store.end_all(&scope, &tenant_id("beta")?).await?;
    ensure_eq(store.prune(&scope, 100).await?, 0, "how many are pruned when none has expired")?;
    clocked.clock.advance(short);
    ensure_eq(store.prune(&scope, 2).await?, 2, "how many are pruned of three, two at a time")?;
    ensure_eq(store.prune(&scope, 100).await?, 1, "how many are pruned of the rest")?;
    ensure_eq(store.prune(&scope, 100).await?, 0, "how many are pruned when none has expired")?;
    ensure_eq(clocked.all().await?, vec![kept, epoch], "what is left")
}

async fn bounded(clocked: Clocked) -> Outcome {
    let store = &clocked.store;
    let scope = scope()?;
    let tokens = (0..MOST_DENIED).map(|n| clocked.token("acme", "i", &n.to_string(), HOUR));
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    let deny = |token| store.deny(&scope, token);
    stream::iter(tokens).map(deny).buffer_unordered(8).try_for_each(async |_| Ok(())).await?;
    let refused = store.deny(&scope, clocked.token("acme", "i", "more", HOUR)?).await;
    ensure_error(refused, ErrorKind::TooLarge, "one denied token more than a tenant may have")?;
    store.deny(&scope, clocked.token("acme", "i", "7", HOUR * 2)?).await?;
    store.deny(&scope, clocked.token("beta", "i", "1", HOUR)?).await?;
    store.end_all(&scope, &tenant_id("acme")?).await.map(drop).map_err(Into::into)
}

async fn tenants_and_issuers_are_kept_apart(clocked: Clocked) -> Outcome {
    let store = &clocked.store;
    let scope = scope()?;
    let mut expected = Vec::new();
    for (tenant, issuer) in [("acme", "a"), ("beta", "a"), ("acme", "b")] {
        expected.push(store.deny(&scope, clocked.token(tenant, issuer, "1", HOUR)?).await?);
    }
    for tenant in ["acme", "beta"] {
        expected.push(store.end_all(&scope, &tenant_id(tenant)?).await?);
    }
    ensure_eq(clocked.all().await?, expected, "what is revoked")
}
