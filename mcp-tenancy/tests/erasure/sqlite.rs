//! On SQLite: a file of the tenant's own, and rows in a file that tenants share.

use std::{collections::BTreeMap, path::Path};

use mcp_core::{
    audit::AuditRecord,
    conformance::{Cut, cancel_at},
    event::Event,
    key::MasterKey,
    sql::{
        IsolationMode, Migration, Migrations,
        sqlite::{SqliteConfig, SqliteEraser, SqliteKernel},
    },
};
use mcp_tenancy::{
    SQLITE_MIGRATIONS, TenancyDeps,
    tenant::{Name, Regions, SqliteTenantStore, TierModes},
};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};

use super::*;

/// What a crate of tomorrow brings.
const LATER: Migrations = Migrations {
    name: "later",
    control: &[],
    tenant: &[Migration {
        version: 1,
        name: "notes",
        sql: "CREATE TABLE note (tenant_id TEXT NOT NULL, id INTEGER NOT NULL, text TEXT NOT NULL,
                                 PRIMARY KEY (tenant_id, id)) STRICT, WITHOUT ROWID;
              CREATE VIRTUAL TABLE note_words USING fts5 (text);
              CREATE TRIGGER note_words_added AFTER INSERT ON note
              BEGIN INSERT INTO note_words (rowid, text) VALUES (new.id, new.text); END;
              CREATE TRIGGER note_words_removed AFTER DELETE ON note
              BEGIN DELETE FROM note_words WHERE rowid = old.id; END;",
    }],
};

async fn open(directory: &Path) -> SqliteKernel {
    let mut config = SqliteConfig::new(directory);
    config.modes = vec![IsolationMode::Database, IsolationMode::Row];
    config.regions.insert("eu-west-1".to_owned(), directory.join("eu"));
    SqliteKernel::open(config, &[SQLITE_MIGRATIONS, LATER], Arc::new(SystemClock)).await.unwrap()
}

async fn tenancy(kernel: &SqliteKernel, mode: IsolationMode, settle: Duration) -> Tenancy {
    let modes = TierModes::all(mode);
    let mut deps = TenancyDeps::sqlite(kernel, modes.clone(), MasterKey::ephemeral().unwrap(), tokens());
    deps.regions = Regions::default().with(Name::parse("eu-west-1").unwrap());
    deps.tenants = Arc::new(SqliteTenantStore::new(kernel.clone(), modes).with_regions(deps.regions.clone()));
    deps.erasers = vec![Arc::new(SqliteEraser::new(kernel.clone(), settle))];
    Tenancy::open(deps).await.unwrap()
}

/// Rows beside those of the tenancy: more than one batch of notes, an event, an audit record.
async fn write(kernel: &SqliteKernel, tenant: &TenantId, first: i64, notes: i64) {
    let mut tx = kernel.begin(&scope(tenant)).await.unwrap();
    for note in first..first + notes {
        sqlx::query("INSERT INTO note (tenant_id, id, text) VALUES (?, ?, ?)")
            .bind(tenant.as_str())
            .bind(note)
            .bind(format!("gloriously{tenant}"))
            .execute(tx.conn())
            .await
            .unwrap();
    }
    tx.emit(Event::new("note.created.v1", "/notes", serde_json::json!({}))).await.unwrap();
    tx.audit(AuditRecord::done(&scope(tenant), "note.create", "note/1")).await.unwrap();
    tx.commit().await.unwrap();
}

/// Every row of every table of a database file that names the tenant, in text.
async fn rows(file: &Path, tenant: &TenantId) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    if !file.exists() {
        return found;
    }
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut conn = sqlx::ConnectOptions::connect(&options).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT t.name FROM pragma_table_list AS t WHERE t.schema = 'main' AND t.type IN ('table', 'virtual')
           AND EXISTS (SELECT 1 FROM pragma_table_info(t.name) AS c WHERE c.name = 'tenant_id')",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    for table in tables {
        let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?)")
            .bind(&table)
            .fetch_all(&mut conn)
            .await
            .unwrap();
        let columns: Vec<_> = columns.iter().map(|column| format!("quote(\"{column}\")")).collect();
        let sql = format!(
            "SELECT {} AS row FROM \"{table}\" WHERE tenant_id = ? ORDER BY 1",
            columns.join(" || ',' || ")
        );
        let rows = sqlx::query(AssertSqlSafe(sql)).bind(tenant.as_str()).fetch_all(&mut conn).await.unwrap();
        if !rows.is_empty() {
            found.insert(table, rows.iter().map(|row| row.get("row")).collect());
        }
    }
    found
}

fn files_of(directory: &Path, tenant: &TenantId) -> Vec<String> {
    let names = std::fs::read_dir(directory.join("tenants")).unwrap().map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.into_string().unwrap());
    names.filter(|name| name.starts_with(&format!("{tenant}.db"))).collect()
}

async fn actions(kernel: &SqliteKernel, tenant: &TenantId) -> Vec<String> {
    let mut read = kernel.control_read(&admin()).await.unwrap();
    sqlx::query_scalar("SELECT action FROM audit WHERE resource = ? AND action LIKE 'tenant.%' ORDER BY seq")
        .bind(format!("tenant/{tenant}"))
        .fetch_all(read.conn())
        .await
        .unwrap()
}

async fn nothing_is_left(mode: IsolationMode) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let kernel = open(path).await;
    let tenancy = tenancy(&kernel, mode, Duration::ZERO).await;
    let (acme, sealed) = fill(&tenancy, NewTenant::new(id("acme"), "Acme")).await;
    let (globex, kept) = fill(&tenancy, NewTenant::new(id("globex"), "Globex")).await;
    write(&kernel, &acme.id, 0, 1201).await;
    write(&kernel, &globex.id, 10_000, 3).await;
    let files = [path.join("control.db"), path.join("shared.db"), path.join("tenants/globex.db")];
    let mut before = Vec::new();
    for file in &files {
        before.push(rows(file, &globex.id).await);
    }
    assert!(before[0].contains_key("api_key") && before.iter().any(|rows| rows.contains_key("note")));

    tenancy.delete_tenant(&admin(), &acme.id, Duration::ZERO).await.unwrap();
    let eraser = eraser(&tenancy);
    erase(&eraser, &[&acme.id]).await;
    is_gone(&tenancy, &acme, &sealed).await;

    let left = rows(&files[0], &acme.id).await;
    assert_eq!(left.keys().collect::<Vec<_>>(), ["closed_placement", "data_key"], "{left:?}");
    assert!(left["data_key"].iter().all(|row| row.contains("NULL")), "a wrapped key is left: {left:?}");
    assert_eq!(rows(&files[1], &acme.id).await, BTreeMap::new());
    assert_eq!(files_of(path, &acme.id), [""; 0]);
    for (file, before) in files.iter().zip(before) {
        assert_eq!(rows(file, &globex.id).await, before, "{} changed", file.display());
    }
    tenancy.data_keys().open(&scope(&globex.id), NOTE.row("n1"), &kept).await.unwrap();
    assert_eq!(kernel.begin(&scope(&acme.id)).await.unwrap_err().kind(), ErrorKind::NotFound);
    kernel.migrate(&admin()).await.unwrap();
    assert_eq!(files_of(path, &acme.id), [""; 0], "migrating made its file again");

    // A program from before finds a status that it knows and refuses.
    let mut read = kernel.control_read(&admin()).await.unwrap();
    let status: String = sqlx::query_scalar("SELECT status FROM tenant WHERE id = 'acme'")
        .fetch_one(read.conn())
        .await
        .unwrap();
    assert_eq!(status, "suspended");
    drop(read);

    let receipt = tenancy.erasure_receipt(&admin(), &acme.id).await.unwrap();
    let database = &receipt.steps.iter().find(|step| step.name == "database").unwrap().erased;
    assert_eq!(database.counts["note"], 1201, "{database:?}");
    assert_eq!(database.counts["api_key"], 1, "{database:?}");
    assert!(receipt.last_link().unwrap().unsealed >= 1, "{database:?}");
    if mode == IsolationMode::Row {
        // The guards of the audit log are back.
        let mut tx = kernel.begin(&scope(&globex.id)).await.unwrap();
        let refused = sqlx::query("DELETE FROM audit WHERE tenant_id = 'globex'").execute(tx.conn()).await;
        assert!(refused.unwrap_err().to_string().contains("append-only"));
        drop(tx);
    }
    let expected = ["tenant.create", "tenant.delete", "tenant.erasing", "tenant.erase"];
    assert_eq!(actions(&kernel, &acme.id).await, expected);
    tenancy.shutdown().await;
    kernel.close().await;
    if mode == IsolationMode::Row {
        vacuum(&path.join("shared.db")).await;
        let shared = std::fs::read(path.join("shared.db")).unwrap();
        let words = |word: &[u8]| shared.windows(word.len()).filter(|bytes| *bytes == word).count();
        assert_eq!(words(b"gloriouslyacme"), 0, "words of erased notes are left in the file");
        assert!(words(b"gloriouslyglobex") > 3);
    }
}

/// What an operator does for the remains of rows in the gaps of pages.
async fn vacuum(file: &Path) {
    let mut conn = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::query("VACUUM").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_in_mode_database() {
    nothing_is_left(IsolationMode::Database).await;
}

#[tokio::test]
async fn nothing_is_left_in_mode_row() {
    nothing_is_left(IsolationMode::Row).await;
}

/// A process that is cut at awaits all along the erasure: the next one ends it, and the receipt is as if nothing had
/// happened.
async fn cut_anywhere(mode: IsolationMode) {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    let tenancy = tenancy(&kernel, mode, Duration::ZERO).await;
    for polls in (1..600).step_by(7) {
        let (tenant, sealed) = fill(&tenancy, NewTenant::new(id(&format!("t{polls}")), "T")).await;
        write(&kernel, &tenant.id, polls as i64 * 1000, 2).await;
        tenancy.delete_tenant(&admin(), &tenant.id, Duration::ZERO).await.unwrap();
        let cut = cancel_at(polls, eraser(&tenancy).round()).await;
        if !matches!(cut, Cut::Completed(_)) {
            eraser(&tenancy).round().await.unwrap();
        }
        is_gone(&tenancy, &tenant, &sealed).await;
        let left = rows(&directory.path().join("control.db"), &tenant.id).await;
        assert_eq!(left.keys().collect::<Vec<_>>(), ["closed_placement", "data_key"], "cut at {polls}");
        assert_eq!(rows(&directory.path().join("shared.db"), &tenant.id).await, BTreeMap::new());
        assert_eq!(files_of(directory.path(), &tenant.id), [""; 0], "cut at {polls}");
        let receipt = tenancy.erasure_receipt(&admin(), &tenant.id).await.unwrap();
        let database = &receipt.steps.iter().find(|step| step.name == "database").unwrap().erased;
        assert_eq!(database.counts["note"], 2, "cut at {polls}: {receipt:?}");
        let expected = ["tenant.create", "tenant.delete", "tenant.erasing", "tenant.erase"];
        assert_eq!(actions(&kernel, &tenant.id).await, expected, "cut at {polls}");
        if matches!(cut, Cut::Completed(_)) {
            assert!(polls > 10, "there was nothing to cut");
            tenancy.shutdown().await;
            kernel.close().await;
            return;
        }
    }
    panic!("no run was long enough to finish");
}

#[tokio::test]
async fn an_erasure_cut_anywhere_is_gone_on_with_in_mode_database() {
    cut_anywhere(IsolationMode::Database).await;
}

#[tokio::test]
async fn an_erasure_cut_anywhere_is_gone_on_with_in_mode_row() {
    cut_anywhere(IsolationMode::Row).await;
}

#[tokio::test]
async fn nothing_is_erased_while_another_process_may_not_have_heard() {
    let directory = tempfile::tempdir().unwrap();
    let kernel = open(directory.path()).await;
    let tenancy = tenancy(&kernel, IsolationMode::Database, Duration::from_secs(3600)).await;
    let (acme, _) = fill(&tenancy, NewTenant::new(id("acme"), "Acme")).await;
    tenancy.delete_tenant(&admin(), &acme.id, Duration::ZERO).await.unwrap();
    let round = eraser(&tenancy).round().await.unwrap();
    assert_eq!((round.erased, round.waiting), (vec![], vec![acme.id.clone()]));
    assert!(!files_of(directory.path(), &acme.id).is_empty(), "the file went too early");
    assert_eq!(kernel.begin(&scope(&acme.id)).await.unwrap_err().kind(), ErrorKind::NotFound, "it is open");
    tenancy.shutdown().await;
    kernel.close().await;
}

#[tokio::test]
async fn a_regions_tenants_live_in_its_directory() {
    for mode in [IsolationMode::Database, IsolationMode::Row] {
        let directory = tempfile::tempdir().unwrap();
        let (path, eu) = (directory.path(), directory.path().join("eu"));
        let kernel = open(path).await;
        let tenancy = tenancy(&kernel, mode, Duration::ZERO).await;
        let mut new = NewTenant::new(id("acme"), "Acme");
        new.profile.region = Name::parse("eu-west-1").unwrap();
        let (acme, sealed) = fill(&tenancy, new).await;
        let (globex, _) = fill(&tenancy, NewTenant::new(id("globex"), "Globex")).await;
        write(&kernel, &acme.id, 1, 2).await;
        write(&kernel, &globex.id, 10, 2).await;
        let placement = kernel.placement(&admin(), &acme.id).await.unwrap();
        assert_eq!((placement.region.as_deref(), placement.ready), (Some("eu-west-1"), true));
        let (own, shared) = ("tenants/acme.db", "shared.db");
        let (here, there) = match mode {
            IsolationMode::Row => (path.join(shared), eu.join(shared)),
            _ => (path.join(own), eu.join(own)),
        };
        assert_eq!(rows(&here, &acme.id).await, BTreeMap::new(), "data of the region is elsewhere");
        assert_eq!(rows(&there, &acme.id).await["note"].len(), 2);
        assert_eq!(rows(&there, &globex.id).await, BTreeMap::new());

        // A program that knows no regions sees a place that is not ready.
        let mut read = kernel.control_read(&admin()).await.unwrap();
        let ready: bool = sqlx::query_scalar("SELECT ready FROM placement WHERE tenant_id = 'acme'")
            .fetch_one(read.conn())
            .await
            .unwrap();
        assert!(!ready);
        drop(read);

        tenancy.delete_tenant(&admin(), &acme.id, Duration::ZERO).await.unwrap();
        erase(&eraser(&tenancy), &[&acme.id]).await;
        is_gone(&tenancy, &acme, &sealed).await;
        assert_eq!(rows(&there, &acme.id).await, BTreeMap::new());
        assert_eq!(files_of(&eu, &acme.id), [""; 0]);
        tenancy.shutdown().await;
        kernel.close().await;
    }
}
