//! The promises of [`CertificateStore`].

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use mcp_core::{
    ErrorKind,
    clock::Timestamp,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind},
};

use super::{Check, Failure, Outcome, ensure_eq, ensure_error, scope, tenant_id};
use crate::{
    certificate::{CertificateIdentity, CertificateStore, CertificateSubject, NewCertificateIdentity},
    key::KeyId,
};

type Store = Arc<dyn CertificateStore>;

/// The suite of [`CertificateStore`].
pub const CERTIFICATE_STORE: &[Check<dyn CertificateStore>] = &[
    ("what_is_found_is_what_was_inserted", |store| Box::pin(what_is_found_is_what_was_inserted(store))),
    ("one_owner_a_subject", |store| Box::pin(one_owner_a_subject(store))),
    ("removing_frees_the_subject", |store| Box::pin(removing_frees_the_subject(store))),
    ("tenants_are_kept_apart", |store| Box::pin(tenants_are_kept_apart(store))),
];

const NOW: Timestamp = Timestamp::from_micros(1_800_000_000_123_456);

/// Registration number `n` of a tenant.
fn identity(tenant: &str, subject: &str, n: u32) -> Result<CertificateIdentity, Failure> {
    let new = NewCertificateIdentity {
        tenant: tenant_id(tenant)?,
        name: format!("certificate {n}"),
        subject: CertificateSubject::parse(subject)?,
        principal: Principal {
            id: PrincipalId::parse("robot")?,
            kind: PrincipalKind::Service,
            permissions: Permissions::parse(["tools:call", "audit:*"])?,
        },
        expires_at: n.is_multiple_of(2).then(|| NOW.after(Duration::from_secs(60))),
    };
    Ok(CertificateIdentity::create(new, KeyId::parse(&format!("{n:024x}"))?, NOW))
}

fn key(n: u8) -> String {
    CertificateSubject::of_key(&[n; 32]).as_str().to_owned()
}

async fn what_is_found_is_what_was_inserted(store: Store) -> Outcome {
    let scope = scope()?;
    let subjects = ["spiffe://acme.example/ns/a", "dns:robot.acme.example", &key(3)];
    let mut inserted = Vec::new();
    for (n, subject) in (0..).zip(subjects) {
        inserted.push(identity("acme", subject, n)?);
        store.insert(&scope, inserted[inserted.len() - 1].clone()).await?;
    }
    for held in &inserted {
        let found = store.find(&scope, std::slice::from_ref(&held.subject)).await?;
        ensure_eq(found, vec![held.clone()], "the registration found")?;
    }
    let mut asked: Vec<_> = inserted.iter().map(|held| held.subject.clone()).collect();
    asked.push(CertificateSubject::parse(&key(9))?);
    let mut found = store.find(&scope, &asked).await?;
    found.sort_by(|a, b| a.id.cmp(&b.id));
    ensure_eq(found, inserted, "the registrations of several subjects")?;
    ensure_eq(store.find(&scope, &asked[3..]).await?, vec![], "one that is not there")
}

async fn one_owner_a_subject(store: Store) -> Outcome {
    let scope = scope()?;
    let offered = (0..8).map(|n| identity(if n % 2 == 0 { "acme" } else { "beta" }, &key(1), n));
    let offered = offered.collect::<Result<Vec<_>, _>>()?;
    let offers = offered.iter().cloned().map(|identity| store.insert(&scope, identity));
    let (taken, refused): (Vec<_>, Vec<_>) = join_all(offers).await.into_iter().partition(Result::is_ok);
    ensure_eq(taken.len(), 1, "how many of eight owners at once a subject has")?;
    for refusal in refused {
        ensure_error(refusal, ErrorKind::AlreadyExists, "a subject that is taken")?;
    }
    ensure_eq(store.find(&scope, &[offered[0].subject.clone()]).await?.len(), 1, "the registrations of it")?;
    let id_taken = store.insert(&scope, identity("acme", &key(2), 20)?).await;
    id_taken.map_err(Failure::from)?;
    let again = store.insert(&scope, identity("acme", &key(3), 20)?).await;
    ensure_error(again, ErrorKind::AlreadyExists, "an id that is taken").map(drop)
}

async fn removing_frees_the_subject(store: Store) -> Outcome {
    let (scope, first) = (scope()?, identity("acme", &key(1), 1)?);
    store.insert(&scope, first.clone()).await?;
    ensure_eq(store.remove(&scope, &first.tenant, &first.id).await?, first.clone(), "what was removed")?;
    ensure_eq(
        store.find(&scope, std::slice::from_ref(&first.subject)).await?,
        vec![],
        "the removed registration",
    )?;
    let again = store.remove(&scope, &first.tenant, &first.id).await;
    ensure_error(again, ErrorKind::NotFound, "removing it again")?;
    Ok(store.insert(&scope, identity("beta", &key(1), 2)?).await?)
}

async fn tenants_are_kept_apart(store: Store) -> Outcome {
    let scope = scope()?;
    let (acme, beta) = (identity("acme", &key(1), 1)?, identity("beta", &key(2), 2)?);
    store.insert(&scope, acme.clone()).await?;
    store.insert(&scope, beta.clone()).await?;
    store.insert(&scope, identity("acme", &key(3), 3)?).await?;
    let listed = store.list(&scope, &beta.tenant, None, 10).await?;
    ensure_eq(listed.items, vec![beta.clone()], "the certificates of beta")?;
    let first = store.list(&scope, &acme.tenant, None, 1).await?;
    ensure_eq(first.items, vec![acme.clone()], "the first page of acme")?;
    let rest = store.list(&scope, &acme.tenant, first.next_cursor.as_deref(), 10).await?;
    ensure_eq((rest.items.len(), rest.next_cursor), (1, None), "the rest of acme")?;
    let foreign = store.remove(&scope, &beta.tenant, &acme.id).await;
    ensure_error(foreign, ErrorKind::NotFound, "removing another tenant's certificate")?;
    ensure_eq(
        store.find(&scope, std::slice::from_ref(&acme.subject)).await?,
        vec![acme],
        "acme's certificate",
    )
}
