//! The audit log as syslog over TLS, to real listeners: good ones, broken ones, and ones that are not trusted.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mcp_core::{
    ErrorKind, PlatformScope,
    audit::{
        AuditKey, AuditRecord, AuditStore as _, Chain, Entry, MemoryAudit, SealOrder,
        export::{
            ExportVerifier, Forwarder, ForwarderConfig, MemoryPositions, Positions as _, Receipt,
            SyslogFormat, SyslogTls, SyslogTlsConfig,
        },
    },
    clock::{SystemClock, Timestamp},
    lease::MemoryLeases,
    scope::PrincipalId,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

const RECORDS: usize = 60;

fn scope() -> PlatformScope {
    PlatformScope::new(PrincipalId::parse("operator").unwrap(), "a test")
}

/// What a listener does with a connection.
#[derive(Debug, Clone, Copy)]
enum Manner {
    /// Reads to the end and closes properly.
    Good,
    /// Reads to the end and just goes away.
    Abrupt,
    /// Cuts the connection after some bytes.
    Cuts(usize),
    /// Accepts and never reads.
    Deaf,
}

/// A receiver that treats its connections in turn as it is told to; the last manner is for all that follow.
struct Receiver {
    port: u16,
    roots: Vec<u8>,
    received: Arc<Mutex<Vec<u8>>>,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Receiver {
    async fn start(manners: &'static [Manner]) -> Self {
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
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (received, connections) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let task = {
            let (received, connections) = (Arc::clone(&received), Arc::clone(&connections));
            tokio::spawn(async move {
                let mut deaf = Vec::new();
                loop {
                    let (tcp, _) = listener.accept().await.unwrap();
                    let number = connections.fetch_add(1, Ordering::SeqCst);
                    let manner = manners[number.min(manners.len() - 1)];
                    let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                    if let Manner::Deaf = manner {
                        deaf.push(stream);
                        continue;
                    }
                    let read = receive(&mut stream, manner).await;
                    received.lock().unwrap().extend(read);
                }
            })
        };
        Self { port, roots: authority.pem().into_bytes(), received, connections, task }
    }

    /// What arrived, split into messages by their counts.
    fn messages(&self) -> Vec<String> {
        let bytes = self.received.lock().unwrap().clone();
        let (mut rest, mut messages) = (bytes.as_slice(), Vec::new());
        while !rest.is_empty() {
            let blank = rest.iter().position(|byte| *byte == b' ').unwrap();
            let length: usize = std::str::from_utf8(&rest[..blank]).unwrap().parse().unwrap();
            let message = &rest[blank + 1..blank + 1 + length];
            messages.push(String::from_utf8(message.to_vec()).unwrap());
            rest = &rest[blank + 1 + length..];
        }
        messages
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a receiver keeps of one connection: whole ones, so that messages can be told apart.
async fn receive(stream: &mut TlsStream<TcpStream>, manner: Manner) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 512];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        all.extend_from_slice(&buffer[..count]);
        match manner {
            Manner::Cuts(after) if all.len() >= after => {
                // A reset, as of a process that died.
                rustix::net::sockopt::set_socket_linger(stream.get_ref().0, Some(Duration::ZERO)).unwrap();
                return Vec::new();
            }
            Manner::Good if count == 0 => {
                stream.shutdown().await.unwrap();
                return all;
            }
            _ if count == 0 => return all,
            _ => {}
        }
    }
}

struct World {
    key: AuditKey,
    store: Arc<MemoryAudit>,
    positions: Arc<MemoryPositions>,
}

impl World {
    async fn sealed() -> Self {
        let world = Self {
            key: AuditKey::ephemeral().unwrap(),
            store: Arc::new(MemoryAudit::new()),
            positions: Arc::default(),
        };
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let entries: Vec<_> = (0..RECORDS)
            .map(|number| {
                let record = AuditRecord::administered(&scope(), "note.create", format!("note/{number}/é"));
                let detail = serde_json::json!({ "text": "x".repeat(1000) });
                Entry::new(record.with_detail(detail), now).unwrap()
            })
            .collect();
        world.store.append(&scope(), &Chain::Platform, &entries).await.unwrap();
        let order = SealOrder { fence: 1, now, limit: 25, key: &world.key };
        while world.store.seal(&scope(), &Chain::Platform, &order).await.unwrap().left > 0 {}
        world
    }

    fn forwarder(&self, receiver: &Receiver, change: impl FnOnce(&mut SyslogTlsConfig)) -> Forwarder {
        let address = format!("localhost:{}", receiver.port);
        let mut config =
            SyslogTlsConfig::new(address, receiver.roots.clone(), SyslogFormat::new("host.example"));
        change(&mut config);
        let sink = Arc::new(SyslogTls::new(config).unwrap());
        let leases = Arc::new(MemoryLeases::new(Arc::new(SystemClock)));
        let config = ForwarderConfig {
            interval: Duration::from_secs(3600),
            page: 20,
            last_round: Duration::from_millis(1),
            ..ForwarderConfig::default()
        };
        let (store, positions) = (self.store.clone(), self.positions.clone());
        Forwarder::start("siem", store, leases, positions, sink, config).unwrap()
    }

    async fn position(&self) -> i64 {
        self.positions.load(&Chain::Platform).await.unwrap()
    }

    /// That the receiver's copy, without what came twice, is the whole chain.
    fn assert_complete(&self, receiver: &Receiver) {
        let mut verifier = ExportVerifier::new(&[self.key.public()]);
        let mut seen = std::collections::HashSet::new();
        for message in receiver.messages() {
            let line = &message[message.find('{').unwrap()..];
            if seen.insert(line.to_owned()) {
                verifier.line(line.as_bytes());
            }
        }
        let report = verifier.finish();
        assert!(report.is_intact(), "{:?}", report.problems);
        assert_eq!(report.sealed(), RECORDS as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_receiver_gets_every_record_once_and_can_verify_them() {
    let (world, receiver) = (World::sealed().await, Receiver::start(&[Manner::Good]).await);
    let forwarder = world.forwarder(&receiver, |_| {});
    let round = forwarder.forward_now().await.unwrap();
    assert_eq!((round.leads, round.delivered, round.failed), (true, RECORDS as u64, 0));
    assert_eq!(forwarder.forward_now().await.unwrap().delivered, 0, "nothing is delivered twice");
    forwarder.shutdown().await;
    world.assert_complete(&receiver);
    let messages = receiver.messages();
    assert_eq!(messages.len(), RECORDS + 3, "and three checkpoints");
    let first = "<109>1 2027-01-15T08:00:00Z host.example mcp-platform - note.create [audit@32473 chain=";
    assert!(messages[0].starts_with(first), "{}", messages[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_in_the_middle_loses_nothing() {
    let manners = &[Manner::Good, Manner::Cuts(5000), Manner::Cuts(1), Manner::Good];
    let (world, receiver) = (World::sealed().await, Receiver::start(manners).await);
    let forwarder = world.forwarder(&receiver, |_| {});
    let error = forwarder.forward_now().await.unwrap_err();
    assert_eq!((error.kind(), world.position().await), (ErrorKind::Unavailable, 20), "{error}");
    assert!(forwarder.forward_now().await.is_err());
    assert_eq!(world.position().await, 20, "what was not received counts as delivered");
    assert_eq!(forwarder.forward_now().await.unwrap().delivered, 40);
    forwarder.shutdown().await;
    world.assert_complete(&receiver);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_never_reads_costs_a_bounded_time_and_nothing_is_lost() {
    let (world, receiver) = (World::sealed().await, Receiver::start(&[Manner::Deaf, Manner::Good]).await);
    let forwarder = world.forwarder(&receiver, |config| {
        config.write_timeout = Duration::from_millis(200);
        config.receipt_timeout = Duration::from_millis(200);
    });
    let error = forwarder.forward_now().await.unwrap_err();
    assert_eq!((error.kind(), world.position().await), (ErrorKind::Unavailable, 0), "{error}");
    assert_eq!(forwarder.forward_now().await.unwrap().delivered, RECORDS as u64);
    forwarder.shutdown().await;
    world.assert_complete(&receiver);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_just_goes_away_is_believed_only_where_that_is_allowed() {
    let (world, receiver) = (World::sealed().await, Receiver::start(&[Manner::Abrupt]).await);
    let forwarder = world.forwarder(&receiver, |_| {});
    let error = forwarder.forward_now().await.unwrap_err();
    assert!(error.message().contains("Receipt::Closed"), "{error}");
    assert_eq!(world.position().await, 0);
    forwarder.shutdown().await;
    let forwarder = world.forwarder(&receiver, |config| config.receipt = Receipt::Closed);
    assert_eq!(forwarder.forward_now().await.unwrap().delivered, RECORDS as u64);
    forwarder.shutdown().await;
    world.assert_complete(&receiver);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_sent_to_whom_the_roots_do_not_vouch_for() {
    let (world, receiver) = (World::sealed().await, Receiver::start(&[Manner::Good]).await);
    let other = Receiver::start(&[Manner::Good]).await;
    let foreign_roots = world.forwarder(&receiver, |config| config.roots = other.roots.clone());
    assert_eq!(foreign_roots.forward_now().await.unwrap_err().kind(), ErrorKind::Unavailable);
    foreign_roots.shutdown().await;
    let other_name = world.forwarder(&receiver, |config| config.server_name = "siem.example".into());
    assert_eq!(other_name.forward_now().await.unwrap_err().kind(), ErrorKind::Unavailable);
    other_name.shutdown().await;
    assert!(receiver.connections.load(Ordering::SeqCst) >= 2);
    assert_eq!((receiver.messages().len(), world.position().await), (0, 0));
}

#[test]
fn senseless_settings_are_refused_by_name() {
    let config = |change: fn(&mut SyslogTlsConfig)| {
        let mut config = SyslogTlsConfig::new("h:6514", b"no certificate".to_vec(), SyslogFormat::new("h"));
        change(&mut config);
        SyslogTls::new(config).unwrap_err()
    };
    assert!(config(|_| {}).message().contains("roots"));
    assert!(config(|config| config.format.facility = 99).message().contains("facility"));
}
