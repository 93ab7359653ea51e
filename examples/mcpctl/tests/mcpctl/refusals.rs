//! What goes wrong, in words and in exit codes.

use crate::support::{bare, run, running, said, tenant};

#[test]
fn exit_codes_are_the_documented_ones() {
    let operator = &running().operator;
    let tenants_key = tenant("codes");
    for (key, arguments, code, words) in [
        (operator, &["tenants", "create", "codes"][..], 5, "codes"),
        (operator, &["tenants", "create", "No Name"], 2, "tenant id"),
        (operator, &["tenants", "show", "nowhere"], 4, "nowhere"),
        (operator, &["tenants", "suspend", "nowhere"], 4, "nowhere"),
        (operator, &["keys", "list"], 2, "--tenant"),
        (operator, &["keys", "revoke", "zzz", "--tenant", "codes"], 4, "zzz"),
        (operator, &["keys", "create", "--tenant", "codes", "--permission", "Nonsense"], 2, "permission"),
        (operator, &["servers", "show", "nowhere"], 4, "nowhere"),
        (operator, &["servers", "logs", "nowhere"], 4, "nowhere"),
        (operator, &["servers", "restart", "../calm"], 4, "../calm"),
        (operator, &["contexts", "list"], 2, "tenant"),
        (operator, &["memories", "recall", "user/ann", "x"], 2, "tenant"),
        (&tenants_key, &["contexts", "show", "nowhere"], 4, "no such context"),
        (&tenants_key, &["contexts", "create", "--data", "[]"], 2, "JSON object"),
        (&tenants_key, &["contexts", "append", "nowhere", "hi", "--role", "boss"], 2, "assistant"),
        (&tenants_key, &["memories", "remember", "ann", "x"], 2, "namespace"),
        (&tenants_key, &["tenants", "list"], 2, "operator"),
        (&tenants_key, &["tenants", "show", "nowhere"], 3, "Forbidden"),
        (&tenants_key, &["keys", "list", "--tenant", "codes"], 2, "operator"),
        (&tenants_key, &["audit", "verify"], 2, "operator"),
        (&"mcpo_wrong".to_owned(), &["tenants", "list"], 3, "credentials"),
        (&"nonsense".to_owned(), &["servers", "list"], 3, "credentials"),
        (operator, &["no-such-command"], 2, "no-such-command"),
    ] {
        let done = run(key, arguments);
        assert_eq!(done.status.code(), Some(code), "{arguments:?}: {}", said(&done));
        assert!(said(&done).contains(words), "{arguments:?}: {}", said(&done));
        assert!(done.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_refusal_names_its_request() {
    let done = run(&running().operator, &["tenants", "show", "nowhere"]);
    let said = said(&done);
    assert!(said.starts_with("mcpctl: Not Found: ") && said.contains(" [request "), "{said}");
    assert_eq!(said.lines().count(), 1);
}

#[test]
fn a_platform_that_is_away_or_none_is_named() {
    let list = |url: &str| bare().args(["servers", "list", "--key", "k", "--url", url]).output().unwrap();
    let away = list("http://127.0.0.1:9");
    assert_eq!(away.status.code(), Some(6));
    assert!(said(&away).contains("127.0.0.1:9"), "{}", said(&away));
    for url in ["localhost:8080", "ftp://localhost", "https://user:pass@localhost"] {
        let refused = list(url);
        assert_eq!((refused.status.code(), said(&refused).contains("--url")), (Some(2), true), "{url}");
    }
}
