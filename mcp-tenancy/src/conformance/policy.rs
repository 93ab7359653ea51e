//! The promises of [`Policy`], on a policy that each engine has in its own language.

use std::sync::Arc;

use futures_util::future::join_all;
use mcp_core::{
    Scope,
    access::{Access, Action, Resource},
};
use serde_json::{Value, json};

use super::{Check, Failure, Outcome, TENANTS, ensure, ensure_eq, scope_of};
use crate::{
    policy::{Decision, MAX_REQUEST, Policy, PolicyRequest, decide},
    role::{Granted, RoleName},
};

/// The policy of the suite in Cedar: viewers read contexts, admins do everything, what is `locked` is not
/// written, and a `locked` that is no boolean is denied.
pub const REFERENCE_CEDAR: &str = include_str!("reference/policy.cedar");
/// The same in Rego.
pub const REFERENCE_REGO: &str = include_str!("reference/policy.rego");
/// The same in Rego as it was before version 1.
pub const REFERENCE_REGO_V0: &str = include_str!("reference/policy_v0.rego");

type Engine = Arc<dyn Policy>;

/// The suite of [`Policy`], for an engine that holds the reference policy, as [`REFERENCE_CEDAR`] has it.
pub const POLICY: &[Check<dyn Policy>] = &[
    ("nothing_crosses_tenants", |engine| Box::pin(nothing_crosses_tenants(engine))),
    ("nothing_is_allowed_by_default", |engine| Box::pin(nothing_is_allowed_by_default(engine))),
    ("deny_wins", |engine| Box::pin(deny_wins(engine))),
    ("errors_deny", |engine| Box::pin(errors_deny(engine))),
    ("decisions_are_explained", |engine| Box::pin(decisions_are_explained(engine))),
    ("requests_are_kept_apart", |engine| Box::pin(requests_are_kept_apart(engine))),
    ("requests_are_bounded", |engine| Box::pin(requests_are_bounded(engine))),
];

const READ: Action = Action::constant("contexts:read");
const WRITE: Action = Action::constant("contexts:write");

fn acme() -> Result<Scope, Failure> {
    Ok(scope_of(TENANTS[0])?)
}

fn request(
    scope: &Scope,
    role: Option<&str>,
    action: Action,
    locked: Value,
) -> Result<PolicyRequest, Failure> {
    let roles = role.map(RoleName::parse).transpose()?.into_iter().collect();
    let mut resource = Resource::of(scope, "context", "c1")?;
    if !locked.is_null() {
        resource = resource.with("locked", locked);
    }
    Ok(PolicyRequest::new(scope, &Granted { roles, ..Granted::default() }, Access::new(action, resource)))
}

async fn nothing_crosses_tenants(engine: Engine) -> Outcome {
    let (acme, globex) = (acme()?, scope_of(TENANTS[1])?);
    let own = request(&acme, Some("admin"), READ, Value::Null)?;
    ensure(decide(&*engine, &acme, &own).await?.allowed, "an admin was denied within the tenant")?;
    for role in ["admin", "viewer"] {
        for action in [READ, WRITE] {
            let foreign = request(&globex, Some(role), action, Value::Null)?;
            let decision = decide(&*engine, &acme, &foreign).await?;
            ensure(!decision.allowed, format!("the role `{role}` crossed tenants"))?;
        }
    }
    Ok(())
}

async fn nothing_is_allowed_by_default(engine: Engine) -> Outcome {
    let scope = acme()?;
    for (role, action) in [(None, READ), (Some("nobody"), READ), (Some("viewer"), WRITE)] {
        let decision = decide(&*engine, &scope, &request(&scope, role, action, Value::Null)?).await?;
        ensure_eq(decision, Decision::deny::<String>([]), &format!("what no policy allows to {role:?}"))?;
    }
    let other = Action::constant("no:such-action");
    let decision = decide(&*engine, &scope, &request(&scope, Some("viewer"), other, Value::Null)?).await?;
    ensure(!decision.allowed, "an action nobody knows was allowed")
}

async fn deny_wins(engine: Engine) -> Outcome {
    let scope = acme()?;
    for (action, locked, allowed) in [(WRITE, false, true), (WRITE, true, false), (READ, true, true)] {
        let asked = request(&scope, Some("admin"), action.clone(), json!(locked))?;
        let decision = decide(&*engine, &scope, &asked).await?;
        ensure_eq(decision.allowed, allowed, &format!("{action} by an admin where locked is {locked}"))?;
    }
    Ok(())
}

async fn errors_deny(engine: Engine) -> Outcome {
    let scope = acme()?;
    for locked in [json!("yes"), json!(1), json!([true]), json!({ "a": 1 }), json!(1.5)] {
        for action in [READ, WRITE] {
            let asked = request(&scope, Some("admin"), action, locked.clone())?;
            let decision = decide(&*engine, &scope, &asked).await?;
            ensure(!decision.allowed, format!("allowed where locked is {locked}: {decision:?}"))?;
        }
    }
    Ok(())
}

async fn decisions_are_explained(engine: Engine) -> Outcome {
    let scope = acme()?;
    let allowed = request(&scope, Some("viewer"), READ, Value::Null)?;
    let allowed = decide(&*engine, &scope, &allowed).await?;
    ensure(
        allowed.allowed && !allowed.reasons.is_empty(),
        format!("an allowance says nothing: {allowed:?}"),
    )?;
    ensure_eq(allowed.errors.len(), 0, "the errors of an allowance")?;
    let denied = request(&scope, Some("admin"), WRITE, json!(true))?;
    let denied = decide(&*engine, &scope, &denied).await?;
    ensure_eq(denied, Decision::deny(["locked-is-read-only"]), "a denial by a policy")
}

/// Many at once, of two tenants and with equal names: each gets the answer that it gets alone.
async fn requests_are_kept_apart(engine: Engine) -> Outcome {
    let scopes = [acme()?, scope_of(TENANTS[1])?];
    let mut asked = Vec::new();
    for round in 0..48 {
        let scope = &scopes[round % 2];
        let role = ["admin", "viewer", "nobody"][round % 3];
        let action = if round % 4 < 2 { READ } else { WRITE };
        let locked = round % 5 == 0;
        let expected = match (role, action == READ) {
            ("admin", true) | ("viewer", true) => true,
            ("admin", false) => !locked,
            _ => false,
        };
        asked.push((scope, request(scope, Some(role), action, json!(locked))?, expected));
    }
    for _ in 0..2 {
        let decisions = asked.iter().map(|(scope, request, _)| decide(&*engine, scope, request));
        for (decision, (_, request, expected)) in join_all(decisions).await.into_iter().zip(&asked) {
            ensure_eq(decision?.allowed, *expected, &format!("one of many: {request:?}"))?;
        }
    }
    Ok(())
}

async fn requests_are_bounded(engine: Engine) -> Outcome {
    let scope = acme()?;
    let mut large = request(&scope, Some("admin"), READ, Value::Null)?;
    large.access = large.access.with("path", "x".repeat(MAX_REQUEST));
    ensure(!decide(&*engine, &scope, &large).await?.allowed, "a request that is too large was allowed")?;
    let mut nested = json!(1);
    for _ in 0..100 {
        nested = Value::Array(vec![nested]);
    }
    let mut deep = request(&scope, Some("admin"), READ, Value::Null)?;
    deep.access = deep.access.with("path", nested);
    ensure(!decide(&*engine, &scope, &deep).await?.allowed, "a request that nests deeply was allowed")
}
