//! Data keys in PostgreSQL: the suite, records in the transaction of the change, and who may do what.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use mcp_core::{
    clock::SystemClock,
    conformance::{PgTestDatabase, platform, run_data_key_store, scope_of},
    key::{
        Column, DataKeyStore, DataKeys, DataKeysConfig, MasterKey, MasterKeyVault, PostgresDataKeyStore,
        Sealed,
    },
    scope::TenantId,
    sql::{
        IsolationMode,
        postgres::{PgKernel, query, query_scalar},
    },
};

const TEXT: Column = Column::new("note", "text");

async fn kernel(database: &PgTestDatabase) -> PgKernel {
    PgKernel::install(&database.config, &[]).await.unwrap();
    PgKernel::connect(database.config.clone(), &[], Arc::new(SystemClock)).await.unwrap()
}

async fn place(kernel: &PgKernel, id: &str, mode: IsolationMode) {
    let (scope, tenant) = (platform().unwrap(), TenantId::parse(id).unwrap());
    let mut tx = kernel.control(&scope).await.unwrap();
    kernel.place(&mut tx, &tenant, mode, None).await.unwrap();
    tx.commit().await.unwrap();
    kernel.provision(&scope, &tenant).await.unwrap();
}

fn keys(kernel: &PgKernel, vault: &MasterKeyVault) -> DataKeys {
    let store = Arc::new(PostgresDataKeyStore::new(kernel.clone()));
    DataKeys::new(store, Arc::new(vault.clone()), Arc::new(SystemClock), DataKeysConfig::default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_postgres_store() {
    let database = PgTestDatabase::create().await.unwrap();
    let kernel = kernel(&database).await;
    let store: Arc<dyn DataKeyStore> = Arc::new(PostgresDataKeyStore::new(kernel.clone()));
    assert_eq!(run_data_key_store(&store).await.failures(), None);
    kernel.close().await;
    database.destroy().await.unwrap();
}

/// One place for the keys whatever the isolation mode is, and the tenant's own log for their unsealing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_of_any_mode_is_sealed_recorded_and_shredded() {
    let database = PgTestDatabase::create().await.unwrap();
    let (kernel, scope) = (kernel(&database).await, platform().unwrap());
    let vault = MasterKeyVault::new(MasterKey::ephemeral().unwrap());
    for mode in IsolationMode::ALL {
        let id = format!("in-{}", mode.as_str());
        let tenant = scope_of(&id).unwrap();
        place(&kernel, &id, mode).await;
        let (one, two) = (keys(&kernel, &vault), keys(&kernel, &vault));
        let sealed = one.seal(&tenant, TEXT.row("1"), b"private").await.unwrap();
        assert_eq!(two.rotate(&scope, tenant.tenant()).await.unwrap(), 2);
        let stored = Sealed::from_stored(sealed.into_bytes()).unwrap();
        let opened = two.reveal(&tenant, TEXT.row("1"), &stored).await.unwrap();
        assert_eq!(opened.expose(), b"private");
        assert_eq!(one.shred(&scope, tenant.tenant()).await.unwrap().keys, 2);
        assert!(keys(&kernel, &vault).open(&tenant, TEXT.row("1"), &stored).await.is_err());

        let mut read = kernel.read(&tenant).await.unwrap();
        let of_tenant: Vec<String> =
            query_scalar("SELECT action FROM audit WHERE tenant_id = $1 ORDER BY seq")
                .bind(&id)
                .fetch_all(read.conn())
                .await
                .unwrap();
        assert_eq!(of_tenant, ["secret.unseal", "secret.reveal"], "{mode:?}");
    }
    let mut read = kernel.control_read(&scope).await.unwrap();
    let above: Vec<String> =
        query_scalar("SELECT action FROM audit ORDER BY seq").fetch_all(read.conn()).await.unwrap();
    drop(read);
    let each = ["data_key.create", "data_key.rotate", "data_key.shred"];
    assert_eq!(above, each.repeat(3));
    kernel.close().await;
    database.destroy().await.unwrap();
}

/// The row of a destroyed key must stay, or the tenant would be given a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_platform_cannot_remove_keys_and_the_relay_cannot_read_them() {
    let database = PgTestDatabase::create().await.unwrap();
    let kernel = kernel(&database).await;
    let mut tx = kernel.control(&platform().unwrap()).await.unwrap();
    let refused = query("DELETE FROM data_key").execute(tx.conn()).await.unwrap_err();
    let code =
        |error: sqlx::Error| error.into_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
    assert_eq!(code(refused).as_deref(), Some("42501"));
    drop(tx);
    let mut admin = database.admin(None).await.unwrap();
    let readable: bool = query_scalar(
        "SELECT bool_or(has_table_privilege(replace($1, '_app', '_relay'), c.oid, 'SELECT'))
         FROM pg_class c WHERE c.relname = 'data_key'",
    )
    .bind(database.app_role())
    .fetch_one(&mut admin)
    .await
    .unwrap();
    assert!(!readable, "the relay reads data keys");
    sqlx::Connection::close(admin).await.unwrap();
    kernel.close().await;
    database.destroy().await.unwrap();
}

/// Two replicas, many tasks, no key yet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_need_the_first_key_at_once_get_one() {
    let database = PgTestDatabase::create().await.unwrap();
    let first = kernel(&database).await;
    let second = PgKernel::connect(database.config.clone(), &[], Arc::new(SystemClock)).await.unwrap();
    place(&first, "acme", IsolationMode::Row).await;
    let vault = MasterKeyVault::new(MasterKey::ephemeral().unwrap());
    let replicas = [Arc::new(keys(&first, &vault)), Arc::new(keys(&second, &vault))];
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..16_u8 {
        let keys = replicas[usize::from(n) % 2].clone();
        tasks.spawn(
            async move { (n, keys.seal(&scope_of("acme").unwrap(), TEXT.row("1"), &[n]).await.unwrap()) },
        );
    }
    for (n, sealed) in tasks.join_all().await {
        for keys in &replicas {
            let opened = keys.open(&scope_of("acme").unwrap(), TEXT.row("1"), &sealed).await.unwrap();
            assert_eq!(opened.expose(), &[n]);
        }
    }
    drop(replicas);
    first.close().await;
    second.close().await;
    database.destroy().await.unwrap();
}
