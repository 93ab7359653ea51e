//! Against servers on this machine, which is just where a tenant's URL must not lead.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use futures_util::future::{self, BoxFuture};
use hyper_util::client::legacy::connect::dns::Name;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;
use crate::net::Addresses;

/// A server that gives each connection the same answer, and counts them.
struct Server {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Server {
    async fn answering(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let counted = connections.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
                if answer.is_empty() {
                    future::pending::<()>().await;
                }
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";

fn config(addresses: Addresses) -> HttpConfig {
    HttpConfig { addresses, timeout: Duration::from_millis(500), body_limit: 16, ..HttpConfig::default() }
}

fn get(host: &str, port: u16) -> Request<Bytes> {
    Request::builder().uri(format!("http://{host}:{port}/secret-path")).body(Bytes::new()).unwrap()
}

/// Answers each look-up with the next list, as a name that is rebound does.
struct Rebinding(Mutex<Vec<Vec<SocketAddr>>>);

impl Resolve for Rebinding {
    fn resolve(&self, _: Name) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(future::ready(self.0.lock().unwrap().pop().ok_or_else(|| io::Error::other("no such name"))))
    }
}

#[tokio::test]
async fn an_operators_url_may_lead_to_this_machine() {
    let server = Server::answering(HELLO).await;
    let client = HttpClient::new(config(Addresses::Any)).unwrap();
    let answer = client.send(get("127.0.0.1", server.address.port())).await.unwrap();
    assert_eq!(answer.body(), &Bytes::from_static(b"hello"));
}

#[tokio::test]
async fn no_spelling_of_a_private_address_is_dialled() {
    let server = Server::answering(HELLO).await;
    let client = HttpClient::new(config(Addresses::Public)).unwrap();
    let hosts =
        ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "[::ffff:127.0.0.1]", "[::1]"];
    for host in hosts {
        let error = client.send(get(host, server.address.port())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{host}: {error}");
        assert!(!error.report().contains("secret-path"), "{error}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_name_that_is_rebound_to_a_private_address_is_not_dialled() {
    let server = Server::answering(HELLO).await;
    let public: SocketAddr = "198.41.0.4:80".parse().unwrap();
    // The address the client dials is the one it checked: a second look-up never happens.
    for answers in [vec![vec![server.address]], vec![vec![public, server.address]]] {
        let resolver = Arc::new(Rebinding(Mutex::new(answers)));
        let client = HttpClient::with_resolver(config(Addresses::Public), resolver).unwrap();
        let error = client.send(get("rebound.example", server.address.port())).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let inside = Server::answering(HELLO).await;
    let location =
        format!("HTTP/1.1 302 Found\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n", inside.address);
    let outside = Server::answering(Box::leak(location.into_boxed_str())).await;
    let client = HttpClient::new(config(Addresses::Any)).unwrap();
    let answer = client.send(get("127.0.0.1", outside.address.port())).await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn what_answers_too_much_too_late_or_not_at_all_is_named() {
    let large = "HTTP/1.1 200 OK\r\ncontent-length: 17\r\n\r\n12345678901234567";
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nhal";
    let client = HttpClient::new(config(Addresses::Any)).unwrap();
    for (answer, kind) in [
        (large, ErrorKind::Upstream),
        (cut, ErrorKind::Unavailable),
        ("", ErrorKind::Unavailable),
        ("garbage\r\n\r\n", ErrorKind::Unavailable),
    ] {
        let server = Server::answering(answer).await;
        let error = client.send(get("127.0.0.1", server.address.port())).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{answer:?}: {error}");
        assert!(error.message().contains("`127.0.0.1`"), "{error}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client.send(get("127.0.0.1", nobody.port())).await.unwrap_err();
    assert!(error.message().contains("cannot be reached"), "{error}");
}

#[test]
fn certificate_authorities_that_are_none_are_refused() {
    for pem in ["", "garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let config = HttpConfig { roots: Roots::Pem(pem.into()), ..HttpConfig::default() };
        assert_eq!(HttpClient::new(config).unwrap_err().kind(), ErrorKind::InvalidInput, "{pem:?}");
    }
}
