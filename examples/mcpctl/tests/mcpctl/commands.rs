//! What each command does.

use serde_json::json;

use crate::support::{json, run, running, said, tenant, text};

#[test]
fn tenants_are_made_listed_suspended_and_resumed() {
    let operator = &running().operator;
    let create = ["tenants", "create", "made", "--name", "Made Corp", "--requests-per-minute", "1000"];
    let made = json(operator, &[&create[..], &["--feature", "a", "--feature", "b"]].concat());
    assert_eq!(made["limits"]["requests_per_minute"], 1000);
    assert_eq!((&made["name"], &made["features"]), (&json!("Made Corp"), &json!(["a", "b"])));
    let table = text(operator, &["tenants", "list"]);
    assert!(table.starts_with("TENANT"), "{table}");
    let line = table.lines().find(|line| line.starts_with("made ")).unwrap();
    assert!(
        line.contains("Made Corp") && line.contains("active") && line.ends_with("1000          a b"),
        "{line}"
    );
    assert_eq!(json(operator, &["tenants", "suspend", "made"])["status"], "suspended");
    assert_eq!(json(operator, &["tenants", "show", "made"])["status"], "suspended");
    assert_eq!(json(operator, &["tenants", "resume", "made"])["status"], "active");
}

#[test]
fn tenants_are_deleted_listed_and_restored() {
    let operator = &running().operator;
    json(operator, &["tenants", "create", "org"]);
    assert_eq!(json(operator, &["tenants", "create", "part", "--parent", "org"])["parent"], "org");
    assert_eq!(json(operator, &["tenants", "delete", "org", "--grace-days", "3"])["status"], "deleting");
    let listed = json(operator, &["tenants", "list", "--status", "deleting"]);
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(json(operator, &["tenants", "list", "--parent", "org"])[0]["id"], "part");
    let none = run(operator, &["tenants", "receipt", "org"]);
    assert!(!none.status.success() && said(&none).contains("org"), "{none:?}");
    assert_eq!(json(operator, &["tenants", "restore", "org"])["status"], "active");
}

#[test]
fn trying_again_with_an_idempotency_key_makes_one_tenant() {
    let create = ["tenants", "create", "once", "--idempotency-key", "k1"];
    let first = json(&running().operator, &create);
    assert_eq!(json(&running().operator, &create), first);
}

#[test]
fn long_lists_come_whole() {
    let operator = &running().operator;
    tenant("many");
    for n in 0..205 {
        let name = format!("key {n}");
        json(
            operator,
            &["keys", "create", "--tenant", "many", "--permission", "audit:read", "--name", &name],
        );
    }
    let keys = json(operator, &["keys", "list", "--tenant", "many"]);
    assert_eq!(keys.as_array().unwrap().len(), 206);
}

#[test]
fn an_operator_and_a_tenant_make_and_revoke_keys() {
    let operator = &running().operator;
    let tenants_key = tenant("keys");
    let printed = text(&tenants_key, &["keys", "create", "--permission", "tools:call", "--name", "ci"]);
    assert!(printed.starts_with("mcpk_") && printed.lines().count() == 1, "{printed}");
    let id = printed.split('_').nth(1).unwrap();
    for (key, whose) in [(&tenants_key, &[][..]), (operator, &["--tenant", "keys"])] {
        let table = text(key, &[&["keys", "list"], whose].concat());
        assert!(
            table.contains(id) && table.contains("tools:call") && !table.contains(printed.trim()),
            "{table}"
        );
    }
    let revoked = json(operator, &["keys", "revoke", id, "--tenant", "keys"]);
    assert!(revoked["revoked_at"].is_string(), "{revoked}");
    assert_eq!(run(printed.trim(), &["servers", "list"]).status.code(), Some(3));
}

#[test]
fn servers_are_shown_to_each_as_they_may_see_them() {
    let operator = &running().operator;
    let tenants_key = tenant("servers");
    assert_eq!(json(&tenants_key, &["servers", "list"])[0]["name"], "calm");
    assert!(text(&tenants_key, &["servers", "show", "calm"]).contains("SHARED"));
    assert_eq!(json(operator, &["servers", "show", "calm"])[0]["state"], "stopped");
    assert!(text(operator, &["servers", "list"]).contains("REASON"));
    assert_eq!(text(operator, &["servers", "logs", "calm", "--tenant", "servers"]), "");
    run(operator, &["servers", "restart", "calm"]);
    let records = json(operator, &["audit", "list"]);
    assert!(
        records.as_array().unwrap().iter().any(|record| record["action"] == "server.restart"),
        "{records}"
    );
}

#[test]
fn contexts_are_made_appended_to_read_and_deleted() {
    let key = tenant("contexts");
    let create = ["contexts", "create", "--user", "ann", "--session", "s-1", "--data", r#"{"lang": "de"}"#];
    let made = json(&key, &[&create[..], &["--idempotency-key", "k1"]].concat());
    assert_eq!(json(&key, &[&create[..], &["--idempotency-key", "k1"]].concat()), made);
    let id = made["context_id"].as_str().unwrap();
    let append = |role: &str, text: &str, version: &str| {
        run(&key, &["contexts", "append", id, text, "--role", role, "--expected-version", version])
    };
    assert!(append("user", "Where is my\norder?", "1").status.success());
    assert!(append("assistant", "On its way.", "2").status.success());
    let stale = append("user", "late", "1");
    assert_eq!(stale.status.code(), Some(5));
    assert!(said(&stale).contains("the current version is 3"), "{}", said(&stale));

    let shown = text(&key, &["contexts", "show", id]);
    for part in ["CONTEXT", "ann", "s-1", r#""lang": "de""#, "Where is my�order?", "On its way.", "assistant"]
    {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let last = json(&key, &["contexts", "show", id, "--messages", "1"]);
    let history = &last["data"]["conversation_history"];
    assert_eq!((history.as_array().unwrap().len(), &history[0]["seq"]), (1, &json!(2)), "{last}");
    json(&key, &["contexts", "create", "--user", "bob"]);
    assert_eq!(json(&key, &["contexts", "list"]).as_array().unwrap().len(), 2);
    let of_ann = json(&key, &["contexts", "list", "--user", "ann", "--session", "s-1"]);
    assert_eq!((of_ann.as_array().unwrap().len(), &of_ann[0]["context_id"]), (1, &json!(id)));

    let delete = |version: &str| run(&key, &["contexts", "delete", id, "--expected-version", version]);
    assert_eq!(delete("2").status.code(), Some(5));
    assert!(delete("3").status.success());
    assert_eq!(run(&key, &["contexts", "show", id]).status.code(), Some(4));
}

#[test]
fn memories_are_remembered_recalled_and_forgotten() {
    let key = tenant("memories");
    let remember = ["memories", "remember", "user/ann", "Ann likes green tea", "--metadata", r#"{"n": 1}"#];
    let remembered = json(&key, &remember);
    assert_eq!(json(&key, &remember)["id"], remembered["id"], "remembered twice");
    json(&key, &["memories", "remember", "user/bob", "Bob likes tea"]);
    let recalled = json(&key, &["memories", "recall", "user/ann", "tea", "--limit", "5"]);
    let items = recalled["items"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["text"]), (1, &json!("Ann likes green tea")), "{recalled}");
    assert_eq!(items[0]["metadata"], json!({ "n": 1 }));
    assert!(text(&key, &["memories", "recall", "user/ann", "tea"]).contains("green tea"));
    let id = remembered["id"].as_str().unwrap();
    assert!(run(&key, &["memories", "forget", id]).status.success());
    assert_eq!(run(&key, &["memories", "forget", id]).status.code(), Some(4));
    assert_eq!(json(&key, &["memories", "recall", "user/ann", "tea"])["items"], json!([]));
}

#[test]
fn the_audit_log_is_read_and_verified() {
    let operator = &running().operator;
    let tenants_key = tenant("audited");
    assert_eq!(run(&tenants_key, &["tenants", "show", "another"]).status.code(), Some(3));
    let created = |record: &serde_json::Value| {
        record["action"] == "tenant.create" && record["resource"] == "tenant/audited"
    };
    let records = json(operator, &["audit", "list", "--limit", "1000"]);
    assert!(records.as_array().unwrap().iter().any(created), "{records}");
    assert_eq!(json(operator, &["audit", "list", "--limit", "2"]).as_array().unwrap().len(), 2);
    assert!(text(&tenants_key, &["audit", "list"]).starts_with("TIME"));
    assert!(text(operator, &["audit", "list", "--tenant", "audited"]).starts_with("TIME"));
    assert!(text(operator, &["audit", "verify"]).ends_with("The audit log is intact.\n"));
    assert_eq!(json(operator, &["audit", "verify"])["intact"], true);
}

#[test]
fn shells_complete_the_words() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text("unused", &["completion", shell]);
        assert!(script.contains("tenants") && script.contains("suspend"), "{shell}");
    }
}
