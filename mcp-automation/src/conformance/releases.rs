//! The promises of [`ReleaseStore`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mcp_core::{ErrorKind, PlatformScope, key::Secret, scope::PrincipalId};

use super::{Check, Failure, Outcome, ensure, ensure_eq, ensure_error};
use crate::{
    protocol::ServerName,
    release::{AddedServer, NewServer, ReleaseState, ReleaseStore, Settings},
    source::{Hash, Version},
};

type Store = Arc<dyn ReleaseStore>;

/// The suite of [`ReleaseStore`].
pub const RELEASE_STORE: &[Check<dyn ReleaseStore>] = &[
    ("what_is_found_is_what_was_added", |store| Box::pin(what_is_found_is_what_was_added(store))),
    ("one_serves", |store| Box::pin(one_serves(store))),
    ("one_serves_after_a_race", |store| Box::pin(one_serves_after_a_race(store))),
    ("a_version_is_one_artifact", |store| Box::pin(a_version_is_one_artifact(store))),
    ("failed_is_not_used", |store| Box::pin(failed_is_not_used(store))),
    ("repeating_changes_nothing", |store| Box::pin(repeating_changes_nothing(store))),
    ("removed_is_gone", |store| Box::pin(removed_is_gone(store))),
    ("lists_are_complete_and_in_order", |store| Box::pin(lists_are_complete_and_in_order(store))),
    ("old_releases_make_room", |store| Box::pin(old_releases_make_room(store))),
];

fn scope() -> Result<PlatformScope, Failure> {
    Ok(PlatformScope::new(PrincipalId::parse("conformance")?, "check the promises of a store"))
}

fn name(text: &str) -> Result<ServerName, Failure> {
    Ok(ServerName::parse(text)?)
}

fn version(text: &str) -> Result<Version, Failure> {
    Ok(Version::parse(text)?)
}

/// An artifact's hash; another letter, another hash.
fn artifact(letter: char) -> Result<Hash, Failure> {
    Ok(Hash::parse(&format!("sha256-{}=", letter.to_string().repeat(42) + "A"))?)
}

fn new(server: &str) -> Result<NewServer, Failure> {
    let env = BTreeMap::from([("TOKEN".to_owned(), Secret::new("s3cret \u{e9}".to_owned()))]);
    let args = vec!["--local-timezone".to_owned(), "Europe/Berlin".to_owned()];
    let settings = Settings { args, env, stateless: true, timeout: Some(Duration::from_secs(7)) };
    let package = "npm:@a/srv".parse()?;
    Ok(NewServer {
        name: name(server)?,
        package,
        settings,
        version: version("1.0.0")?,
        artifact: artifact('a')?,
    })
}

fn states(server: &AddedServer) -> Vec<(String, ReleaseState)> {
    server.releases.iter().map(|release| (release.version.to_string(), release.state)).collect()
}

fn expected(states: &[(&str, ReleaseState)]) -> Vec<(String, ReleaseState)> {
    states.iter().map(|(version, state)| ((*version).to_owned(), *state)).collect()
}

/// Stages and activates `version`.
async fn switch(store: &Store, server: &str, to: &str) -> Result<AddedServer, Failure> {
    let (scope, name, version) = (scope()?, name(server)?, version(to)?);
    store.stage(&scope, &name, &version, &artifact('a')?).await?;
    Ok(store.activate(&scope, &name, &version).await?)
}

async fn what_is_found_is_what_was_added(store: Store) -> Outcome {
    let scope = scope()?;
    let added = store.add(&scope, new("srv")?).await?;
    ensure_eq(&added.settings, &new("srv")?.settings, "the settings")?;
    ensure_eq(states(&added), expected(&[("1.0.0", ReleaseState::Active)]), "the releases")?;
    ensure_eq(store.get(&scope, &added.name).await?, Some(added.clone()), "the server found")?;
    ensure_eq(store.get(&scope, &name("other")?).await?, None, "a server that is not there")?;
    let twice = store.add(&scope, NewServer { version: version("2.0.0")?, ..new("srv")? }).await;
    ensure_error(twice, ErrorKind::AlreadyExists, "a second server of a name")?;
    ensure_eq(store.get(&scope, &added.name).await?, Some(added), "the first server")
}

async fn one_serves(store: Store) -> Outcome {
    use ReleaseState::{Active, Previous, Retired, Staged};
    let scope = scope()?;
    store.add(&scope, new("srv")?).await?;
    let staged = store.stage(&scope, &name("srv")?, &version("2.0.0")?, &artifact('a')?).await?;
    ensure_eq(states(&staged), expected(&[("1.0.0", Active), ("2.0.0", Staged)]), "after staging")?;
    let second = switch(&store, "srv", "2.0.0").await?;
    ensure_eq(states(&second), expected(&[("1.0.0", Previous), ("2.0.0", Active)]), "after a switch")?;
    let third = switch(&store, "srv", "3.0.0").await?;
    let wanted = expected(&[("1.0.0", Retired), ("2.0.0", Previous), ("3.0.0", Active)]);
    ensure_eq(states(&third), wanted, "after another")?;
    let back = store.activate(&scope, &name("srv")?, &version("2.0.0")?).await?;
    let wanted = expected(&[("1.0.0", Retired), ("2.0.0", Active), ("3.0.0", Previous)]);
    ensure_eq(states(&back), wanted, "after going back")?;
    let revisions = [&staged, &second, &third, &back].map(|server| server.revision);
    ensure(revisions.is_sorted_by(|a, b| a < b), format!("revisions do not grow: {revisions:?}"))?;
    ensure_eq(store.get(&scope, &back.name).await?, Some(back), "what is found")?;
    let unknown = store.activate(&scope, &name("srv")?, &version("9.0.0")?).await;
    ensure_error(unknown, ErrorKind::NotFound, "using a release that is not there").map(drop)
}

async fn one_serves_after_a_race(store: Store) -> Outcome {
    let scope = scope()?;
    let mut server = store.add(&scope, new("srv")?).await?;
    let versions: Vec<_> = (2..10).map(|n| version(&format!("{n}.0.0"))).collect::<Result<_, _>>()?;
    for version in &versions {
        server = store.stage(&scope, &server.name, version, &artifact('a')?).await?;
    }
    let before = server.revision;
    let (server, scope) = (&server.name, &scope);
    let racing = versions.iter().map(|version| store.activate(scope, server, version));
    for won in futures_util::future::join_all(racing).await {
        won?;
    }
    let after = store.get(scope, server).await?.ok_or_else(|| "the server is gone".to_owned())?;
    for (state, count) in [(ReleaseState::Active, 1), (ReleaseState::Previous, 1), (ReleaseState::Retired, 7)]
    {
        let found = after.releases.iter().filter(|release| release.state == state).count();
        ensure_eq(found, count, &format!("releases that are {}", state.as_str()))?;
    }
    ensure_eq(after.revision, before + 8, "the revision after eight changes")
}

async fn a_version_is_one_artifact(store: Store) -> Outcome {
    let scope = scope()?;
    let added = store.add(&scope, new("srv")?).await?;
    let other = store.stage(&scope, &added.name, &version("1.0.0")?, &artifact('b')?).await;
    ensure_error(other, ErrorKind::Conflict, "another artifact of a version")?;
    ensure_eq(store.get(&scope, &added.name).await?, Some(added), "the server")
}

async fn failed_is_not_used(store: Store) -> Outcome {
    let (scope, srv, second) = (scope()?, name("srv")?, version("2.0.0")?);
    store.add(&scope, new("srv")?).await?;
    store.stage(&scope, &srv, &second, &artifact('a')?).await?;
    let failed = store.fail(&scope, &srv, &second, "does not start").await?;
    let release = failed.release(&second).ok_or_else(|| "the release is gone".to_owned())?;
    ensure_eq(release.state, ReleaseState::Failed, "its state")?;
    ensure_eq(release.reason.as_deref(), Some("does not start"), "its reason")?;
    ensure_error(store.activate(&scope, &srv, &second).await, ErrorKind::Conflict, "using a failed release")?;
    let serving = store.fail(&scope, &srv, &version("1.0.0")?, "no").await;
    ensure_error(serving, ErrorKind::Conflict, "failing the release that serves")?;
    ensure_eq(store.get(&scope, &srv).await?, Some(failed), "the server")?;
    let used = switch(&store, "srv", "2.0.0").await?;
    let release = used.release(&second).ok_or_else(|| "the release is gone".to_owned())?;
    ensure_eq((release.state, release.reason.clone()), (ReleaseState::Active, None), "staged again and used")
}

async fn repeating_changes_nothing(store: Store) -> Outcome {
    let scope = scope()?;
    store.add(&scope, new("srv")?).await?;
    let switched = switch(&store, "srv", "2.0.0").await?;
    ensure_eq(switch(&store, "srv", "2.0.0").await?, switched.clone(), "switching again")?;
    let staged = store.stage(&scope, &switched.name, &version("1.0.0")?, &artifact('a')?).await?;
    ensure_eq(staged, switched, "staging the previous release")
}

async fn removed_is_gone(store: Store) -> Outcome {
    let scope = scope()?;
    let added = store.add(&scope, new("srv")?).await?;
    let other = store.add(&scope, new("other")?).await?;
    ensure_eq(store.remove(&scope, &added.name).await?, added.clone(), "what was removed")?;
    ensure_eq(store.get(&scope, &added.name).await?, None, "a removed server")?;
    for (what, result) in [
        ("removing", store.remove(&scope, &added.name).await),
        ("staging", store.stage(&scope, &added.name, &version("2.0.0")?, &artifact('a')?).await),
        ("using", store.activate(&scope, &added.name, &version("1.0.0")?).await),
        ("failing", store.fail(&scope, &added.name, &version("1.0.0")?, "x").await),
    ] {
        ensure_error(result, ErrorKind::NotFound, what)?;
    }
    ensure_eq(store.get(&scope, &other.name).await?, Some(other), "the other server")?;
    store.add(&scope, new("srv")?).await?;
    Ok(())
}

async fn lists_are_complete_and_in_order(store: Store) -> Outcome {
    let scope = scope()?;
    let mut names = ["b", "a", "Z", "a-1", "c_2", "9"];
    for server in names {
        store.add(&scope, new(server)?).await?;
    }
    names.sort_unstable();
    for limit in [1, 2, 6, 0, u32::MAX] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.list(&scope, after.as_ref(), limit).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.clone());
            seen.extend(page.iter().map(|server| server.name.to_string()));
        }
        ensure_eq(&seen, &names.map(str::to_owned).to_vec(), &format!("names listed with limit {limit}"))?;
    }
    Ok(())
}

async fn old_releases_make_room(store: Store) -> Outcome {
    store.add(&scope()?, new("srv")?).await?;
    let mut server = switch(&store, "srv", "2.0.0").await?;
    for n in 3..60 {
        server = switch(&store, "srv", &format!("{n}.0.0")).await?;
    }
    ensure_eq(server.releases.len(), 50, "releases that are remembered")?;
    let newest = server.releases.iter().map(|release| release.version.to_string()).next_back();
    ensure_eq(newest.clone(), Some("59.0.0".to_owned()), "the newest")?;
    ensure_eq(server.active().map(|release| release.version.to_string()), newest, "the one that serves")
}
