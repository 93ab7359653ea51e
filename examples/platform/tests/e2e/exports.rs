//! The audit log, taken elsewhere: exported, and forwarded to a syslog receiver.

use std::{
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use http::StatusCode;
use mcp_core::audit::{AuditKey, export::ExportVerifier};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use crate::support::{
    Served,
    api::Caller,
    http::{Answer, Attempt},
};

/// The lines of an export.
fn entries(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.headers["content-type"], "application/x-ndjson");
    let text = String::from_utf8_lossy(&answer.body);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What `get` answers once something in it is sealed.
async fn sealed(caller: &Caller, path: &str) -> Answer {
    let began = Instant::now();
    loop {
        let answer = caller.get(path).await;
        if !answer.body.is_empty() {
            return answer;
        }
        assert!(began.elapsed() < Duration::from_secs(20), "nothing is sealed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_verifies_without_the_platform_and_goes_on_where_the_last_one_ended() {
    let served = Served::start(&json!({}), "");
    let acme = Caller::new(&served, &served.tenant("acme"));
    let operator = Caller::new(&served, &served.operator_key());
    assert_eq!(acme.get("/tenants/nowhere").await.status, StatusCode::FORBIDDEN);

    let key = AuditKey::load_or_create(&served.path().join("mcp-platform-data/audit.key")).unwrap();
    for (caller, path) in [(&acme, "/audit/export"), (&operator, "/operator/audit/export")] {
        let exported = sealed(caller, path).await;
        let mut verifier = ExportVerifier::new(&[key.public()]);
        exported
            .body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .for_each(|line| verifier.line(line));
        let report = verifier.finish();
        assert!(report.is_intact(), "{path}: {report}");
        // One byte of it, and it does not.
        let text = String::from_utf8_lossy(&exported.body).replacen("operator", "0perator", 1);
        let mut verifier = ExportVerifier::new(&[key.public()]);
        text.lines().for_each(|line| verifier.line(line.as_bytes()));
        if text.as_bytes() != &exported.body[..] {
            assert!(!verifier.finish().is_intact(), "{path}: what was altered passed");
        }
    }
    let whole = entries(&operator.get("/operator/audit/export").await);
    let seqs = |entries: &[Value]| entries.iter().filter_map(|line| line["seq"].as_i64()).max();
    let last = seqs(&whole).unwrap();
    let rest = operator.get(&format!("/operator/audit/export?after={last}")).await;
    assert!(rest.status == StatusCode::OK && rest.body.is_empty(), "{rest:?}");
    let beyond = operator.get(&format!("/operator/audit/export?after={}", last + 1_000)).await;
    assert_eq!(beyond.status, StatusCode::BAD_REQUEST);

    let events = entries(&operator.get("/operator/audit/export?format=ocsf").await);
    assert!(events.iter().all(|event| event["class_uid"].is_u64()), "{events:?}");
    let of_tenant = sealed(&operator, "/operator/tenants/acme/audit/export").await;
    // The chain may have grown in between.
    assert!(acme.get("/audit/export").await.body.starts_with(&of_tenant.body));
    assert_eq!(operator.get("/operator/tenants/nobody/audit/export").await.status, StatusCode::NOT_FOUND);
    let narrow = served.command(&["key", "create", "acme", "--permission", "keys:read"]);
    let narrow =
        Attempt::new(http::Method::GET, &served.api("/audit/export")).bearer(narrow["key"].as_str().unwrap());
    assert_eq!(narrow.send().await.status, StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_filtered_by_what_was_done_and_by_whom() {
    let served = Served::start(&json!({}), "");
    served.tenant("acme");
    let operator = Caller::new(&served, &served.operator_key());
    let actions = async |query: &str| {
        let found = operator.get(&format!("/operator/audit?{query}")).await;
        assert_eq!(found.status, StatusCode::OK, "{found:?}");
        let items = found.json()["items"].as_array().unwrap().clone();
        items.into_iter().map(|record| record["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions("action=tenant.create").await, ["tenant.create"]);
    assert!(actions("action=operator_key.*").await.iter().all(|action| action.starts_with("operator_key.")));
    assert!(actions("actor=nobody").await.is_empty());
    assert!(actions("until=2020-01-01T00:00:00Z").await.is_empty());
    for bad in ["action=*", "outcome=maybe", "limit=0", "limit=201", "from=yesterday", "tenant=acme"] {
        let refused = operator.get(&format!("/operator/audit?{bad}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
    }
}

/// A syslog receiver over TLS that keeps what it reads.
struct Receiver {
    port: u16,
    roots: String,
    received: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    fn start() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let issuer: &Issuer<'_, KeyPair> = &authority;
        let certificate =
            CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = received.clone();
        let task = tokio::spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                let mut all = Vec::new();
                if stream.read_to_end(&mut all).await.is_ok() {
                    kept.lock().unwrap().extend(all);
                    // The receipt.
                    let _ = stream.shutdown().await;
                }
            }
        });
        Self { port, roots: authority.pem(), received, task }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_arrives_at_a_syslog_receiver_and_ready_says_how_far() {
    let receiver = Receiver::start();
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    std::fs::write(&ca, &receiver.roots).unwrap();
    let config = format!(
        "[audit.syslog]\naddress = \"localhost:{}\"\nca = \"{}\"\nhostname = \"test\"\n",
        receiver.port,
        ca.display()
    );
    let mut served = Served::start(&json!({}), &config);
    served.tenant("acme");
    let began = Instant::now();
    let state = loop {
        let ready =
            Attempt::new(http::Method::GET, &format!("{}/ready", served.operations)).send().await.json();
        let forwarder = ready["audit_forwarder"].clone();
        let (position, head) =
            (&forwarder["platform_chain"]["position"], &forwarder["platform_chain"]["head"]);
        if position.as_i64() > Some(0) && position == head {
            break forwarder;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "nothing was forwarded: {ready}");
    };
    assert!(state["delivered"].as_u64() > Some(0) && state.get("failing_since").is_none(), "{state}");
    // What comes in the last moments is delivered before it ends.
    served.command(&["tenant", "suspend", "acme"]);
    assert!(served.stop().success());
    let text = String::from_utf8_lossy(&receiver.received.lock().unwrap()).into_owned();
    for part in ["tenant.create", "tenant.suspend", " test mcp-platform ", "audit@32473"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
