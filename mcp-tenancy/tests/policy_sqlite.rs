//! The suites of roles and policies on SQLite, and what only a database can show: that a change, its event
//! and its audit record are one.

#![expect(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are not test functions")]

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use mcp_core::{
    ErrorKind, Scope,
    clock::SystemClock,
    conformance::{platform, scope_of},
    scope::{Permissions, PrincipalId, TenantId},
    sql::{
        IsolationMode,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};
use mcp_tenancy::{
    SQLITE_MIGRATIONS,
    conformance::{self, Check, POLICY_STORE, ROLE_STORE, TENANTS},
    policy::{Language, NewPolicy, PolicyStore, PolicyText, SqlitePolicyStore},
    role::{NewRole, RoleName, RoleStore, SqliteRoleStore},
};
use tempfile::TempDir;

async fn open(directory: &Path, mode: IsolationMode) -> SqliteKernel {
    let mut config = SqliteConfig::new(directory);
    config.modes = vec![IsolationMode::Database, IsolationMode::Row];
    let kernel = SqliteKernel::open(config, &[SQLITE_MIGRATIONS], Arc::new(SystemClock)).await.unwrap();
    for tenant in TENANTS {
        let (scope, tenant) = (platform().unwrap(), TenantId::parse(tenant).unwrap());
        let mut tx = kernel.control(&scope).await.unwrap();
        kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
        tx.commit().await.unwrap();
        kernel.provision(&scope, &tenant).await.unwrap();
    }
    kernel
}

async fn kept_in<T: ?Sized>(mode: IsolationMode, suite: &[Check<T>], store: impl Fn(SqliteKernel) -> Arc<T>) {
    let directories = Mutex::new(Vec::<TempDir>::new());
    let report = conformance::run(suite, async || {
        let directory = tempfile::tempdir().unwrap();
        let kernel = open(directory.path(), mode).await;
        directories.lock().unwrap().push(directory);
        store(kernel)
    });
    if let Some(failures) = report.await.failures() {
        panic!("{failures}");
    }
}

#[tokio::test]
async fn role_store_in_every_mode() {
    for mode in [IsolationMode::Database, IsolationMode::Row] {
        kept_in(mode, ROLE_STORE, |kernel| Arc::new(SqliteRoleStore::new(kernel)) as Arc<dyn RoleStore>)
            .await;
    }
}

#[tokio::test]
async fn policy_store_in_every_mode() {
    for mode in [IsolationMode::Database, IsolationMode::Row] {
        kept_in(mode, POLICY_STORE, |kernel| {
            Arc::new(SqlitePolicyStore::new(kernel)) as Arc<dyn PolicyStore>
        })
        .await;
    }
}

async fn written(kernel: &SqliteKernel, scope: &Scope) -> (Vec<String>, i64) {
    let mut read = kernel.read(scope).await.unwrap();
    let actions = sqlx::query_scalar("SELECT action FROM audit WHERE tenant_id = ? ORDER BY seq")
        .bind(scope.tenant().as_str())
        .fetch_all(read.conn());
    let actions = actions.await.unwrap();
    let events = sqlx::query_scalar("SELECT count(*) FROM outbox WHERE tenant_id = ?")
        .bind(scope.tenant().as_str())
        .fetch_one(read.conn());
    (actions, events.await.unwrap())
}

#[tokio::test]
async fn every_change_is_audited_in_its_tenant_and_no_refusal_is() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path(), IsolationMode::Row).await;
    let (roles, policies) = (SqliteRoleStore::new(kernel.clone()), SqlitePolicyStore::new(kernel.clone()));
    let (scope, other) = (scope_of("acme").unwrap(), scope_of("globex").unwrap());
    let (name, robot) = (RoleName::parse("admin").unwrap(), PrincipalId::parse("robot").unwrap());
    let role = NewRole::new(name.clone(), Permissions::parse(["*"]).unwrap());

    roles.put(&scope, role.clone(), 0).await.unwrap();
    roles.put(&scope, role.clone(), 1).await.unwrap();
    roles.assign(&scope, &robot, &name).await.unwrap();
    roles.unassign(&scope, &robot, &name).await.unwrap();
    roles.delete(&scope, &name, 2).await.unwrap();
    let draft = NewPolicy::new(PolicyText::new(Language::Cedar, "permit (principal, action, resource);"));
    policies.draft(&scope, draft.clone()).await.unwrap();
    policies.mark_validated(&scope, 1).await.unwrap();
    policies.activate(&scope, 1, 0).await.unwrap();
    let after = written(&kernel, &scope).await;
    let expected = [
        "role.create",
        "role.update",
        "role.assign",
        "role.unassign",
        "role.delete",
        "policy.draft",
        "policy.validate",
        "policy.activate",
    ];
    assert_eq!(after, (expected.map(str::to_owned).to_vec(), expected.len() as i64));

    assert_eq!(roles.put(&scope, role, 7).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(roles.assign(&scope, &robot, &name).await.unwrap_err().kind(), ErrorKind::NotFound);
    roles.unassign(&scope, &robot, &name).await.unwrap();
    policies.mark_validated(&scope, 1).await.unwrap();
    policies.activate(&scope, 1, 1).await.unwrap();
    assert_eq!(policies.activate(&scope, 1, 0).await.unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(written(&kernel, &scope).await, after, "what changed nothing was written");
    assert_eq!(written(&kernel, &other).await, (Vec::new(), 0));
    kernel.close().await;
}
