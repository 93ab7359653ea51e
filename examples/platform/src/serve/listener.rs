//! One listener: a bounded number of connections, drained at shutdown.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, body::Body};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use mcp_core::{Error, Result};
use mcp_tenancy::certificate::PeerCertificate;
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

use super::Certificates;

/// Time a client has for its TLS handshake, and for the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time between two questions whether an HTTP/2 client is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Time that sent data may stay unread, unless [`Limits`] says otherwise.
const UNREAD: Duration = Duration::from_secs(30);
/// Pause after `accept` failed, which it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections.
    pub connections: usize,
    /// Time that requests in flight get at shutdown.
    pub drain: Duration,
    /// Time that sent data may stay unread before the connection is given up; below a millisecond means one.
    pub unread: Duration,
}

impl Limits {
    /// These bounds, and 30 seconds for a client to go on reading.
    #[must_use]
    pub const fn new(connections: usize, drain: Duration) -> Self {
        Self { connections, drain, unread: UNREAD }
    }

    fn unread_millis(&self) -> u32 {
        // Zero would leave it to the system, which waits a quarter of an hour or for ever.
        u32::try_from(self.unread.as_millis()).unwrap_or(u32::MAX).max(1)
    }
}

/// A bound listener, not yet serving.
#[derive(Debug)]
pub struct Listener {
    tcp: TcpListener,
    tls: Option<Arc<Certificates>>,
    limits: Limits,
}

impl Listener {
    /// Binds `address`.
    ///
    /// # Errors
    /// `Unavailable` that names the address.
    pub async fn bind(address: SocketAddr, tls: Option<Arc<Certificates>>, limits: Limits) -> Result<Self> {
        let tcp = TcpListener::bind(address).await.map_err(|error| {
            Error::unavailable("serve.bind", format!("cannot listen on {address}: {error}"))
        })?;
        Ok(Self { tcp, tls, limits })
    }

    /// The address with the port in use.
    ///
    /// # Errors
    /// `Internal` if the socket has none.
    pub fn address(&self) -> Result<SocketAddr> {
        self.tcp.local_addr().map_err(|error| Error::internal("serve.address", error.to_string()))
    }

    /// Serves `app` until `shutdown`, then lets requests in flight end within the drain time.
    ///
    /// Returns whether all of them did.
    pub async fn run(self, app: Router, shutdown: CancellationToken) -> bool {
        let graceful = GracefulShutdown::new();
        let places = Arc::new(Semaphore::new(self.limits.connections));
        let connections = TaskTracker::new();
        let cut = CancellationToken::new();
        loop {
            let (stream, place) = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = accept(&self.tcp, &places) => accepted,
            };
            let unread = self.limits.unread_millis();
            // Asked for each connection: files that were renewed count from the next one on.
            let acceptor = self.tls.as_ref().map(|tls| TlsAcceptor::from(tls.server_config()));
            let connection = Connection { acceptor, app: app.clone(), unread };
            let watcher = graceful.watcher();
            let cut = cut.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = connection.serve(stream, watcher) => {}
                    () = cut.cancelled() => {}
                }
                drop(place);
            });
        }
        drop(self.tcp);
        connections.close();
        let drained = tokio::time::timeout(self.limits.drain, async {
            graceful.shutdown().await;
            connections.wait().await;
        });
        let in_time = drained.await.is_ok();
        cut.cancel();
        connections.wait().await;
        in_time
    }
}

async fn accept(tcp: &TcpListener, places: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so a place is always had in the end.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match tcp.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

struct Connection {
    acceptor: Option<TlsAcceptor>,
    app: Router,
    /// In milliseconds.
    unread: u32,
}

impl Connection {
    async fn serve(self, stream: TcpStream, watcher: hyper_util::server::graceful::Watcher) {
        // Nagle with delayed acknowledgement stalls small answers by 40 ms.
        let _ = stream.set_nodelay(true);
        // A client that stops reading must not hold its answers in memory for ever.
        let _ = set_tcp_user_timeout(&stream, self.unread);
        let app = self.app;
        let service = |peer: Option<PeerCertificate>| {
            TowerToHyperService::new(app.map_request(move |request: http::Request<Incoming>| {
                let mut request = request.map(Body::new);
                // The only place that says so: whoever is further in may believe it.
                if let Some(peer) = &peer {
                    request.extensions_mut().insert(peer.clone());
                }
                request
            }))
        };
        let result = match self.acceptor {
            None => {
                let connection =
                    http(false).serve_connection(TokioIo::new(stream), service(None)).into_owned();
                watcher.watch(connection).await
            }
            Some(acceptor) => match tokio::time::timeout(HEAD_TIMEOUT, acceptor.accept(stream)).await {
                Ok(Ok(tls)) => {
                    let peer = match peer_of(tls.get_ref().1) {
                        Ok(peer) => peer,
                        Err(error) => return tracing::debug!(%error, "a client certificate is unreadable"),
                    };
                    let two = tls.get_ref().1.alpn_protocol() == Some(b"h2");
                    let connection =
                        http(two).serve_connection(TokioIo::new(tls), service(peer)).into_owned();
                    watcher.watch(connection).await
                }
                Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake failed"),
                Err(_) => return tracing::debug!("TLS handshake took too long"),
            },
        };
        if let Err(error) = result {
            tracing::debug!(%error, "connection ended");
        }
    }
}

/// The certificate that the client proved to hold, verified in the handshake, if it showed one.
fn peer_of(connection: &rustls::ServerConnection) -> Result<Option<PeerCertificate>> {
    let shown = connection.peer_certificates().and_then(<[_]>::first);
    shown.map(|certificate| PeerCertificate::from_der(certificate)).transpose()
}

/// HTTP/1.1, or HTTP/2 where TLS agreed on it. Which one is never guessed from the first bytes: a client that
/// sends none would keep its connection for ever.
fn http(two: bool) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(KEEP_ALIVE).keep_alive_timeout(HEAD_TIMEOUT);
    if two { builder.http2_only() } else { builder.http1_only() }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use http::{Request, StatusCode};
    use http_body_util::{BodyExt, Empty};
    use hyper::client::conn::http1::{SendRequest, handshake};
    use tokio::sync::Notify;

    use super::*;

    /// When a test gives up on an end that must come; no bound on how soon.
    const GUARD: Duration = Duration::from_secs(60);

    type Sender = SendRequest<Empty<bytes::Bytes>>;

    async fn connect(address: SocketAddr) -> Sender {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    fn to(path: &str) -> Request<Empty<bytes::Bytes>> {
        Request::builder().uri(path).header("host", "test").body(Empty::new()).unwrap()
    }

    async fn start(
        app: Router,
        drain: Duration,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<bool>) {
        let limits = Limits { unread: Duration::from_millis(300), ..Limits::new(2, drain) };
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None, limits).await.unwrap();
        let (address, shutdown) = (listener.address().unwrap(), CancellationToken::new());
        (address, shutdown.clone(), tokio::spawn(listener.run(app, shutdown)))
    }

    #[tokio::test]
    async fn a_request_in_flight_ends_and_a_new_connection_is_refused() {
        let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (enter, wait) = (Arc::clone(&entered), Arc::clone(&go));
        let app = Router::new().route(
            "/slow",
            get(async move || {
                enter.notify_one();
                wait.notified().await;
                "done"
            }),
        );
        let (address, shutdown, running) = start(app, Duration::from_secs(30)).await;
        let mut client = connect(address).await;
        let answer = tokio::spawn(async move { client.send_request(to("/slow")).await.unwrap() });
        entered.notified().await;
        shutdown.cancel();
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        go.notify_one();
        let response = answer.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "done");
        assert!(running.await.unwrap(), "the drain did not end in time");
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_cut_at_the_drain_limit() {
        let entered = Arc::new(Notify::new());
        let enter = Arc::clone(&entered);
        let app = Router::new().route(
            "/hang",
            get(async move || {
                enter.notify_one();
                std::future::pending::<()>().await;
            }),
        );
        let (address, shutdown, running) = start(app, Duration::from_millis(50)).await;
        let mut client = connect(address).await;
        let answer = tokio::spawn(async move { client.send_request(to("/hang")).await });
        entered.notified().await;
        shutdown.cancel();
        assert!(!running.await.unwrap());
        assert!(answer.await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_let_go() {
        use tokio::io::AsyncReadExt as _;
        let (address, shutdown, running) = start(Router::new(), Duration::from_secs(1)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut nothing = [0; 1];
        let ended = tokio::time::timeout(GUARD, silent.read(&mut nothing)).await;
        assert_eq!(ended.expect("still connected").unwrap_or(0), 0, "the server spoke first");
        shutdown.cancel();
        assert!(running.await.unwrap());
    }

    /// Holds what a connection holds until it ends, and then says so.
    struct Held(Arc<Notify>);

    impl Drop for Held {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    #[tokio::test]
    async fn a_client_that_opens_a_stream_and_never_reads_is_let_go() {
        use tokio::io::AsyncWriteExt as _;
        let dropped = Arc::new(Notify::new());
        let signal = Arc::clone(&dropped);
        let app = Router::new().route(
            "/stream",
            get(async move || {
                let held = Held(signal);
                let chunk = bytes::Bytes::from_static(&[b'x'; 64 * 1024]);
                Body::from_stream(futures_util::stream::unfold((held, chunk), async |(held, chunk)| {
                    Some((Ok::<_, std::convert::Infallible>(chunk.clone()), (held, chunk)))
                }))
            }),
        );
        let (address, shutdown, running) = start(app, Duration::from_secs(30)).await;
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET /stream HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        let ended = tokio::time::timeout(GUARD, dropped.notified()).await;
        assert!(ended.is_ok(), "the stream is still held for a client that reads nothing");
        drop(client);
        shutdown.cancel();
        assert!(running.await.unwrap());
    }

    #[tokio::test]
    async fn connections_over_the_bound_wait_for_a_place() {
        let (address, shutdown, running) =
            start(Router::new().route("/", get(async || "ok")), Duration::from_secs(30)).await;
        let (first, mut second) = (connect(address).await, connect(address).await);
        assert_eq!(second.send_request(to("/")).await.unwrap().status(), StatusCode::OK);
        let mut third = connect(address).await;
        let mut waiting = Box::pin(third.send_request(to("/")));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        drop(first);
        assert_eq!(waiting.await.unwrap().status(), StatusCode::OK);
        drop((second, third));
        shutdown.cancel();
        assert!(running.await.unwrap());
    }
}
