//! Load: connections that each send the next request when the last is answered.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::Failure;

/// A JSON-RPC request that is sent over and over.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) headers: HeaderMap,
    pub(crate) method: &'static str,
    pub(crate) params: Value,
}

impl Post {
    /// The body with this id; each connection has its own, as ids in flight differ within a session.
    fn body(&self, id: usize) -> Bytes {
        let message = json!({"jsonrpc": "2.0", "id": id, "method": self.method, "params": self.params});
        message.to_string().into()
    }
}

/// What a run measured.
#[derive(Debug)]
pub(crate) struct Measure {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// Latency in microseconds.
    latency: Histogram<u64>,
}

impl Measure {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// Latency in microseconds below which this part of requests was answered.
    pub(crate) fn micros(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1_000.0
    }
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// When there is no answer.
pub(crate) async fn once(to: SocketAddr, post: &Post) -> Result<(Response<()>, Bytes), Failure> {
    send(&mut connect(to).await?, to, &post.headers, post.body(0)).await
}

/// Loads `to` for `span` over this many connections.
///
/// # Errors
/// The first answer that is not a result: a bench of errors would measure something else.
pub(crate) async fn run(
    to: SocketAddr,
    connections: usize,
    span: Duration,
    post: &Post,
) -> Result<Measure, Failure> {
    let mut senders = Vec::with_capacity(connections);
    for _ in 0..connections {
        senders.push(connect(to).await?);
    }
    let started = Instant::now();
    let until = started + span;
    let loads = senders.into_iter().enumerate().map(|(id, mut sender)| async move {
        let body = post.body(id);
        let mut latency = Histogram::<u64>::new(3)?;
        while Instant::now() < until {
            let sent = Instant::now();
            let (response, answer) = send(&mut sender, to, &post.headers, body.clone()).await?;
            if response.status() != StatusCode::OK || !answer.windows(9).any(|part| part == b"\"result\":") {
                return Err(format!("{} {}", response.status(), String::from_utf8_lossy(&answer)).into());
            }
            latency.record(u64::try_from(sent.elapsed().as_nanos())?)?;
        }
        Ok::<_, Failure>(latency)
    });
    let mut latency = Histogram::<u64>::new(3)?;
    for part in futures_util::future::try_join_all(loads).await? {
        latency.add(part)?;
    }
    Ok(Measure { requests: latency.len(), seconds: started.elapsed().as_secs_f64(), latency })
}

async fn connect(to: SocketAddr) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let socket = TcpStream::connect(to).await?;
    socket.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    to: SocketAddr,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(Response<()>, Bytes), Failure> {
    let mut request = Request::post("/mcp").header("host", to.to_string()).body(Full::new(body))?;
    request.headers_mut().extend(headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    sender.ready().await?;
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok((Response::from_parts(parts, ()), body))
}
