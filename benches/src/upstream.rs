//! An MCP server over HTTP that does nothing but answer: what is left of a call's cost is the way to it.

use std::convert::Infallible;

use bytes::Bytes;
use clap::ValueEnum;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::net::TcpListener;

use crate::Failure;

/// The protocol's two eras.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Era {
    /// 2025-11-25, with a handshake.
    #[value(name = "2025-11-25")]
    Legacy,
    /// 2026-07-28, stateless.
    #[value(name = "2026-07-28")]
    Modern,
}

impl Era {
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: &'a str,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

/// Serves until the process is killed; prints the address.
///
/// # Errors
/// When it cannot listen.
pub(crate) async fn serve(era: Era) -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    crate::child::announce(listener.local_addr()?)?;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let service = service_fn(move |request| answer(era, request));
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), service));
    }
}

async fn answer(era: Era, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.method() != Method::POST {
        return Ok(status(StatusCode::METHOD_NOT_ALLOWED));
    }
    let Ok(body) = request.into_body().collect().await else { return Ok(status(StatusCode::BAD_REQUEST)) };
    let body = body.to_bytes();
    let Ok(message) = serde_json::from_slice::<Message<'_>>(&body) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let Some(id) = message.id else { return Ok(status(StatusCode::ACCEPTED)) };
    let tool = json!({"name": "echo", "inputSchema": {"type": "object"}});
    let info = json!({"name": "bare", "version": "1"});
    let result = match (message.method, era) {
        ("tools/call", _) => {
            let call: Option<Call<'_>> =
                message.params.and_then(|params| serde_json::from_str(params.get()).ok());
            let arguments = call.and_then(|call| call.arguments).map_or("{}", RawValue::get);
            format!(r#"{{"resultType":"complete","content":[],"structuredContent":{arguments}}}"#)
        }
        ("tools/list", _) => {
            json!({"resultType": "complete", "tools": [tool], "ttlMs": 60_000, "cacheScope": "private"})
                .to_string()
        }
        ("initialize", Era::Legacy) => {
            json!({"protocolVersion": era.version(), "capabilities": {"tools": {}}, "serverInfo": info})
                .to_string()
        }
        ("server/discover", Era::Modern) => json!({
            "resultType": "complete", "supportedVersions": [era.version()], "capabilities": {"tools": {}},
            "ttlMs": 60_000, "cacheScope": "private", "_meta": {"io.modelcontextprotocol/serverInfo": info},
        })
        .to_string(),
        ("ping", Era::Legacy) => "{}".to_owned(),
        _ => {
            let text = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32601,"message":"unknown method"}}}}"#
            );
            return Ok(json_response(StatusCode::NOT_FOUND, text));
        }
    };
    Ok(json_response(StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)))
}

fn json_response(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
