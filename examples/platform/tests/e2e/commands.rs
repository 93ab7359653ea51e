//! The command line, without a server running.

use std::path::PathBuf;

use serde_json::{Value, json};
use sqlx::{Connection as _, Row as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::support::{
    Served, binary,
    bounded::{self, LIMIT},
};

fn nothing_served() -> Served {
    Served::prepare(&json!({}), "")
}

/// What is complained about.
fn refused(served: &Served, arguments: &[&str]) -> String {
    let done = served.try_command(arguments);
    assert!(!done.status.success(), "{arguments:?} succeeded");
    String::from_utf8(done.stderr).unwrap()
}

#[test]
fn tenants_are_created_listed_suspended_and_resumed() {
    let served = nothing_served();
    let create = ["tenant", "create", "acme", "--name", "Acme Corp", "--feature", "ml_inference"];
    let created = served.command(&create);
    assert_eq!((&created["name"], &created["status"]), (&json!("Acme Corp"), &json!("active")));
    let again = refused(&served, &create);
    assert!(again.contains("acme"), "{again}");
    assert_eq!(served.command(&["tenant", "suspend", "acme"])["status"], "suspended");
    let token = refused(&served, &["token", "issue", "acme"]);
    assert!(token.contains("suspended"), "{token}");
    assert_eq!(served.command(&["tenant", "resume", "acme"])["status"], "active");
    let listed = served.command(&["tenant", "list"]);
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let unknown = refused(&served, &["tenant", "show", "nobody"]);
    assert!(unknown.contains("nobody"), "{unknown}");
    let malformed = refused(&served, &["tenant", "create", "Not-Valid"]);
    assert!(malformed.contains("a-z"), "{malformed}");
}

#[test]
fn a_tenant_is_deleted_and_restored() {
    let served = nothing_served();
    served.command(&["tenant", "create", "acme"]);
    assert_eq!(served.command(&["tenant", "create", "web", "--parent", "acme"])["parent"], "acme");
    assert_eq!(served.command(&["tenant", "delete", "acme", "--grace-days", "3"])["status"], "deleting");
    let token = refused(&served, &["token", "issue", "web"]);
    assert!(token.contains("organisation") && token.contains("deleted"), "{token}");
    let receipt = refused(&served, &["tenant", "receipt", "acme"]);
    assert!(receipt.contains("acme"), "{receipt}");
    assert_eq!(served.command(&["tenant", "restore", "acme"])["status"], "active");
    served.command(&["token", "issue", "web"]);
    let long = refused(&served, &["tenant", "delete", "acme", "--grace-days", "4000"]);
    assert!(long.contains("3650 days"), "{long}");
}

#[test]
fn the_same_idempotency_key_creates_a_tenant_once() {
    let served = nothing_served();
    let create = ["tenant", "create", "acme", "--idempotency-key", "k1"];
    assert_eq!(served.command(&create)["revision"], served.command(&create)["revision"]);
}

#[test]
fn a_key_is_shown_once_and_never_stored() {
    let served = nothing_served();
    served.command(&["tenant", "create", "acme"]);
    let created = served.command(&["key", "create", "acme", "--permission", "tools:call"]);
    let (text, id) = (created["key"].as_str().unwrap(), created["id"].as_str().unwrap());
    let secret = text.rsplit('_').next().unwrap();
    let listed = served.command(&["key", "list", "acme"]);
    assert_eq!(listed[0]["id"], id);
    assert!(!listed.to_string().contains(secret));
    for file in std::fs::read_dir(served.path().join("mcp-platform-data")).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        assert!(!found, "the secret is in {}", file.path().display());
    }
    assert_ne!(served.command(&["key", "revoke", "acme", id])[0]["revoked_at"], Value::Null);
}

#[test]
fn the_printed_configuration_reads_back() {
    let served = nothing_served();
    let printed = served.try_command(&["config"]);
    assert!(printed.status.success());
    std::fs::write(served.path().join("mcp-platform.toml"), &printed.stdout).unwrap();
    let again = served.try_command(&["config"]);
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert_eq!(again.stdout, printed.stdout);
}

/// Every database of the platform.
fn databases(directory: PathBuf) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(databases(path)),
            path if path.extension().is_some_and(|name| name == "db") => found.push(path),
            _ => {}
        }
    }
    found
}

/// Alters one sealed record, as somebody with access to the file can; its id.
async fn alter_a_sealed_record(databases: &[PathBuf]) -> String {
    for file in databases {
        let options = SqliteConnectOptions::new().filename(file);
        let mut conn = SqliteConnection::connect_with(&options).await.unwrap();
        let sealed = sqlx::query("SELECT record_id FROM audit_seal LIMIT 1").fetch_optional(&mut conn).await;
        let Some(record) = sealed.unwrap().map(|row| row.get::<String, _>(0)) else { continue };
        sqlx::query("DROP TRIGGER audit_freeze").execute(&mut conn).await.unwrap();
        let alter = sqlx::query("UPDATE audit SET actor = 'nobody' WHERE id = $1").bind(&record);
        assert_eq!(alter.execute(&mut conn).await.unwrap().rows_affected(), 1);
        conn.close().await.unwrap();
        return record;
    }
    panic!("no record is sealed in {databases:?}");
}

#[tokio::test]
async fn verification_of_an_altered_log_fails_and_names_the_record() {
    let mut served = Served::start(&json!({}), "");
    served.command(&["tenant", "create", "acme"]);
    // On its way down it seals what is there.
    assert!(served.stop().success());
    let verify = || {
        let mut command = binary();
        bounded::output(command.args(["audit", "verify"]).current_dir(served.path()), LIMIT)
    };
    let intact = verify();
    let said = String::from_utf8_lossy(&intact.stdout).into_owned();
    assert_eq!(intact.status.code(), Some(0), "{said}");

    let record = alter_a_sealed_record(&databases(served.path().join("mcp-platform-data"))).await;
    let damaged = verify();
    let said = String::from_utf8_lossy(&damaged.stdout).into_owned();
    assert_eq!(damaged.status.code(), Some(1), "{said}");
    let problem = said.lines().find(|line| line.contains(&record));
    assert!(problem.is_some_and(|line| line.contains("chain ") && line.contains("link ")), "{said}");
    let report = served.try_command(&["audit", "verify"]);
    assert_eq!(report.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!((&report["intact"], &report["problems"][0]["record_id"]), (&json!(false), &json!(record)));
}

#[test]
fn declared_tenants_are_loaded_at_start() {
    let yaml =
        "tenants:\n  tenant-123:\n    name: \"Acme Corp\"\n    limits:\n      requests_per_minute: 1000\n";
    let mut served = Served::prepare(&json!({}), "[data]\ntenants_file = \"tenants.yaml\"\n");
    std::fs::write(served.path().join("tenants.yaml"), yaml).unwrap();
    served.run();
    assert_eq!(served.command(&["tenant", "show", "tenant-123"])["limits"]["requests_per_minute"], 1000);
    assert!(served.stop().success());
}
