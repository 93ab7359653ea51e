//! Keys, tokens, issuers and certificates from the command line.

use serde_json::json;

use crate::support::{json, run, running, said, tenant, text};

#[test]
fn a_key_is_rotated_with_overlap() {
    let operator = &running().operator;
    let first = tenant("rotated");
    let id = first.split('_').nth(1).unwrap();
    let second = text(&first, &["keys", "rotate", id, "--overlap", "3600"]);
    let second = second.trim();
    assert!(second.starts_with(&format!("mcpk_{id}_")) && second != first, "{second}");
    for key in [&*first, second] {
        assert!(run(key, &["servers", "list"]).status.success(), "both work during the overlap");
    }
    let third = json(operator, &["keys", "rotate", id, "--tenant", "rotated"]);
    assert!(run(third["secret"].as_str().unwrap(), &["servers", "list"]).status.success());
    assert_eq!(run(&first, &["servers", "list"]).status.code(), Some(3));
    assert!(text(operator, &["keys", "list", "--tenant", "rotated"]).contains("USED"));
}

#[test]
fn tokens_are_granted_and_revoked() {
    let operator = &running().operator;
    let key = tenant("tokens");
    let granted = json(&key, &["tokens", "grant", "--permission", "servers:read", "--seconds", "600"]);
    assert_eq!((&granted["expires_in"], &granted["permissions"]), (&json!(600), &json!(["servers:read"])));
    let token = text(&key, &["tokens", "grant"]);
    let token = token.trim();
    assert!(run(token, &["servers", "list"]).status.success());
    assert_eq!(run(token, &["tokens", "grant"]).status.code(), Some(3), "a token is no key");
    assert_eq!(run(operator, &["tokens", "grant"]).status.code(), Some(2));

    let revoked = json(&key, &["tokens", "revoke", "no-such-token"]);
    assert_eq!((&revoked["tenant"], &revoked["id"]), (&json!("tokens"), &json!("no-such-token")));
    let half = run(&key, &["tokens", "revoke", "x", "--issuer", "https://login.example"]);
    assert_eq!(half.status.code(), Some(2));
    assert!(said(&half).contains("--expires-at"), "{}", said(&half));
    let ended = json(operator, &["tokens", "revoke-all", "--tenant", "tokens"]);
    assert!(ended["issued_until"].is_string(), "{ended}");
    assert_eq!(run(token, &["servers", "list"]).status.code(), Some(3));
    assert!(run(&key, &["servers", "list"]).status.success(), "a key is no token");
}

#[test]
fn a_refresh_token_is_logged_out_by_whoever_holds_it() {
    let key = tenant("leaving");
    let granted = json(&key, &["tokens", "grant"]);
    let refresh = granted["refresh_token"].as_str().unwrap();
    assert_eq!(run(refresh, &["servers", "list"]).status.code(), Some(3), "it is no way in");
    for _ in 0..2 {
        let left = run(refresh, &["tokens", "logout"]);
        assert!(left.status.success(), "again too: {}", said(&left));
    }
    let made_up = format!("{}AAAA", &refresh[..refresh.len() - 4]);
    assert!(run(&made_up, &["tokens", "logout"]).status.success(), "and of what never was nothing is said");
    assert_eq!(run(&key, &["tokens", "logout"]).status.code(), Some(2));
    let family = refresh.split('_').nth(1).unwrap();
    let records = json(&running().operator, &["audit", "list", "--limit", "5000"]);
    let of_it = |record: &&serde_json::Value| {
        let text = record.to_string();
        text.contains(family) && text.contains("logged out")
    };
    assert_eq!(records.as_array().unwrap().iter().filter(of_it).count(), 1, "{records}");
}

#[test]
fn all_credentials_of_a_principal_end_together() {
    let operator = &running().operator;
    let key = tenant("offboarding");
    let make = |principal: &str, permission: &str| {
        let new = ["keys", "create", "--principal", principal, "--permission", permission];
        json(&key, &new)["secret"].as_str().unwrap().to_owned()
    };
    let (first, second, other) = (make("ann", "*"), make("ann", "servers:read"), make("bob", "servers:read"));
    let subject = "spiffe://prod.offboarding/ann";
    let of = ["--tenant", "offboarding", "--principal", "ann", "--permission", "tools:call"];
    json(operator, &[&["certificates", "register", subject][..], &of].concat());

    let end = ["principals", "end-credentials", "ann"];
    assert_eq!(run(&other, &end).status.code(), Some(3), "it takes `credentials:end`");
    assert_eq!(json(&key, &end), json!({ "keys": 2, "certificates": 1 }));
    for gone in [&first, &second] {
        assert_eq!(run(gone, &["servers", "list"]).status.code(), Some(3));
    }
    assert!(run(&other, &["servers", "list"]).status.success());
    assert_eq!(json(&key, &["certificates", "list"]), json!([]));
    let by_operator = [&end[..], &["--tenant", "offboarding"]].concat();
    assert_eq!(json(operator, &by_operator), json!({ "keys": 0, "certificates": 0 }), "again");
    let bob = ["principals", "end-credentials", "bob", "--tenant", "offboarding"];
    assert_eq!(json(operator, &bob)["keys"], 1);
    assert_eq!(run(&other, &["servers", "list"]).status.code(), Some(3));
    // The same name in another tenant is somebody else.
    assert_eq!(
        run(operator, &["principals", "end-credentials", "ann", "--tenant", "no-such"]).status.code(),
        Some(4)
    );
}

#[test]
fn signing_keys_are_rotated_listed_and_removed() {
    let operator = &running().operator;
    let key = tenant("signing");
    assert_eq!(json(&key, &["signing-keys", "list"]), json!([]));
    text(&key, &["tokens", "grant"]);
    let next = json(&key, &["signing-keys", "rotate", "--algorithm", "ES256", "--lead", "600"]);
    assert_eq!((&next["algorithm"], &next["state"]), (&json!("ES256"), &json!("next")));
    let listed = text(operator, &["signing-keys", "list", "--tenant", "signing"]);
    assert!(listed.starts_with("KEY") && listed.contains("next") && listed.contains("active"), "{listed}");
    let again = run(&key, &["signing-keys", "rotate"]);
    assert_eq!(again.status.code(), Some(5), "{}", said(&again));
    let kid = next["kid"].as_str().unwrap();
    assert_eq!(json(operator, &["signing-keys", "remove", kid, "--tenant", "signing"])["kid"], kid);
    assert_eq!(run(&key, &["signing-keys", "remove", kid]).status.code(), Some(4));
    for wrong in [&["--algorithm", "HS256"][..], &["--lead", "1"]] {
        let refused = run(&key, &[&["signing-keys", "rotate"], wrong].concat());
        assert_eq!(refused.status.code(), Some(2), "{wrong:?}: {}", said(&refused));
    }
}

#[test]
fn issuers_are_declared_listed_shown_and_removed() {
    let operator = &running().operator;
    let key = tenant("issuers");
    let secret = running().directory.join("client-secret");
    std::fs::write(&secret, "hunter2\n").unwrap();
    let made = json(
        &key,
        &[
            "issuers",
            "add",
            "https://login.example",
            "--client-id",
            "platform",
            "--client-secret-file",
            secret.to_str().unwrap(),
            "--grant",
            "admin=tools:*",
            "--ceiling",
            "tools:*",
            "--idempotency-key",
            "k1",
        ],
    );
    assert_eq!(
        (&made["spec"]["tenant"], &made["spec"]["check"]["kind"]),
        (&json!("issuers"), &json!("introspection"))
    );
    assert_eq!(made["spec"]["claims"]["grants"], json!({ "admin": ["tools:*"] }));
    let id = made["id"].as_str().unwrap();
    assert!(text(&key, &["issuers", "list"]).contains(id));
    let shown = json(&key, &["issuers", "show", id]);
    assert!(shown["version"] == 1 && !shown.to_string().contains("hunter2"), "{shown}");
    let of_tenant = json(operator, &["issuers", "list", "--tenant", "issuers"]);
    assert_eq!(of_tenant.as_array().unwrap().len(), 1);
    assert_eq!(json(&key, &["issuers", "remove", id])["id"], id);
    assert_eq!(run(&key, &["issuers", "show", id]).status.code(), Some(4));

    let shared = [
        "issuers",
        "add",
        "https://shared.example",
        "--id",
        "shared",
        "--audience",
        "https://mcp.example.com/mcp",
        "--tenant-claim",
        "tenant",
    ];
    assert_eq!(json(operator, &shared)["id"], "shared");
    assert_eq!(run(operator, &shared).status.code(), Some(5));
    assert!(text(operator, &["issuers", "list"]).contains("https://shared.example"));
    assert_eq!(
        run(&key, &["issuers", "show", "shared"]).status.code(),
        Some(4),
        "what is shared is nobody's own"
    );
    json(operator, &["issuers", "remove", "shared"]);
    for (key, arguments, words) in [
        (operator, &["issuers", "add", "https://a.example"][..], "--id"),
        (&key, &["issuers", "add", "https://a.example", "--id", "a"], "operator"),
        (&key, &["issuers", "add", "https://a.example", "--private-addresses"], "operator"),
        (&key, &["issuers", "add", "http://a.example"], "https"),
        (&key, &["issuers", "add", "https://a.example", "--grant", "admin"], "VALUE=PERMISSION"),
    ] {
        let refused = run(key, arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}: {}", said(&refused));
        assert!(said(&refused).contains(words), "{arguments:?}: {}", said(&refused));
    }
}

#[test]
fn certificates_are_registered_listed_and_revoked() {
    let operator = &running().operator;
    let key = tenant("certs");
    let subject = "spiffe://prod.certs/robot";
    let register = ["certificates", "register", subject, "--tenant", "certs", "--permission", "tools:call"];
    let made = json(operator, &register);
    assert_eq!((&made["subject"], &made["tenant"]), (&json!(subject), &json!("certs")));
    assert_eq!(run(operator, &register).status.code(), Some(5));
    assert_eq!(run(&key, &register).status.code(), Some(2), "a tenant registers none");
    assert!(text(&key, &["certificates", "list"]).contains(subject));
    assert!(text(operator, &["certificates", "list", "--tenant", "certs"]).contains(subject));
    let id = made["id"].as_str().unwrap();
    assert_eq!(json(operator, &["certificates", "revoke", id, "--tenant", "certs"])["id"], id);
    assert_eq!(json(&key, &["certificates", "list"]), json!([]));
    let wrong = ["certificates", "register", "acme", "--tenant", "certs", "--permission", "tools:call"];
    let refused = run(operator, &wrong);
    assert_eq!(
        (refused.status.code(), said(&refused).contains("spiffe://")),
        (Some(2), true),
        "{}",
        said(&refused)
    );
}
