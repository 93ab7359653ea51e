//! The promises of [`SigningKeyStore`].

use std::sync::Arc;

use futures_util::future::join_all;
use mcp_core::clock::Timestamp;

use super::{Check, Failure, Outcome, ensure, ensure_eq, scope, tenant_id};
use crate::token::{SigningKey, SigningKeyStore};

type Store = Arc<dyn SigningKeyStore>;

/// The suite of [`SigningKeyStore`].
pub const SIGNING_KEY_STORE: &[Check<dyn SigningKeyStore>] = &[
    ("one_first_key", |store| Box::pin(one_first_key(store))),
    ("tenants_are_kept_apart", |store| Box::pin(tenants_are_kept_apart(store))),
];

fn key(tenant: &str, n: u8) -> Result<SigningKey, Failure> {
    Ok(SigningKey {
        tenant: tenant_id(tenant)?,
        kid: format!("kid-{n}"),
        public: vec![n; 32],
        sealed: vec![n, 0, 255, n],
        created_at: Timestamp::from_micros(1_800_000_000_123_456),
    })
}

async fn one_first_key(store: Store) -> Outcome {
    let (scope, tenant) = (scope()?, tenant_id("acme")?);
    ensure_eq(store.keys(&scope, &tenant).await?, vec![], "the keys of a tenant without any")?;
    let contenders = (0..8).map(|n| key("acme", n)).collect::<Result<Vec<_>, _>>()?;
    let offered = contenders.iter().cloned().map(|key| store.first(&scope, key));
    let answers = join_all(offered).await.into_iter().collect::<Result<Vec<_>, _>>()?;
    let kept = store.keys(&scope, &tenant).await?;
    ensure_eq(kept.len(), 1, "how many first keys there are")?;
    ensure(contenders.contains(&kept[0]), format!("the kept key is none of the offered: {kept:?}"))?;
    ensure(answers.iter().all(|key| *key == kept[0]), "a contender was told of another key")?;
    ensure_eq(store.first(&scope, key("acme", 9)?).await?, kept[0].clone(), "a late contender")
}

async fn tenants_are_kept_apart(store: Store) -> Outcome {
    let scope = scope()?;
    let (acme, beta) = (key("acme", 1)?, SigningKey { public: vec![2; 32], ..key("beta", 1)? });
    ensure_eq(store.first(&scope, acme.clone()).await?, acme.clone(), "acme's key")?;
    ensure_eq(store.first(&scope, beta.clone()).await?, beta.clone(), "beta's key of the same kid")?;
    ensure_eq(store.keys(&scope, &acme.tenant).await?, vec![acme], "acme's keys")?;
    ensure_eq(store.keys(&scope, &beta.tenant).await?, vec![beta], "beta's keys")
}
