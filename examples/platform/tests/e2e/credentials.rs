//! Keys and tokens through the running platform: how clients find out, how credentials follow each other, how they end.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use mcp_core::{
    clock::{Clock as _, SystemClock},
    key::Secret,
};
use serde_json::{Value, json};

use crate::support::{
    Served,
    api::Caller,
    fixture,
    http::{Answer, Attempt},
};

const PUBLIC: &str = "public_url = \"https://mcp.example.com\"\n";
const METADATA: &str = "https://mcp.example.com/.well-known/oauth-protected-resource/mcp";
/// Longest that a change may take to be seen, with room for a busy machine.
const SEEN: Duration = Duration::from_secs(10);

struct Platform {
    served: Served,
    /// Of a key of `acme` that may do everything.
    admin: Caller,
    /// The key's text.
    key: String,
}

impl Platform {
    fn start(config: &str) -> Self {
        let served = Served::start(&json!({ "fixture": fixture("credentials", &[]) }), config);
        served.command(&["tenant", "create", "acme", "--requests-per-minute", "1000000"]);
        let key = key(&served, "acme", &["*"]);
        let admin = Caller::new(&served, &Secret::new(key.clone()));
        Self { served, admin, key }
    }

    fn root(&self) -> &str {
        self.served.url.trim_end_matches("/mcp")
    }

    async fn public(&self, path: &str) -> Answer {
        Attempt::new(Method::GET, &format!("{}{path}", self.root())).send().await
    }

    async fn grant(&self, key: Option<&str>, body: Value) -> Answer {
        let attempt = Attempt::new(Method::POST, &self.served.api("/auth/token")).body(body.to_string());
        key.into_iter().fold(attempt, Attempt::bearer).send().await
    }

    async fn token(&self) -> String {
        let granted = self.grant(Some(&self.key), json!({ "grant_type": "api_key" })).await;
        assert_eq!(granted.status, StatusCode::OK, "{granted:?}");
        granted.json()["access_token"].as_str().unwrap().to_owned()
    }

    async fn status(&self, credential: &str) -> StatusCode {
        Attempt::list(&self.served.url).bearer(credential).send().await.status
    }

    async fn until(&self, what: &str, credential: &str, wanted: StatusCode) {
        let began = Instant::now();
        while self.status(credential).await != wanted {
            assert!(began.elapsed() < SEEN, "{what}");
        }
    }
}

fn key(served: &Served, tenant: &str, permissions: &[&str]) -> String {
    let given = permissions.iter().flat_map(|permission| ["--permission", permission]);
    let create: Vec<&str> = ["key", "create", tenant].into_iter().chain(given).collect();
    served.command(&create)["key"].as_str().unwrap().to_owned()
}

/// What a token says of itself.
fn claims(token: &str) -> Value {
    part(token, 1)
}

fn part(token: &str, part: usize) -> Value {
    let text = token.split('.').nth(part).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
}

fn challenge(answer: &Answer) -> &str {
    answer.headers["www-authenticate"].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_lead_clients_to_tokens_and_to_the_permission_they_lack() {
    let platform = Platform::start(PUBLIC);
    let asks = format!("Bearer resource_metadata=\"{METADATA}\", scope=\"tools:list tools:call\"");
    for path in ["/mcp", "/api/v1/keys", "/v1/models", "/no/such/path"] {
        let nobody = platform.public(path).await;
        assert_eq!((nobody.status, challenge(&nobody)), (StatusCode::UNAUTHORIZED, &*asks), "{path}");
    }
    let bad = Attempt::list(&platform.served.url).bearer("nonsense").send().await;
    assert_eq!(challenge(&bad), format!("{asks}, error=\"invalid_token\""));

    let limited = key(&platform.served, "acme", &["tools:list"]);
    let step_up = |scope: &str| {
        format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\", resource_metadata=\"{METADATA}\"")
    };
    let call = json!({ "name": "fixture__echo", "arguments": { "message": "x" } });
    let call = Attempt::call(&platform.served.url, "tools/call", call).bearer(&limited).send().await;
    assert_eq!((call.status, challenge(&call)), (StatusCode::FORBIDDEN, &*step_up("tools:call")), "{call:?}");
    let keys = Attempt::new(Method::GET, &platform.served.api("/keys")).bearer(&limited).send().await;
    assert_eq!((keys.status, challenge(&keys)), (StatusCode::FORBIDDEN, &*step_up("keys:read")));
    // What no permission would change asks for none.
    let other =
        Attempt::list(&platform.served.url).bearer(&limited).header("x-tenant-id", "beta").send().await;
    assert_eq!(
        (other.status, other.headers.contains_key("www-authenticate")),
        (StatusCode::FORBIDDEN, false)
    );
    // An operator's key is no issuer's token.
    let operator = platform.public("/api/v1/operator/tenants").await;
    assert_eq!((operator.status, challenge(&operator)), (StatusCode::UNAUTHORIZED, "Bearer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_logs_out_ends_one_lineage_and_no_other() {
    let platform = Platform::start("");
    let granted =
        async || platform.grant(Some(&platform.key), json!({ "grant_type": "api_key" })).await.json();
    let redeem = async |token: &Value| {
        platform.grant(None, json!({ "grant_type": "refresh_token", "refresh_token": token })).await
    };
    let logout = async |token: &str| {
        let body = json!({ "refresh_token": token }).to_string();
        Attempt::new(Method::POST, &platform.served.api("/auth/logout")).body(body).send().await
    };
    let (first, other) = (granted().await, granted().await);
    let next = redeem(&first["refresh_token"]).await.json();
    // The token that was replaced ends its successor as well.
    let answers = [
        logout(first["refresh_token"].as_str().unwrap()).await,
        logout(next["refresh_token"].as_str().unwrap()).await,
        logout("mcpr_000000000000000000000000_AAAA").await,
        logout("nonsense").await,
    ];
    for answer in &answers {
        assert_eq!((answer.status, answer.body.is_empty()), (StatusCode::NO_CONTENT, true), "{answer:?}");
    }
    for ended in [&first, &next] {
        assert_eq!(redeem(&ended["refresh_token"]).await.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(redeem(&other["refresh_token"]).await.status, StatusCode::OK);
    assert_eq!(platform.status(next["access_token"].as_str().unwrap()).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_ask_who_issues_tokens_and_with_which_keys() {
    let config = format!("{PUBLIC}[auth]\nauthorization_servers = [\"https://login.example.com\"]\n");
    let platform = Platform::start(&config);
    for path in ["", "/mcp", "/mcp/fixture"] {
        let document = platform.public(&format!("/.well-known/oauth-protected-resource{path}")).await;
        assert_eq!(document.status, StatusCode::OK, "{path}");
        let expected = json!({
            "resource": "https://mcp.example.com/mcp",
            "authorization_servers": ["https://login.example.com"],
            "scopes_supported": ["tools:list", "tools:call"],
            "bearer_methods_supported": ["header"],
        });
        assert_eq!(document.json(), expected, "{path}");
    }
    let elsewhere = platform.public("/.well-known/oauth-protected-resource/v1").await;
    assert_eq!(elsewhere.headers["content-type"], "application/problem+json");
    assert_eq!(elsewhere.status, StatusCode::NOT_FOUND);

    let token = platform.token().await;
    let keys = platform.public("/t/acme/.well-known/jwks.json").await;
    assert_eq!(keys.headers["content-type"], "application/jwk-set+json");
    let keys = keys.json()["keys"].clone();
    let kid = part(&token, 0)["kid"].clone();
    assert!(keys.as_array().unwrap().iter().any(|key| key["kid"] == kid), "{kid} is not in {keys}");
    assert!(keys[0].get("d").is_none(), "a private key is public");
    assert_eq!(claims(&token)["iss"], "https://mcp.example.com/t/acme");
    let unknown = platform.public("/t/nobody/.well-known/jwks.json").await;
    assert_eq!((unknown.status, unknown.json()), (StatusCode::OK, json!({ "keys": [] })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_worth_tokens_that_follow_each_other_until_one_is_stolen() {
    let platform = Platform::start("[auth]\nrefresh_grace_seconds = 0\n");
    let wanted = json!({ "grant_type": "api_key", "permissions": ["tools:list"], "expires_in": 600 });
    let granted = platform.grant(Some(&platform.key), wanted).await;
    assert_eq!(
        (granted.status, &granted.headers["cache-control"]),
        (StatusCode::OK, &"no-store".parse().unwrap())
    );
    assert!(granted.headers.contains_key("ratelimit-remaining"), "a grant is a request of its tenant");
    let granted = granted.json();
    let mut names: Vec<&str> = granted.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let shape =
        ["access_token", "expires_in", "permissions", "refresh_token", "tenant_id", "token_type", "user_id"];
    assert_eq!(names, shape);
    assert_eq!(
        [&granted["token_type"], &granted["tenant_id"], &granted["user_id"], &granted["expires_in"]],
        [&json!("Bearer"), &json!("acme"), &json!("service"), &json!(600)]
    );
    assert_eq!(granted["permissions"], json!(["tools:list"]));
    assert_eq!(platform.status(granted["access_token"].as_str().unwrap()).await, StatusCode::OK);

    let redeem = |token: &Value| {
        platform.grant(None, json!({ "grant_type": "refresh_token", "refresh_token": token.clone() }))
    };
    let next = redeem(&granted["refresh_token"]).await;
    assert_eq!(next.status, StatusCode::OK, "{next:?}");
    let next = next.json();
    assert_eq!(platform.status(next["access_token"].as_str().unwrap()).await, StatusCode::OK);
    assert_eq!(next["permissions"], json!(["tools:list"]), "a lineage never widens");
    let stolen = redeem(&granted["refresh_token"]).await;
    assert_eq!(stolen.status, StatusCode::UNAUTHORIZED, "{stolen:?}");
    assert!(challenge(&stolen).ends_with("error=\"invalid_token\""), "{stolen:?}");
    let victim = redeem(&next["refresh_token"]).await;
    assert_eq!(victim.status, StatusCode::UNAUTHORIZED, "the lineage goes on after a theft");

    for (key, body, status) in [
        (None, json!({ "grant_type": "api_key" }), StatusCode::UNAUTHORIZED),
        (Some("mcpk_x_y"), json!({ "grant_type": "api_key" }), StatusCode::UNAUTHORIZED),
        (Some(&*platform.key), json!({ "grant_type": "password" }), StatusCode::BAD_REQUEST),
        (Some(&*platform.key), json!({ "grant_type": "api_key", "expires_in": 0 }), StatusCode::BAD_REQUEST),
    ] {
        let refused = platform.grant(key, body.clone()).await;
        assert_eq!(refused.status, status, "{body}");
        assert_eq!(refused.headers["content-type"], "application/problem+json", "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keys_secret_is_replaced_with_overlap_by_who_may() {
    let platform = Platform::start("");
    let first = key(&platform.served, "acme", &["tools:list"]);
    let id = first.split('_').nth(1).unwrap();
    let rotate = |overlap: u64| platform.admin_rotates(id, overlap);
    assert_eq!(platform.status(&first).await, StatusCode::OK);
    // It may not rotate others' keys, nor, without the permission, its own.
    let own = Attempt::new(Method::POST, &platform.served.api(&format!("/keys/{id}/rotate"))).bearer(&first);
    assert_eq!(own.body("{}").send().await.status, StatusCode::FORBIDDEN);

    let second = rotate(3600).await;
    for secret in [&first, &second] {
        assert_eq!(platform.status(secret).await, StatusCode::OK, "both work during the overlap");
    }
    let third = rotate(0).await;
    platform.until("a secret goes on without overlap", &second, StatusCode::UNAUTHORIZED).await;
    assert_eq!(platform.status(&first).await, StatusCode::UNAUTHORIZED, "two secrets before");
    assert_eq!(platform.status(&third).await, StatusCode::OK);

    let listed = platform.admin.get("/keys").await.json();
    let listed = listed["items"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone();
    assert!(listed["rotated_at"].is_string() && listed.get("last_used_at").is_some(), "{listed}");
    assert!(!listed.to_string().contains(third.splitn(3, '_').nth(2).unwrap()));

    // Whoever may write keys and holds less gets no key that may more.
    let writer = key(&platform.served, "acme", &["keys:write"]);
    let body = json!({ "overlap_seconds": 60 }).to_string();
    let steal = Attempt::new(Method::POST, &platform.served.api(&format!("/keys/{id}/rotate")));
    assert_eq!(steal.bearer(&writer).body(body.clone()).send().await.status, StatusCode::FORBIDDEN);
    assert_eq!(platform.status(&third).await, StatusCode::OK, "the refused rotation took the key");

    // Another tenant's key is one that does not exist.
    platform.served.command(&["tenant", "create", "beta"]);
    let theirs = key(&platform.served, "beta", &["*"]);
    let rotate = |id: &str| {
        let path = format!("/keys/{id}/rotate");
        platform.admin.attempt(Method::POST, &path).body(body.clone()).send()
    };
    let foreign = rotate(theirs.split('_').nth(1).unwrap()).await;
    assert_eq!(foreign.status, StatusCode::NOT_FOUND);
    assert_eq!(foreign.body, rotate(&"0".repeat(24)).await.body);

    let rotated = platform.served.command(&["key", "rotate", "acme", id]);
    assert_eq!(rotated["id"], id);
    platform.until("the old secret goes on", &third, StatusCode::UNAUTHORIZED).await;
}

impl Platform {
    /// The new secret.
    async fn admin_rotates(&self, id: &str, overlap: u64) -> String {
        let body = json!({ "overlap_seconds": overlap });
        let rotated = self.admin.post(&format!("/keys/{id}/rotate"), &body).await;
        assert_eq!(rotated.status, StatusCode::OK, "{rotated:?}");
        rotated.json()["secret"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_alone_or_with_all_of_its_tenant() {
    let platform = Platform::start("");
    platform.served.command(&["tenant", "create", "beta", "--requests-per-minute", "1000000"]);
    let theirs = platform.served.token("beta");
    let (first, second) = (platform.token().await, platform.token().await);
    let revoked = platform.admin.post("/tokens/revoke", &json!({ "id": claims(&first)["jti"] })).await;
    assert_eq!((revoked.status, &revoked.json()["tenant"]), (StatusCode::OK, &json!("acme")), "{revoked:?}");
    platform.until("a revoked token goes on", &first, StatusCode::UNAUTHORIZED).await;
    assert_eq!(platform.status(&second).await, StatusCode::OK);

    // A tenant that knows another's token by name ends nothing.
    let id = claims(theirs.expose())["jti"].clone();
    let issuer = claims(theirs.expose())["iss"].clone();
    let aimed = json!({ "id": id, "issuer": issuer, "expires_at": SystemClock.now().after(SEEN) });
    let answer = platform.admin.post("/tokens/revoke", &aimed).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");

    // Tokens say when they were issued to the second: those of this second count as before the end.
    let ended = platform.admin.post("/tokens/revoke-all", &Value::Null).await;
    assert_eq!(ended.status, StatusCode::OK, "{ended:?}");
    platform.until("the tenant's tokens go on", &second, StatusCode::UNAUTHORIZED).await;
    assert_eq!(platform.status(&platform.key).await, StatusCode::OK, "a key is no token");
    assert_eq!(platform.status(theirs.expose()).await, StatusCode::OK, "another tenant's token ended");
    let began = Instant::now();
    while platform.status(&platform.token().await).await != StatusCode::OK {
        assert!(began.elapsed() < SEEN, "no new token is good");
    }

    let issued = platform.served.command(&["token", "issue", "acme"]);
    let (token, id) = (issued["access_token"].as_str().unwrap(), issued["token_id"].as_str().unwrap());
    assert_eq!(platform.status(token).await, StatusCode::OK);
    platform.served.command(&["token", "revoke", "acme", id]);
    platform.until("a token revoked by a command goes on", token, StatusCode::UNAUTHORIZED).await;
    platform.served.command(&["token", "revoke-all", "beta"]);
    platform.until("beta's tokens go on", theirs.expose(), StatusCode::UNAUTHORIZED).await;

    let limited = key(&platform.served, "acme", &["tools:list"]);
    for path in ["/tokens/revoke-all", "/tokens/revoke"] {
        let attempt = Attempt::new(Method::POST, &platform.served.api(path)).bearer(&limited);
        let refused = attempt.body(json!({ "id": "x" }).to_string()).send().await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn signing_keys_rotate_without_a_refused_token_and_a_leaked_one_is_removed() {
    let platform = Platform::start("[auth]\ntoken_algorithm = \"ES256\"\n");
    let before = platform.token().await;
    assert_eq!(part(&before, 0)["alg"], "ES256");
    let old = part(&before, 0)["kid"].as_str().unwrap().to_owned();
    let next = json!({ "algorithm": "EdDSA", "lead_seconds": 5 });
    let made = platform.admin.post("/signing-keys", &next).await;
    assert_eq!((made.status, &made.json()["state"]), (StatusCode::CREATED, &json!("next")), "{made:?}");
    let new = made.json()["kid"].as_str().unwrap().to_owned();
    let published = platform.public("/t/acme/.well-known/jwks.json").await.json();
    assert_eq!(published["keys"].as_array().unwrap().len(), 2, "a next key is published before it signs");
    let again = platform.admin.post("/signing-keys", &next).await;
    assert_eq!(again.status, StatusCode::CONFLICT, "{again:?}");
    let active = platform.admin.attempt(Method::DELETE, &format!("/signing-keys/{old}")).send().await;
    assert_eq!(active.status, StatusCode::CONFLICT, "the key that signs was removed");

    let began = Instant::now();
    let after = loop {
        let token = platform.token().await;
        if part(&token, 0)["kid"] == new.as_str() {
            break token;
        }
        assert_eq!(platform.status(&token).await, StatusCode::OK, "a token was refused for the rotation");
        assert!(began.elapsed() < Duration::from_secs(60), "the next key never signs");
    };
    assert_eq!(part(&after, 0)["alg"], "EdDSA");
    for token in [&before, &after] {
        assert_eq!(platform.status(token).await, StatusCode::OK);
    }
    let listed = platform.admin.get("/signing-keys").await.json();
    let states: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|key| &key["state"]).collect();
    assert_eq!(states, [&json!("active"), &json!("retiring")]);

    let removed = platform.admin.attempt(Method::DELETE, &format!("/signing-keys/{old}")).send().await;
    assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
    platform.until("a token of a removed key goes on", &before, StatusCode::UNAUTHORIZED).await;
    assert_eq!(platform.status(&after).await, StatusCode::OK);
    for kid in [old.as_str(), "no%20kid", "x"] {
        let gone = platform.admin.attempt(Method::DELETE, &format!("/signing-keys/{kid}")).send().await;
        assert_eq!(gone.status, StatusCode::NOT_FOUND, "{kid}: {gone:?}");
    }
    for lead in [4, 86_401] {
        let refused = platform.admin.post("/signing-keys", &json!({ "lead_seconds": lead })).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{lead}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_does_the_same_for_any_tenant() {
    let platform = Platform::start("");
    let operator = platform.served.operator_key();
    let ask = async |method: Method, path: &str, body: Value| {
        let url = platform.served.api(&format!("/operator/tenants/acme{path}"));
        let answer = Attempt::new(method, &url).bearer(operator.expose()).body(body.to_string()).send().await;
        assert!(answer.status.is_success(), "{path}: {answer:?}");
        answer.json()
    };
    let token = platform.token().await;
    let id = platform.key.split('_').nth(1).unwrap();
    let rotated = ask(Method::POST, &format!("/keys/{id}/rotate"), json!({ "overlap_seconds": 60 })).await;
    assert_eq!(platform.status(rotated["secret"].as_str().unwrap()).await, StatusCode::OK);
    let kid = ask(Method::POST, "/signing-keys", json!({ "lead_seconds": 600 })).await["kid"].clone();
    let listed = ask(Method::GET, "/signing-keys", Value::Null).await;
    assert_eq!(listed["items"].as_array().unwrap().len(), 2, "{listed}");
    ask(Method::DELETE, &format!("/signing-keys/{}", kid.as_str().unwrap()), Value::Null).await;
    ask(Method::POST, "/tokens/revoke", json!({ "id": claims(&token)["jti"] })).await;
    platform.until("a revoked token goes on", &token, StatusCode::UNAUTHORIZED).await;
    ask(Method::POST, "/tokens/revoke-all", Value::Null).await;
    // Each change has its record, with the operator in it.
    let records = Attempt::new(Method::GET, &platform.served.api("/operator/audit?limit=200"));
    let records = records.bearer(operator.expose()).send().await.json();
    let actions: Vec<&str> =
        records["items"].as_array().unwrap().iter().filter_map(|record| record["action"].as_str()).collect();
    for action in ["key.rotate", "signing_key.rotate", "signing_key.remove", "token.revoke"] {
        assert!(actions.contains(&action), "{action} is not among {actions:?}");
    }
}
