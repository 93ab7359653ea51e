//! Policies as administrators of tenants write them: refused or compiled, the same each time, and none of them
//! leads across tenants or decides differently the second time it is asked.

use std::sync::{Arc, LazyLock};

use mcp_core::{
    ErrorKind, Scope,
    access::{Access, Action, Resource},
    scope::TenantId,
};
use mcp_tenancy::{
    policy::{Compiler, Language, Policy, PolicyRequest, PolicyText, TENANT_BOUNDARY, decide},
    role::Granted,
};

use crate::world::{WORLD, acme, principal};

/// Longest text that is tried: what is slow for its length alone is bounded elsewhere.
const MOST: usize = 4096;

static COMPILER: LazyLock<Compiler> =
    LazyLock::new(|| Compiler::new().expect("the shipped schema is valid").with_rego());

/// The first byte is the language, the rest the text.
///
/// # Panics
/// When a text compiles only at times, is refused with no word why, or allows something of another tenant's.
pub fn check(data: &[u8]) {
    let Some((language, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(&text[..text.len().min(MOST)]) else { return };
    let languages = [Language::Cedar, Language::Rego, Language::RegoV0];
    let policy = PolicyText::new(languages[usize::from(*language) % languages.len()], text);
    match (COMPILER.compile(&policy), COMPILER.compile(&policy)) {
        (Ok(one), Ok(other)) => WORLD.runtime.block_on(decides(&*one, &*other)),
        (Err(one), Err(other)) => {
            assert!(matches!(one.kind(), ErrorKind::InvalidInput | ErrorKind::TooLarge), "{one:?}");
            assert_eq!(one.kind(), other.kind());
            assert!(!one.message().is_empty());
        }
        (one, other) => panic!("compiled once: {} {}", one.is_ok(), other.is_ok()),
    }
}

async fn decides(one: &dyn Policy, other: &dyn Policy) {
    let scope = Scope::new(acme(), Arc::new(principal()));
    let action = Action::parse("tools:call").expect("an action");
    let resource = Resource::of(&scope, "tool", "fixture__echo").expect("a resource");
    let mut foreign = resource.clone();
    let asked = PolicyRequest::new(&scope, &Granted::default(), Access::new(action.clone(), resource));
    let first = decide(one, &scope, &asked).await;
    let again = [decide(one, &scope, &asked).await, decide(other, &scope, &asked).await];
    for (again, first) in again.iter().zip(std::iter::repeat(&first)) {
        match (first, again) {
            (Ok(first), Ok(again)) => {
                // One of them may have taken too long, which is an error and denies.
                if first.errors.is_empty() && again.errors.is_empty() {
                    assert_eq!(first.allowed, again.allowed, "decided differently");
                }
                assert!(!first.allowed || first.errors.is_empty(), "allowed in spite of {:?}", first.errors);
            }
            // Only what takes too long may be refused at one time and not at another.
            (Err(error), _) | (_, Err(error)) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}")
            }
        }
    }
    foreign.tenant = TenantId::parse("globex").expect("a tenant");
    let across = PolicyRequest::new(&scope, &Granted::default(), Access::new(action, foreign));
    let denied = decide(one, &scope, &across).await.expect("the boundary is code");
    assert!(!denied.allowed && denied.reasons == [TENANT_BOUNDARY], "{denied:?}");
}
