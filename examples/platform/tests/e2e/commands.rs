//! The command line, without a server running.

use serde_json::{Value, json};

use crate::support::Served;

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
