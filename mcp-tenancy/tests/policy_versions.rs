//! Policies from draft to decision, in memory: what is validated, tried, activated and taken back, roles and
//! their reach, and that no text of one tenant decides for another.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::sync::{Arc, Mutex};

use http::{Request, Response, StatusCode};
use mcp_core::{
    Error, ErrorKind, Scope,
    access::{Access, Action, Authorizer as _, Resource},
    audit::{AuditRecord, Chain, DenialLog},
    layer::RescueLayer,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::{
    layer::{AuthorizeLayer, endpoint},
    policy::{
        AllOf, Compiler, Decision, Language, MemoryPolicyStore, NewPolicy, Policy, PolicyAdmin,
        PolicyAuthorizer, PolicyRequest, PolicyState, PolicyText, RequestRecorder, TENANT_BOUNDARY,
        TenantPolicies, decide,
    },
    role::{Granted, MemoryRoleStore, NewRole, RoleAdmin, RoleDirectory, RoleName},
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower::{Service as _, ServiceBuilder, ServiceExt as _, service_fn};

const CALL: Action = Action::constant("tools:call");
const BY_PERMISSION: &str = include_str!("../policies/by_permission.cedar");

#[derive(Debug, Default)]
struct Denials(Mutex<Vec<(Chain, AuditRecord)>>);

impl DenialLog for Denials {
    fn denied(&self, chain: Chain, record: AuditRecord) {
        self.0.lock().unwrap().push((chain, record));
    }
}

struct World {
    policies: TenantPolicies,
    admin: PolicyAdmin,
    roles: RoleAdmin,
    directory: RoleDirectory,
    authorizer: Arc<PolicyAuthorizer>,
    denials: Arc<Denials>,
}

impl World {
    fn new() -> Self {
        let (store, role_store) =
            (Arc::new(MemoryPolicyStore::default()), Arc::new(MemoryRoleStore::default()));
        let (directory, recorder) = (RoleDirectory::new(role_store.clone()), RequestRecorder::default());
        let policies = TenantPolicies::new(store.clone(), Compiler::new().unwrap().with_rego());
        let denials = Arc::new(Denials::default());
        let authorizer = PolicyAuthorizer::new(
            Arc::new(policies.clone()),
            directory.clone(),
            recorder.clone(),
            denials.clone(),
        );
        Self {
            admin: PolicyAdmin::new(store, policies.clone(), recorder, directory.clone()),
            roles: RoleAdmin::new(role_store, directory.clone()),
            policies,
            directory,
            authorizer: Arc::new(authorizer),
            denials,
        }
    }

    async fn activate(&self, scope: &Scope, policy: PolicyText, expected: i64) -> i64 {
        let version = self.admin.draft(scope, NewPolicy::new(policy)).await.unwrap().head.version;
        self.admin.validate(scope, version).await.unwrap();
        self.admin.activate(scope, version, expected).await.unwrap()
    }

    async fn may(&self, scope: &Scope, action: Action, kind: &str) -> bool {
        let access = Access::new(action, Resource::of(scope, kind, "x").unwrap());
        self.authorizer.authorize(scope, &access).await.is_ok()
    }
}

fn scope(tenant: &str, principal: &str, permissions: &[&str]) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse(principal).unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(permissions.iter().copied()).unwrap(),
    };
    Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
}

fn cedar(text: &str) -> PolicyText {
    PolicyText::new(Language::Cedar, text)
}

fn name(text: &str) -> RoleName {
    RoleName::parse(text).unwrap()
}

#[tokio::test]
async fn a_policy_written_for_an_opa_runs_as_it_is() {
    let mut text = PolicyText::new(Language::RegoV0, include_str!("data/authz_v0.rego"));
    let data = json!({ "user_tenants": { "u1": ["acme"] }, "suspended_tenants": { "globex": true } });
    text.data = serde_json::from_value(data).unwrap();
    let policy = Compiler::new().unwrap().with_rego().compile(&text).unwrap();
    let ask = async |tenant: &str, user: &str, role: Option<&str>, method: &str, kind: &str| {
        let scope = scope(tenant, user, &[]);
        let roles = role.map(name).into_iter().collect();
        let access =
            Access::new(Action::constant("contexts:read"), Resource::of(&scope, kind, "c1").unwrap());
        let granted = Granted { roles, ..Granted::default() };
        let request = PolicyRequest::new(&scope, &granted, access.with("method", method));
        decide(&*policy, &scope, &request).await.unwrap()
    };
    assert_eq!(ask("acme", "u1", None, "GET", "context").await, Decision::allow(["data.mcp.authz.allow"]));
    for (user, method, kind) in [("u1", "POST", "context"), ("u1", "GET", "tool"), ("u2", "GET", "context")] {
        let decision = ask("acme", user, None, method, kind).await;
        assert_eq!(decision, Decision::deny::<String>([]), "{user} {method} {kind}");
    }
    assert!(ask("acme", "u2", Some("admin"), "DELETE", "tool").await.allowed);
    // `deny` wins, over an admin too.
    assert_eq!(
        ask("globex", "u2", Some("admin"), "GET", "context").await,
        Decision::deny(["data.mcp.authz.deny"])
    );
    // "Admin users can access all tenants" ends at the boundary.
    let (here, there) = (scope("acme", "u2", &["*"]), scope("beta", "u2", &["*"]));
    let granted = Granted { roles: [name("admin")].into(), ..Granted::default() };
    let access = Access::new(CALL, Resource::of(&there, "tool", "x").unwrap());
    let decision = decide(&*policy, &here, &PolicyRequest::new(&here, &granted, access)).await.unwrap();
    assert_eq!(decision, Decision::deny([TENANT_BOUNDARY]));
}

#[tokio::test]
async fn a_version_goes_from_draft_to_decision_and_back() {
    let world = World::new();
    let admin = scope("acme", "boss", &["policies:*"]);
    let (user, other) = (scope("acme", "u1", &["tools:call"]), scope("globex", "u1", &["tools:call"]));
    assert!(
        world.may(&user, CALL, "tool").await
            && !world.may(&user, Action::constant("audit:read"), "tool").await
    );

    let broken = "permit (principal, action, resource)\nwhen { context.permited };";
    let draft = world.admin.draft(&admin, NewPolicy::new(cedar(broken))).await.unwrap().head;
    let error = world.admin.validate(&admin, draft.version).await.unwrap_err();
    assert!(error.message().contains("line 2, column 8"), "{error}");
    let early = world.admin.activate(&admin, draft.version, 0).await.unwrap_err();
    assert_eq!(early.kind(), ErrorKind::InvalidInput);

    let first = world.activate(&admin, cedar(BY_PERMISSION), 0).await;
    assert!(world.may(&user, CALL, "tool").await);
    let strict = "@id(\"no-tools\") forbid (principal, action == Mcp::Action::\"tools:call\", resource);";
    let strict = format!("{BY_PERMISSION}\n{strict}");
    let second = world.admin.draft(&admin, NewPolicy::new(cedar(&strict))).await.unwrap().head.version;
    let unvalidated = world.admin.activate(&admin, second, first).await.unwrap_err();
    assert_eq!(unvalidated.kind(), ErrorKind::Conflict);

    let tried = world.admin.dry_run(&admin, second).await.unwrap();
    // What was asked, once each: a call, and a look at the audit log that is a tool's by its kind.
    assert_eq!((tried.requests, tried.newly_denied, tried.newly_allowed), (2, 1, 0), "{tried:?}");
    assert_eq!(tried.changed[0].request.access.action, CALL);
    assert_eq!(tried.changed[0].before, Decision::allow(["by-permission"]));
    assert_eq!(tried.changed[0].after, Decision::deny(["no-tools"]));
    assert!(world.may(&user, CALL, "tool").await, "a dry run changed something");

    world.admin.validate(&admin, second).await.unwrap();
    let stale = world.admin.activate(&admin, second, 0).await.unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
    world.admin.activate(&admin, second, first).await.unwrap();
    assert!(!world.may(&user, CALL, "tool").await && world.may(&other, CALL, "tool").await);
    let (chain, record) = world.denials.0.lock().unwrap().pop().unwrap();
    assert_eq!(chain, Chain::Tenant(user.tenant().clone()));
    assert_eq!((&*record.action, record.resource.as_str()), ("access.denied", "tool/x"));
    assert_eq!(record.detail, json!({ "action": "tools:call", "reason": "denied by no-tools" }));

    world.admin.activate(&admin, first, second).await.unwrap();
    assert!(world.may(&user, CALL, "tool").await);
    world.admin.deactivate(&admin, first).await.unwrap();
    let states: Vec<_> =
        world.admin.versions(&admin, None, 10).await.unwrap().items.iter().map(|head| head.state).collect();
    assert_eq!(states, [PolicyState::Validated, PolicyState::Validated, PolicyState::Draft]);
}

#[tokio::test]
async fn who_may_not_is_refused_and_who_may_is_never_locked_out() {
    let world = World::new();
    let (nobody, admin) = (scope("acme", "u1", &["policies:read"]), scope("acme", "boss", &["*"]));
    let draft = world.admin.draft(&nobody, NewPolicy::new(cedar(BY_PERMISSION))).await.unwrap_err();
    assert_eq!(draft.kind(), ErrorKind::PermissionDenied);
    let nothing = "forbid (principal, action, resource);";
    let version = world.activate(&admin, cedar(nothing), 0).await;
    assert!(!world.may(&admin, CALL, "tool").await);
    assert_eq!(
        world.admin.activate(&nobody, 0, version).await.unwrap_err().kind(),
        ErrorKind::PermissionDenied
    );
    world.admin.deactivate(&admin, version).await.unwrap();
    assert!(world.may(&admin, CALL, "tool").await);
}

#[tokio::test]
async fn an_active_version_that_cannot_be_compiled_allows_nothing() {
    let store = Arc::new(MemoryPolicyStore::default());
    let acme = scope("acme", "u1", &["*"]);
    let rego = PolicyText::new(Language::Rego, include_str!("../policies/by_permission.rego"));
    // As it was activated by a server that had Rego switched on.
    let with_rego = TenantPolicies::new(store.clone(), Compiler::new().unwrap().with_rego());
    let directory = RoleDirectory::new(Arc::new(MemoryRoleStore::default()));
    let admin = PolicyAdmin::new(store.clone(), with_rego.clone(), RequestRecorder::default(), directory);
    let version = admin.draft(&acme, NewPolicy::new(rego)).await.unwrap().head.version;
    admin.validate(&acme, version).await.unwrap();
    admin.activate(&acme, version, 0).await.unwrap();

    let request = PolicyRequest::new(
        &acme,
        &Granted::default(),
        Access::new(CALL, Resource::of(&acme, "tool", "x").unwrap()),
    );
    assert!(decide(&with_rego, &acme, &request).await.unwrap().allowed);
    let without = TenantPolicies::new(store, Compiler::new().unwrap());
    let decision = decide(&without, &acme, &request).await.unwrap();
    assert!(!decision.allowed && !decision.errors.is_empty(), "{decision:?}");
}

#[tokio::test]
async fn all_of_several_must_allow() {
    let compiler = Compiler::new().unwrap();
    let tenants: Arc<dyn Policy> = compiler.compile(&cedar(BY_PERMISSION)).unwrap();
    let above = "permit (principal, action, resource); @id(\"operator\") forbid (principal, action, resource) when { resource.id == \"x\" };";
    let all = AllOf::new(vec![compiler.compile(&cedar(above)).unwrap(), tenants]);
    let acme = scope("acme", "u1", &["tools:call"]);
    for (id, allowed) in [("x", false), ("y", true)] {
        let access = Access::new(CALL, Resource::of(&acme, "tool", id).unwrap());
        let request = PolicyRequest::new(&acme, &Granted::default(), access);
        assert_eq!(decide(&all, &acme, &request).await.unwrap().allowed, allowed);
        assert!(!decide(&AllOf::new(Vec::new()), &acme, &request).await.unwrap().allowed);
    }
}

#[tokio::test]
async fn roles_count_for_credentials_that_use_them() {
    let world = World::new();
    let boss = scope("acme", "boss", &["*"]);
    let viewer = NewRole::new(name("viewer"), Permissions::parse(["contexts:read"]).unwrap());
    let mut editor = NewRole::new(name("editor"), Permissions::parse(["contexts:write"]).unwrap());
    editor.inherits = [name("viewer")].into();
    world.roles.put(&boss, viewer, 0).await.unwrap();
    world.roles.put(&boss, editor, 0).await.unwrap();
    let user = PrincipalId::parse("u1").unwrap();
    world.roles.assign(&boss, &user, &name("editor")).await.unwrap();

    let read = Action::constant("contexts:read");
    assert!(world.may(&scope("acme", "u1", &["roles:use"]), read.clone(), "context").await);
    assert!(
        !world.may(&scope("acme", "u1", &["tools:call"]), read.clone(), "context").await,
        "a narrow key grew"
    );
    assert!(!world.may(&scope("globex", "u1", &["roles:use"]), read.clone(), "context").await);
    world.roles.unassign(&boss, &user, &name("editor")).await.unwrap();
    assert!(!world.may(&scope("acme", "u1", &["roles:use"]), read, "context").await, "taking a role is late");
}

#[tokio::test]
async fn nobody_gives_what_they_do_not_have() {
    let world = World::new();
    let boss = scope("acme", "boss", &["*"]);
    let clerk = scope("acme", "clerk", &["roles:*", "contexts:read"]);
    let all = Permissions::parse(["*"]).unwrap();
    world.roles.put(&boss, NewRole::new(name("admin"), all.clone()), 0).await.unwrap();
    let mut heir = NewRole::new(name("heir"), Permissions::default());
    heir.inherits = [name("admin")].into();
    for role in [NewRole::new(name("mine"), all), heir] {
        let error = world.roles.put(&clerk, role, 0).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }
    let me = PrincipalId::parse("clerk").unwrap();
    let error = world.roles.assign(&clerk, &me, &name("admin")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let own = NewRole::new(name("reader"), Permissions::parse(["contexts:read"]).unwrap());
    world.roles.put(&clerk, own, 0).await.unwrap();
    world.roles.assign(&clerk, &me, &name("reader")).await.unwrap();
    let stranger = scope("acme", "u1", &["contexts:read"]);
    assert_eq!(world.roles.roles(&stranger).await.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn a_policy_that_runs_too_long_is_stopped_and_denies() {
    let text = "package a\ndeny if { some x in numbers.range(1, 3000); some y in numbers.range(1, 3000); x * y == 0.5 }\nallow := true";
    let policy =
        Compiler::new().unwrap().with_rego().compile(&PolicyText::new(Language::Rego, text)).unwrap();
    let acme = scope("acme", "u1", &["*"]);
    let access = Access::new(CALL, Resource::of(&acme, "tool", "x").unwrap());
    let request = PolicyRequest::new(&acme, &Granted::default(), access);
    let decision = decide(&*policy, &acme, &request).await.unwrap();
    assert!(!decision.allowed && !decision.errors.is_empty(), "{decision:?}");
}

#[tokio::test]
async fn the_layer_refuses_records_and_widens() {
    let world = World::new();
    let boss = scope("acme", "boss", &["*"]);
    let viewer = NewRole::new(name("viewer"), Permissions::parse(["contexts:read"]).unwrap());
    world.roles.put(&boss, viewer, 0).await.unwrap();
    world.roles.assign(&boss, &PrincipalId::parse("u1").unwrap(), &name("viewer")).await.unwrap();
    let text = "@id(\"viewers-get\") permit (principal in Mcp::Role::\"viewer\", action, resource is Mcp::Endpoint) when { context has method && context.method == \"GET\" };";
    world.activate(&boss, cedar(text), 0).await;

    let inside = service_fn(async |request: Request<()>| {
        let scope = request.extensions().get::<Scope>().ok_or_else(|| Error::internal("test", "no scope"))?;
        let sees = scope.principal().permissions.allows("contexts:read");
        Ok::<_, Error>(Response::new(http_body_util::Full::new(bytes::Bytes::from(format!("{sees}")))))
    });
    let layer = AuthorizeLayer::new(world.authorizer.clone(), Arc::new(endpoint));
    let mut stack = ServiceBuilder::new()
        .layer(RescueLayer::default())
        .layer(layer.with_roles(world.directory.clone()))
        .service(inside);
    let mut send = async |method: &str, scope: Option<Scope>| {
        let mut request = Request::builder().method(method).uri("/api/v1/contexts?x=1").body(()).unwrap();
        scope.map(|scope| request.extensions_mut().insert(scope));
        let response = stack.ready().await.unwrap().call(request).await.unwrap();
        let (head, body) = response.into_parts();
        (head.status, http_body_util::BodyExt::collect(body).await.unwrap().to_bytes())
    };
    let user = scope("acme", "u1", &["roles:use"]);
    assert_eq!(send("GET", Some(user.clone())).await, (StatusCode::OK, bytes::Bytes::from("true")));
    assert!(world.denials.0.lock().unwrap().is_empty());
    let (status, body) = send("DELETE", Some(user)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["code"], "permission_denied");
    let (_, record) = world.denials.0.lock().unwrap().pop().unwrap();
    assert_eq!(record.resource, "endpoint//api/v1/contexts");
    assert_eq!(send("GET", None).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

/// Pieces of policies, from which texts are put together that may mean anything.
const PIECES: [&str; 12] = [
    "permit (principal, action, resource);",
    "permit (principal, action, resource) when { resource.tenant == \"globex\" };",
    "permit (principal in Mcp::Role::\"admin\", action, resource);",
    "forbid (principal, action, resource) when { principal.id == \"u1\" };",
    "permit (principal == Mcp::User::\"u1\", action, resource is Mcp::Tool);",
    "permit (principal, action, resource) unless { context.permitted };",
    "package globex.authz\n",
    "package mcp.authz\n",
    "default allow := true\n",
    "allow if input.tenant_id == \"globex\"\n",
    "deny if input.user_id == \"u1\"\n",
    "allow { true }\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever a tenant activates: what another tenant may do stays what it was, and what belongs to another
    /// tenant stays out of reach.
    #[test]
    fn no_text_of_a_tenant_decides_for_another(
        pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 1..5),
        noise in ".{0,20}",
        language in prop::sample::select(vec![Language::Cedar, Language::Rego, Language::RegoV0]),
        permissions in prop::sample::select(vec![&[][..], &["tools:call"], &["*"]]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let world = World::new();
            let boss = scope("acme", "boss", &["*"]);
            for text in [pieces.concat(), format!("{}{noise}", pieces.concat())] {
                let draft = NewPolicy::new(PolicyText::new(language, text));
                let Ok(draft) = world.admin.draft(&boss, draft).await else { continue };
                if world.admin.validate(&boss, draft.head.version).await.is_ok() {
                    let active = world.admin.versions(&boss, None, 10).await.unwrap().items;
                    let active = active.iter().find(|head| head.state == PolicyState::Active);
                    let expected = active.map_or(0, |head| head.version);
                    world.admin.activate(&boss, draft.head.version, expected).await.unwrap();
                }
            }
            let theirs = scope("globex", "u1", permissions);
            let granted = Granted { roles: [name("admin")].into(), ..Granted::default() };
            let access = Access::new(CALL, Resource::of(&theirs, "tool", "x").unwrap());
            let request = PolicyRequest::new(&theirs, &granted, access.clone());
            let decision = decide(&world.policies, &theirs, &request).await.unwrap();
            prop_assert_eq!(decision.allowed, request.permitted());
            let ours = scope("acme", "u1", &["*"]);
            let crossing = PolicyRequest::new(&ours, &granted, access);
            let decision = decide(&world.policies, &ours, &crossing).await.unwrap();
            prop_assert_eq!(decision, Decision::deny([TENANT_BOUNDARY]));
            Ok(())
        })?;
    }

    /// A text is a policy or an error, and never the end of the process.
    #[test]
    fn any_text_compiles_or_is_refused(text in ".{0,200}", pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..4)) {
        let compiler = Compiler::new().unwrap().with_rego();
        for language in [Language::Cedar, Language::Rego, Language::RegoV0] {
            for text in [text.clone(), format!("{}{text}", pieces.concat())] {
                if let Err(error) = compiler.compile(&PolicyText::new(language, text)) {
                    prop_assert_eq!(error.kind(), ErrorKind::InvalidInput);
                }
            }
        }
    }
}
