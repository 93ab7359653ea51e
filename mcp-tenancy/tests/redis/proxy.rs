//! What stands between a limiter and Redis, and can be told to fail.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    task::JoinHandle,
};

/// How connections made from now on behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As Redis.
    Passes,
    /// Takes what it is sent, and never answers.
    Hangs,
    /// Answers every command with numbers that the limiter's script cannot give.
    Lies,
}

/// A server at an address of its own.
#[derive(Debug)]
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    mode: watch::Sender<Mode>,
    cut: watch::Sender<()>,
    /// Bytes that came from clients.
    received: AtomicU64,
    redis: String,
}

impl Proxy {
    pub(crate) async fn start(mode: Mode) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let parsed = redis::Client::open(super::url()).unwrap();
        let redis::ConnectionAddr::Tcp(host, port) = parsed.get_connection_info().addr() else {
            unreachable!("REDIS_URL must be one of TCP");
        };
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(mode),
            cut: watch::Sender::new(()),
            received: AtomicU64::new(0),
            redis: format!("{host}:{port}"),
        });
        let serving = Some(tokio::spawn(serve(listener, shared.clone())));
        Self { address, shared, serving }
    }

    /// The URL of the server through here, with its credentials.
    pub(crate) fn url(&self) -> String {
        let url = super::url();
        let authority = url.strip_prefix("redis://").unwrap();
        let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
        format!("redis://{user}{}", self.address)
    }

    /// Connections that are open go on as they were.
    pub(crate) fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    pub(crate) fn received(&self) -> u64 {
        self.shared.received.load(Ordering::SeqCst)
    }

    /// Every connection is broken and the port closed, as when the server is killed.
    pub(crate) async fn kill(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        let _aborted = serving.await;
        self.shared.cut.send_replace(());
    }

    /// Serves again at the same address.
    pub(crate) async fn restart(&mut self) {
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.serving = Some(tokio::spawn(serve(listener, self.shared.clone())));
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
        self.shared.cut.send_replace(());
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let (shared, mut cut) = (shared.clone(), shared.cut.subscribe());
        tokio::spawn(async move {
            tokio::select! {
                _ = cut.changed() => {}
                () = connection(client, &shared) => {}
            }
        });
    }
}

async fn connection(client: TcpStream, shared: &Shared) {
    let mode = *shared.mode.borrow();
    let (from_client, to_client) = client.into_split();
    match mode {
        Mode::Passes => {
            let (from_redis, to_redis) = TcpStream::connect(&shared.redis).await.unwrap().into_split();
            tokio::join!(pump(from_client, to_redis, Some(shared)), pump(from_redis, to_client, None));
        }
        Mode::Hangs => {
            pump(from_client, tokio::io::sink(), Some(shared)).await;
            drop(to_client);
        }
        Mode::Lies => lie(from_client, to_client, shared).await,
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: impl tokio::io::AsyncWrite + Unpin, counted: Option<&Shared>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        if let Some(shared) = counted {
            shared.received.fetch_add(length as u64, Ordering::SeqCst);
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            break;
        }
    }
    let _closed = to.shutdown().await;
}

/// One answer a command; an argument of a test's commands never begins with `*`.
async fn lie(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, shared: &Shared) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        shared.received.fetch_add(length as u64, Ordering::SeqCst);
        let commands = buffer[..length].iter().filter(|byte| **byte == b'*').count();
        // Allowed, by a cell that is an hour further ahead than any limit is long.
        if to.write_all("*2\r\n:1\r\n:999999999999999\r\n".repeat(commands).as_bytes()).await.is_err() {
            break;
        }
    }
}
