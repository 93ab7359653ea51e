//! Roles, policies, quotas, data keys and exports.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{json, run, running, said, tenant, text};

#[test]
fn roles_are_made_given_taken_and_deleted() {
    let key = tenant("roled");
    let made =
        json(&key, &["roles", "put", "viewer", "--permission", "contexts:read", "--description", "Reads."]);
    assert_eq!((&made["version"], &made["permissions"]), (&json!(1), &json!(["contexts:read"])));
    json(&key, &["roles", "put", "editor", "--permission", "contexts:write", "--inherit", "viewer"]);
    assert!(run(&key, &["roles", "give", "editor", "ann"]).status.success());
    assert_eq!(json(&key, &["roles", "of", "ann"])["roles"], json!(["editor", "viewer"]));
    assert_eq!(json(&key, &["roles", "holders", "editor"]), json!(["ann"]));
    assert!(text(&key, &["roles", "holders", "editor"]).contains("ann"));
    let stale = run(&key, &["roles", "put", "viewer", "--expected-version", "7"]);
    assert_eq!(stale.status.code(), Some(5));
    assert!(said(&stale).contains("the current version is 1"), "{}", said(&stale));
    let table = text(&key, &["roles", "list"]);
    assert!(table.starts_with("ROLE") && table.contains("Reads."), "{table}");
    assert!(run(&key, &["roles", "take", "editor", "ann"]).status.success());
    assert_eq!(json(&key, &["roles", "of", "ann"])["roles"], json!([]));
    assert!(run(&key, &["roles", "delete", "editor", "--expected-version", "1"]).status.success());
    assert_eq!(run(&key, &["roles", "show", "editor"]).status.code(), Some(4));
    assert_eq!(run(&running().operator, &["roles", "list"]).status.code(), Some(2));
}

#[test]
fn an_operator_makes_and_gives_roles_of_a_tenant_it_names() {
    let operator = &running().operator;
    let key = tenant("governed");
    let of = ["--tenant", "governed"];
    let as_operator = |arguments: &[&str]| json(operator, &[arguments, &of].concat());
    let made = as_operator(&["roles", "put", "admin", "--permission", "*"]);
    assert_eq!((&made["version"], &made["permissions"]), (&json!(1), &json!(["*"])));
    assert!(run(operator, &[&["roles", "give", "admin", "ann"][..], &of].concat()).status.success());
    // The tenant sees what was done, and by whom.
    assert_eq!(json(&key, &["roles", "of", "ann"])["permissions"], json!(["*"]));
    let changes = json(&key, &["audit", "list"]);
    let by_operator = |record: &&serde_json::Value| record["actor"] == "operator/operator:test";
    assert_eq!(changes.as_array().unwrap().iter().filter(by_operator).count(), 2, "{changes}");
    assert_eq!(as_operator(&["roles", "holders", "admin"]), json!(["ann"]));
    let taken = run(operator, &[&["roles", "take", "admin", "ann"][..], &of].concat());
    assert!(taken.status.success(), "{}", said(&taken));
    assert_eq!(as_operator(&["roles", "show", "admin"])["name"], "admin");
    assert_eq!(as_operator(&["roles", "list"]).as_array().unwrap().len(), 1);

    // What an operator may do is bounded by the tenant that the path names, and that there is one.
    tenant("ungoverned");
    assert_eq!(json(operator, &["roles", "list", "--tenant", "ungoverned"]), json!([]));
    assert_eq!(run(operator, &["roles", "list", "--tenant", "nobody-there"]).status.code(), Some(4));
    assert_eq!(run(&key, &["roles", "list", "--tenant", "ungoverned"]).status.code(), Some(2));
    assert!(run(operator, &["tenants", "delete", "ungoverned"]).status.success());
    let put = ["roles", "put", "late", "--tenant", "ungoverned"];
    assert_eq!(run(operator, &put).status.code(), Some(5), "nothing is given to a deleted tenant");
    assert_eq!(json(operator, &["roles", "list", "--tenant", "ungoverned"]), json!([]));
}

#[test]
fn an_operator_lets_a_tenant_that_denied_itself_everything_back_in() {
    let operator = &running().operator;
    let key = tenant("locked-out");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.cedar");
    std::fs::write(&file, "forbid (principal, action, resource);").unwrap();
    let of = ["--tenant", "locked-out"];
    let as_operator = |arguments: &[&str]| json(operator, &[arguments, &of].concat());
    let made = as_operator(&["policies", "create", file.to_str().unwrap()]);
    let version = made["version"].to_string();
    assert_eq!(made["author"], "operator/operator:test");
    assert_eq!(as_operator(&["policies", "validate", &version])["state"], "validated");
    assert_eq!(as_operator(&["policies", "dry-run", &version])["failed"], 0);
    assert_eq!(as_operator(&["policies", "activate", &version])["version"].to_string(), version);
    assert_eq!(run(&key, &["servers", "list"]).status.code(), Some(3));
    assert_eq!(as_operator(&["policies", "active"])["version"].to_string(), version);
    assert_eq!(as_operator(&["policies", "list"])[0]["state"], "active");
    assert_eq!(as_operator(&["policies", "show", &version])["policy"]["language"], "cedar");
    assert_eq!(as_operator(&["policies", "activate", "0"])["version"], 0);
    assert!(run(&key, &["servers", "list"]).status.success());
    let asked = run(operator, &["policies", "decide", "servers:read", "server/*"]);
    assert_eq!(asked.status.code(), Some(2), "an operator is no principal whom policies decide about");
}

#[test]
fn a_policy_is_written_validated_tried_and_activated() {
    let key = tenant("ruled");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policy.cedar");
    let create = |policy: &str| {
        std::fs::write(&file, policy).unwrap();
        json(&key, &["policies", "create", file.to_str().unwrap(), "--note", "a test"])["version"].to_string()
    };
    let broken = create("permit (principal, action, resource)\nwhen { context.permited };");
    let refused = run(&key, &["policies", "validate", &broken]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("line 2, column 8"), "{}", said(&refused));

    let good = create(
        "@id(\"all\") permit (principal, action, resource) when { context.permitted };\n\
         @id(\"no-servers\") forbid (principal, action == Mcp::Action::\"servers:read\", resource);",
    );
    assert!(run(&key, &["servers", "list"]).status.success());
    assert_eq!(json(&key, &["policies", "validate", &good])["state"], "validated");
    let tried = json(&key, &["policies", "dry-run", &good]);
    assert_eq!(tried["newly_denied"], 1, "{tried}");
    assert!(text(&key, &["policies", "dry-run", &good]).contains("no-servers"));
    assert_eq!(json(&key, &["policies", "active"])["version"], 0);
    assert_eq!(json(&key, &["policies", "activate", &good])["version"].to_string(), good);
    assert_eq!(run(&key, &["servers", "list"]).status.code(), Some(3));
    let decided = text(&key, &["policies", "decide", "servers:read", "server/*"]);
    assert!(decided.contains("false") && decided.contains("no-servers"), "{decided}");
    let table = text(&key, &["policies", "list"]);
    assert!(table.starts_with("VERSION") && table.contains("active") && table.contains("a test"), "{table}");
    assert!(text(&key, &["policies", "show", &good]).contains("@id(\"no-servers\")"));
    assert_eq!(run(&key, &["policies", "activate", "0", "--expected", "7"]).status.code(), Some(5));
    assert_eq!(json(&key, &["policies", "activate", "0"])["version"], 0);
    assert!(run(&key, &["servers", "list"]).status.success());
    let rego = run(&key, &["policies", "create", file.to_str().unwrap(), "--language", "rego"]);
    assert_eq!(rego.status.code(), Some(2), "{}", said(&rego));
}

#[test]
fn quotas_are_set_by_operators_and_seen_by_tenants() {
    let operator = &running().operator;
    let key = tenant("rationed");
    let which = ["--tenant", "rationed", "--meter", "tools.calls", "--period", "month"];
    let set = json(operator, &[&["quotas", "set"][..], &which, &["500"]].concat());
    assert_eq!((&set["amount"], &set["subject"]), (&json!(500), &json!("tenant")));
    assert_eq!(json(operator, &["quotas", "list", "--tenant", "rationed"])[0]["period"], "month");
    let each = ["quotas", "set", "--subject", "each_principal"];
    json(operator, &[&each[..], &which, &["50"]].concat());
    let of_tenant = json(operator, &["quotas", "usage", "--tenant", "rationed"]);
    assert_eq!(of_tenant.as_array().unwrap().len(), 1, "{of_tenant}");
    assert_eq!((&of_tenant[0]["limit"], &of_tenant[0]["used"]), (&json!(500), &json!(0)));
    let of_ann = json(operator, &["quotas", "usage", "--tenant", "rationed", "--principal", "ann"]);
    assert_eq!(
        (&of_ann[0]["subject"], &of_ann[0]["limit"]),
        (&json!("principal/ann"), &json!(50)),
        "{of_ann}"
    );
    assert_eq!(json(&key, &["quotas", "usage"]), json(&key, &["quotas", "list"]));
    assert_eq!(run(&key, &["quotas", "usage", "--principal", "ann"]).status.code(), Some(2));
    let removed = ["quotas", "remove", "--subject", "each_principal"];
    assert!(run(operator, &[&removed[..], &which].concat()).status.success());
    let usage = json(&key, &["quotas", "list"]);
    assert_eq!((&usage[0]["limit"], &usage[0]["used"]), (&json!(500), &json!(0)), "{usage}");
    assert!(text(&key, &["quotas", "list"]).starts_with("SUBJECT"));
    assert!(run(operator, &["quotas", "reset", "--tenant", "rationed"]).status.success());
    assert!(run(operator, &[&["quotas", "remove"][..], &which].concat()).status.success());
    assert_eq!(json(operator, &["quotas", "list", "--tenant", "rationed"]), json!([]));
    assert_eq!(run(&key, &[&["quotas", "set"][..], &which, &["1"]].concat()).status.code(), Some(2));
}

#[test]
fn data_keys_are_shown_rotated_and_wrapped_anew() {
    let operator = &running().operator;
    tenant("sealed");
    let first = json(operator, &["data-keys", "rotate", "sealed"])["version"].as_u64().unwrap();
    let second = json(operator, &["data-keys", "rotate", "sealed"])["version"].as_u64().unwrap();
    assert_eq!(second, first + 1);
    let table = text(operator, &["data-keys", "show"]);
    assert!(table.starts_with("VAULT") && table.contains("master:"), "{table}");
    let again = json(operator, &["data-keys", "rewrap"]);
    assert_eq!((&again["rewrapped"], &again["failed"]), (&json!(0), &json!([])), "{again}");
    assert_eq!(run(operator, &["data-keys", "rotate", "nobody"]).status.code(), Some(4));
}

#[test]
fn the_audit_log_is_filtered_and_exported() {
    let operator = &running().operator;
    let key = tenant("exported");
    let created = json(operator, &["audit", "list", "--action", "tenant.*", "--limit", "1000"]);
    let actions = created.as_array().unwrap().iter().map(|record| record["action"].as_str().unwrap());
    let actions: Vec<_> = actions.collect();
    assert!(!actions.is_empty() && actions.iter().all(|action| action.starts_with("tenant.")), "{actions:?}");
    assert_eq!(run(operator, &["audit", "list", "--outcome", "maybe"]).status.code(), Some(2));

    let directory = tempfile::tempdir().unwrap();
    let began = Instant::now();
    let exported = loop {
        let exported = text(operator, &["audit", "export"]);
        // It is sealed within moments.
        if exported.contains("tenant/exported") {
            break exported;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{exported}");
    };
    assert!(
        exported.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()),
        "{exported}"
    );
    let file = directory.path().join("audit.jsonl");
    let export = ["audit", "export", "--out", file.to_str().unwrap()];
    assert!(run(operator, &export).status.success());
    assert!(std::fs::read_to_string(&file).unwrap().starts_with(&exported));
    assert_eq!(run(operator, &export).status.code(), Some(2), "an export took the place of another");
    assert_eq!(run(operator, &["audit", "export", "--after", "999999"]).status.code(), Some(2));
    let events = text(operator, &["audit", "export", "--format", "ocsf"]);
    assert!(events.contains("class_uid"), "{events}");
    assert!(run(&key, &["audit", "export"]).status.success());
    assert_eq!(run(&key, &["audit", "export", "--tenant", "exported"]).status.code(), Some(2));
}
