//! Load: connections that each send the next request when the last is answered.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    Failure,
    measure::{self, Measure},
};

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
    let mut clients = Vec::with_capacity(connections);
    for id in 0..connections {
        clients.push((connect(to).await?, post.body(id)));
    }
    measure::closed_loop(clients, span, async |(sender, body)| {
        let (response, answer) = send(sender, to, &post.headers, body.clone()).await?;
        if response.status() == StatusCode::OK && is_result(&answer) {
            return Ok(());
        }
        Err(format!("{} {}", response.status(), String::from_utf8_lossy(&answer)).into())
    })
    .await
}

/// One connection, for whoever looks at each status itself.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    to: SocketAddr,
}

impl Connection {
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn open(to: SocketAddr) -> Result<Self, Failure> {
        Ok(Self { sender: connect(to).await?, to })
    }

    /// Sends a request, reads the whole answer and tells its status; one with an error in it is a 500.
    ///
    /// # Errors
    /// When there is no answer.
    pub(crate) async fn send(&mut self, post: &Post) -> Result<StatusCode, Failure> {
        let (response, answer) = send(&mut self.sender, self.to, &post.headers, post.body(0)).await?;
        let failed = response.status() == StatusCode::OK && !is_result(&answer);
        Ok(if failed { StatusCode::INTERNAL_SERVER_ERROR } else { response.status() })
    }
}

fn is_result(answer: &[u8]) -> bool {
    answer.windows(9).any(|part| part == b"\"result\":")
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
