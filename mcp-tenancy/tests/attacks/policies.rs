//! Attacks on and through policies.

use std::sync::Arc;

use http::StatusCode;
use mcp_core::{
    ErrorKind, Scope,
    access::{Access, Action, Authorizer as _, Resource},
    scope::{Permissions, Principal},
};
use mcp_tenancy::{
    policy::{
        ByPermission, Decision, PolicyAuthorizer, PolicyRequest, RequestRecorder, TENANT_BOUNDARY, decide,
    },
    role::{Granted, MemoryRoleStore, NewRole, RoleDirectory, RoleName, RoleStore as _},
};

use super::support::{Denials, principal, tenant};

const CALL: Action = Action::constant("tools:call");

fn everything() -> Granted {
    let roles = [RoleName::parse("admin").unwrap()].into();
    Granted { roles, permissions: Permissions::parse(["*"]).unwrap() }
}

/// An admin of one tenant, by role and by permission, aims at what another tenant has, in every way a request
/// can be put together.
#[tokio::test]
async fn an_admin_role_never_crosses_tenants() {
    let admin = Principal { permissions: Permissions::parse(["*"]).unwrap(), ..principal("user-1") };
    let here = Scope::new(tenant("acme"), Arc::new(admin.clone()));
    let there = Scope::new(tenant("beta"), Arc::new(admin));
    let access = |scope: &Scope| Access::new(CALL, Resource::of(scope, "tool", "echo").unwrap());
    let refused = Decision::deny([TENANT_BOUNDARY]);

    let foreign = PolicyRequest::new(&here, &everything(), access(&there));
    assert_eq!(decide(&ByPermission, &here, &foreign).await.unwrap(), refused);
    // A request of the other tenant, replayed here.
    let replayed = PolicyRequest::new(&there, &everything(), access(&there));
    assert_eq!(decide(&ByPermission, &here, &replayed).await.unwrap(), refused);
    // A request in another's name.
    let mut impersonated = PolicyRequest::new(&here, &everything(), access(&here));
    impersonated.principal.id = "user-2".parse().unwrap();
    assert_eq!(decide(&ByPermission, &here, &impersonated).await.unwrap(), refused);
    assert!(
        decide(&ByPermission, &here, &PolicyRequest::new(&here, &everything(), access(&here)))
            .await
            .unwrap()
            .allowed
    );

    let roles = Arc::new(MemoryRoleStore::default());
    let name = RoleName::parse("admin").unwrap();
    let role = NewRole::new(name.clone(), Permissions::parse(["*"]).unwrap());
    roles.put(&here, role, 0).await.unwrap();
    let user = Arc::new(Principal {
        permissions: Permissions::parse(["roles:use"]).unwrap(),
        ..principal("user-1")
    });
    roles.assign(&here, &user.id, &name).await.unwrap();
    let denials = Arc::new(Denials::default());
    let authorizer = PolicyAuthorizer::new(
        Arc::new(ByPermission),
        RoleDirectory::new(roles),
        RequestRecorder::default(),
        denials.clone(),
    );
    let (here, there) = (Scope::new(tenant("acme"), user.clone()), Scope::new(tenant("beta"), user));
    authorizer.authorize(&here, &access(&here)).await.unwrap();
    for scope in [&here, &there] {
        // Its role is of `acme`: it reaches nothing of `beta`, neither from here nor with a scope of there.
        let error = authorizer.authorize(scope, &access(&there)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        assert_eq!(error.kind().status(), StatusCode::FORBIDDEN);
        assert!(!error.to_string().contains("beta"), "{error}");
    }
    let chains: Vec<_> = denials.take().into_iter().map(|(chain, _)| chain.as_str().to_owned()).collect();
    assert_eq!(chains, ["acme", "beta"], "a denial is in the chain of whose credential it was");
}

/// OPA path injection: a hostile tenant id in the data path. Ids of that kind are none, and even past that
/// check each would be one part of the path.
#[cfg(feature = "opa")]
#[test]
fn a_hostile_tenant_id_stays_one_part_of_the_data_path() {
    let path = mcp_tenancy::policy::DataPath::parse("tenants/{tenant}/authz").unwrap();
    for hostile in [
        "../admin",
        "a/../b",
        "..",
        ".",
        "",
        "a/b",
        "a%2fb",
        "a%2e%2e",
        "a?pretty=true",
        "a#x",
        "a b",
        "a\\b",
        "a;b",
        "a\r\nHost: evil",
        "é",
        "a\0b",
        "//evil.example/x",
        "acme/authz?explain=full#",
    ] {
        assert!(hostile.parse::<mcp_core::scope::TenantId>().is_err(), "{hostile:?} is a tenant's id");
        let Ok(path) = path.of(hostile) else { continue };
        let uri: http::Uri = format!("http://opa:8181{path}").parse().unwrap();
        let parts: Vec<_> = uri.path().split('/').collect();
        assert_eq!((parts.len(), parts[3], parts[5]), (6, "tenants", "authz"), "{hostile:?}: {path}");
        assert!(parts[4] != "." && parts[4] != "..", "{hostile:?}: {path}");
        assert_eq!((uri.query(), uri.host()), (None, Some("opa")), "{hostile:?}: {path}");
    }
}
