//! The listeners: operations, browsers, TLS, and the way down.

use std::{collections::BTreeSet, path::Path, process::Stdio, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, pki_types::ServerName};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::support::{
    Served, binary,
    bounded::{self, LIMIT, Lines, within},
    fixture,
    http::Attempt,
    processes,
};

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_metrics_and_readiness_and_the_public_sees_neither() {
    let mut served = Served::start(&json!({ "fixture": fixture("serving", &[]) }), "");
    let token = served.tenant("acme");
    let mut client = served.client(&token).await;
    client.call("fixture__echo", &json!({ "message": "hello" })).await.unwrap();
    let get = |url: String| Attempt::new(Method::GET, &url).send();

    let metrics = get(format!("{}/metrics", served.operations)).await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    for counted in
        ["mcp_http_requests_total{status=\"2xx\"}", "mcp_gateway_requests_total", "mcp_server_starts_total"]
    {
        assert!(text.contains(counted), "{counted} is not in {text}");
    }
    assert!(!text.contains("acme"), "a tenant's name is in the metrics");
    let ready = get(format!("{}/ready", served.operations)).await;
    assert_eq!(ready.status, StatusCode::OK);
    assert_eq!((&ready.json()["ready"], &ready.json()["fleet_isolation"]), (&json!(true), &json!("trusted")));

    let rebound =
        Attempt::new(Method::GET, &format!("{}/ready", served.operations)).header("host", "evil.example");
    assert_eq!(rebound.send().await.status, StatusCode::FORBIDDEN);
    let public = served.url.replace("/mcp", "");
    assert_eq!(get(format!("{public}/health")).await.status, StatusCode::NO_CONTENT);
    let ready = get(format!("{public}/ready")).await;
    assert_eq!((ready.status, ready.body.len()), (StatusCode::NO_CONTENT, 0));
    assert_eq!(get(format!("{public}/metrics")).await.status, StatusCode::UNAUTHORIZED);
    // With a key neither, whosever it is.
    for key in [&token, &served.operator_key()] {
        for path in ["/metrics", "/api/v1/metrics", "/api/v1/operator/metrics"] {
            let url = format!("{public}{path}");
            let answer = Attempt::new(Method::GET, &url).bearer(key.expose()).send().await;
            let refused = matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED);
            assert!(refused && !answer.body.windows(4).any(|part| part == b"mcp_"), "{path}: {answer:?}");
        }
    }
    assert!(served.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_tenants_make_no_more_series() {
    let mut served = Served::start(&json!({ "fixture": fixture("series", &[]) }), "");
    let series = async || {
        let metrics = Attempt::new(Method::GET, &format!("{}/metrics", served.operations)).send().await;
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let of_requests = |line: &&str| {
            ["mcp_http_", "mcp_gateway_", "mcp_auth_", "mcp_chat_", "mcp_server_"]
                .iter()
                .any(|prefix| line.starts_with(prefix))
        };
        let names =
            text.lines().filter(of_requests).filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
        names.collect::<BTreeSet<_>>()
    };
    let act = async |tenant: &str| {
        let token = served.tenant(tenant);
        let mut client = served.client(&token).await;
        client.call("fixture__echo", &json!({ "message": "hello" })).await.unwrap();
        let _ = client.call("fixture__no_such_tool", &json!({})).await;
        let chat = json!({ "model": "none", "messages": [{ "role": "user", "content": "hi" }] }).to_string();
        let url = served.url.replace("/mcp", "/v1/chat/completions");
        Attempt::new(Method::POST, &url).bearer(token.expose()).body(chat).send().await;
        Attempt::list(&served.url).bearer(token.expose()).header("x-tenant-id", "another").send().await;
    };
    act("first").await;
    let of_one = series().await;
    for tenant in ["second", "third", "fourth"] {
        act(tenant).await;
    }
    assert!(of_one.len() > 5, "{of_one:?}");
    assert_eq!(series().await, of_one);
    assert!(served.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_of_an_allowed_origin_may_call_and_another_may_not() {
    let served = Served::start(&json!({}), "cors_origins = [\"https://app.example\"]\n");
    let preflight = |origin: &str| {
        Attempt::new(Method::OPTIONS, &served.url)
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization, mcp-session-id, mcp-protocol-version")
            .send()
    };
    let allowed = preflight("https://app.example").await;
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://app.example");
    let headers = allowed.headers["access-control-allow-headers"].to_str().unwrap().to_owned();
    for header in ["authorization", "mcp-session-id", "mcp-protocol-version", "mcp-method", "mcp-name"] {
        assert!(headers.contains(header), "{header} is not in {headers}");
    }
    let token = served.tenant("acme");
    let call =
        |origin: &str| Attempt::list(&served.url).bearer(token.expose()).header("origin", origin).send();
    let answered = call("https://app.example").await;
    assert_eq!(answered.status, StatusCode::OK);
    assert_eq!(answered.headers["access-control-allow-origin"], "https://app.example");
    assert_eq!(call("https://evil.example").await.status, StatusCode::FORBIDDEN);
    assert!(!preflight("https://evil.example").await.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_ends_well_when_the_server_is_told_to_stop() {
    let mut served = Served::start(&json!({ "fixture": fixture("drain", &[]) }), "");
    let token = served.tenant("acme");
    let mut client = served.client(&token).await;
    client.call("fixture__echo", &json!({ "message": "started" })).await.unwrap();
    let slow = Attempt::call(
        &served.url,
        "tools/call",
        json!({ "name": "fixture__slow", "arguments": { "ms": 2_000 } }),
    );
    let in_flight = tokio::spawn(slow.bearer(token.expose()).send());
    let metrics = || Attempt::new(Method::GET, &format!("{}/metrics", served.operations)).send();
    let began = std::time::Instant::now();
    while !String::from_utf8_lossy(&metrics().await.body).contains("mcp_http_requests_in_flight 1") {
        assert!(began.elapsed() < Duration::from_secs(10), "the call does not arrive");
    }
    assert!(served.stop().success(), "a call was cut");
    let answer = in_flight.await.unwrap();
    assert!(String::from_utf8_lossy(&answer.body).contains("\"result\""), "{answer:?}");
}

/// A connection of a client that trusts `root`, speaks these versions of TLS and offers these protocols.
async fn connected(
    address: &str,
    root: &rcgen::Certificate,
    versions: &[&'static SupportedProtocolVersion],
    offered: &[&[u8]],
) -> Result<TlsStream<TcpStream>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = offered.iter().map(|protocol| protocol.to_vec()).collect();
    let name = ServerName::try_from("platform.test").unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let connected = within("a connection over TLS", async {
        connector.connect(name, TcpStream::connect(address).await.unwrap()).await
    });
    connected.await.map_err(|error| error.to_string())
}

/// The certificate the server shows to a client that trusts `root`.
async fn shown_certificate(address: &str, root: &rcgen::Certificate) -> Result<Vec<u8>, String> {
    let connected = connected(address, root, rustls::DEFAULT_VERSIONS, &[]).await?;
    let shown = connected.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    Ok(shown)
}

/// Writes a new self-signed certificate and its key.
fn renew_certificate(directory: &Path) -> rcgen::Certificate {
    let pair = rcgen::generate_simple_self_signed(vec!["platform.test".to_owned()]).unwrap();
    std::fs::write(directory.join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
    std::fs::write(directory.join("cert.pem"), pair.cert.pem()).unwrap();
    pair.cert
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_shows_a_renewed_certificate_without_a_restart() {
    let mut served = Served::prepare(&json!({}), "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n");
    let first = renew_certificate(served.path());
    served.run();
    let address = served.url.strip_prefix("https://").unwrap().split('/').next().unwrap().to_owned();
    assert_eq!(shown_certificate(&address, &first).await.unwrap(), first.der().to_vec());

    let renewed = renew_certificate(served.path());
    let began = std::time::Instant::now();
    while shown_certificate(&address, &renewed).await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the old certificate is still shown");
    }
    assert!(served.stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_carries_http_2_and_is_never_older_than_1_3() {
    let mut served = Served::prepare(&json!({}), "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n");
    let root = renew_certificate(served.path());
    served.run();
    let token = served.tenant("acme");
    let address = served.url.strip_prefix("https://").unwrap().split('/').next().unwrap().to_owned();

    let stream = connected(&address, &root, rustls::DEFAULT_VERSIONS, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (mut sender, connection) = within("HTTP/2", handshake).await.unwrap();
    let driving = tokio::spawn(connection);
    let request = Request::builder()
        .uri("https://platform.test/api/v1/tenants/acme")
        .header("authorization", format!("Bearer {}", token.expose()))
        .body(Empty::<Bytes>::new())
        .unwrap();
    let answer = within("an answer over HTTP/2", sender.send_request(request)).await.unwrap();
    assert_eq!((answer.status(), answer.version()), (StatusCode::OK, Version::HTTP_2));
    let body = within("its body", answer.into_body().collect()).await.unwrap().to_bytes();
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["id"], "acme");
    drop(sender);
    within("the end of the connection", driving).await.unwrap().unwrap();

    let refused = connected(&address, &root, &[&rustls::version::TLS12], &[]).await.unwrap_err();
    assert!(refused.contains("ProtocolVersion"), "{refused}");
    assert!(served.stop().success());
}

#[test]
fn a_data_directory_that_others_can_look_into_is_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;
    for (mode, is_warned_of) in [(0o755, true), (0o700, false)] {
        let served = Served::prepare(&json!({}), "");
        let data = served.path().join("mcp-platform-data");
        std::fs::create_dir(&data).unwrap();
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(mode)).unwrap();
        let mut serve = binary();
        serve.arg("serve").current_dir(served.path()).stdin(Stdio::null());
        let mut process = serve.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = Lines::of("mcp-platform serve", process.stdout.take().unwrap(), LIMIT);
        let log = Lines::of("its log", process.stderr.take().unwrap(), LIMIT);
        let started = said.next();
        processes::terminate(process.id());
        bounded::status("mcp-platform serve, told to stop", process);
        let log = log.collect::<Vec<_>>().join("\n");
        assert!(started.is_some(), "{log}");
        assert_eq!(log.contains("run `chmod 700 "), is_warned_of, "{mode:o}: {log}");
    }
}
