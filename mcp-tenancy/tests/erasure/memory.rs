//! The workflow, where nothing is written to a disk.

use std::collections::BTreeSet;

use mcp_core::{
    access::{Access, Action, Authorizer as _, Resource},
    audit::LoggedDenials,
    lease::Leases as _,
};
use mcp_tenancy::{
    TenancyDeps,
    policy::{Authorization, AuthorizationDeps, Language, NewPolicy, PolicyText},
    role::{NewRole, RoleName},
};

use super::*;

#[tokio::test]
async fn everything_in_memory_goes_and_an_organisation_after_its_projects() {
    let tenancy = Tenancy::open(TenancyDeps::memory(tokens()).unwrap()).await.unwrap();
    let (acme, sealed) = fill(&tenancy, NewTenant::new(id("acme"), "Acme")).await;
    let project = NewTenant { parent: Some(acme.id.clone()), ..NewTenant::new(id("a-web"), "Web") };
    let (web, web_sealed) = fill(&tenancy, project).await;
    let (globex, kept) = fill(&tenancy, NewTenant::new(id("globex"), "Globex")).await;

    let known = tenancy.directory().get(&web.id).unwrap().unwrap();
    tenancy.delete_tenant(&admin(), &acme.id, Duration::from_secs(3600)).await.unwrap();
    assert!(known.closed().is_cancelled(), "the project of a deleted organisation went on");
    let token =
        tenancy.issue_token(&admin(), &web.id, scope(&web.id).principal(), Duration::from_secs(60)).await;
    assert_eq!(token.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let eraser = eraser(&tenancy);
    assert_eq!(eraser.round().await.unwrap().erased, [], "it was erased within its grace");
    tenancy.restore_tenant(&admin(), &acme.id).await.unwrap();
    assert!(tenancy.directory().get(&web.id).unwrap().unwrap().is_open());

    tenancy.delete_tenant(&admin(), &acme.id, Duration::ZERO).await.unwrap();
    let round = erase(&eraser, &[&acme.id, &web.id]).await;
    assert_eq!(round.erased, [web.id.clone(), acme.id.clone()], "an organisation goes last");
    is_gone(&tenancy, &acme, &sealed).await;
    is_gone(&tenancy, &web, &web_sealed).await;

    assert!(tenancy.directory().get(&globex.id).unwrap().unwrap().is_open());
    assert_eq!(tenancy.keys(&admin(), &globex.id, None, 10).await.unwrap().items.len(), 1);
    tenancy.data_keys().open(&scope(&globex.id), NOTE.row("n1"), &kept).await.unwrap();
    tenancy.shutdown().await;
}

#[tokio::test]
async fn a_step_that_cannot_be_done_yet_is_done_later_and_those_before_it_once() {
    let tenancy = Tenancy::open(TenancyDeps::memory(tokens()).unwrap()).await.unwrap();
    let (acme, sealed) = fill(&tenancy, NewTenant::new(id("acme"), "Acme")).await;
    tenancy.delete_tenant(&admin(), &acme.id, Duration::ZERO).await.unwrap();
    let fleet = Arc::new(Fleet::default());
    let leases = Arc::new(MemoryLeases::new(Arc::new(SystemClock)));
    let eraser =
        Eraser::new(&tenancy, leases.clone(), vec![fleet.clone()], ErasureConfig::default()).unwrap();
    let round = eraser.round().await.unwrap();
    assert_eq!((round.erased.len(), round.waiting), (0, vec![acme.id.clone()]));
    let begun = tenancy.restore_tenant(&admin(), &acme.id).await;
    assert_eq!(begun.unwrap_err().kind(), ErrorKind::Conflict, "erasing had begun");
    // What is sealed opens still: the fleet comes before the keys.
    tenancy.data_keys().open(&scope(&acme.id), NOTE.row("n1"), &sealed).await.unwrap();
    erase(&eraser, &[&acme.id]).await;
    is_gone(&tenancy, &acme, &sealed).await;
    assert_eq!(eraser.round().await.unwrap().erased, []);
    assert_eq!(fleet.0.load(std::sync::atomic::Ordering::SeqCst), 2, "a step that is done was done again");

    let held = leases;
    let other = Eraser::new(&tenancy, held.clone(), vec![], ErasureConfig::default()).unwrap();
    let (scope, ttl) = (admin(), Duration::from_secs(60));
    let lease = held.acquire(&scope, mcp_tenancy::erasure::ERASER_LEASE, "another", ttl).await;
    assert!(lease.unwrap().is_some(), "the lease was not given back");
    assert!(!other.round().await.unwrap().leads, "two replicas erase");
    tenancy.shutdown().await;
}

#[tokio::test]
async fn two_parts_of_one_name_and_a_long_grace_are_refused() {
    let tenancy = Tenancy::open(TenancyDeps::memory(tokens()).unwrap()).await.unwrap();
    let leases = Arc::new(MemoryLeases::new(Arc::new(SystemClock)));
    let twice: Vec<Arc<dyn mcp_core::erase::TenantEraser>> =
        vec![Arc::new(Fleet::default()), Arc::new(Fleet::default())];
    let error = Eraser::new(&tenancy, leases, twice, ErasureConfig::default()).unwrap_err();
    assert!(error.message().contains("`fleet`"), "{error}");
    tenancy.create_tenant(&admin(), NewTenant::new(id("acme"), "Acme")).await.unwrap();
    let long = tenancy.delete_tenant(&admin(), &id("acme"), Duration::from_secs(u64::MAX / 2_000_000)).await;
    assert_eq!(long.unwrap_err().kind(), ErrorKind::InvalidInput);
    let receipt = tenancy.erasure_receipt(&admin(), &id("acme")).await;
    assert_eq!(receipt.unwrap_err().kind(), ErrorKind::NotFound);
    let mut far = NewTenant::new(id("far"), "Far");
    far.profile.region = mcp_tenancy::tenant::Name::parse("us-east-1").unwrap();
    let error = tenancy.create_tenant(&admin(), far).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("`us-east-1`") && error.message().contains("`local`"), "{error}");
    tenancy.shutdown().await;
}

/// One of each that roles and policies keep, in memory and of what was asked.
async fn govern(authorization: &Authorization, tenant: &TenantId) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("ann").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::parse(["*"]).unwrap(),
    };
    let scope = Scope::new(tenant.clone(), Arc::new(principal));
    let name = RoleName::parse("admin").unwrap();
    let role = NewRole {
        name: name.clone(),
        description: String::new(),
        permissions: Permissions::parse(["tools:call"]).unwrap(),
        inherits: BTreeSet::new(),
    };
    authorization.roles().put(&scope, role, 0).await.unwrap();
    authorization.roles().assign(&scope, &PrincipalId::parse("bob").unwrap(), &name).await.unwrap();
    let text = "permit (principal, action, resource);".to_owned();
    let policy = PolicyText { language: Language::Cedar, text, data: serde_json::Map::new() };
    let version = authorization.policies().draft(&scope, NewPolicy::new(policy)).await.unwrap().head.version;
    authorization.policies().validate(&scope, version).await.unwrap();
    authorization.policies().activate(&scope, version, 0).await.unwrap();
    let access =
        Access::new(Action::named("tools:call").unwrap(), Resource::of(&scope, "tool", "t").unwrap());
    authorization.authorizer().authorize(&scope, &access).await.unwrap();
    scope
}

#[tokio::test]
async fn roles_and_policies_in_memory_go_and_what_was_asked_of_them() {
    let tenancy = Tenancy::open(TenancyDeps::memory(tokens()).unwrap()).await.unwrap();
    let authorization = Authorization::new(AuthorizationDeps::memory(Arc::new(LoggedDenials)).unwrap());
    let (acme, _) = fill(&tenancy, NewTenant::new(id("acme"), "Acme")).await;
    let (globex, _) = fill(&tenancy, NewTenant::new(id("globex"), "Globex")).await;
    let gone = govern(&authorization, &acme.id).await;
    let kept = govern(&authorization, &globex.id).await;
    tenancy.delete_tenant(&admin(), &acme.id, Duration::ZERO).await.unwrap();
    let leases = Arc::new(MemoryLeases::new(Arc::new(SystemClock)));
    let parts = authorization.erasers().to_vec();
    let eraser = Eraser::new(&tenancy, leases, parts.clone(), ErasureConfig::default()).unwrap();
    erase(&eraser, &[&acme.id]).await;

    let receipt = tenancy.erasure_receipt(&admin(), &acme.id).await.unwrap();
    let counts = |name: &str| {
        let step = receipt.steps.iter().find(|step| step.name == name).unwrap();
        step.erased.counts.iter().map(|(what, count)| format!("{what} {count}")).collect::<Vec<_>>()
    };
    assert_eq!(counts("authorization-memory"), ["policy_version 1", "role 1", "role_holder 1"]);
    assert_eq!(counts("authorization"), ["recorded_request 1"]);
    let (roles, policies) = (authorization.roles(), authorization.policies());
    assert_eq!(roles.roles(&gone).await.unwrap(), []);
    assert_eq!(policies.active(&gone).await.unwrap(), 0);
    assert_eq!(policies.versions(&gone, None, 10).await.unwrap().items, []);
    for part in &parts {
        assert_eq!(part.erase(&admin(), &acme.id).await.unwrap().total(), 0, "{part:?} had something left");
    }
    assert_eq!(roles.roles(&kept).await.unwrap().len(), 1);
    assert_eq!(policies.dry_run(&kept, policies.active(&kept).await.unwrap()).await.unwrap().requests, 1);
    tenancy.shutdown().await;
}
