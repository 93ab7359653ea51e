//! The promises of [`RoleStore`].

use std::sync::Arc;

use futures_util::future::join_all;
use mcp_core::{
    ErrorKind, Scope,
    error::Detail,
    scope::{Permissions, PrincipalId},
};

use super::{Check, Failure, Outcome, TENANTS, ensure, ensure_eq, ensure_error, scope_of};
use crate::role::{Granted, MAX_DEPTH, MAX_ROLES_HELD, NewRole, Role, RoleName, RoleStore};

type Store = Arc<dyn RoleStore>;

/// The suite of [`RoleStore`]; the tenants [`TENANTS`] exist in the store's database.
pub const ROLE_STORE: &[Check<dyn RoleStore>] = &[
    ("what_is_stored_is_what_was_given", |store| Box::pin(what_is_stored_is_what_was_given(store))),
    ("tenants_are_kept_apart", |store| Box::pin(tenants_are_kept_apart(store))),
    ("no_lost_update", |store| Box::pin(no_lost_update(store))),
    ("no_circle_however_many_change", |store| Box::pin(no_circle_however_many_change(store))),
    ("nothing_dangles", |store| Box::pin(nothing_dangles(store))),
    ("giving_and_taking_are_idempotent", |store| Box::pin(giving_and_taking_are_idempotent(store))),
    ("roles_held_are_bounded", |store| Box::pin(roles_held_are_bounded(store))),
    ("holders_are_complete_and_in_order", |store| Box::pin(holders_are_complete_and_in_order(store))),
    ("bad_input_changes_nothing", |store| Box::pin(bad_input_changes_nothing(store))),
];

fn acme() -> Result<Scope, Failure> {
    Ok(scope_of(TENANTS[0])?)
}

fn name(text: &str) -> Result<RoleName, Failure> {
    Ok(RoleName::parse(text)?)
}

fn who(text: &str) -> Result<PrincipalId, Failure> {
    Ok(PrincipalId::parse(text)?)
}

fn new(text: &str, permissions: &[&str], inherits: &[&str]) -> Result<NewRole, Failure> {
    let mut role = NewRole::new(name(text)?, Permissions::parse(permissions.iter().copied())?);
    role.inherits = inherits.iter().copied().map(name).collect::<Result<_, _>>()?;
    Ok(role)
}

async fn what_is_stored_is_what_was_given(store: Store) -> Outcome {
    let scope = acme()?;
    store.put(&scope, new("viewer", &["contexts:read"], &[])?, 0).await?;
    let mut given = new("editor", &["contexts:*", "tools:call"], &["viewer"])?;
    given.description = "Ändert \"alles\" 😀 %_\\".to_owned();
    let made = store.put(&scope, given.clone(), 0).await?;
    ensure_eq((&made.definition, made.version), (&given, 1), "the role that was made")?;
    given.inherits.clear();
    let changed = store.put(&scope, given.clone(), 1).await?;
    ensure_eq((&changed.definition, changed.version), (&given, 2), "the role that was changed")?;
    ensure_eq(changed.created_at, made.created_at, "the time of creation")?;
    let roles = store.roles(&scope).await?;
    let names: Vec<_> = roles.iter().map(|role| role.definition.name.as_str()).collect();
    ensure_eq(names, vec!["editor", "viewer"], "the roles in order")?;
    ensure_eq(roles.first(), Some(&changed), "the role in the list")
}

async fn tenants_are_kept_apart(store: Store) -> Outcome {
    let (acme, globex, robot) = (acme()?, scope_of(TENANTS[1])?, who("robot")?);
    let (ours, theirs) = (new("admin", &["*"], &[])?, new("admin", &["audit:read"], &[])?);
    store.put(&acme, ours, 0).await?;
    store.assign(&acme, &robot, &name("admin")?).await?;
    ensure_eq(store.roles(&globex).await?, Vec::<Role>::new(), "the roles of the other tenant")?;
    ensure_eq(store.granted(&globex, &robot).await?, Granted::default(), "what the other tenant grants")?;
    let given = store.assign(&globex, &robot, &name("admin")?).await;
    ensure_error(given, ErrorKind::NotFound, "giving another tenant's role")?;
    let inherited = store.put(&globex, new("heir", &[], &["admin"])?, 0).await;
    ensure_error(inherited, ErrorKind::InvalidInput, "inheriting from another tenant's role")?;

    store.put(&globex, theirs, 0).await?;
    ensure_eq(store.held(&globex, &robot).await?.len(), 0, "roles held in the other tenant")?;
    store.assign(&globex, &robot, &name("admin")?).await?;
    let granted = store.granted(&globex, &robot).await?;
    ensure(!granted.permissions.allows("tools:call"), "an admin role crossed to the other tenant")?;
    store.unassign(&globex, &robot, &name("admin")?).await?;
    store.delete(&globex, &name("admin")?, 1).await?;
    let granted = store.granted(&acme, &robot).await?;
    ensure(granted.permissions.allows("tools:call"), "a deletion in the other tenant took a role here")
}

async fn no_lost_update(store: Store) -> Outcome {
    let scope = acme()?;
    let made = join_all(
        (0..6).map(|_| async { store.put(&scope, new("r", &[], &[])?, 0).await.map_err(Failure::from) }),
    );
    ensure_eq(made.await.iter().filter(|made| made.is_ok()).count(), 1, "how many made the same role")?;
    let write = async |n: usize| {
        let mut role = new("r", &[], &[])?;
        role.description = format!("writer {n}");
        Ok::<_, Failure>(store.put(&scope, role, 1).await)
    };
    let mut won = Vec::new();
    for result in join_all((0..6).map(write)).await {
        match result? {
            Ok(role) => won.push(role),
            lost => {
                let error = ensure_error(lost, ErrorKind::Conflict, "a change of a version that is gone")?;
                let named = error.details().contains(&Detail::Conflict { current: 2 });
                ensure(named, format!("the conflict does not name version 2: {:?}", error.details()))?;
            }
        }
    }
    ensure_eq(won.len(), 1, "how many changes of one version succeeded")?;
    ensure_eq(store.roles(&scope).await?, won, "what is stored after the race")?;
    let gone = store.put(&scope, new("other", &[], &[])?, 3).await;
    ensure_error(gone, ErrorKind::Conflict, "a change of a role that is not there")?;
    ensure_error(store.delete(&scope, &name("r")?, 1).await, ErrorKind::Conflict, "an old version's deletion")
        .map(drop)
}

async fn no_circle_however_many_change(store: Store) -> Outcome {
    let scope = acme()?;
    for n in 0..4 {
        store.put(&scope, new(&format!("r{n}"), &[], &[])?, 0).await?;
    }
    // Each edge alone is fine; all four are a circle.
    let close = async |n: usize| {
        let role = new(&format!("r{n}"), &[], &[&format!("r{}", (n + 1) % 4)])?;
        Ok::<_, Failure>(store.put(&scope, role, 1).await)
    };
    let mut refused = 0;
    for result in join_all((0..4).map(close)).await {
        if let Err(error) = result? {
            ensure_eq(error.kind(), ErrorKind::Conflict, "what closing a circle gets")?;
            refused += 1;
        }
    }
    ensure_eq(refused, 1, "how many of four edges of a circle were refused")?;

    store.put(&scope, new("d0", &[], &[])?, 0).await?;
    for n in 1..MAX_DEPTH {
        store.put(&scope, new(&format!("d{n}"), &[], &[&format!("d{}", n - 1)])?, 0).await?;
    }
    let deeper = new("deeper", &[], &[&format!("d{}", MAX_DEPTH - 1)])?;
    ensure_error(store.put(&scope, deeper, 0).await, ErrorKind::Conflict, "a chain that is too long")
        .map(drop)
}

async fn nothing_dangles(store: Store) -> Outcome {
    let (scope, robot) = (acme()?, who("robot")?);
    store.put(&scope, new("base", &["audit:read"], &[])?, 0).await?;
    store.put(&scope, new("heir", &[], &["base"])?, 0).await?;
    store.assign(&scope, &robot, &name("base")?).await?;
    let used = store.delete(&scope, &name("base")?, 1).await;
    ensure_error(used, ErrorKind::Conflict, "deleting a role that another inherits from")?;
    store.delete(&scope, &name("heir")?, 1).await?;
    store.delete(&scope, &name("base")?, 1).await?;
    ensure_eq(store.granted(&scope, &robot).await?, Granted::default(), "what a deleted role grants")?;
    store.put(&scope, new("base", &["*"], &[])?, 0).await?;
    ensure_eq(store.held(&scope, &robot).await?.len(), 0, "who has a new role of an old name")?;
    ensure_error(store.delete(&scope, &name("gone")?, 1).await, ErrorKind::NotFound, "deleting no role")
        .map(drop)
}

async fn giving_and_taking_are_idempotent(store: Store) -> Outcome {
    let (scope, robot, role) = (acme()?, who("robot")?, name("base")?);
    let nobody = store.assign(&scope, &robot, &role).await;
    ensure_error(nobody, ErrorKind::NotFound, "giving a role that does not exist")?;
    store.put(&scope, new("base", &["audit:read"], &[])?, 0).await?;
    store.put(&scope, new("heir", &["tools:call"], &["base"])?, 0).await?;
    let heir = name("heir")?;
    for given in join_all((0..4).map(|_| store.assign(&scope, &robot, &heir))).await {
        given?;
    }
    ensure_eq(store.held(&scope, &robot).await?, [heir.clone()].into(), "the roles given")?;
    let granted = store.granted(&scope, &robot).await?;
    ensure_eq(granted.roles, [heir.clone(), role].into(), "the roles that come with it")?;
    ensure(granted.permissions.allows("audit:read"), "an inherited permission is missing")?;
    store.unassign(&scope, &robot, &heir).await?;
    store.unassign(&scope, &robot, &heir).await?;
    ensure_eq(store.granted(&scope, &robot).await?, Granted::default(), "what is left")
}

async fn roles_held_are_bounded(store: Store) -> Outcome {
    let (scope, robot) = (acme()?, who("robot")?);
    for n in 0..=MAX_ROLES_HELD {
        store.put(&scope, new(&format!("r{n}"), &[], &[])?, 0).await?;
        let given = store.assign(&scope, &robot, &name(&format!("r{n}"))?).await;
        if n < MAX_ROLES_HELD {
            given?;
        } else {
            ensure_error(given, ErrorKind::Conflict, "one role too many")?;
        }
    }
    ensure_eq(store.held(&scope, &robot).await?.len(), MAX_ROLES_HELD, "the roles held")
}

async fn holders_are_complete_and_in_order(store: Store) -> Outcome {
    let (scope, role) = (acme()?, name("r")?);
    store.put(&scope, new("r", &[], &[])?, 0).await?;
    store.put(&scope, new("other", &[], &[])?, 0).await?;
    let mut ids: Vec<_> = (0..13).map(|n| format!("user-{}", (n * 5) % 13)).collect();
    for id in &ids {
        store.assign(&scope, &who(id)?, &role).await?;
    }
    store.assign(&scope, &who("user-x")?, &name("other")?).await?;
    ids.sort_unstable();
    for limit in [1, 5, 13, 0, u32::MAX] {
        let (mut seen, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let page = store.holders(&scope, &role, cursor.as_deref(), limit).await?;
            seen.extend(page.items.iter().map(ToString::to_string));
            ensure(seen.len() <= ids.len(), format!("the list does not end with limit {limit}"))?;
            match page.next_cursor {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        ensure_eq(&seen, &ids, "the holders listed")?;
    }
    let refused = store.holders(&scope, &role, Some("not a cursor"), 10).await;
    ensure_error(refused, ErrorKind::InvalidInput, "a cursor nobody gave").map(drop)
}

async fn bad_input_changes_nothing(store: Store) -> Outcome {
    let scope = acme()?;
    let mut wordy = new("r", &[], &[])?;
    wordy.description = "x".repeat(201);
    for bad in [wordy, new("r", &[], &["r"])?, new("r", &[], &["nobody"])?] {
        ensure_error(store.put(&scope, bad, 0).await, ErrorKind::InvalidInput, "a malformed role")?;
    }
    ensure_eq(store.roles(&scope).await?, Vec::<Role>::new(), "the roles after refusals")
}
