//! The promises of [`IssuerStore`].

use std::sync::Arc;

use futures_util::future::join_all;
use mcp_core::{ErrorKind, error::Detail};

use super::{Check, Failure, Outcome, ensure, ensure_eq, ensure_error, scope, tenant_id};
use crate::issuer::{IssuerId, IssuerSpec, IssuerStore, IssuerWrite, MAX_ISSUERS, TokenCheck};

type Store = Arc<dyn IssuerStore>;

/// The suite of [`IssuerStore`].
pub const ISSUER_STORE: &[Check<dyn IssuerStore>] = &[
    ("what_is_found_is_what_was_put", |store| Box::pin(what_is_found_is_what_was_put(store))),
    ("no_lost_update", |store| Box::pin(no_lost_update(store))),
    ("one_meaning_a_url", |store| Box::pin(one_meaning_a_url(store))),
    ("one_to_ask_about_opaque_tokens", |store| Box::pin(one_to_ask_about_opaque_tokens(store))),
    ("removed_is_gone", |store| Box::pin(removed_is_gone(store))),
    ("no_skipped_change", |store| Box::pin(no_skipped_change(store))),
    ("bounded", |store| Box::pin(bounded(store))),
    ("lists_are_complete_and_in_order", |store| Box::pin(lists_are_complete_and_in_order(store))),
];

const AUDIENCE: &str = "https://mcp.example/mcp";

fn id(text: &str) -> Result<IssuerId, Failure> {
    Ok(IssuerId::parse(text)?)
}

/// A write of the issuer `name` of `tenant` (`-` for a shared one) at the host of that name.
fn write(name: &str, tenant: &str, host: &str) -> Result<IssuerWrite, Failure> {
    let url = format!("https://{host}.example/");
    let spec = match tenant {
        "-" => IssuerSpec::shared(url, AUDIENCE, "tenant"),
        tenant => IssuerSpec::of_tenant(tenant_id(tenant)?, url, AUDIENCE),
    };
    Ok(IssuerWrite { id: id(name)?, spec, sealed_secret: None, expected_version: None })
}

fn gone(what: &str) -> Failure {
    format!("{what} is not there").into()
}

fn opaque(name: &str, tenant: &str, host: &str) -> Result<IssuerWrite, Failure> {
    let mut write = write(name, tenant, host)?;
    write.spec.check = TokenCheck::introspection("client");
    write.sealed_secret = Some(vec![1, 0, 255]);
    Ok(write)
}

async fn what_is_found_is_what_was_put(store: Store) -> Outcome {
    let scope = scope()?;
    for write in [write("a", "acme", "a")?, write("b", "-", "b")?, opaque("c", "beta", "c")?] {
        let put = store.put(&scope, write.clone()).await?;
        ensure_eq(put.version, 1, "the version of a new issuer")?;
        let found = store.get(&scope, &write.id).await?.ok_or_else(|| gone("an issuer that was put"))?;
        ensure_eq(&found.issuer, &put, "the issuer found")?;
        ensure_eq(&found.issuer.spec, &write.spec, "what was declared")?;
        ensure_eq(&found.sealed_secret, &write.sealed_secret, "the sealed secret")?;
    }
    ensure_eq(store.get(&scope, &id("none")?).await?, None, "an issuer that is not there")?;
    let bad = IssuerWrite { sealed_secret: None, ..opaque("d", "acme", "d")? };
    ensure_error(store.put(&scope, bad).await, ErrorKind::InvalidInput, "introspection without a secret")?;
    let bad = IssuerWrite { sealed_secret: Some(vec![1]), ..write("d", "acme", "d")? };
    ensure_error(store.put(&scope, bad).await, ErrorKind::InvalidInput, "a secret nobody needs")?;
    let mut bad = write("d", "acme", "d")?;
    bad.spec.url = "http://plain.example".to_owned();
    ensure_error(store.put(&scope, bad).await, ErrorKind::InvalidInput, "a URL without TLS").map(drop)
}

async fn no_lost_update(store: Store) -> Outcome {
    let scope = scope()?;
    let first = write("a", "acme", "a")?;
    let put = store.put(&scope, first.clone()).await?;
    ensure_error(store.put(&scope, first.clone()).await, ErrorKind::AlreadyExists, "an id that is taken")?;
    let other = IssuerWrite { expected_version: Some(1), ..write("a", "acme", "moved")? };
    let contenders = join_all((0..4).map(|_| store.put(&scope, other.clone()))).await;
    let won = contenders.iter().filter(|answer| answer.is_ok()).count();
    ensure_eq(won, 1, "how many of those who change version 1 at once succeed")?;
    for lost in contenders.into_iter().filter(Result::is_err) {
        let error = ensure_error(lost, ErrorKind::Conflict, "a stale version")?;
        ensure_eq(error.details(), &[Detail::Conflict { current: 2 }][..], "what a stale writer is told")?;
    }
    let stored = store.get(&scope, &put.id).await?.ok_or_else(|| gone("the issuer"))?.issuer;
    ensure_eq((stored.version, stored.created_at), (2, put.created_at), "version and creation")?;
    ensure_eq(&stored.spec, &other.spec, "what was declared last")?;
    let stale = store.remove(&scope, &put.id, 1).await;
    ensure_error(stale, ErrorKind::Conflict, "removing a stale version")?;
    let nobody = IssuerWrite { expected_version: Some(1), ..write("b", "acme", "b")? };
    ensure_error(store.put(&scope, nobody).await, ErrorKind::NotFound, "changing no issuer")?;
    ensure_error(store.remove(&scope, &id("b")?, 1).await, ErrorKind::NotFound, "removing no issuer")?;
    ensure(store.get(&scope, &put.id).await?.is_some(), "a refused removal removed the issuer")
}

async fn one_meaning_a_url(store: Store) -> Outcome {
    let scope = scope()?;
    store.put(&scope, write("a", "acme", "login")?).await?;
    store.put(&scope, write("b", "beta", "login")?).await?;
    let refused = async |write: IssuerWrite, what: &str| {
        ensure_error(store.put(&scope, write).await, ErrorKind::AlreadyExists, what).map(drop)
    };
    refused(write("c", "acme", "login")?, "a tenant's second issuer of one URL").await?;
    refused(write("c", "-", "login")?, "a shared issuer of a tenant's URL").await?;
    store.put(&scope, write("s", "-", "shared")?).await?;
    refused(write("c", "acme", "shared")?, "a tenant's issuer of a shared URL").await?;
    refused(write("t", "-", "shared")?, "a second shared issuer of one URL").await?;
    let moved = IssuerWrite { expected_version: Some(1), ..write("b", "beta", "shared")? };
    refused(moved, "moving an issuer to a shared URL").await?;
    let same = IssuerWrite { expected_version: Some(1), ..write("a", "acme", "login")? };
    ensure_eq(store.put(&scope, same).await?.version, 2, "declaring the same issuer anew")?;
    store.remove(&scope, &id("s")?, 1).await?;
    store.put(&scope, write("c", "acme", "shared")?).await.map(drop).map_err(Into::into)
}

async fn one_to_ask_about_opaque_tokens(store: Store) -> Outcome {
    let scope = scope()?;
    store.put(&scope, opaque("a", "acme", "a")?).await?;
    store.put(&scope, opaque("b", "beta", "b")?).await?;
    store.put(&scope, opaque("s", "-", "s")?).await?;
    store.put(&scope, write("j", "acme", "j")?).await?;
    for (second, what) in [
        (opaque("a2", "acme", "a2")?, "a tenant's second issuer asked by introspection"),
        (opaque("s2", "-", "s2")?, "a second shared issuer asked by introspection"),
        (IssuerWrite { expected_version: Some(1), ..opaque("j", "acme", "j")? }, "one turned into a second"),
    ] {
        ensure_error(store.put(&scope, second).await, ErrorKind::AlreadyExists, what)?;
    }
    Ok(())
}

async fn removed_is_gone(store: Store) -> Outcome {
    let scope = scope()?;
    store.put(&scope, opaque("a", "acme", "a")?).await?;
    let removed = store.remove(&scope, &id("a")?, 1).await?;
    ensure(removed.removed && removed.version == 2, format!("a removed issuer is {removed:?}"))?;
    ensure_eq(store.get(&scope, &id("a")?).await?, None, "a removed issuer")?;
    ensure_eq(store.list(&scope, None, None, 10).await?.items, vec![], "the list without it")?;
    let again = store.remove(&scope, &id("a")?, 2).await;
    ensure_error(again, ErrorKind::NotFound, "removing it again")?;
    let changes = store.changes_since(&scope, 0, 10).await?;
    ensure_eq(changes.len(), 1, "how many changes of one issuer are read")?;
    ensure(changes[0].issuer.removed, "the removal is not among the changes")?;
    ensure_eq(&changes[0].sealed_secret, &None, "the secret of a removed issuer")?;
    let anew = store.put(&scope, write("a", "beta", "b")?).await?;
    ensure_eq((anew.version, anew.removed), (3, false), "an issuer declared anew")
}

async fn no_skipped_change(store: Store) -> Outcome {
    let scope = scope()?;
    let writes = (0..8).map(|n| write(&format!("i{n}"), "acme", &format!("h{n}")));
    let writes = writes.collect::<Result<Vec<_>, _>>()?;
    let done = join_all(writes.into_iter().map(|write| store.put(&scope, write))).await;
    let mut revisions = Vec::new();
    for issuer in done {
        revisions.push(issuer?.revision);
    }
    revisions.sort_unstable();
    ensure(revisions.windows(2).all(|two| two[0] < two[1]), format!("revisions repeat: {revisions:?}"))?;
    let (mut seen, mut last) = (Vec::new(), 0);
    for _ in 0..10 {
        let changes = store.changes_since(&scope, last, 3).await?;
        seen.extend(changes.iter().map(|stored| stored.issuer.revision));
        let Some(newest) = seen.last() else { break };
        last = *newest;
    }
    ensure_eq(&seen, &revisions, "the changes, read three at a time")?;
    let changed = IssuerWrite { expected_version: Some(1), ..write("i3", "acme", "moved")? };
    let changed = store.put(&scope, changed).await?;
    let changes = store.changes_since(&scope, last, 10).await?;
    ensure_eq(changes.into_iter().map(|stored| stored.issuer).collect(), vec![changed], "what came after")
}

async fn bounded(store: Store) -> Outcome {
    let scope = scope()?;
    for n in 0..MAX_ISSUERS {
        store.put(&scope, write(&format!("i{n}"), "acme", &format!("h{n}"))?).await?;
    }
    let refused = store.put(&scope, write("more", "acme", "more")?).await;
    ensure_error(refused, ErrorKind::TooLarge, "one issuer more than a tenant may have")?;
    store.put(&scope, write("other", "beta", "other")?).await?;
    store.put(&scope, write("shared", "-", "shared")?).await?;
    let known = IssuerWrite { expected_version: Some(1), ..write("i0", "acme", "moved")? };
    ensure_eq(store.put(&scope, known).await?.version, 2, "changing one of the most")
}

async fn lists_are_complete_and_in_order(store: Store) -> Outcome {
    let scope = scope()?;
    for (name, tenant) in [("e", "acme"), ("c", "beta"), ("h", "-"), ("a", "acme"), ("i", "acme"), ("b", "-")]
    {
        store.put(&scope, write(name, tenant, name)?).await?;
    }
    let acme = tenant_id("acme")?;
    for (tenant, expected) in [(None, "abcehi"), (Some(&acme), "aei")] {
        for limit in [1, 4, 6, 0, u32::MAX] {
            let (mut seen, mut cursor) = (String::new(), None::<String>);
            for _ in 0..10 {
                let page = store.list(&scope, tenant, cursor.as_deref(), limit).await?;
                seen.extend(page.items.iter().map(|issuer| issuer.id.as_str()));
                match page.next_cursor {
                    Some(next) => cursor = Some(next),
                    None => break,
                }
            }
            ensure_eq(seen.as_str(), expected, &format!("the issuers of {tenant:?} with limit {limit}"))?;
        }
    }
    let refused = store.list(&scope, None, Some("not a cursor"), 10).await;
    ensure_error(refused, ErrorKind::InvalidInput, "a cursor nobody gave").map(drop)
}
