//! HTTP/1 connections without TLS, each driven by the call that uses it.
//!
//! With a task of its own a connection costs each call two hand-overs, to the task and back, and often between
//! threads: more than all that the gateway does with the call besides. Here whoever waits for the answer drives
//! the connection, and wakes nobody. An idle connection is looked at when it is wanted next, and when its time
//! is up.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, Uri,
    header::HOST,
    uri::{Authority, PathAndQuery},
};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioIo};
use tokio::{net::TcpStream, time::Instant};
use tokio_util::task::AbortOnDropHandle;
use tower::ServiceExt as _;

use super::wire::Failure;

/// Idle connections kept to one host and port.
const IDLE: usize = 64;
/// How long a connection may be idle; one that nobody wants may stay for half as long again.
const IDLE_FOR: Duration = Duration::from_secs(60);

/// A pool of connections. Cheap to clone.
#[derive(Clone)]
pub(super) struct Plain {
    connector: HttpConnector,
    idle: Arc<Idle>,
}

impl Plain {
    pub(super) fn new(connector: HttpConnector) -> Self {
        Self { connector, idle: Arc::default() }
    }

    /// Sends a request to an `http` URI.
    ///
    /// # Cancellation
    /// Safe: dropping this, or later the body, ends the connection if the answer is not whole.
    pub(super) async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Body>, Failure> {
        let uri = std::mem::take(request.uri_mut());
        let Some(home) = uri.authority().cloned() else {
            return Err(Failure { unreachable: true, source: "the URI names no host".into() });
        };
        request.headers_mut().entry(HOST).or_insert(host(&home)?);
        let path = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        *request.uri_mut() = path.into();
        loop {
            let (mut link, fresh) = match self.idle.take(&home) {
                Some(link) => (link, false),
                None => (self.connect(&uri).await?, true),
            };
            match link.exchange(request).await {
                Ok(response) => {
                    let driven = Driven { link: Some(link), home, idle: Arc::clone(&self.idle) };
                    return Ok(response.map(|incoming| Body { incoming, driven: Some(driven) }));
                }
                Err(mut error) => match error.take_message() {
                    // It ended before it took the request: another one may.
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(Failure { unreachable: false, source: error.into_error().into() }),
                },
            }
        }
    }

    async fn connect(&self, uri: &Uri) -> Result<Box<Link>, Failure> {
        let io = self.connector.clone().oneshot(uri.clone()).await;
        let io = io.map_err(|error| Failure { unreachable: true, source: error.into() })?;
        let shaken = http1::handshake(io).await;
        let (sender, connection) =
            shaken.map_err(|error| Failure { unreachable: true, source: error.into() })?;
        self.idle.watch();
        Ok(Box::new(Link { sender, connection: Some(connection) }))
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plain")
    }
}

/// What `Host` says: the authority without who logs in there.
fn host(authority: &Authority) -> Result<HeaderValue, Failure> {
    let text = authority.as_str();
    let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
    let text = text.strip_suffix(":80").unwrap_or(text);
    HeaderValue::from_str(text).map_err(|error| Failure { unreachable: true, source: error.into() })
}

type Unsent = hyper::client::conn::TrySendError<Request<Full<Bytes>>>;

/// One connection.
struct Link {
    sender: SendRequest<Full<Bytes>>,
    /// `None` when it has ended; dropping it fails what waits for it.
    connection: Option<http1::Connection<TokioIo<TcpStream>, Full<Bytes>>>,
}

impl Link {
    /// Goes on with what there is to read and write; `context` is woken when there is more.
    fn drive(&mut self, context: &mut Context<'_>) {
        drive(&mut self.connection, context);
    }

    /// Whether it can take a request now.
    fn is_usable(&mut self) -> bool {
        self.drive(&mut nobody());
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of the response.
    async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Box<Unsent>> {
        let mut response = std::pin::pin!(self.sender.try_send_request(request));
        let connection = &mut self.connection;
        std::future::poll_fn(|context| {
            drive(connection, context);
            // The connection alone brings the response, and has just been driven: it is to wake nobody.
            response.as_mut().poll(&mut nobody())
        })
        .await
        .map_err(Box::new)
    }
}

fn drive<C: Future + Unpin>(connection: &mut Option<C>, context: &mut Context<'_>) {
    if connection.as_mut().is_some_and(|connection| Pin::new(connection).poll(context).is_ready()) {
        *connection = None;
    }
}

const fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Connections that nobody uses, the longest idle first.
#[derive(Default)]
struct Idle {
    hosts: Mutex<HashMap<Authority, VecDeque<(Instant, Box<Link>)>>>,
    /// Ends those whose time is up.
    watcher: OnceLock<AbortOnDropHandle<()>>,
}

impl Idle {
    fn take(&self, home: &Authority) -> Option<Box<Link>> {
        loop {
            let (since, mut link) = self.hosts().get_mut(home)?.pop_back()?;
            if since.elapsed() < IDLE_FOR && link.is_usable() {
                return Some(link);
            }
        }
    }

    fn give_back(&self, home: &Authority, link: Box<Link>) {
        let mut hosts = self.hosts();
        let links = match hosts.get_mut(home) {
            Some(links) => links,
            None => hosts.entry(home.clone()).or_default(),
        };
        if links.len() < IDLE {
            links.push_back((Instant::now(), link));
        }
    }

    fn watch(self: &Arc<Self>) {
        self.watcher.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(end_old(Arc::downgrade(self)))));
    }

    fn hosts(&self) -> std::sync::MutexGuard<'_, HashMap<Authority, VecDeque<(Instant, Box<Link>)>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn end_old(idle: Weak<Idle>) {
    loop {
        tokio::time::sleep(IDLE_FOR / 2).await;
        let Some(idle) = idle.upgrade() else { return };
        idle.hosts().retain(|_, links| {
            links.retain_mut(|(since, link)| since.elapsed() < IDLE_FOR && link.is_usable());
            !links.is_empty()
        });
    }
}

/// The body of a response. Dropping it before its end gives the connection up, unless the rest is there.
pub(super) struct Body {
    /// Dropped first, so that the connection learns that no more is wanted.
    incoming: Incoming,
    /// The connection that it comes from, where no task drives that.
    driven: Option<Driven>,
}

impl From<Incoming> for Body {
    fn from(incoming: Incoming) -> Self {
        Self { incoming, driven: None }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(link) = this.driven.as_mut().and_then(|driven| driven.link.as_mut()) else {
            return Pin::new(&mut this.incoming).poll_frame(context);
        };
        // As with the response: the connection, driven between the two, is the only one that could wake anybody.
        let mut frame = Pin::new(&mut this.incoming).poll_frame(&mut nobody());
        if frame.is_pending() {
            link.drive(context);
            frame = Pin::new(&mut this.incoming).poll_frame(&mut nobody());
        }
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            this.driven = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// A connection in use, which goes back when it is dropped in a state to be used again.
struct Driven {
    link: Option<Box<Link>>,
    home: Authority,
    idle: Arc<Idle>,
}

impl Drop for Driven {
    fn drop(&mut self) {
        if let Some(mut link) = self.link.take()
            && link.is_usable()
        {
            self.idle.give_back(&self.home, link);
        }
    }
}

#[cfg(test)]
mod tests;
