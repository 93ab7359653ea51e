//! What is particular to the SQLite kernel: its files, and two processes on one directory.
#![cfg(feature = "sqlite")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use mcp_core::{
    ErrorKind,
    clock::SystemClock,
    scope::{Permissions, PlatformScope, Principal, PrincipalId, PrincipalKind, Scope, TenantId},
    sql::{
        IsolationMode, Migration, Migrations,
        sqlite::{SqliteConfig, SqliteKernel},
    },
};

const NOTES: Migrations = Migrations {
    name: "notes",
    control: &[],
    tenant: &[Migration {
        version: 1,
        name: "notes",
        sql: "CREATE TABLE note (tenant_id TEXT NOT NULL, id TEXT NOT NULL, PRIMARY KEY (tenant_id, id)) STRICT",
    }],
};

fn platform() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("test").unwrap(), "test")
}

fn scope(tenant: &str) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("u1").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::default(),
    };
    Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
}

async fn open(directory: &std::path::Path) -> SqliteKernel {
    SqliteKernel::open(SqliteConfig::new(directory), &[NOTES], Arc::new(SystemClock)).await.unwrap()
}

async fn create(kernel: &SqliteKernel, tenant: &str) {
    let tenant = TenantId::parse(tenant).unwrap();
    let mut tx = kernel.control(&platform()).await.unwrap();
    kernel.place(&mut tx, &tenant, IsolationMode::Database, None).await.unwrap();
    tx.commit().await.unwrap();
    kernel.provision(&platform(), &tenant).await.unwrap();
}

async fn write(kernel: &SqliteKernel, tenant: &str, id: &str) {
    let mut tx = kernel.begin(&scope(tenant)).await.unwrap();
    let insert = sqlx::query("INSERT INTO note (tenant_id, id) VALUES (?, ?)").bind(tenant).bind(id);
    insert.execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

async fn count(kernel: &SqliteKernel, tenant: &str) -> i64 {
    let mut read = kernel.read(&scope(tenant)).await.unwrap();
    let query = sqlx::query_scalar("SELECT count(*) FROM note WHERE tenant_id = ?").bind(tenant);
    query.fetch_one(read.conn()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_openers_of_one_new_directory_agree() {
    let directory = tempfile::tempdir().unwrap();
    let openers: Vec<_> = (0..8)
        .map(|n| {
            let path = directory.path().to_owned();
            tokio::spawn(async move {
                let kernel = open(&path).await;
                create(&kernel, &format!("t{n}")).await;
                for id in 0..5 {
                    write(&kernel, &format!("t{n}"), &id.to_string()).await;
                }
                kernel.close().await;
            })
        })
        .collect();
    for opener in openers {
        opener.await.unwrap();
    }
    let kernel = open(directory.path()).await;
    for n in 0..8 {
        assert_eq!(count(&kernel, &format!("t{n}")).await, 5);
    }
    assert_eq!(kernel.placements(&platform(), None, 100).await.unwrap().len(), 8);
}

#[tokio::test]
async fn a_file_that_is_gone_does_not_come_back_empty() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    create(&kernel, "acme").await;
    write(&kernel, "acme", "n1").await;
    kernel.close().await;
    std::fs::remove_file(directory.path().join("tenants/acme.db")).unwrap();
    let kernel = open(directory.path()).await;
    let error = kernel.begin(&scope("acme")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error:?}");
    let error = kernel.provision(&platform(), &TenantId::parse("acme").unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupted, "{error:?}");
}

#[tokio::test]
async fn mode_schema_is_refused_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = SqliteConfig::new(directory.path());
    config.modes = vec![IsolationMode::Schema];
    let error = SqliteKernel::open(config, &[], Arc::new(SystemClock)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("`schema`"), "{error}");
}

#[tokio::test]
async fn more_tenants_than_files_may_stay_open() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = SqliteConfig::new(directory.path());
    config.open_tenants = 2;
    let kernel = SqliteKernel::open(config, &[NOTES], Arc::new(SystemClock)).await.unwrap();
    for n in 0..6 {
        create(&kernel, &format!("t{n}")).await;
    }
    for round in 0..3 {
        for n in 0..6 {
            write(&kernel, &format!("t{n}"), &round.to_string()).await;
        }
    }
    for n in 0..6 {
        assert_eq!(count(&kernel, &format!("t{n}")).await, 3);
    }
}

#[tokio::test]
async fn a_table_without_tenant_is_refused() {
    const BARE: Migrations = Migrations {
        name: "bare",
        control: &[],
        tenant: &[Migration { version: 1, name: "bare", sql: "CREATE TABLE bare (id TEXT) STRICT" }],
    };
    let directory = tempfile::tempdir().unwrap();
    let config = SqliteConfig::new(directory.path());
    let kernel = SqliteKernel::open(config, &[BARE], Arc::new(SystemClock)).await.unwrap();
    let tenant = TenantId::parse("acme").unwrap();
    let mut tx = kernel.control(&platform()).await.unwrap();
    kernel.place(&mut tx, &tenant, IsolationMode::Database, None).await.unwrap();
    tx.commit().await.unwrap();
    let error = kernel.provision(&platform(), &tenant).await.unwrap_err();
    assert!(error.message().contains("`bare`"), "{error:?}");
}
