//! Client certificates: verified by the listener, worth what an operator registered, renewed while it runs.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::Served;

const ROBOT: &str = "spiffe://prod.acme/robot";

/// When a test gives up on an end that must come; no bound on how soon.
const GUARD: Duration = Duration::from_secs(60);

/// An authority for clients.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What a client shows.
struct Client {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
}

fn client(authority: &Authority, spiffe: &str) -> Client {
    client_of_serial(authority, spiffe, 1)
}

fn client_of_serial(authority: &Authority, spiffe: &str, serial: u64) -> Client {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.subject_alt_names = vec![SanType::URI(spiffe.try_into().unwrap())];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(serial));
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    Client { chain: vec![certificate.der().clone()], key: key.serialize_der() }
}

struct Platform {
    served: Served,
    root: CertificateDer<'static>,
}

impl Platform {
    /// Serves over TLS, and takes clients of `authority`.
    fn start(mode: &str, authority: &Authority) -> Self {
        let mut platform = Self::prepare(mode, authority, "");
        platform.run();
        platform
    }

    /// The same with further configuration, not running yet.
    fn prepare(mode: &str, authority: &Authority, more: &str) -> Self {
        let config = format!(
            "tls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\nclient_ca = \"clients.pem\"\n\
             client_certificates = \"{mode}\"\n{more}"
        );
        let served = Served::prepare(&json!({}), &config);
        let pair = rcgen::generate_simple_self_signed(vec!["platform.test".to_owned()]).unwrap();
        std::fs::write(served.path().join("key.pem"), pair.signing_key.serialize_pem()).unwrap();
        std::fs::write(served.path().join("cert.pem"), pair.cert.pem()).unwrap();
        trust(served.path(), authority);
        Self { served, root: pair.cert.der().clone() }
    }

    fn run(&mut self) {
        self.served.run();
        for tenant in ["acme", "beta"] {
            self.served.command(&["tenant", "create", tenant]);
        }
    }

    /// What a request on a connection with that certificate gets; an error where there is no connection.
    async fn send(
        &self,
        client: Option<&Client>,
        (method, path): (&str, &str),
        bearer: Option<&str>,
        body: Value,
    ) -> Result<(StatusCode, Value), String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            Some(client) => {
                let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(client.key.clone()));
                config.with_client_auth_cert(client.chain.clone(), key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let address = self.served.url.strip_prefix("https://").unwrap().split('/').next().unwrap();
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"))
            .header("host", "platform.test")
            .header("content-type", "application/json");
        if let Some(bearer) = bearer {
            request = request.header("authorization", format!("Bearer {bearer}"));
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let exchange = async {
            let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
            let name = ServerName::try_from("platform.test").unwrap();
            let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
            let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
            exchange(stream, request).await
        };
        tokio::time::timeout(GUARD, exchange).await.expect("neither an answer nor an end of the connection")
    }

    async fn tenant(&self, client: &Client, tenant: &str) -> Result<StatusCode, String> {
        let path = format!("/tenants/{tenant}");
        self.send(Some(client), ("GET", &path), None, Value::Null).await.map(|(status, _)| status)
    }
}

/// One request on a fresh connection, and the answer.
async fn exchange(
    stream: tokio_rustls::client::TlsStream<TcpStream>,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Value), String> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let answered = async move {
        // TLS 1.3: a client hears that its certificate is refused with the first answer.
        let answer = sender.send_request(request).await.map_err(|error| format!("{error:?}"))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    };
    // By one task: a request that is handed over at the moment in which another task drops the connection is
    // never answered by hyper.
    let (answered, _) = tokio::join!(answered, connection);
    answered
}

fn trust(directory: &Path, authority: &Authority) {
    std::fs::write(directory.join("clients.pem"), authority.pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registered_certificate_speaks_for_its_principal_and_no_other_does() {
    let ours = authority("ours");
    let platform = Platform::start("optional", &ours);
    let operator = platform.served.operator_key().expose().clone();
    let (robot, stranger) = (client(&ours, ROBOT), client(&ours, "spiffe://prod.acme/stranger"));
    assert_eq!(
        platform.tenant(&robot, "acme").await,
        Ok(StatusCode::UNAUTHORIZED),
        "before it is registered"
    );

    let operate = async |method: &str, path: &str, body: Value| {
        let path = format!("/operator/tenants/acme/certificates{path}");
        platform.send(None, (method, &path), Some(&operator), body).await.unwrap()
    };
    let new =
        json!({ "name": "robot", "subject": ROBOT, "principal": "robot", "permissions": ["tenant:read"] });
    let (status, registered) = operate("POST", "", new.clone()).await;
    assert_eq!((status, &registered["subject"]), (StatusCode::CREATED, &json!(ROBOT)), "{registered}");
    assert_eq!(operate("POST", "", new).await.0, StatusCode::CONFLICT, "a subject has one owner");

    assert_eq!(platform.tenant(&robot, "acme").await, Ok(StatusCode::OK));
    assert_eq!(platform.tenant(&robot, "beta").await, Ok(StatusCode::FORBIDDEN), "another tenant");
    assert_eq!(
        platform.tenant(&stranger, "acme").await,
        Ok(StatusCode::UNAUTHORIZED),
        "registered for nobody"
    );
    let (status, _) = platform.send(Some(&robot), ("GET", "/keys"), None, Value::Null).await.unwrap();
    assert_eq!(status, StatusCode::FORBIDDEN, "a permission it was not given");

    // Two credentials are refused; a certificate of nobody beside a good key is no second one.
    let key = platform.served.command(&["key", "create", "acme"])["key"].as_str().unwrap().to_owned();
    let with_key = async |client: Option<&Client>| {
        platform.send(client, ("GET", "/tenants/acme"), Some(&key), Value::Null).await.unwrap().0
    };
    assert_eq!(with_key(Some(&robot)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(with_key(Some(&stranger)).await, StatusCode::OK);
    assert_eq!(with_key(None).await, StatusCode::OK);

    let listed = platform.send(None, ("GET", "/certificates"), Some(&key), Value::Null).await.unwrap();
    assert_eq!((listed.0, &listed.1["items"][0]["id"]), (StatusCode::OK, &registered["id"]));
    let id = registered["id"].as_str().unwrap();
    assert_eq!(operate("DELETE", &format!("/{id}"), Value::Null).await.0, StatusCode::OK);
    assert_eq!(operate("DELETE", &format!("/{id}"), Value::Null).await.0, StatusCode::NOT_FOUND);
    assert_eq!(platform.tenant(&robot, "acme").await, Ok(StatusCode::UNAUTHORIZED), "after it was removed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_makes_no_connection_until_that_is_trusted() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let platform = Platform::start("required", &ours);
    let (good, foreign) = (client(&ours, ROBOT), client(&theirs, ROBOT));
    assert_eq!(platform.tenant(&good, "acme").await, Ok(StatusCode::UNAUTHORIZED));
    platform.tenant(&foreign, "acme").await.expect_err("another authority's certificate is accepted");
    let health = platform.send(None, ("GET", "/openapi.json"), None, Value::Null).await;
    health.expect_err("a certificate is required");

    trust(platform.served.path(), &theirs);
    let began = std::time::Instant::now();
    while platform.tenant(&foreign, "acme").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "the new authority is not read");
    }
    platform.tenant(&good, "acme").await.expect_err("the former authority is trusted still");
}

/// The list of `authority` that revokes these serial numbers, and ends in this year.
fn revoke(directory: &Path, authority: &Authority, serials: &[u64], year: i32) {
    let revoked = |serial: &u64| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2020, 1, 1),
        reason_code: None,
        invalidity_date: None,
    };
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2020, 1, 1),
        next_update: date_time_ymd(year, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: serials.iter().map(revoked).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(authority).unwrap().pem().unwrap();
    // Whole at once: what is read in between would be refused, with an error in the log.
    std::fs::write(directory.join("next.crl"), list).unwrap();
    std::fs::rename(directory.join("next.crl"), directory.join("clients.crl")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_certificate_makes_no_connection_and_a_new_list_is_read() {
    let ours = authority("ours");
    let (first, second) = (client_of_serial(&ours, ROBOT, 7), client_of_serial(&ours, ROBOT, 8));
    let mut platform = Platform::prepare("optional", &ours, "client_crl = [\"clients.crl\"]\n");
    let directory = platform.served.path().to_owned();
    revoke(&directory, &ours, &[7], 2040);
    platform.run();
    platform.tenant(&first, "acme").await.expect_err("a revoked certificate is accepted");
    assert_eq!(platform.tenant(&second, "acme").await, Ok(StatusCode::UNAUTHORIZED), "it is nobody's yet");

    revoke(&directory, &ours, &[7, 8], 2040);
    let began = std::time::Instant::now();
    while platform.tenant(&second, "acme").await.is_ok() {
        assert!(began.elapsed() < Duration::from_secs(20), "the new list is not read");
    }
    let nobody = platform.send(None, ("GET", "/openapi.json"), None, Value::Null).await.unwrap();
    assert_eq!(nobody.0, StatusCode::OK, "who shows no certificate is not concerned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_no_list_speaks_of_is_refused() {
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let mut platform = Platform::prepare("required", &ours, "client_crl = [\"clients.crl\"]\n");
    let directory = platform.served.path().to_owned();
    revoke(&directory, &ours, &[], 2040);
    std::fs::write(directory.join("clients.pem"), format!("{}{}", ours.pem(), theirs.pem())).unwrap();
    platform.run();
    let (known, unknown) = (client(&ours, ROBOT), client(&theirs, ROBOT));
    assert_eq!(platform.tenant(&known, "acme").await, Ok(StatusCode::UNAUTHORIZED));
    platform.tenant(&unknown, "acme").await.expect_err("nobody says that it is not revoked");
}

#[test]
fn a_list_that_cannot_be_used_is_refused_by_name_at_start() {
    let ours = authority("ours");
    let platform = Platform::prepare("optional", &ours, "client_crl = [\"clients.crl\"]\n");
    let directory = platform.served.path().to_owned();
    let refused = |wanted: &str| {
        let done = platform.served.try_command(&["serve"]);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success(), "{wanted}");
        assert!(said.contains("clients.crl") && said.contains(wanted), "{wanted:?} is not in {said}");
    };
    refused("no PEM revocation lists");
    std::fs::write(directory.join("clients.crl"), ours.pem()).unwrap();
    refused("holds no revocation list");
    revoke(&directory, &ours, &[], 2021);
    refused("ended at 2021-01-01T00:00:00Z");
}
