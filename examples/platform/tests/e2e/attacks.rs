//! Attacks that take the whole platform to be shown: what a page in a browser, a tenant and a server of a stranger try.

use std::net::TcpListener;

use axum::response::IntoResponse as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Served, api::Caller, fixture, http::Attempt, processes};

#[tokio::test(flavor = "multi_thread")]
async fn dns_rebinding_a_foreign_host_or_origin_gets_403() {
    let served = Served::start(&json!({ "fixture": fixture("rebinding", &[]) }), "");
    let token = served.tenant("acme");
    let port = served.url.trim_end_matches("/mcp").rsplit(':').next().unwrap().to_owned();
    let list = |name: &'static str, value: &str| {
        Attempt::list(&served.url).bearer(token.expose()).header(name, value).send()
    };
    // Names that lead to this machine: what a page whose name was pointed here sends.
    for host in
        ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", "localhost.evil.example"]
    {
        let refused = list("host", host).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{host}: {refused:?}");
        for path in ["/ready", "/metrics"] {
            let url = format!("{}{path}", served.operations);
            let refused = Attempt::new(Method::GET, &url).header("host", host).send().await;
            assert_eq!((refused.status, refused.body.len()), (StatusCode::FORBIDDEN, 0), "{host}{path}");
        }
    }
    for origin in
        ["https://evil.example", "http://127.0.0.1.evil.example", "http://localhost", "null", "file://"]
    {
        let refused = list("origin", origin).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{origin}: {refused:?}");
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
        assert_eq!(list("host", &host).await.status, StatusCode::OK, "{host}");
    }
}

/// A server that leads its client elsewhere: asked for anything, it names a URL to log in at, or redirects there.
async fn misleading(elsewhere: String) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let challenge = format!("Bearer resource_metadata=\"{elsewhere}\", authorization_uri=\"{elsewhere}\"");
    let app = axum::Router::new()
        .route(
            "/login",
            axum::routing::any(async move || {
                (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response()
            }),
        )
        .route(
            "/elsewhere",
            axum::routing::any(async move || {
                (StatusCode::TEMPORARY_REDIRECT, [("location", elsewhere)]).into_response()
            }),
        );
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn local_rce_no_url_name_or_value_of_a_stranger_reaches_a_shell() {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("a-shell-was-here");
    let touch = format!("touch {}", trace.display());
    let hostile = [
        format!("$({touch})"),
        format!("`{touch}`"),
        format!("; {touch} #"),
        format!("| {touch}"),
        format!("\n{touch}\n"),
    ];

    let bait = TcpListener::bind("127.0.0.1:0").unwrap();
    bait.set_nonblocking(true).unwrap();
    let elsewhere = format!("http://{}/$({})", bait.local_addr().unwrap(), touch.replace(' ', "${IFS}"));
    let url = misleading(elsewhere).await;
    let mark = uuid::Uuid::new_v4().to_string();
    let mut calm = fixture(&mark, &[]);
    calm["env"]["HOSTILE"] = hostile[0].clone().into();
    let served = Served::start(
        &json!({
            "calm": calm,
            "login": { "type": "http", "url": format!("{url}/login") },
            "elsewhere": { "type": "http", "url": format!("{url}/elsewhere") },
        }),
        "",
    );
    let token = served.tenant("acme");
    let call = |tool: &str, arguments: Value| {
        let params = json!({ "name": tool, "arguments": arguments });
        Attempt::call(&served.url, "tools/call", params).bearer(token.expose()).send()
    };

    // Arguments and environments are values and nothing else.
    for text in &hostile {
        let echoed = call("calm__echo", json!({ "message": text })).await;
        let message = &echoed.json()["result"]["structuredContent"]["message"];
        assert_eq!(message, text.as_str(), "{echoed:?}");
        if text.contains('\n') {
            continue;
        }
        let unknown = call(&format!("calm__{text}"), json!({})).await;
        assert!(unknown.json()["result"].is_null(), "{unknown:?}");
    }
    let [pid] = processes::marked(&mark).try_into().unwrap();
    let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let kept = format!("HOSTILE={}", hostile[0]);
    assert!(environment.split(|byte| *byte == 0).any(|variable| variable == kept.as_bytes()));

    // Where a server wants to lead its client, nobody goes.
    for tool in ["login__x", "elsewhere__x"] {
        let refused = call(tool, json!({})).await;
        assert!(refused.json()["error"].is_object(), "{tool}: {refused:?}");
        assert!(!String::from_utf8_lossy(&refused.body).contains("touch"), "{tool}: {refused:?}");
    }

    // What an operator adds is a package of a registry by its name, not a command.
    let operator = Caller::new(&served, &served.operator_key());
    for text in &hostile {
        for body in [
            json!({ "package": text }),
            json!({ "package": format!("npm:{text}") }),
            json!({ "package": format!("npm:x@{text}") }),
            json!({ "package": format!("pypi:{text}") }),
            json!({ "package": "npm:x", "name": text }),
            json!({ "package": "npm:x", "command": text }),
        ] {
            let refused = operator.post("/operator/servers", &body).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{body}: {refused:?}");
        }
    }
    // A tenant adds nothing at all.
    let tenant = Caller::new(&served, &token);
    let new = json!({ "package": "npm:x", "command": hostile[0] });
    assert_eq!(tenant.post("/operator/servers", &new).await.status, StatusCode::UNAUTHORIZED);
    let own = tenant.post("/servers", &new).await.status;
    assert!(matches!(own, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED), "{own}");

    assert!(!trace.exists(), "a shell ran");
    let taken = bait.accept().map(|_| ()).unwrap_err();
    assert_eq!(taken.kind(), std::io::ErrorKind::WouldBlock, "the platform went where it was led");
}
